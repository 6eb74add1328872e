//! `verifier explain`: every cause is provoked with the real go command and must be named in the first line.

mod changes;
mod damage;
mod settings;

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
