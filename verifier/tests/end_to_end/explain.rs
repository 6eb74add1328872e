//! `verifier explain`: every cause is provoked with the real go command and must be named in the first line.

use std::collections::BTreeMap;
use std::time::SystemTime;

use assert_cmd::Command;
use base64::Engine as _;
use camino::{Utf8Path, Utf8PathBuf};
use gocache::{
    ActionInputs, FileKind, GoModule, HashLog, Identity, InputsRecord, RecordedModule, Store, h1,
};
use serde_json::{Value, json};
use sha256::Sha256Hash;

use crate::go::{Folder, assert_as_before, snapshot};

const MODULE: &str = "apis/provider/civo/greet/v1/iac/pulumi";
const PROGRAM: &str = "example.com/catalog/apis/provider/civo/greet/v1/iac/pulumi";
const LIBRARY: &str = "example.com/catalog/greet";
const FLAGS: &str = "-trimpath -buildvcs=false";

const MAIN_GO: &str = "package main\n\nimport \"example.com/catalog/greet\"\n\n\
                       func main() { println(greet.Hello()) }\n";
const GREET_GO: &str =
    "package greet\n\nimport \"example.com/dep\"\n\nfunc Hello() string { return dep.Name }\n";

/// An image with one module, and the source that it was made from. The module imports a library of the source, which
/// imports a dependency; nothing else but the runtime, so that a build takes a second.
struct Image {
    folder: Folder,
    store: Store,
    link: Sha256Hash,
    packages: BTreeMap<String, ActionInputs>,
}

impl Image {
    fn new() -> Self {
        Self::with_flags(FLAGS, |_| {})
    }

    /// An image made with other GOFLAGS, from a source to which something was done.
    fn with_flags(flags: &str, prepare: impl FnOnce(&Folder)) -> Self {
        let folder = Folder::new();
        let sums = ["v1.0.0", "v1.1.0"].map(|version| dependency(&folder, version));
        folder.write("src/go.sum", &sums.concat());
        folder.write("src/go.mod", &go_mod("1.24", "v1.0.0"));
        folder.write(&format!("src/{MODULE}/main.go"), MAIN_GO);
        folder.write("src/greet/greet.go", GREET_GO);
        prepare(&folder);
        let store = folder.common("gocache");
        let program = folder.path("program");
        let mut command = folder.go("gocache");
        command
            .current_dir(folder.path("src").join(MODULE))
            .env("GODEBUG", "gocachehash=1")
            .env("GOFLAGS", flags);
        let assert = command
            .args(["build", "-o", program.as_str(), "."])
            .assert()
            .success();
        let log = HashLog::scan(&assert.get_output().stderr[..]).unwrap();
        let link = log.inputs.links[PROGRAM].action;
        let packages = log.inputs.packages.clone();
        store.put_file(&link, &program, 1).unwrap();
        let mut record = InputsRecord::default();
        record.add(MODULE.into(), RecordedModule::default(), log.inputs);
        let image = Self {
            folder,
            store,
            link,
            packages,
        };
        image.describe(flags, &record);
        image
    }

    /// Writes what the image says of itself.
    fn describe(&self, flags: &str, record: &InputsRecord) {
        let mut command = self.folder.go("gocache");
        let env = command
            .env("GOFLAGS", flags)
            .args(["env", "-json"])
            .assert()
            .success();
        let env = serde_json::from_slice(&env.get_output().stdout).unwrap();
        let identity = Identity::from_go_env(&env).unwrap();
        let image = json!({"schema": 1, "identity": identity, "versions": {}});
        let pack = json!({
            "schema": 1,
            "name": "civo",
            "modules": [{"component": "greet", "path": MODULE}],
            "go_modules": 1,
            "go_mod_bytes": 1,
            "go_build_bytes": 1,
            "executables_bytes": 1,
        });
        let share = "root/usr/local/share/iac-runner";
        self.folder
            .write(&format!("{share}/image.json"), &image.to_string());
        self.folder
            .write(&format!("{share}/packs/civo.json"), &pack.to_string());
        self.folder.write(
            &format!("{share}/packs/civo.inputs.json"),
            &serde_json::to_string(record).unwrap(),
        );
    }

    fn command(&self) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
        self.folder.set_environment(&mut command, "gocache");
        command.current_dir(self.folder.path("")).args([
            "explain",
            "civo/greet",
            "--source",
            "src",
            "--root",
            "root",
        ]);
        command
    }

    /// Both caches and the source.
    fn snapshots(&self) -> Vec<(Store, Snapshot)> {
        let folders = ["gocache", "modcache", "src"].map(|name| Store::at(&self.folder.path(name)));
        folders
            .into_iter()
            .map(|folder| {
                let files = snapshot(&folder);
                (folder, files)
            })
            .collect()
    }

    /// Runs the command, makes sure that caches and source stay as they are, and returns what it printed.
    fn explain(&self, command: &mut Command, code: i32) -> String {
        let before = self.snapshots();
        let assert = command.assert().code(code);
        for (folder, files) in &before {
            assert_as_before(folder, files);
        }
        String::from_utf8(assert.get_output().stdout.clone()).unwrap()
    }

    /// Makes sure that the first line says `part`.
    #[track_caller]
    fn expect(&self, command: &mut Command, code: i32, part: &str) -> String {
        let text = self.explain(command, code);
        let first = text.lines().next().unwrap();
        assert!(first.contains(part), "{part:?} in\n{text}");
        text
    }

    /// As [`Self::expect`], with other files in the source, which are taken back.
    #[track_caller]
    fn expect_of_files(&self, files: &[(&str, &str)], part: &str) -> String {
        let path = |name: &str| self.folder.path("src").join(name);
        let old = files
            .iter()
            .map(|(name, _)| fs_err::read_to_string(path(name)).ok());
        let old: Vec<_> = old.collect();
        for (name, content) in files {
            self.folder.write(&format!("src/{name}"), content);
        }
        let text = self.expect(&mut self.command(), 0, part);
        for ((name, _), old) in files.iter().zip(old) {
            match old {
                Some(old) => self.folder.write(&format!("src/{name}"), &old),
                None => fs_err::remove_file(path(name)).unwrap(),
            }
        }
        text
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.explain(self.command().arg("--json"), 0)).unwrap()
    }
}

type Snapshot = BTreeMap<Utf8PathBuf, (Sha256Hash, SystemTime)>;

fn go_mod(language: &str, version: &str) -> String {
    format!("module example.com/catalog\n\ngo {language}\n\nrequire example.com/dep {version}\n")
}

/// Puts a version of the dependency into the module cache, as a download leaves it; returns its lines of go.sum.
fn dependency(folder: &Folder, version: &str) -> String {
    let module = GoModule {
        path: "example.com/dep".into(),
        version: version.into(),
    };
    let files = [
        ("go.mod", "module example.com/dep\n\ngo 1.20\n".to_owned()),
        (
            "dep.go",
            format!("package dep\n\nconst Name = \"{version}\"\n"),
        ),
    ];
    let cache = Utf8Path::new("modcache");
    for (name, content) in &files {
        folder.write(cache.join(module.folder()).join(name).as_str(), content);
    }
    let digests = files
        .iter()
        .map(|(name, content)| (*name, Sha256Hash::of(content.as_bytes())));
    let sum = h1(&module, digests);
    // To the byte what the go command would write, or it writes it anew.
    let info = format!("{{\"Version\":\"{version}\",\"Time\":\"2025-01-01T00:00:00Z\"}}");
    for (extension, content) in [("info", &info), ("mod", &files[0].1), ("ziphash", &sum)] {
        folder.write(
            cache.join(module.download_file(extension)).as_str(),
            content,
        );
    }
    let line = format!("{}  go.mod\n", Sha256Hash::of(files[0].1.as_bytes()));
    let encoded = base64::engine::general_purpose::STANDARD
        .encode(Sha256Hash::of(line.as_bytes()).as_bytes());
    format!(
        "{} {version} {sum}\n{} {version}/go.mod h1:{encoded}\n",
        module.path, module.path
    )
}

#[test]
fn a_source_that_is_the_images_hits() {
    let image = Image::new();
    let text = image.expect(&mut image.command(), 0, "everything hits: ");
    assert!(text.contains("1 of 1 links"), "{text}");
    assert!(!text.contains("drift"), "{text}");
    let json = image.json();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["module"]["path"], MODULE);
    assert_eq!(json["is_in_image"], true);
    assert_eq!(json["build"]["is_recorded"], true);
    assert_eq!(json["build"]["causes"], json!([]));
    // By its path it is the same module.
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
    image.folder.set_environment(&mut command, "gocache");
    let source = image.folder.path("src");
    let root = image.folder.path("root");
    command.args([
        "explain",
        MODULE,
        "--source",
        source.as_str(),
        "--root",
        root.as_str(),
    ]);
    image.expect(&mut command, 0, "everything hits: ");
}

#[test]
fn each_setting_that_differs_is_named_with_its_origin() {
    let image = Image::new();
    image.folder.write("goenv", "GOAMD64=v3\n");
    let goenv = image.folder.path("goenv");
    let [other_cache, other_modules] =
        ["other-cache", "other-modules"].map(|name| image.folder.path(name));
    let tags = format!("{FLAGS} -tags=extra");
    for (name, value, part) in [
        (
            "GOFLAGS",
            "-trimpath",
            r#"GOFLAGS is "-trimpath" (set in the environment)"#,
        ),
        ("GOFLAGS", "-trimpath", ": it lacks -buildvcs=false"),
        ("GOFLAGS", tags.as_str(), "it adds -tags=extra"),
        ("CGO_ENABLED", "1", r#"CGO_ENABLED is "1""#),
        (
            "GOAMD64",
            "v3",
            r#"GOAMD64 is "v3" (set in the environment)"#,
        ),
        (
            "GOEXPERIMENT",
            "fieldtrack",
            r#"GOEXPERIMENT is "fieldtrack""#,
        ),
        ("GOCACHE", other_cache.as_str(), "GOCACHE is "),
        ("GOMODCACHE", other_modules.as_str(), "GOMODCACHE is "),
        (
            "GOENV",
            goenv.as_str(),
            "/goenv, by `go env -w`), but the caches were made with \"v1\"",
        ),
        ("GOCACHE", "off", "GOCACHE is \"off\""),
        // As the go command calls it.
        ("GOCACHE", "relative", "GOCACHE is \"off\""),
        (
            "GODEBUG",
            "gocacheverify=1",
            "gocacheverify=1 makes every look-up miss",
        ),
        (
            "GOCACHEPROG",
            "/bin/other-program",
            "it does not serve the image's cache",
        ),
    ] {
        image.expect(image.command().env(name, value), 3, part);
    }
    assert!(!other_cache.exists() && !other_modules.exists());
    let text = image.expect(
        image
            .command()
            .env("CGO_ENABLED", "1")
            .env("GOEXPERIMENT", "fieldtrack"),
        3,
        "(the first of 2 causes)",
    );
    assert!(text.contains("- GOEXPERIMENT is"), "{text}");
    image.expect(
        image
            .command()
            .env("GOFLAGS", format!("-v -mod=readonly {FLAGS}")),
        0,
        "everything hits: ",
    );
}

#[test]
fn a_gocache_of_ones_own_beside_the_shipped_one_hits() {
    let image = Image::new();
    let own = image.folder.path("own-cache");
    let verifier = assert_cmd::cargo::cargo_bin!("verifier")
        .display()
        .to_string();
    let program = format!("{verifier} cacheprog --shipped {}", image.store.root());
    let served = |command: &mut Command| {
        command.env("GOCACHE", &own).env("GOCACHEPROG", &program);
    };
    let mut command = image.command();
    served(&mut command);
    image.expect(&mut command, 0, "everything hits: ");
    let mut command = image.command();
    served(&mut command);
    let asked = command.env("GODEBUG", "gocacheverify=1");
    image.expect(asked, 0, "everything hits: ");
    let mut command = image.command();
    served(&mut command);
    let off = command.env("GOCACHE", "off");
    image.expect(off, 3, "the go command cannot build with it");
    // As the go command does.
    fs_err::remove_file(image.store.action_path(&image.link)).unwrap();
    let mut command = image.command();
    served(&mut command);
    image.expect(&mut command, 3, "the cache's entry of the executable");
}

#[test]
fn another_architecture_is_one_cause() {
    let image = Image::new();
    let goarch = if cfg!(target_arch = "x86_64") {
        "arm64"
    } else {
        "amd64"
    };
    let text = image.expect(image.command().env("GOARCH", goarch), 3, "GOARCH is ");
    assert!(!text.contains(" causes)"), "{text}");
}

#[test]
fn a_go_work_that_is_turned_off_is_the_cause_of_what_it_breaks() {
    let own_library = |folder: &Folder| {
        folder.write("src/lib/go.mod", "module example.com/lib\n\ngo 1.24\n");
        folder.write("src/lib/lib.go", "package lib\n\nconst Name = \"lib\"\n");
        folder.write("src/go.work", "go 1.24\n\nuse (\n\t.\n\t./lib\n)\n");
        let main = MAIN_GO
            .replace("greet\"", "greet\"; import \"example.com/lib\"")
            .replace("Hello()", "Hello() + lib.Name");
        folder.write(&format!("src/{MODULE}/main.go"), &main);
    };
    let image = Image::with_flags(FLAGS, own_library);
    image.expect(&mut image.command(), 0, "everything hits: ");
    let text = image.expect(
        image.command().env("GOWORK", "off"),
        3,
        "GOWORK is \"off\" (set in the environment), but the caches were made with ",
    );
    assert!(text.contains("/src/go.work\""), "{text}");
    assert!(text.contains("the module does not build: "), "{text}");
    // One that changes nothing is no cause.
    let image = Image::new();
    image.expect(image.command().env("GOWORK", "off"), 0, "everything hits: ");
    image.expect(
        image.command().env("GO111MODULE", "off"),
        3,
        "GO111MODULE is \"off\"",
    );
}

#[test]
fn a_cache_over_which_something_is_mounted_is_one_cause() {
    let image = Image::new();
    for (name, cache) in [("GOCACHE", "gocache"), ("GOMODCACHE", "modcache")] {
        let folder = image.folder.path(cache);
        let aside = image.folder.path("aside");
        fs_err::rename(&folder, &aside).unwrap();
        fs_err::create_dir_all(folder.join("00")).unwrap();
        fs_err::write(folder.join("README"), "").unwrap();
        let part = format!("{folder} is empty; ");
        let text = image.expect(&mut image.command(), 3, &part);
        assert!(
            text.starts_with(name) && !text.contains(" causes)"),
            "{text}"
        );
        fs_err::remove_dir_all(&folder).unwrap();
        fs_err::rename(&aside, &folder).unwrap();
    }
    image.expect(&mut image.command(), 0, "everything hits: ");
    // Another image's cache.
    for action in image.packages.values().map(|inputs| inputs.action) {
        fs_err::remove_file(image.store.action_path(&action)).unwrap();
    }
    let root = image.store.root();
    let text = image.expect(
        &mut image.command(),
        3,
        &format!(
            "none of the {} entries that the image shipped for this module is in {root}",
            image.packages.len()
        ),
    );
    assert!(!text.contains(" causes)"), "{text}");
}

#[test]
fn entries_that_are_missing_are_counted_together() {
    let image = Image::new();
    for package in [LIBRARY, "runtime"] {
        let action = image.packages[package].action;
        fs_err::remove_file(image.store.action_path(&action)).unwrap();
    }
    let part = format!(
        "2 entries that the image shipped are missing from {}",
        image.store.root()
    );
    let text = image.expect(&mut image.command(), 3, &part);
    assert!(text.contains("[defect, packages compiled: 2]"), "{text}");
}

#[test]
fn a_go_that_is_not_here_is_named_with_who_asks_for_it() {
    let image = Image::new();
    let text = go_mod("1.24", "v1.0.0") + "\ntoolchain go1.999.0\n";
    image.folder.write("src/go.mod", &text);
    let text = image.expect(
        image.command().env("GOTOOLCHAIN", "auto"),
        3,
        "GOTOOLCHAIN is \"toolchain go1.999.0\" (asked for by ",
    );
    assert!(text.contains("that Go is not here: "), "{text}");
    for value in ["go1.998.0", "go1.998.0+auto"] {
        let part = format!("GOTOOLCHAIN is \"{value}\" (set in the environment)");
        image.expect(image.command().env("GOTOOLCHAIN", value), 3, &part);
    }
}

#[test]
fn damaged_entries_are_named_with_their_files() {
    let image = Image::new();
    let entry_of = |package: &str| {
        let action = match package {
            PROGRAM => image.link,
            package => image.packages[package].action,
        };
        image.store.get(&action).unwrap().unwrap()
    };
    let library = entry_of(LIBRARY);
    let [action, output] = [
        image.store.action_path(&library.action),
        image.store.output_path(&library.output),
    ];
    let bytes = fs_err::read(&output).unwrap();
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    for (file, content, part) in [
        (&action, None, format!("is missing: there is no {action}")),
        (
            &output,
            None,
            format!("is without its output: there is no {output}"),
        ),
        (
            &output,
            Some(&bytes[..bytes.len() - 1]),
            format!(
                "is corrupt: {output} has {} bytes instead of {}",
                bytes.len() - 1,
                bytes.len()
            ),
        ),
        (
            &output,
            Some(&flipped[..]),
            format!("is corrupt: {output} has the right size, but not the hash that is its name"),
        ),
        (
            &action,
            Some(&b"v1 nonsense"[..]),
            format!("is corrupt: {action}: malformed"),
        ),
    ] {
        let before = fs_err::read(file).unwrap();
        match content {
            Some(content) => fs_err::write(file, content).unwrap(),
            None => fs_err::remove_file(file).unwrap(),
        }
        let text = image.expect(
            &mut image.command(),
            3,
            &format!("the cache's entry of package {LIBRARY} {part}"),
        );
        assert!(!text.contains("drift"), "{text}");
        fs_err::write(file, before).unwrap();
    }
    let executable = image.store.output_path(&entry_of(PROGRAM).output);
    fs_err::remove_file(&executable).unwrap();
    image.expect(
        &mut image.command(),
        3,
        &format!("the cache's entry of the executable {PROGRAM} is without its output"),
    );
}

/// An export that cannot be read breaks the build of what imports it, and the entry is to blame.
#[test]
fn a_damage_that_breaks_the_build_is_named_all_the_same() {
    let image = Image::new();
    let entry = image.store.get(&image.packages[LIBRARY].action);
    let output = image.store.output_path(&entry.unwrap().unwrap().output);
    let mut bytes = fs_err::read(&output).unwrap();
    // All but the build ID, by which the go command finds out whether it is an archive at all.
    for byte in bytes.iter_mut().skip(400) {
        *byte ^= 0xff;
    }
    fs_err::write(&output, bytes).unwrap();
    // Another program must be compiled, since the shipped executable would be taken as it is.
    image.folder.write(
        &format!("src/{MODULE}/main.go"),
        &MAIN_GO.replace("println(", "print("),
    );
    let text = image.expect(
        &mut image.command(),
        3,
        &format!("the cache's entry of package {LIBRARY} is corrupt"),
    );
    assert!(
        text.contains("the module does not build: go build failed"),
        "{text}"
    );
}

#[test]
fn an_edited_source_is_drift_and_named() {
    let image = Image::new();
    let main_go = format!("{MODULE}/main.go");
    let text = image.expect_of_files(
        &[(&main_go, &MAIN_GO.replace("println(", "print("))],
        &format!("main.go of package {PROGRAM} was edited"),
    );
    assert!(text.contains("[drift, packages compiled: 1]"), "{text}");
    assert!(
        text.contains("1 of the source's own and 0 others"),
        "{text}"
    );

    let edited = GREET_GO.replace("dep.Name", "dep.Name + dep.Name");
    let text = image.expect_of_files(
        &[("greet/greet.go", &edited)],
        &format!("greet.go of package {LIBRARY} was edited"),
    );
    let chain = format!("imported by way of {PROGRAM} > {LIBRARY}\n");
    assert!(text.contains(&chain), "{text}");
    assert!(text.contains("named above: 1\n"), "{text}");

    image.expect_of_files(
        &[("greet/more.go", "package greet\n\nconst More = 1\n")],
        &format!("more.go of package {LIBRARY} was added"),
    );
    let imports = MAIN_GO.replace("import ", "import _ \"example.com/catalog/new\"\nimport ");
    let text = image.expect_of_files(
        &[(&main_go, &imports), ("new/new.go", "package new\n")],
        "(the first of 2 causes)",
    );
    assert!(
        text.contains("packages of example.com/catalog are new"),
        "{text}"
    );
    // Nothing of this stayed.
    image.expect(&mut image.command(), 0, "everything hits: ");
}

#[test]
fn a_removed_file_is_named() {
    let image = Image::with_flags(FLAGS, |folder| {
        folder.write("src/greet/more.go", "package greet\n\nconst More = 1\n");
    });
    fs_err::remove_file(image.folder.path("src/greet/more.go")).unwrap();
    let part = format!("more.go of package {LIBRARY} was removed");
    image.expect(&mut image.command(), 0, &part);
}

#[test]
fn changes_of_the_go_mod_are_named_with_old_and_new() {
    let image = Image::new();
    let text = image.expect_of_files(
        &[("go.mod", &go_mod("1.23", "v1.0.0"))],
        "the language version in the go.mod of example.com/catalog changed from 1.24 to 1.23",
    );
    assert!(text.contains("[drift, packages compiled: 2]"), "{text}");

    let text = image.expect_of_files(
        &[("go.mod", &go_mod("1.24", "v1.1.0"))],
        "the version of example.com/dep changed from v1.0.0 to v1.1.0",
    );
    assert!(!text.contains("the first of"), "{text}");
    assert!(text.contains("[drift, packages compiled: 3]"), "{text}");
    let chain = format!("{PROGRAM} > {LIBRARY} > example.com/dep\n");
    assert!(text.contains(&chain), "{text}");
    assert!(
        text.contains("2 of the source's own and 1 others"),
        "{text}"
    );
    assert!(text.contains("a new image pays"), "{text}");

    let replaced = go_mod("1.24", "v1.0.0") + "\nreplace example.com/dep => ./local\n";
    image.expect_of_files(
        &[
            ("go.mod", &replaced),
            ("local/go.mod", "module example.com/dep\n\ngo 1.20\n"),
            ("local/dep.go", "package dep\n\nconst Name = \"local\"\n"),
        ],
        "the replacement of example.com/dep in go.mod is new: ./local",
    );

    let debug = go_mod("1.24", "v1.0.0") + "\ngodebug panicnil=1\n";
    image.expect_of_files(&[("go.mod", &debug)], "the default of GODEBUG");

    image.expect_of_files(
        &[("go.work", "go 1.24\n\nuse .\n\ngodebug panicnil=1\n")],
        "the go.work in force is new: go.work",
    );
}

#[test]
fn a_vendor_folder_and_a_profile_are_named() {
    let image = Image::new();
    let text = image.expect_of_files(
        &[
            (
                "vendor/modules.txt",
                "# example.com/dep v1.0.0\n## explicit; go 1.20\nexample.com/dep\n",
            ),
            (
                "vendor/example.com/dep/dep.go",
                "package dep\n\nconst Name = \"v1.0.0\"\n",
            ),
        ],
        "packages come from a vendor folder",
    );
    assert!(text.contains("[drift, packages compiled: 1]"), "{text}");
    fs_err::remove_dir_all(image.folder.path("src/vendor")).unwrap();

    let text = image.expect_of_files(
        &[(&format!("{MODULE}/default.pgo"), "")],
        "(default.pgo beside the program)",
    );
    assert!(text.contains("from the cache: 0 of "), "{text}");
    assert!(text.contains("a new image pays"), "{text}");
}

#[test]
fn a_stamped_commit_is_named() {
    let git = |folder: &Folder| {
        for arguments in [
            &["init", "--quiet"][..],
            &["add", "."],
            &[
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.com",
                "commit",
                "--quiet",
                "--allow-empty",
                "--message=x",
            ],
        ] {
            let mut command = Command::new("git");
            folder.set_environment(&mut command, "gocache");
            command
                .current_dir(folder.path("src"))
                .args(arguments)
                .assert()
                .success();
        }
    };
    let flags = "-trimpath -buildvcs=true";
    let image = Image::with_flags(flags, git);
    image.expect(
        image.command().env("GOFLAGS", flags),
        0,
        "everything hits: ",
    );
    image
        .folder
        .write("src/README.md", "no part of any package\n");
    git(&image.folder);
    image.expect(
        image.command().env("GOFLAGS", flags),
        3,
        "the commit is stamped into the program (-buildvcs)",
    );
}

#[test]
fn a_changed_module_cache_is_a_defect() {
    let image = Image::new();
    image.folder.write(
        "modcache/example.com/dep@v1.0.0/dep.go",
        "package dep\n\nconst Name = \"tampered\"\n",
    );
    // The index holds the file as it was, and is shipped, too.
    let indexes = image.store.files().unwrap().into_iter().filter(|file| {
        let path = image.store.root().join(&file.path);
        matches!(file.kind, FileKind::Output(_))
            && fs_err::read(path).unwrap().starts_with(b"go index")
    });
    for file in indexes {
        fs_err::remove_file(image.store.root().join(&file.path)).unwrap();
    }
    let text = image.expect(
        &mut image.command(),
        3,
        "files of example.com/dep@v1.0.0 are not those the caches were made with",
    );
    assert!(text.contains("[defect, "), "{text}");
}

#[test]
fn a_module_that_no_pack_holds_is_called_that_first() {
    let image = Image::new();
    let other = "apis/provider/aws/other/iac/pulumi";
    image.folder.write(&format!("src/{other}/main.go"), MAIN_GO);
    let mut command = image.command();
    command.args(["--json"]);
    let text = {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
        image.folder.set_environment(&mut command, "gocache");
        command.current_dir(image.folder.path("")).args([
            "explain",
            "aws/other",
            "--source",
            "src",
            "--root",
            "root",
        ]);
        image.expect(
            &mut command,
            0,
            "the module is not in the image; packages of ",
        )
    };
    assert!(
        text.contains("no pack holds the module; there are civo"),
        "{text}"
    );
}

#[test]
fn without_an_image_misses_are_listed() {
    let image = Image::new();
    fs_err::remove_dir_all(image.folder.path("root")).unwrap();
    let text = image.expect(&mut image.command(), 0, "everything hits: ");
    assert!(text.contains("no record to compare with"), "{text}");
    assert!(text.contains(&format!("GOFLAGS: {FLAGS}\n")), "{text}");
    let edited = GREET_GO.replace("dep.Name", "dep.Name + dep.Name");
    image.folder.write("src/greet/greet.go", &edited);
    let text = image.expect(
        &mut image.command(),
        3,
        "packages are not in the cache, and there is no record of what it was made from",
    );
    assert!(text.starts_with("2 of "), "{text}");
    assert!(
        text.contains(&format!("missed: {PROGRAM}, {LIBRARY}\n")),
        "{text}"
    );
}

#[test]
fn bad_names_and_modules_that_do_not_build_have_their_exit_codes() {
    let image = Image::new();
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
    image.folder.set_environment(&mut command, "gocache");
    command
        .current_dir(image.folder.path(""))
        .args(["explain", "civo/gone", "--source", "src"]);
    let assert = command.assert().code(2).stdout("");
    let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(
        stderr.contains("there is no module \"civo/gone\""),
        "{stderr}"
    );

    image.folder.write(
        "src/apis/provider/civo/greet/v2/iac/pulumi/main.go",
        "package main\n",
    );
    let assert = image.command().assert().code(2).stdout("");
    let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(
        stderr.contains("is the name of several modules"),
        "{stderr}"
    );
    fs_err::remove_dir_all(image.folder.path("src/apis/provider/civo/greet/v2")).unwrap();

    image.folder.write(
        &format!("src/{MODULE}/main.go"),
        "package main\n\nfunc main() { missing() }\n",
    );
    let before = image.snapshots();
    let assert = image.command().assert().code(1).stdout("");
    let stderr = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(stderr.contains("undefined: missing"), "{stderr}");
    for (folder, files) in &before {
        assert_as_before(folder, files);
    }
}
