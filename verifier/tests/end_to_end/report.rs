//! `verifier report` on made-up reports.

use assert_cmd::Command;
use report::{Format, SCHEMA, sample};

use crate::go::Folder;

/// A folder with a report and its history.
fn folder() -> Folder {
    let folder = Folder::new();
    let report = serde_json::to_string(&sample::report(12)).unwrap();
    folder.write("report.json", &report);
    for line in sample::history(3) {
        report::history::append(&folder.path("history.jsonl"), &line).unwrap();
    }
    folder
}

fn report(folder: &Folder, arguments: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
    command
        .current_dir(folder.path(""))
        .env_remove("GITHUB_STEP_SUMMARY")
        .arg("report")
        .args(arguments);
    command
}

fn stdout(command: &mut Command) -> String {
    String::from_utf8(command.assert().success().get_output().stdout.clone()).unwrap()
}

fn read(folder: &Folder, file: &str) -> String {
    fs_err::read_to_string(folder.path(file)).unwrap()
}

#[test]
fn every_format_is_printed_or_written() {
    let folder = folder();
    let begin = [
        "goos: linux",
        "{\n  \"results\"",
        "[\n  {\n    \"name\": \"all modules first p50\"",
        "[\n  {\n    \"name\": \"all modules first packages\"",
        "### First builds",
        "<?xml",
        "<!DOCTYPE html>",
    ];
    for (format, begin) in Format::ALL.into_iter().zip(begin) {
        let flags = [
            "report.json",
            "--format",
            format.as_str(),
            "--history",
            "history.jsonl",
        ];
        let printed = stdout(&mut report(&folder, &flags));
        assert!(printed.starts_with(begin), "{format}: {printed:.200}");
        let written = stdout(report(&folder, &flags).args(["--out", "out"]));
        assert_eq!(written, "");
        assert_eq!(read(&folder, "out"), printed, "{format}");
    }
    let html = read(&folder, "out");
    assert!(html.contains("4 reports") && html.contains("target 500 ms"));
    let junit = ["report.json", "--format", "junit", "--target-ms", "100"];
    assert!(stdout(&mut report(&folder, &junit)).contains("ms more than 100 ms"));
}

#[test]
fn markdown_is_added_to_the_summary_of_a_job() {
    let folder = folder();
    folder.write("summary", "before\n");
    let summarize = |format, summary: &str| {
        let mut command = report(&folder, &["report.json", "--format", format]);
        command.env("GITHUB_STEP_SUMMARY", summary);
        command
    };
    for _ in 0..2 {
        assert_eq!(stdout(&mut summarize("markdown", "summary")), "");
    }
    let summary = read(&folder, "summary");
    assert!(summary.starts_with("before\n###"));
    assert_eq!(summary.matches("### First builds").count(), 2);

    stdout(summarize("markdown", "summary").args(["--out", "out"]));
    assert!(stdout(&mut summarize("junit", "summary")).starts_with("<?xml"));
    assert!(stdout(&mut summarize("markdown", "")).starts_with("###"));
    assert_eq!(read(&folder, "summary"), summary);
    assert!(summary.ends_with(&read(&folder, "out")));
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = folder();
    let whole = read(&folder, "report.json");
    folder.write(
        "newer.json",
        &whole.replacen(&format!("\"schema\":{SCHEMA}"), "\"schema\":99", 1),
    );
    folder.write("cut.json", &whole[..whole.len() / 2]);
    folder.write("cut.jsonl", &read(&folder, "history.jsonl")[..500]);
    folder.write("none.jsonl", "{}\n");
    let mut text = String::new();
    for (file, history, code) in [
        ("absent.json", "history.jsonl", 2),
        ("cut.json", "history.jsonl", 2),
        ("history.jsonl", "history.jsonl", 2),
        ("newer.json", "history.jsonl", 2),
        ("report.json", "absent.jsonl", 2),
        ("report.json", "cut.jsonl", 4),
        ("report.json", "none.jsonl", 4),
    ] {
        let flags = [
            file,
            "--format",
            "html",
            "--history",
            history,
            "--out",
            "out",
        ];
        let done = report(&folder, &flags).assert().code(code);
        let said = String::from_utf8_lossy(&done.get_output().stderr);
        text += &[file, " ", history, "\n", &said, "\n"].concat();
        assert!(!folder.path("out").exists());
    }
    let done = report(&folder, &["report.json", "--format", "yaml"])
        .assert()
        .code(2);
    text.push_str(&String::from_utf8_lossy(&done.get_output().stderr));
    insta::assert_snapshot!(folder.redacted(&text));
}
