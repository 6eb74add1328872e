//! `verifier run` on a source of two small modules.

use std::collections::BTreeMap;

use assert_cmd::Command;
use gocache::{HashLog, Store};
use serde_json::{Value, json};

use crate::go::{Folder, assert_as_before, snapshot};

const GREET: &str = "src/apis/provider/civo/greet/v1/iac/pulumi";
const OTHER: &str = "src/apis/provider/aws/other/iac/pulumi";

/// Two modules that import nothing but the runtime, in one Go module.
pub fn source() -> Folder {
    let folder = Folder::new();
    folder.write("src/go.mod", "module example.com/catalog\n\ngo 1.24\n");
    folder.write(
        &format!("{GREET}/main.go"),
        "package main\n\nfunc main() { println(1) }\n",
    );
    folder.write(
        &format!("{OTHER}/main.go"),
        "package main\n\nfunc main() { println(2) }\n",
    );
    folder
}

pub fn verifier(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
    folder.set_environment(&mut command, "gocache");
    command
        .current_dir(folder.path(""))
        .args(["run", "--source", "src"])
        .args(arguments);
    command
}

/// Puts packages and executables of both modules into the cache, as an image has them.
pub fn warm(folder: &Folder) -> Store {
    let store = folder.common("gocache");
    for module in [GREET, OTHER] {
        let program = folder.path("program");
        let mut command = folder.go("gocache");
        command
            .current_dir(folder.path(module))
            .env("GODEBUG", "gocachehash=1");
        let assert = command
            .args(["build", "-o", program.as_str(), "."])
            .assert()
            .success();
        let log = HashLog::scan(&assert.get_output().stderr[..]).unwrap();
        let (_, link) = log.inputs.links.first_key_value().unwrap();
        store.put_file(&link.action, &program, 1).unwrap();
    }
    store
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_warm_cache_is_measured_and_left_as_it_was() {
    let folder = source();
    let store = warm(&folder);
    fs_err::write(store.root().join("trim.txt"), "1234567890").unwrap();
    let before = snapshot(&store);
    let assert = verifier(
        &folder,
        &["--runs", "2", "--json", "-", "--min-hit-rate", "1"],
    )
    .assert()
    .success();
    assert_as_before(&store, &before);
    let report: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(report["schema"], 1);
    assert_eq!(report["identity"]["gocache"], store.root().as_str());
    let modules = report["modules"].as_array().unwrap();
    let names: Vec<_> = modules
        .iter()
        .map(|module| module["component"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["other", "greet"]);
    for module in modules {
        for phase in ["first", "relink", "noop"] {
            let phase = &module["phases"][phase];
            assert_eq!(phase["packages"]["hits"], phase["packages"]["total"]);
            assert!(phase["packages"]["total"].as_u64().unwrap() > 10);
            assert_eq!(phase["links"], json!({"hits": 1, "total": 1}));
            assert_eq!(phase["compiled"], json!([]));
            assert_eq!(phase["wall_ms"].as_array().unwrap().len(), 2);
            assert!(phase["wall_ms"][0].as_f64().is_some());
        }
    }
    assert_eq!(report["failures"], json!([]));
    let stderr = text(&assert.get_output().stderr);
    assert!(
        stderr.contains("100.0 % of packages, 100.0 % of links"),
        "{stderr}"
    );
    assert!(!stderr.contains("warning"), "{stderr}");
}

#[test]
fn what_is_not_in_the_cache_is_named_and_misses_the_target() {
    let folder = source();
    let store = warm(&folder);
    folder.write(
        &format!("{GREET}/main.go"),
        "package main\n\nfunc main() { println(\"changed\") }\n",
    );
    let before = snapshot(&store);
    let arguments = [
        "--json",
        "report.json",
        "--min-hit-rate",
        "1",
        "--target-ms",
        "0.5",
    ];
    let assert = verifier(&folder, &arguments).assert().code(3);
    assert_as_before(&store, &before);
    let report: Value =
        serde_json::from_slice(&fs_err::read(folder.path("report.json")).unwrap()).unwrap();
    let phases = &report["modules"][1]["phases"];
    let package = "example.com/catalog/apis/provider/civo/greet/v1/iac/pulumi";
    assert_eq!(phases["first"]["compiled"], json!([package]));
    assert_eq!(phases["first"]["links"]["hits"], 0);
    assert_eq!(
        phases["relink"]["compiled"],
        json!([]),
        "what the first build compiled, the second one hits"
    );
    assert_eq!(phases["noop"]["links"]["hits"], 1);
    let stderr = text(&assert.get_output().stderr);
    assert!(
        stderr.contains(&format!(
            "warning: civo/greet: 1 packages were compiled: {package}\n"
        )),
        "{stderr}"
    );
    assert!(
        stderr.contains("warning: civo/greet: the executable was linked"),
        "{stderr}"
    );
    assert_eq!(stderr.matches("target missed: ").count(), 3, "{stderr}");
    assert!(text(&assert.get_output().stdout).contains("first build of 2 modules: p50 "));
}

#[test]
fn with_cacheprog_each_first_build_finds_what_was_shipped_and_no_more() {
    let folder = source();
    let shipped = warm(&folder);
    fs_err::rename(shipped.root(), folder.path("shipped")).unwrap();
    // As on a read-only root: GOCACHE can be opened, but nothing can be written.
    fs_err::create_dir(folder.path("gocache")).unwrap();
    for name in 0..=u8::MAX {
        fs_err::os::unix::fs::symlink("/proc/sys", folder.path(&format!("gocache/{name:02x}")))
            .unwrap();
    }
    folder.write(
        &format!("{GREET}/main.go"),
        "package main\n\nfunc main() { println(\"changed\") }\n",
    );
    let program = assert_cmd::cargo::cargo_bin!("verifier").display();
    let mut command = verifier(
        &folder,
        &["--json", "-", "--runs", "2", "--provider", "civo"],
    );
    command.env(
        "GOCACHEPROG",
        format!("{program} cacheprog --shipped {}", folder.path("shipped")),
    );
    let assert = command.assert().success();
    let report: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!(report["modules"].as_array().unwrap().len(), 1);
    let phases = &report["modules"][0]["phases"];
    assert_eq!(phases["first"]["compiled"].as_array().unwrap().len(), 1);
    assert_eq!(phases["relink"]["compiled"], json!([]));
    assert!(
        !folder.path("cache-home/iac-runner").exists(),
        "the fallback was a temporary folder"
    );
}

#[test]
fn a_module_that_does_not_build_is_named_and_the_rest_goes_on() {
    let folder = source();
    warm(&folder);
    folder.write(
        &format!("{OTHER}/main.go"),
        "package main\n\nfunc main() { missing() }\n",
    );
    let assert = verifier(&folder, &["--json", "report.json"])
        .assert()
        .code(1);
    let report: Value =
        serde_json::from_slice(&fs_err::read(folder.path("report.json")).unwrap()).unwrap();
    assert_eq!(report["modules"].as_array().unwrap().len(), 1);
    assert_eq!(report["failures"][0]["component"], "other");
    let message = report["failures"][0]["message"].as_str().unwrap();
    assert!(message.contains("undefined: missing"), "{message}");
    assert!(text(&assert.get_output().stderr).contains("[1/2] aws/other: failed: go build failed"));
    assert!(text(&assert.get_output().stdout).contains("; failed: aws/other\n"));
}

#[test]
fn bad_input_is_refused_before_anything_is_built() {
    let folder = source();
    let mut said = String::new();
    let mut refuse = |folder: &Folder, arguments: &[&str]| {
        let assert = verifier(folder, arguments).assert().code(2).stdout("");
        let stderr = text(&assert.get_output().stderr);
        said += &[&arguments.join(" "), "\n", &stderr, "\n"].concat();
    };
    for arguments in [
        &["--provider", "azure"][..],
        &["--module", "civo/gone"],
        &["--provider", "aws", "--module", "civo/greet"],
        &["--min-hit-rate", "98"],
        &["--runs", "0"],
        &["--unknown"],
    ] {
        refuse(&folder, arguments);
    }
    assert!(!folder.path("gocache").exists());
    let empty = Folder::new();
    fs_err::create_dir(empty.path("src")).unwrap();
    refuse(&empty, &[]);
    refuse(&Folder::new(), &[]);
    insta::assert_snapshot!(said);
}

#[test]
fn every_phase_is_measured_and_nothing_stays() {
    let folder = source();
    let store = warm(&folder);
    let before = snapshot(&store);
    let assert = verifier(
        &folder,
        &["--all-phases", "--json", "-", "--module", "civo/greet"],
    )
    .assert()
    .success();
    assert_as_before(&store, &before);
    let report: Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    let module = &report["modules"][0];
    let phases = module["phases"].as_object().unwrap();
    let first = &phases["first"];
    let total = first["packages"]["total"].as_u64().unwrap();
    let counts = |phase: &str| {
        let phase = &phases[phase];
        let number = |value: &Value| value.as_u64().unwrap();
        let misses = |ratio: &Value| number(&ratio["total"]) - number(&ratio["hits"]);
        (misses(&phase["packages"]), misses(&phase["links"]))
    };
    assert_eq!(counts("first"), (0, 0));
    // Of the program itself nothing changes for the packages that it imports.
    assert_eq!(counts("edited"), (1, 1));
    assert_eq!(counts("cold"), (total, 1));
    assert_eq!(counts("cold-modules"), (total, 1));
    // Root empties the page cache, unless its container forbids it.
    if let Some(reason) = report["skipped"].get(0) {
        assert_eq!(reason["phase"], "first-cold-disk");
    } else {
        assert_eq!(counts("first-cold-disk"), (0, 0));
    }
    for (name, phase) in phases {
        assert_eq!(phase["network_attempts"], 0, "{name}");
        assert!(
            phase["peak_memory_bytes"].as_u64().unwrap() > 1_000_000,
            "{name}"
        );
    }
    assert_eq!(first["added_files"], 0);
    // An index and an archive, each with its entry.
    assert!(phases["edited"]["added_files"].as_u64().unwrap() >= 4);
    assert!(phases["cold"]["added_files"].as_u64().unwrap() > 2 * total);
    assert_eq!(module["list_ms"].as_array().unwrap().len(), 1);
    assert_eq!(module["probe_ms"].as_array().unwrap().len(), 1);
}

#[test]
fn hits_are_those_that_a_gocacheprog_counts() {
    let folder = source();
    let store = warm(&folder);
    // Some of everything is missing: indexes, a package of the runtime and what depends on it, the program.
    let outputs = store.files().unwrap().into_iter();
    let outputs = outputs.map(|file| store.root().join(file.path));
    let (indexes, archives): (Vec<_>, Vec<_>) = outputs
        .filter(|path| path.as_str().ends_with("-d"))
        .partition(|path| fs_err::read(path).unwrap().starts_with(b"go index"));
    for path in indexes.iter().take(2).chain(archives.iter().take(1)) {
        fs_err::remove_file(path).unwrap();
    }
    folder.write(
        &format!("{GREET}/main.go"),
        "package main\n\nfunc main() { println(\"changed\") }\n",
    );
    let assert = verifier(&folder, &["--json", "-", "--module", "civo/greet"]).assert();
    let report: Value = serde_json::from_slice(&assert.success().get_output().stdout).unwrap();
    let first = &report["modules"][0]["phases"]["first"];

    let program = assert_cmd::cargo::cargo_bin!("verifier").display();
    let log = folder.path("log");
    let mut build = folder.go("gocache");
    build.current_dir(folder.path(GREET)).env(
        "GOCACHEPROG",
        format!("{program} cacheprog --shipped {} --log {log}", store.root()),
    );
    build
        .args(["build", "-o", folder.path("program").as_str(), "."])
        .assert()
        .success();
    let log = fs_err::read_to_string(log).unwrap();
    let lines = |kind: &str| -> BTreeMap<String, String> {
        let lines = log.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        lines
            .filter(|line| line[0] == kind)
            .map(|line| (line[1].to_owned(), line[2].to_owned()))
            .collect()
    };
    // What the go command was given, and what it had to make, by the first bytes of the output.
    let count = |kind: &str, magic: &[u8]| {
        let outputs = lines(kind).into_values();
        let files = outputs.map(|output| store.output_path(&output.parse().unwrap()));
        files
            .filter(|file| fs_err::read(file).unwrap().starts_with(magic))
            .count()
    };
    for (what, magic) in [
        ("packages", &b"!<arch>"[..]),
        ("links", b"\x7fELF"),
        ("index", b"go index"),
    ] {
        let (hits, made) = (count("hit", magic), count("put", magic));
        assert_eq!(first[what]["hits"], hits, "{what}");
        // The executable is not put into the cache.
        let total = if what == "links" { 1 } else { hits + made };
        assert_eq!(first[what]["total"], total, "{what}");
        assert!(hits < total, "{what}");
    }
}
