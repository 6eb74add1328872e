//! `verifier gate` on reports of a small source, measured here.

use assert_cmd::Command;
use camino::Utf8PathBuf;
use report::gate::Baseline;

use crate::go::Folder;
use crate::run::{source, text, verifier, warm};

/// Measures, and writes the report to `name`.
fn measure(folder: &Folder, name: &str) -> Utf8PathBuf {
    let file = folder.path(name);
    verifier(folder, &["--json", file.as_str()])
        .assert()
        .success();
    file
}

/// The exit code, and all that was said.
fn gate(baseline: &Utf8PathBuf, report: &Utf8PathBuf) -> (Option<i32>, String) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
    command.args(["gate", "--baseline", baseline.as_str(), report.as_str()]);
    let done = command.output().unwrap();
    (done.status.code(), text(&done.stdout) + &text(&done.stderr))
}

#[test]
fn a_lost_entry_does_not_meet_the_gate() {
    let folder = source();
    let store = warm(&folder);
    let report = measure(&folder, "report.json");
    let baseline = folder.path("baseline.json");
    let text = Baseline::of(&report::file::read(&report).unwrap()).to_json();
    fs_err::write(&baseline, text).unwrap();
    let (code, said) = gate(&baseline, &report);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.ends_with("gate met; 2 modules are as in the baseline\n"),
        "{said}"
    );

    for entry in walkdir::WalkDir::new(store.root()) {
        let entry = entry.unwrap();
        // The executables are the largest.
        if entry.metadata().unwrap().len() > 500_000 && entry.file_name().len() > 60 {
            fs_err::remove_file(entry.path()).unwrap();
        }
    }
    let (code, said) = gate(&baseline, &measure(&folder, "worse.json"));
    assert_eq!(code, Some(3), "{said}");
    let sign =
        "aws/other, civo/greet: first: 1 of 1 links missed the cache, 0 of 1 in the baseline";
    assert!(said.contains(sign), "{said}");
}

#[test]
fn what_cannot_be_compared_is_bad_input() {
    let folder = Folder::new();
    let file = |name: &str, content: &str| {
        folder.write(name, content);
        folder.path(name)
    };
    let newer = file("newer.json", r#"{"schema": 99}"#);
    let broken = file("broken.json", "{");
    let absent = folder.path("absent.json");
    let mut text = String::new();
    for report in [&absent, &newer, &broken] {
        let (code, said) = gate(&absent, report);
        assert_eq!(code, Some(2), "{said}");
        text.push_str(&said);
    }
    let report = file(
        "report.json",
        &serde_json::to_string(&report::sample::report(2)).unwrap(),
    );
    for baseline in [&absent, &newer, &broken] {
        let (code, said) = gate(baseline, &report);
        assert_eq!(code, Some(2), "{said}");
        text.push_str(&said);
    }
    insta::assert_snapshot!(folder.redacted(&text));
}
