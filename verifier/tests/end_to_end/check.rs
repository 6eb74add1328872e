//! `verifier check` on caches that the real go command filled, sealed and described like those of an image: every kind
//! of damage is found and named, sound caches raise no alarm, and a check leaves everything as it was.

mod object_code;

use std::collections::BTreeMap;
use std::fs::{FileTimes, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, SystemTime};

use assert_cmd::Command;
use camino::{Utf8Path, Utf8PathBuf};
use gocache::bit_flip::{FilesByKind, Flip, files_by_kind};
use gocache::{ActionEntry, Checksums, FileKind, HashLog, Identity, Store};
use serde_json::{Value, json};
use sha256::{Sha256Hash, hash_file};

use crate::go::Folder;

const GOCACHE: &str = "root/var/cache/go-build";
const GOMODCACHE: &str = "root/var/cache/go-mod";
const OBJECTS: &str = "root/var/cache/go-objects";
const PACKS: &str = "root/usr/local/share/iac-runner/packs";
const IMAGE: &str = "root/usr/local/share/iac-runner/image.json";
const DEPENDENCY: &str = "root/var/cache/go-mod/example.com/!dep@v1.0.0";
const PROGRAM: &str = "src/apis/demo/provider/tiny/thing/v1/iac/pulumi";
/// 2037-01-01T00:00:00Z.
const ENTRY_TIME: u64 = 2_114_380_800;

/// Caches at the paths of an image below `root`, with a Go module, its packages and an executable, all described.
struct Image {
    folder: Folder,
    store: Store,
}

impl Image {
    fn new() -> Self {
        let image = Self::used();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(ENTRY_TIME);
        image.store.seal(time).unwrap();
        for name in ["README", "trim.txt"] {
            let path = image.store.root().join(name);
            if path.exists() {
                fs_err::remove_file(path).unwrap();
            }
        }
        // What only the machine that fetches needs is not in an image.
        for path in image.below(GOMODCACHE) {
            let is_lock = path.file_name() == Some("lock") || path.extension() == Some("lock");
            if is_lock || path.extension() == Some("zip") || path.file_name() == Some("list") {
                fs_err::remove_file(path).unwrap();
            }
        }
        for path in image.below(GOCACHE).iter().chain(&image.below(GOMODCACHE)) {
            let is_extracted =
                path.as_str().contains('@') && !path.as_str().contains("cache/download");
            let mode = match (path.is_dir(), is_extracted) {
                (true, true) => 0o555,
                (true, false) => 0o755,
                (false, true) => 0o444,
                (false, false) => 0o644,
            };
            fs_err::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        image.describe();
        image
    }

    /// The caches as the go command leaves them, without a description.
    fn used() -> Self {
        let folder = Folder::new();
        proxy(&folder);
        folder.write(
            "src/go.mod",
            "module example.com/tiny\n\ngo 1.24\n\nrequire example.com/Dep v1.0.0\n",
        );
        folder.write(
            &format!("{PROGRAM}/main.go"),
            "package main\n\nimport dep \"example.com/Dep\"\n\nfunc main() { println(dep.Hello()) }\n",
        );
        let store = folder.common(GOCACHE);
        let image = Self { folder, store };
        image.go().args(["mod", "tidy"]).assert().success();
        let exe = image.folder.path("exe");
        let mut build = image.go();
        build
            .current_dir(image.folder.path(PROGRAM))
            .env("GODEBUG", "gocachehash=1")
            .args(["build", "-o", exe.as_str(), "."]);
        let stderr = build.assert().success().get_output().stderr.clone();
        let log = HashLog::scan(&stderr[..]).unwrap();
        let program = PROGRAM.replace("src", "example.com/tiny");
        image
            .store
            .put_file(&log.inputs.links[&program].action, &exe, 1)
            .unwrap();
        image
    }

    fn go(&self) -> Command {
        let mut go = self.folder.go(GOCACHE);
        go.env("GOMODCACHE", self.folder.path(GOMODCACHE))
            .env("GOPROXY", format!("file://{}", self.folder.path("proxy")))
            .env("GOSUMDB", "off");
        go
    }

    /// Folders and files, the folder itself first.
    fn below(&self, name: &str) -> Vec<Utf8PathBuf> {
        let walk = walkdir::WalkDir::new(self.folder.path(name)).sort_by_file_name();
        walk.into_iter()
            .map(|entry| Utf8PathBuf::from_path_buf(entry.unwrap().into_path()).unwrap())
            .collect()
    }

    fn root(&self) -> Utf8PathBuf {
        self.folder.path("root")
    }

    fn describe(&self) {
        let mut env = self.go();
        env.args(["env", "-json"]).args(Identity::GO_ENV_NAMES);
        let env = env.assert().success();
        let env = serde_json::from_slice(&env.get_output().stdout).unwrap();
        let identity = Identity {
            gocache: "/var/cache/go-build".into(),
            gomodcache: "/var/cache/go-mod".into(),
            ..Identity::from_go_env(&env).unwrap()
        };
        // Only root can give files to group 0.
        let owner = fs_err::metadata(self.root()).unwrap();
        let owner_uid = (owner.gid() == 0).then_some(owner.uid());
        let image = json!({
            "schema": 1, "identity": identity, "versions": {}, "owner_uid": owner_uid, "cache_entry_time": ENTRY_TIME,
        });
        self.folder.write(IMAGE, &image.to_string());
        let root = self.root();
        let folders = [GOCACHE, GOMODCACHE, OBJECTS].into_iter();
        let there = folders.filter(|folder| self.folder.path(folder).exists());
        let files = there.flat_map(|folder| self.below(folder));
        let list: Checksums = files
            .filter(|path| path.is_file())
            .map(|path| {
                let in_image = Utf8Path::new("/").join(path.strip_prefix(&root).unwrap());
                (in_image, hash_file(&path).unwrap().0)
            })
            .collect();
        self.write_pack("tiny", &list);
    }

    fn write_pack(&self, name: &str, list: &Checksums) {
        let is_object_code = |path: &Utf8Path| path.starts_with("/var/cache/go-objects");
        let objects_bytes = u8::from(list.iter().any(|(path, _)| is_object_code(path)));
        let list = list.to_string();
        let pack = json!({
            "objects_bytes": objects_bytes,
            "schema": 1, "name": name, "go_modules": 1, "go_mod_bytes": 1, "go_build_bytes": 1, "executables_bytes": 1,
            "modules": [{"component": "thing", "path": PROGRAM.strip_prefix("src/").unwrap()}],
            "files_sha256": Sha256Hash::of(list.as_bytes()),
        });
        self.folder
            .write(&format!("{PACKS}/{name}.json"), &pack.to_string());
        self.folder.write(&format!("{PACKS}/{name}.sha256"), &list);
    }

    fn write_left_out(&self, name: &str, list: &Checksums) {
        let (list, description) = (list.to_string(), format!("{PACKS}/{name}.json"));
        let described = fs_err::read_to_string(self.folder.path(&description)).unwrap();
        let mut pack: Value = serde_json::from_str(&described).unwrap();
        pack["left_out_sha256"] = json!(Sha256Hash::of(list.as_bytes()));
        self.folder.write(&description, &pack.to_string());
        self.folder
            .write(&format!("{PACKS}/{name}.left-out"), &list);
    }

    fn command(&self) -> Command {
        let mut command = verifier(&self.folder);
        command.args(["--root", self.root().as_str()]);
        command
    }

    /// Findings as `severity path`, the path relative to the image's root, after a check that ends with `code`.
    fn findings(&self, code: i32) -> Vec<String> {
        findings(&mut self.command(), &self.root(), code)
    }

    /// The one finding of a check that ends with `code`: its severity and what is wrong, which must be with `path`.
    fn finding(&self, code: i32, path: &str) -> String {
        let report = report(&mut self.command(), code);
        let findings = report["findings"].as_array().unwrap();
        assert_eq!(findings.len(), 1, "{report:#}");
        assert_eq!(findings[0]["path"], self.folder.path(path).as_str());
        format!(
            "{}: {}",
            findings[0]["severity"].as_str().unwrap(),
            findings[0]["problem"].as_str().unwrap()
        )
    }

    /// Entries of GOCACHE, with their outputs.
    fn entries(&self) -> Vec<ActionEntry> {
        let files = self.store.files().unwrap();
        let actions = files.iter().filter_map(|file| match file.kind {
            FileKind::Action(action) => Some(action),
            FileKind::Output(_) | FileKind::Other => None,
        });
        actions
            .map(|action| self.store.get(&action).unwrap().unwrap())
            .collect()
    }
}

/// A Go module in a folder that the go command takes for a proxy.
fn proxy(folder: &Folder) {
    let versions = "proxy/example.com/!dep/@v";
    let go_mod = "module example.com/Dep\n\ngo 1.24\n";
    folder.write(&format!("{versions}/list"), "v1.0.0\n");
    folder.write(
        &format!("{versions}/v1.0.0.info"),
        r#"{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}"#,
    );
    folder.write(&format!("{versions}/v1.0.0.mod"), go_mod);
    let zip = fs_err::File::create(folder.path(&format!("{versions}/v1.0.0.zip"))).unwrap();
    let mut zip = zip::ZipWriter::new(zip);
    let source = "package dep\n\nfunc Hello() string { return \"hello\" }\n";
    for (name, content) in [
        ("go.mod", go_mod),
        ("dep.go", source),
        ("LICENSE", "none\n"),
        ("testdata/a.tmp", "not left over\n"),
    ] {
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        zip.start_file(format!("example.com/Dep@v1.0.0/{name}"), options)
            .unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
}

fn verifier(folder: &Folder) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
    folder.set_environment(&mut command, GOCACHE);
    command
        .current_dir(folder.path("src"))
        .env("GOMODCACHE", folder.path(GOMODCACHE))
        .arg("check");
    command
}

fn report(command: &mut Command, code: i32) -> Value {
    let assert = command.arg("--json").assert();
    let output = assert.get_output();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(output.status.code(), Some(code), "{report:#}");
    report
}

fn findings(command: &mut Command, root: &Utf8Path, code: i32) -> Vec<String> {
    let report = report(command, code);
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(
        report["corrupt"].as_u64().unwrap() + report["not_as_shipped"].as_u64().unwrap(),
        findings.len() as u64
    );
    let line = |finding: &Value| {
        let path = Utf8Path::new(finding["path"].as_str().unwrap());
        let path = path.strip_prefix(root).unwrap_or(path);
        format!("{} {path}", finding["severity"].as_str().unwrap())
    };
    findings.iter().map(line).collect()
}

type Snapshot = BTreeMap<Utf8PathBuf, (u32, u32, SystemTime, Sha256Hash)>;

/// Mode, owner, time and content of everything in the image and in the source.
fn snapshot(image: &Image) -> Snapshot {
    let paths = image.below("root").into_iter().chain(image.below("src"));
    let described = paths.map(|path| {
        let metadata = fs_err::symlink_metadata(&path).unwrap();
        let content = if metadata.is_file() {
            hash_file(&path).unwrap().0
        } else {
            Sha256Hash::of(b"")
        };
        let modified = metadata.modified().unwrap();
        (path, (metadata.mode(), metadata.uid(), modified, content))
    });
    described.collect()
}

/// Fails with the paths of what was added, removed or changed.
fn assert_as_before(image: &Image, before: &Snapshot) {
    let now = snapshot(image);
    let paths = before.keys().chain(now.keys());
    let changed: Vec<_> = paths
        .filter(|path| before.get(*path) != now.get(*path))
        .collect();
    assert!(changed.is_empty(), "{changed:?}");
}

#[test]
fn a_sound_image_raises_no_alarm_and_is_left_as_it_was() {
    let image = Image::new();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let before = snapshot(&image);
    for path in image.below("root").iter().filter(|path| path.is_file()) {
        let file = fs_err::File::open(path).unwrap();
        file.file()
            .set_times(FileTimes::new().set_accessed(long_ago))
            .unwrap();
    }
    let report = report(&mut image.command(), 0);
    for path in image.below(GOCACHE).iter().chain(&image.below(GOMODCACHE)) {
        let accessed = fs_err::metadata(path).unwrap().accessed().unwrap();
        assert!(path.is_dir() || accessed == long_ago, "{path} was accessed");
    }
    assert_as_before(&image, &before);
    assert_eq!(report["packs"], json!(["tiny"]));
    assert_eq!(
        (&report["corrupt"], &report["not_checked"]),
        (&json!(0), &json!([]))
    );
    let files = image
        .below(GOCACHE)
        .iter()
        .chain(&image.below(GOMODCACHE))
        .filter(|path| path.is_file())
        .count();
    assert_eq!(report["files"], json!(files));
    let text = image
        .command()
        .assert()
        .success()
        .get_output()
        .stdout
        .clone();
    let text = String::from_utf8(text).unwrap();
    assert!(text.ends_with(": 0 corrupt, 0 not as shipped\n"), "{text}");
    let lists = report["lists_sha256"].as_str().unwrap();
    assert!(text.lines().next().unwrap().contains(lists), "{text}");
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn the_lists_that_are_checked_against_have_a_digest_which_changes_with_them() {
    let image = Image::new();
    let digest = || {
        let report = report(&mut image.command(), 0);
        report["lists_sha256"].as_str().unwrap().to_owned()
    };
    let before = digest();
    let list = fs_err::read(image.folder.path(&format!("{PACKS}/tiny.sha256"))).unwrap();
    let line = format!("{}  tiny.sha256\n", Sha256Hash::of(&list));
    assert_eq!(before, Sha256Hash::of(line.as_bytes()).to_string());
    // Whoever changes a file, its list and what describes that is found out by this alone.
    let is_info = |path: &Utf8PathBuf| path.extension() == Some("info");
    let info = image.below(GOMODCACHE).into_iter().find(is_info).unwrap();
    fs_err::write(info, "{}").unwrap();
    image.describe();
    assert_ne!(digest(), before);
}

#[test]
fn a_cache_in_use_is_sound() {
    let image = Image::new();
    image.folder.write(
        &format!("{PROGRAM}/more.go"),
        "package main\n\nfunc init() { println(1) }\n",
    );
    let mut build = image.go();
    build
        .current_dir(image.folder.path(PROGRAM))
        .args(["build", "-o", "/dev/null", "."]);
    build.assert().success();
    assert_eq!(image.findings(0), [""; 0]);
    let entry = image
        .store
        .put_reader(&Sha256Hash::of(b"x"), None, 5, &b"bytes"[..], 5)
        .unwrap();
    assert_eq!(image.findings(0), [""; 0]);
    // What nobody shipped must be consistent all the same.
    let output = image.store.output_path(&entry.output);
    fs_err::write(&output, b"bytez").unwrap();
    let path = output
        .strip_prefix(image.folder.path(""))
        .unwrap()
        .as_str()
        .to_owned();
    assert!(
        image
            .finding(4, &path)
            .starts_with("corrupt: the hash of its content is ")
    );
    fs_err::remove_file(&output).unwrap();
    let action = image.store.action_path(&entry.action);
    let path = action
        .strip_prefix(image.folder.path(""))
        .unwrap()
        .as_str()
        .to_owned();
    assert_eq!(
        image.finding(4, &path),
        format!("corrupt: its output {} is missing", entry.output)
    );
}

#[test]
fn damage_in_the_build_cache_is_named() {
    let image = Image::new();
    let entries = image.entries();
    let [one, other] = [
        &entries[0],
        entries
            .iter()
            .find(|entry| entry.output != entries[0].output)
            .unwrap(),
    ];
    let action = image.store.action_path(&one.action);
    let name = action
        .strip_prefix(image.folder.path(""))
        .unwrap()
        .as_str()
        .to_owned();
    let whole = fs_err::read(&action).unwrap();

    // Consistent in itself: only the list tells.
    let pointing_elsewhere = ActionEntry {
        action: one.action,
        ..*other
    };
    rewrite(&action, &pointing_elsewhere.to_bytes());
    let found = image.finding(4, &name);
    assert!(found.starts_with("corrupt: its digest is "), "{found}");
    assert!(found.contains("it was shipped with"), "{found}");

    for (content, expected) in [
        (
            ActionEntry {
                size_bytes: one.size_bytes + 1,
                ..*one
            }
            .to_bytes(),
            "bytes instead of",
        ),
        (
            ActionEntry {
                action: other.action,
                ..*one
            }
            .to_bytes(),
            "is the entry of action",
        ),
        (
            ActionEntry {
                output: Sha256Hash::of(b"none"),
                ..*one
            }
            .to_bytes(),
            "is missing",
        ),
        (
            ActionEntry {
                time_unix_ns: 5,
                ..*one
            }
            .to_bytes(),
            "its digest is",
        ),
        (b"v1".to_vec(), "2 bytes instead of 175"),
        ([&whole[..], b"\n"].concat(), "is longer than 175 bytes"),
    ] {
        rewrite(&action, &content);
        let found = image.finding(4, &name);
        assert!(
            found.starts_with("corrupt: ") && found.contains(expected),
            "{found}"
        );
    }
    fs_err::remove_file(&action).unwrap();
    assert_eq!(image.finding(4, &name), "corrupt: is missing");
    fs_err::os::unix::fs::symlink("/dev/null", &action).unwrap();
    assert_eq!(image.finding(4, &name), "corrupt: is no regular file");
    fs_err::remove_file(&action).unwrap();
    rewrite(&action, &whole);
    assert_eq!(image.findings(0), [""; 0]);

    fs_err::write(image.store.root().join("00/not-an-entry-a"), "").unwrap();
    let found = image.finding(4, &format!("{GOCACHE}/00/not-an-entry-a"));
    assert!(found.contains("is named like an entry"), "{found}");

    let shipped = image.store.files().unwrap().len() - 1;
    fs_err::remove_dir_all(image.store.root()).unwrap();
    let found = image.findings(4);
    assert_eq!(found[0], "corrupt var/cache/go-build");
    assert_eq!(found.len(), shipped + 1, "and each of its files");
}

/// Writes a file that has the mode and the time of a shipped entry.
fn rewrite(path: &Utf8Path, content: &[u8]) {
    fs_err::write(path, content).unwrap();
    fs_err::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(ENTRY_TIME);
    fs_err::File::open(path)
        .unwrap()
        .file()
        .set_modified(time)
        .unwrap();
}

#[test]
fn damage_in_the_module_cache_is_named() {
    let image = Image::new();
    let source = format!("{DEPENDENCY}/dep.go");
    let path = image.folder.path(&source);
    let whole = fs_err::read(&path).unwrap();
    replace(&path, b"package dep\n");
    assert!(image.finding(4, &source).contains("it was shipped with"));
    open_folder(&image);
    fs_err::remove_file(&path).unwrap();
    close_folder(&image);
    assert_eq!(image.finding(4, &source), "corrupt: is missing");
    open_folder(&image);
    fs_err::write(&path, &whole).unwrap();
    fs_err::write(path.with_file_name("extra.go"), "package dep\n").unwrap();
    close_folder(&image);
    let found = image.finding(4, &format!("{DEPENDENCY}/extra.go"));
    assert_eq!(
        found,
        "corrupt: is not among the files that its Go module was shipped with"
    );
    open_folder(&image);
    fs_err::remove_file(path.with_file_name("extra.go")).unwrap();
    close_folder(&image);
    assert_eq!(image.findings(0), [""; 0]);

    let download = "root/var/cache/go-mod/cache/download/example.com/!dep/@v/v1.0.0";
    for extension in ["info", "mod", "ziphash"] {
        let name = format!("{download}.{extension}");
        let path = image.folder.path(&name);
        let whole = fs_err::read(&path).unwrap();
        replace(&path, &[&whole[..], b" "].concat());
        assert!(
            image.finding(4, &name).contains("it was shipped with"),
            "{name}"
        );
        replace(&path, &whole);
    }
    assert_eq!(image.findings(0), [""; 0]);
}

#[test]
fn a_go_module_of_two_packs_is_whole_where_both_are_and_a_stub_where_one_is() {
    let image = Image::new();
    let whole = fs_err::read(image.folder.path(&format!("{PACKS}/tiny.sha256"))).unwrap();
    let whole = Checksums::read(whole.as_slice()).unwrap();
    let folder = Utf8Path::new("/").join(DEPENDENCY.strip_prefix("root/").unwrap());
    let pick = |wanted: &dyn Fn(&Utf8Path) -> bool| -> Checksums {
        let picked = whole.iter().filter(|(path, _)| wanted(path));
        picked
            .map(|(path, digest)| (path.to_owned(), digest))
            .collect()
    };
    let is_stub = |path: &Utf8Path| path == folder.join("go.mod");
    let is_other = |path: &Utf8Path| path.starts_with(&folder) && !is_stub(path);
    let (stub, others) = (pick(&is_stub), pick(&is_other));
    assert_eq!(stub.len(), 1);
    image.write_pack("tiny", &pick(&|path| !is_other(path)));
    image.write_left_out("tiny", &others);
    image.write_pack("rest", &others);
    image.write_left_out("rest", &stub);
    assert_eq!(image.findings(0), [""; 0]);

    let (first, _) = others.iter().next().unwrap();
    let first = format!("root{first}");
    let text = fs_err::read(image.folder.path(&first)).unwrap();
    replace(&image.folder.path(&first), b"other");
    assert!(image.finding(4, &first).contains("was shipped with"));
    replace(&image.folder.path(&first), &text);

    for suffix in ["json", "sha256", "left-out"] {
        fs_err::remove_file(image.folder.path(&format!("{PACKS}/rest.{suffix}"))).unwrap();
    }
    for (path, _) in others.iter() {
        let file = image.folder.path(&format!("root{path}"));
        let above = file.parent().unwrap();
        fs_err::set_permissions(above, Permissions::from_mode(0o755)).unwrap();
        fs_err::remove_file(&file).unwrap();
        fs_err::set_permissions(above, Permissions::from_mode(0o555)).unwrap();
    }
    assert_eq!(image.findings(0), [""; 0]);
    replace(
        &image.folder.path(&format!("{DEPENDENCY}/go.mod")),
        b"module other",
    );
    assert!(
        image
            .finding(4, &format!("{DEPENDENCY}/go.mod"))
            .contains("was shipped with")
    );
}

#[test]
fn files_that_are_left_out_are_known_by_their_digests() {
    let image = Image::new();
    let data = image.folder.path(&format!("{DEPENDENCY}/testdata/a.tmp"));
    let in_image = Utf8Path::new("/").join(data.strip_prefix(image.root()).unwrap());
    let left_out = Checksums::from_iter([(in_image, hash_file(&data).unwrap().0)]);
    let folder = data.parent().unwrap();
    fs_err::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    fs_err::remove_file(&data).unwrap();
    fs_err::set_permissions(folder, Permissions::from_mode(0o555)).unwrap();
    image.describe();
    let module = "root/var/cache/go-mod/example.com/!dep@v1.0.0";
    assert!(image.finding(4, module).contains("its files have the hash"));

    let (list, description) = (
        format!("{PACKS}/tiny.left-out"),
        format!("{PACKS}/tiny.json"),
    );
    let text = left_out.to_string();
    image.folder.write(&list, &text);
    let described = fs_err::read_to_string(image.folder.path(&description)).unwrap();
    let mut pack: Value = serde_json::from_str(&described).unwrap();
    pack["left_out_sha256"] = json!(Sha256Hash::of(text.as_bytes()));
    image.folder.write(&description, &pack.to_string());
    let source = image.folder.path("src");
    let findings_with_source = |code| {
        let mut command = image.command();
        command.args(["--source", source.as_str()]);
        findings(&mut command, &image.root(), code)
    };
    assert_eq!(findings_with_source(0), [""; 0]);

    // The hash of a Go module still tells a wrong list from the right one.
    let wrong = text.replacen(&text[..2], if &text[..2] == "00" { "11" } else { "00" }, 1);
    image.folder.write(&list, &wrong);
    let found = image.finding(4, &list);
    assert!(found.contains("the description of the pack"), "{found}");
    pack["left_out_sha256"] = json!(Sha256Hash::of(wrong.as_bytes()));
    image.folder.write(&description, &pack.to_string());
    assert!(image.finding(4, module).contains("its files have the hash"));
    fs_err::remove_file(image.folder.path(&list)).unwrap();
    assert_eq!(image.finding(4, &list), "corrupt: is missing");
    image.folder.write(&list, &text);
    image.folder.write(&description, &described);
    let found = findings_with_source(4);
    assert!(
        found.contains(&format!("corrupt {}", list.strip_prefix("root/").unwrap())),
        "{found:?}"
    );
}

fn replace(path: &Utf8Path, content: &[u8]) {
    let mode = fs_err::metadata(path).unwrap().permissions();
    fs_err::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    fs_err::write(path, content).unwrap();
    fs_err::set_permissions(path, mode).unwrap();
}

fn open_folder(image: &Image) {
    fs_err::set_permissions(image.folder.path(DEPENDENCY), Permissions::from_mode(0o755)).unwrap();
}

fn close_folder(image: &Image) {
    for path in image.below(DEPENDENCY) {
        let mode = if path.is_dir() { 0o555 } else { 0o444 };
        fs_err::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn damaged_lists_are_named_and_not_believed() {
    let image = Image::new();
    let list = format!("{PACKS}/tiny.sha256");
    let description = format!("{PACKS}/tiny.json");
    let whole = fs_err::read_to_string(image.folder.path(&list)).unwrap();
    let described = fs_err::read_to_string(image.folder.path(&description)).unwrap();
    let first_line = whole.lines().next().unwrap();
    for (content, expected) in [
        (
            whole.replacen(
                first_line,
                &first_line.replacen(&first_line[..2], "00", 1),
                1,
            ),
            "the description of the pack",
        ),
        (
            whole.replacen(first_line, "", 1),
            "malformed list of digests: line 1",
        ),
        (String::new(), "the description of the pack"),
    ] {
        image.folder.write(&list, &content);
        let report = report(&mut image.command(), 4);
        assert_eq!(report["corrupt"], 1, "{report:#}");
        let finding = &report["findings"][0];
        assert_eq!(finding["path"], image.folder.path(&list).as_str());
        assert!(
            finding["problem"].as_str().unwrap().contains(expected),
            "{finding}"
        );
        assert!(
            report["not_checked"][0]
                .as_str()
                .unwrap()
                .contains("their list is damaged")
        );
    }
    fs_err::remove_file(image.folder.path(&list)).unwrap();
    assert_eq!(image.finding(4, &list), "corrupt: is missing");

    image.folder.write(&list, &whole);
    fs_err::remove_file(image.folder.path(&description)).unwrap();
    assert_eq!(
        image.finding(4, &list),
        "corrupt: is a list that no description of a pack names"
    );
    image.folder.write(&description, "{");
    let assert = image.command().assert().code(4).stdout("");
    let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(stderr.contains("tiny.json is corrupt"), "{stderr}");
    image.folder.write(&description, &described);

    let elsewhere = [("/etc/passwd".into(), Sha256Hash::of(b""))];
    image.write_pack("other", &elsewhere.into_iter().collect());
    let found = image.finding(4, &format!("{PACKS}/other.sha256"));
    assert_eq!(
        found,
        "corrupt: lists /etc/passwd, which is in neither cache"
    );
    let path = first_line.split_once("  ").unwrap().1;
    image.write_pack(
        "other",
        &[(path.into(), Sha256Hash::of(b""))].into_iter().collect(),
    );
    let report = report(&mut image.command(), 4);
    let finding = &report["findings"][0];
    assert_eq!(finding["path"], image.folder.path(&list).as_str());
    let problem = finding["problem"].as_str().unwrap();
    assert!(
        problem.ends_with("with another digest than another pack does"),
        "{problem}"
    );
}

#[test]
fn what_is_not_as_shipped_is_told_from_corruption() {
    let image = Image::new();
    let entry = image.store.action_path(&image.entries()[0].action);
    let name = entry
        .strip_prefix(image.folder.path(""))
        .unwrap()
        .as_str()
        .to_owned();
    let set = |path: &Utf8Path, mode| {
        fs_err::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };

    set(&entry, 0o646);
    assert_eq!(
        image.finding(1, &name),
        "not_as_shipped: is writable for the world"
    );
    set(&entry, 0o640);
    let found = image.finding(1, &name);
    assert_eq!(
        found,
        "not_as_shipped: has mode 640, with which it no longer can be read by everyone"
    );
    set(&entry, 0o664);
    assert_eq!(
        image.finding(1, &name),
        "not_as_shipped: is writable for its group"
    );
    set(&entry, 0o644);
    fs_err::File::open(&entry)
        .unwrap()
        .file()
        .set_modified(SystemTime::UNIX_EPOCH)
        .unwrap();
    let found = image.finding(1, &name);
    assert_eq!(
        found,
        format!("not_as_shipped: is of 0 instead of {ENTRY_TIME} (seconds since 1970)")
    );
    rewrite(&entry, &fs_err::read(&entry).unwrap());

    let folder = image.store.root().join("0f");
    set(&folder, 0o711);
    let found = image.finding(1, &format!("{GOCACHE}/0f"));
    assert!(
        found.ends_with("no longer is open to everyone and writable for its owner"),
        "{found}"
    );
    set(&folder, 0o755);

    for leftover in [
        "cache/lock",
        "cache/download/example.com/!dep/@v/v1.0.0.lock",
        "cache/download/example.com/!dep/@v/v1.0.0.zip",
        "cache/download/example.com/!dep/@v/v1.0.0.zip123.tmp",
    ] {
        let name = format!("{GOMODCACHE}/{leftover}");
        image.folder.write(&name, "");
        assert!(image.finding(1, &name).contains("is left over"), "{name}");
        fs_err::remove_file(image.folder.path(&name)).unwrap();
    }
    let name = format!("{GOCACHE}/00/.abc.tmp");
    image.folder.write(&name, "");
    assert!(image.finding(1, &name).contains("is left over"));
    fs_err::remove_file(image.folder.path(&name)).unwrap();

    let empty = (0..=u8::MAX)
        .map(|byte| format!("{byte:02x}"))
        .find(|name| {
            fs_err::read_dir(image.store.root().join(name))
                .unwrap()
                .next()
                .is_none()
        });
    if let Some(name) = empty {
        fs_err::remove_dir(image.store.root().join(&name)).unwrap();
        let found = image.finding(1, &format!("{GOCACHE}/{name}"));
        assert!(found.contains("is missing"), "{found}");
        fs_err::create_dir(image.store.root().join(&name)).unwrap();
    }

    // The graver of the two decides.
    set(&entry, 0o666);
    rewrite(&image.store.root().join("00/not-an-entry-d"), b"");
    assert!(image.findings(4).len() >= 2);
}

#[test]
fn another_owner_is_said_once_for_each_cache() {
    let image = Image::new();
    let path = image.folder.path(IMAGE);
    let mut described: Value = serde_json::from_slice(&fs_err::read(&path).unwrap()).unwrap();
    described["owner_uid"] = json!(12345);
    fs_err::write(&path, described.to_string()).unwrap();
    let expected = [
        "not_as_shipped var/cache/go-build",
        "not_as_shipped var/cache/go-mod",
    ];
    assert_eq!(image.findings(1), expected);
    // Older images do not say whose the caches are, nor which time the entries have.
    let fields = described.as_object_mut().unwrap();
    fields.retain(|name, _| !["owner_uid", "cache_entry_time"].contains(&name.as_str()));
    fs_err::write(&path, described.to_string()).unwrap();
    assert_eq!(image.findings(0), [""; 0]);
    let pack = image.folder.path(&format!("{PACKS}/tiny.json"));
    let mut described: Value = serde_json::from_slice(&fs_err::read(&pack).unwrap()).unwrap();
    described.as_object_mut().unwrap().remove("files_sha256");
    fs_err::write(&pack, described.to_string()).unwrap();
    fs_err::remove_file(image.folder.path(&format!("{PACKS}/tiny.sha256"))).unwrap();
    let report = report(&mut image.command(), 0);
    assert!(
        report["not_checked"][0]
            .as_str()
            .unwrap()
            .contains("before packs listed their files")
    );
}

#[test]
fn without_an_image_the_caches_speak_for_themselves() {
    let image = Image::used();
    let check = |code| findings(&mut verifier(&image.folder), &image.root(), code);
    let sound = report(&mut verifier(&image.folder), 0);
    assert_eq!(sound["packs"], json!([]));
    assert!(
        sound["not_checked"][0]
            .as_str()
            .unwrap()
            .starts_with("there is no list")
    );

    let module = "var/cache/go-mod/example.com/!dep@v1.0.0";
    let source = image.folder.path(&format!("{DEPENDENCY}/dep.go"));
    let whole = fs_err::read(&source).unwrap();
    replace(&source, b"package dep\n");
    assert_eq!(check(4), [format!("corrupt {module}")]);
    replace(&source, &whole);
    open_folder(&image);
    fs_err::write(source.with_file_name("extra.go"), "package dep\n").unwrap();
    assert_eq!(check(4), [format!("corrupt {module}")]);
    fs_err::remove_file(source.with_file_name("extra.go")).unwrap();

    let partial = image.folder.path(&format!(
        "{GOMODCACHE}/cache/download/example.com/!dep/@v/v1.0.0.partial"
    ));
    fs_err::write(&partial, "").unwrap();
    assert_eq!(check(1), [format!("not_as_shipped {module}")]);
    fs_err::remove_file(partial).unwrap();

    let entry = image.entries()[0];
    fs_err::write(image.store.output_path(&entry.output), "").unwrap();
    let found = check(4);
    let path = |path: Utf8PathBuf| path.strip_prefix(image.root()).unwrap().to_string();
    assert!(
        found.contains(&format!(
            "corrupt {}",
            path(image.store.output_path(&entry.output))
        )),
        "{found:?}"
    );
    assert!(
        found.contains(&format!(
            "corrupt {}",
            path(image.store.action_path(&entry.action))
        )),
        "{found:?}"
    );

    // A folder that should be an image and is none is a mistake on the command line.
    let assert = image.command().assert().code(2).stdout("");
    let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(
        stderr.starts_with("error: this is no IaC Runner image"),
        "{stderr}"
    );
}

#[test]
fn executables_that_the_go_command_keeps_itself_are_checked() {
    let image = Image::used();
    let mut run = image.go();
    run.current_dir(image.folder.path(PROGRAM))
        .args(["run", "."]);
    run.assert().success();
    assert_eq!(
        findings(&mut verifier(&image.folder), &image.root(), 0),
        [""; 0]
    );
    let kept = image
        .below(GOCACHE)
        .into_iter()
        .find(|path| path.is_file() && path.parent().unwrap().as_str().ends_with("-d"));
    // Go before 1.24 keeps none.
    if let Some(kept) = kept {
        let name = kept.strip_prefix(image.root()).unwrap().to_string();
        Flip {
            kind: "",
            path: kept,
            offset: 100,
            mask: 4,
        }
        .apply()
        .unwrap();
        let found = findings(&mut verifier(&image.folder), &image.root(), 4);
        assert_eq!(found, [format!("corrupt {name}")]);
    }
}

#[test]
fn the_sources_own_sums_are_asked_and_nothing_is_written() {
    let image = Image::new();
    let source = image.folder.path("src");
    let with_source = || {
        let mut command = image.command();
        command.args(["--source", source.as_str()]);
        command
    };
    let before = snapshot(&image);
    assert_eq!(findings(&mut with_source(), &image.root(), 0), [""; 0]);
    assert_as_before(&image, &before);

    let module = image
        .folder
        .path("root/var/cache/go-mod/cache/download/example.com/!dep/@v/v1.0.0.mod");
    let whole = fs_err::read(&module).unwrap();
    replace(&module, &[&whole[..], b"// more\n"].concat());
    let found = findings(&mut with_source(), &image.root(), 4);
    let go_mod = format!("corrupt {source}/go.mod");
    assert!(found.contains(&go_mod), "{found:?}");
    replace(&module, &whole);

    let sums = source.join("go.sum");
    let text = fs_err::read_to_string(&sums).unwrap();
    fs_err::write(&sums, text.replace("/go.mod h1:", "/go.mod h1:A")).unwrap();
    let found = findings(&mut with_source(), &image.root(), 4);
    assert!(
        found.iter().all(|found| *found == go_mod) && !found.is_empty(),
        "{found:?}"
    );
    fs_err::write(&sums, &text).unwrap();

    // A go.mod whose modules the image does not hold cannot be asked for: the image need not have what it requires.
    let pack = image.folder.path(&format!("{PACKS}/tiny.json"));
    let described = fs_err::read_to_string(&pack).unwrap();
    fs_err::write(&pack, described.replace("/thing/", "/other/")).unwrap();
    let report = report(&mut with_source(), 0);
    assert!(
        report["not_checked"][0]
            .as_str()
            .unwrap()
            .starts_with("go.mod of the source"),
        "{report:#}"
    );
}

/// Flips of the randomized test; `cargo xtask bench check` does more, on a real image.
const FLIPS: u64 = 200;
const SEED: u64 = 20_250_101;

#[test]
fn every_flipped_bit_is_found_and_named() {
    let image = Image::new();
    let mut files: FilesByKind =
        files_by_kind(&image.folder.path(GOCACHE), &image.folder.path(GOMODCACHE)).unwrap();
    files.insert(
        "list",
        vec![image.folder.path(&format!("{PACKS}/tiny.sha256"))],
    );
    for kind in [
        "entry (-a)",
        "package index (-d)",
        "archive (-d)",
        "executable (-d)",
        ".info",
        ".mod",
        ".ziphash",
        "file of a Go module",
    ] {
        assert!(files.contains_key(kind), "{kind}: {:?}", files.keys());
    }
    for number in 0..FLIPS {
        let flip = Flip::choose(&files, SEED, number).unwrap().unwrap();
        flip.apply().unwrap();
        let path = flip.path.strip_prefix(image.root()).unwrap();
        assert_eq!(
            image.findings(4),
            [format!("corrupt {path}")],
            "{number} of seed {SEED}: {flip:?}"
        );
        flip.apply().unwrap();
        if number % 10 == 0 {
            assert_eq!(image.findings(0), [""; 0], "after {number} of seed {SEED}");
        }
    }
    assert_eq!(image.findings(0), [""; 0]);
}
