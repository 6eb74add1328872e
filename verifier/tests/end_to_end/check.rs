//! `verifier check` on caches that the real go command filled, sealed and described like those of an image: every kind
//! of damage is found and named, sound caches raise no alarm, and a check leaves everything as it was.

mod damage;
mod object_code;
mod packs;
mod shipped;
mod unlisted;

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
