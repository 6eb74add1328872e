//! `cargo xtask vulnerabilities`, against a database of the test's own: the public one says something else every day,
//! and is not everywhere within reach.

use camino::Utf8Path;
use serde_json::json;
use xshell::cmd;

use crate::support::run::{fail, folder, shell, succeed, write};

const ID: &str = "GO-2099-0001";
const DAY: &str = "2026-01-01T00:00:00Z";

/// A copy of a database in which `strings.ToUpper` is vulnerable.
fn database(root: &Utf8Path) -> String {
    let entry = json!({
        "schema_version": "1.3.1",
        "id": ID,
        "modified": DAY,
        "published": DAY,
        "summary": "Letters may become too large",
        "details": "They become larger and larger.",
        "affected": [{
            "package": {"name": "stdlib", "ecosystem": "Go"},
            "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}],
            "ecosystem_specific": {"imports": [{"path": "strings", "symbols": ["ToUpper"]}]},
        }],
        "database_specific": {"url": "https://vulnerabilities.test/1"},
    });
    let vulnerability = json!({"id": ID, "modified": DAY});
    for (path, content) in [
        (format!("ID/{ID}.json"), entry),
        ("index/db.json".into(), json!({"modified": DAY})),
        (
            "index/modules.json".into(),
            json!([{"path": "stdlib", "vulns": [vulnerability]}]),
        ),
        ("index/vulns.json".into(), json!([vulnerability])),
    ] {
        write(root, &format!("database/{path}"), &content.to_string());
    }
    format!("file://{root}/database")
}

#[test]
fn a_tool_that_calls_vulnerable_code_is_named() {
    let sh = shell();
    let (_guard, root) = folder();
    let database = database(&root);
    for (tool, function) in [("sound", "ToLower"), ("vulnerable", "ToUpper")] {
        let go_mod = format!("module tools.test/{tool}\n\ngo 1.24\n\ntool tools.test/{tool}/cmd\n");
        write(&root, &format!("{tool}/go.mod"), &go_mod);
        let main = format!(
            "package main\n\nimport (\n\t\"os\"\n\t\"strings\"\n)\n\n\
             func main() {{ println(strings.{function}(os.Args[0])) }}\n"
        );
        write(&root, &format!("{tool}/cmd/main.go"), &main);
    }
    let sound = root.join("sound");
    let vulnerable = root.join("vulnerable");
    let clean = succeed(cmd!(
        sh,
        "cargo xtask vulnerabilities --folder {sound} --database {database}"
    ));
    assert!(clean.contains("No vulnerabilities found"), "{clean}");
    // What comes after the vulnerable one is looked at as well.
    let found = fail(
        cmd!(
            sh,
            "cargo xtask vulnerabilities --folder {vulnerable} --folder {sound} --database {database}"
        ),
        3,
    );
    assert!(
        found.contains(ID) && found.contains("No vulnerabilities found"),
        "{found}"
    );
    let last = found.lines().last().unwrap();
    assert!(
        last.contains(vulnerable.as_str()) && !last.contains(sound.as_str()),
        "{found}"
    );

    let nowhere = format!("file://{root}/nowhere");
    let said = fail(
        cmd!(
            sh,
            "cargo xtask vulnerabilities --folder {sound} --database {nowhere}"
        ),
        1,
    );
    assert!(
        said.contains(&format!("it needs the database {nowhere}")),
        "{said}"
    );
    let said = fail(cmd!(sh, "cargo xtask vulnerabilities --folder {root}"), 2);
    assert!(said.contains("there is no go.mod"), "{said}");
}
