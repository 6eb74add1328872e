//! The catalog's own commands, on a copy of a part of it.

use crate::civo::in_container_with;
use crate::run::{command, fail, folder, succeed, workspace, xtask};

#[test]
fn a_new_component_and_the_others_pass_their_tests_in_the_image_offline() {
    let (_guard, root) = folder();
    let catalog = root.join("catalog");
    fs_err::create_dir_all(catalog.join("apis/provider")).unwrap();
    let copy = |path: &str| {
        let (from, to) = (workspace().join("catalog").join(path), catalog.join(path));
        succeed(command("cp").args(["-r", from.as_str(), to.as_str()]));
    };
    copy("pkg");
    copy("apis/provider/civo");
    let new = |provider: &str, component: &str| {
        xtask(&[
            "new-component",
            provider,
            component,
            "--source",
            catalog.as_str(),
        ])
    };
    let written = succeed(&mut new("civo", "volume"));
    let written = camino::Utf8Path::new(written.trim());
    assert!(written.starts_with(&catalog) && written.join("main.go").is_file());
    let discovered = succeed(&mut xtask(&[
        "discover",
        "--json",
        "--source",
        catalog.as_str(),
    ]));
    assert!(
        discovered.contains(r#""component": "volume""#),
        "{discovered}"
    );
    // Beside the catalog's own tests: the README of the new one has the table of its settings, and its cases hold.
    let script = "
        cd /elsewhere/pkg && go vet ./... && go test ./... > /tmp/pkg
        cd /elsewhere/apis/provider/civo && go vet ./... && go test ./... > /tmp/civo
        cat /tmp/pkg /tmp/civo
    ";
    let printed = in_container_with(&catalog, 0, 0, script);
    let passed = printed.lines().filter(|line| line.starts_with("ok "));
    let passed: Vec<&str> = passed.collect();
    assert!(passed.len() >= 3, "{printed}");
    let is_new = |line: &&str| line.contains("civo/volume/");
    assert!(passed.iter().any(is_new), "{printed}");

    assert!(fail(&mut new("civo", "volume"), 2).contains("exists"));
    assert!(fail(&mut new("gcp", "volume"), 2).contains("has no go.mod"));
}
