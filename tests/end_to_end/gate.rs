//! `cargo xtask gate`: the baseline is made, renewed and held against, and what cannot be used is refused.

use camino::Utf8Path;
use serde_json::{Value, json};
use xshell::{Cmd, Shell, cmd};

use crate::support::run::{fail, folder, shell, succeed, write};

/// A report of two modules.
fn report() -> Value {
    let module = |component: &str| {
        let ratio = |total: u64| json!({"hits": total, "total": total});
        json!({
            "provider": "civo", "component": component, "path": format!("apis/{component}"),
            "phases": {"first": {"wall_ms": [300.0], "packages": ratio(600), "links": ratio(1)}},
            "list_ms": [150.0], "probe_ms": [70.0]
        })
    };
    json!({
        "schema": 1,
        "identity": {
            "go_version": "go1.27.4", "goos": "linux", "goarch": "amd64", "goarch_level": "GOAMD64=v1",
            "cgo_enabled": "0", "goflags": "-trimpath", "goexperiment": "", "goroot": "/usr/local/go",
            "gomodcache": "/var/cache/go-mod", "gocache": "/var/cache/go-build"
        },
        "modules": [module("volume"), module("dns")],
        "summary": {
            "first_ms": null, "packages": {"hits": 1200, "total": 1200}, "links": {"hits": 2, "total": 2}
        },
        "verifier": {"version": "0.1.0"}
    })
}

fn gate<'s>(sh: &'s Shell, root: &Utf8Path, report: &Value, flags: &[&str]) -> Cmd<'s> {
    write(root, "report.json", &report.to_string());
    let (baseline, report) = (root.join("baseline.json"), root.join("report.json"));
    cmd!(
        sh,
        "cargo xtask gate --baseline {baseline} {report} {flags...}"
    )
}

#[test]
fn a_baseline_is_made_held_against_and_renewed() {
    let sh = shell();
    let (_guard, root) = folder();
    let baseline = || fs_err::read_to_string(root.join("baseline.json")).unwrap();
    let said = fail(gate(&sh, &root, &report(), &[]), 2);
    assert!(
        said.contains("baseline.json") && said.contains("--update"),
        "{said}"
    );

    succeed(gate(&sh, &root, &report(), &["--update"]));
    let first = baseline();
    let said = succeed(gate(&sh, &root, &report(), &[]));
    assert!(said.contains("gate met; 2 modules"), "{said}");
    succeed(gate(&sh, &root, &report(), &["--update"]));
    assert_eq!(baseline(), first);

    let history = root.join("history.jsonl");
    let accepted = || fs_err::read_to_string(&history).unwrap().lines().count();
    let flags = ["--history", history.as_str()];
    for _ in 0..2 {
        succeed(gate(&sh, &root, &report(), &flags));
        assert_eq!(accepted(), 1);
    }

    let mut worse = report();
    worse["modules"][1]["phases"]["first"]["packages"]["hits"] = json!(599);
    worse["identity"]["goflags"] = json!("");
    let said = fail(gate(&sh, &root, &worse, &flags), 3);
    assert_eq!(accepted(), 1);
    for sign in [
        r#"identity: GOFLAGS is "", not "-trimpath""#,
        "civo/dns: first: 1 of 600 packages missed the cache",
        "gate not met: 2 things are worse; 1 module is as in the baseline",
    ] {
        assert!(said.contains(sign), "{said}");
    }
    assert_eq!(baseline(), first);

    let said = succeed(gate(&sh, &root, &worse, &["--update"]));
    assert!(said.contains("1 of 600 packages"), "{said}");
    assert_ne!(baseline(), first);
    succeed(gate(&sh, &root, &worse, &[]));
    let mut better = report();
    better["identity"] = worse["identity"].clone();
    let said = succeed(gate(&sh, &root, &better, &[]));
    assert!(said.contains("better"), "{said}");
}

#[test]
fn what_cannot_be_a_baseline_is_refused() {
    let sh = shell();
    let (_guard, root) = folder();
    let mut failed = report();
    failed["failures"] = json!([
        {"provider": "civo", "component": "x", "path": "apis/x", "message": "m"}
    ]);
    let mut newer = report();
    newer["schema"] = json!(2);
    for (report, sign) in [
        (failed, "1 failed"),
        (newer, "schema 2"),
        (json!([]), "is not a report"),
    ] {
        let said = fail(gate(&sh, &root, &report, &["--update"]), 2);
        assert!(
            said.contains("report.json") && said.contains(sign),
            "{said}"
        );
    }
    assert!(!root.join("baseline.json").exists());
}
