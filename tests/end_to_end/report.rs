//! Made-up reports, read by other tools: `cargo xtask report` by those that the formats are of, and the report itself
//! by its schema.

use report::{PhaseName, Report, sample};
use serde_json::Value;
use xshell::{Cmd, Shell, cmd};

use crate::support::run::{fail, folder, shell, succeed, workspace, write};

/// benchstat has no releases.
const BENCHSTAT: &str = "golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da";

/// Checks JSON against a schema. The last version that is part of its library's Go module.
const JV: &str = "github.com/santhosh-tekuri/jsonschema/v5/cmd/jv@v5.1.1";

/// A tool that is written in Go.
fn go_run<'s>(sh: &'s Shell, tool: &str) -> Cmd<'s> {
    cmd!(sh, "go run {tool}").env("GOFLAGS", "-mod=mod")
}

/// A made-up report of so many runs that benchstat dares to compare, each first build longer by a factor.
fn report(factor: f64) -> Report {
    let mut report = sample::report(2);
    for module in &mut report.modules {
        module.phases.retain(|name, _| *name == PhaseName::First);
        for phase in module.phases.values_mut() {
            phase.wall_ms = (0..8).map(|run| factor * 300.0 + f64::from(run)).collect();
        }
        for yardstick in [&mut module.list_ms, &mut module.probe_ms] {
            *yardstick = vec![yardstick[0]; 8];
        }
    }
    report
}

#[test]
fn benchstat_compares_two_reports() {
    let sh = shell();
    let (_folder, root) = folder();
    for (name, factor) in [("old", 1.0), ("new", 2.0)] {
        let json = format!("{name}.json");
        write(
            &root,
            &json,
            &serde_json::to_string(&report(factor)).unwrap(),
        );
        let report = cmd!(sh, "cargo xtask report {root}/{json} --format benchstat");
        succeed(report.args(["--out", root.join(name).as_str()]));
    }
    let _dir = sh.push_dir(&root);
    let table = succeed(go_run(&sh, BENCHSTAT).args(["-format", "csv", "old", "new"]));
    for (name, old) in [("atlas", "0.3035"), ("auth0", "0.3035")] {
        let name = format!("First/provider={name}/component=bucket,");
        let row = table.lines().find(|line| line.starts_with(&name));
        let row = row.unwrap_or_else(|| panic!("no {name} in:\n{table}"));
        assert!(row.contains(old) && row.contains("+98.85%"), "{row}");
    }
    for unit in ["sec/op", "hit-ratio", "B"] {
        assert!(
            table.contains(&format!(",{unit},CI")),
            "no {unit} in:\n{table}"
        );
    }
}

#[test]
fn reports_fit_the_schema_and_others_do_not() {
    let sh = shell();
    let (_folder, root) = folder();
    let _dir = sh.push_dir(&root);
    let schema = workspace().join(report::SCHEMA_FILE);
    let report = serde_json::to_value(sample::report(11)).unwrap();
    write(&root, "report.json", &report.to_string());
    succeed(go_run(&sh, JV).args([schema.as_str(), "report.json"]));
    for (pointer, wrong) in [
        ("/modules/0/phases/first/wall_ms/0", Value::from("fast")),
        ("/modules/0/phases/first/packages/hits", Value::from(-1)),
        ("/identity", Value::Null),
        ("/skipped/0/phase", Value::from("warmest")),
    ] {
        let mut report = report.clone();
        *report.pointer_mut(pointer).unwrap() = wrong;
        write(&root, "wrong.json", &report.to_string());
        let said = fail(go_run(&sh, JV).args([schema.as_str(), "wrong.json"]), 1);
        assert!(said.contains(&format!("[I#{pointer}]")), "{said}");
    }
}

#[test]
fn a_report_of_another_version_and_a_damaged_history() {
    let sh = shell();
    let (_folder, root) = folder();
    write(&root, "newer.json", r#"{"schema": 99}"#);
    write(
        &root,
        "report.json",
        &serde_json::to_string(&report(1.0)).unwrap(),
    );
    write(&root, "history.jsonl", "{}\n");
    let html = |file: &str| {
        let report = cmd!(sh, "cargo xtask report {root}/{file} --format html");
        report.args(["--history", root.join("history.jsonl").as_str()])
    };
    let said = fail(html("newer.json"), 2);
    assert!(said.contains("newer.json has schema 99"), "{said}");
    let said = fail(html("report.json"), 4);
    assert!(said.contains("history.jsonl is damaged: line 1"), "{said}");
}
