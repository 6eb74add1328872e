//! The catalog's own commands, on a copy of a part of it.

use xshell::cmd;

use crate::civo::in_container_with;
use crate::support::run::{fail, folder, shell, succeed};

#[test]
fn a_new_component_and_the_others_pass_their_tests_in_the_image_offline() {
    let sh = shell();
    let (_guard, root) = folder();
    let catalog = root.join("catalog");
    fs_err::create_dir_all(catalog.join("apis/provider")).unwrap();
    for path in ["pkg", "apis/provider/civo"] {
        succeed(cmd!(sh, "cp -r catalog/{path} {catalog}/{path}"));
    }
    let new = |provider: &str| {
        cmd!(
            sh,
            "cargo xtask new-component {provider} volume --source {catalog}"
        )
    };
    let written = succeed(new("civo"));
    let written = camino::Utf8Path::new(written.trim());
    assert!(written.starts_with(&catalog) && written.join("main.go").is_file());
    let discovered = succeed(cmd!(sh, "cargo xtask discover --json --source {catalog}"));
    assert!(
        discovered.contains(r#""component": "volume""#),
        "{discovered}"
    );
    // Beside the catalog's own tests: the README of the new one has the table of its settings, and its cases hold. What
    // `go test` would vet once more is a part of what `go vet` did.
    let script = "
        cd /elsewhere/pkg && go vet ./... && go test -vet=off ./... > /tmp/pkg
        cd /elsewhere/apis/provider/civo && go vet ./... && go test -vet=off ./... > /tmp/civo
        cat /tmp/pkg /tmp/civo
    ";
    let printed = in_container_with(&catalog, 0, 0, script);
    let passed = printed.lines().filter(|line| line.starts_with("ok "));
    let passed: Vec<&str> = passed.collect();
    assert!(passed.len() >= 3, "{printed}");
    let is_new = |line: &&str| line.contains("civo/volume/");
    assert!(passed.iter().any(is_new), "{printed}");

    assert!(fail(new("civo"), 2).contains("exists"));
    assert!(fail(new("gcp"), 2).contains("has no go.mod"));
}
