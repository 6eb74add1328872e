//! The catalog's own commands, on a copy of a part of it.

use crate::run::{command, fail, folder, succeed, workspace, xtask};

#[test]
fn a_new_component_is_complete_as_it_is_written() {
    let (_guard, root) = folder();
    let catalog = root.join("catalog");
    fs_err::create_dir_all(catalog.join("apis/provider/civo")).unwrap();
    let copy = |path: &str| {
        let (from, to) = (workspace().join("catalog").join(path), catalog.join(path));
        succeed(command("cp").args(["-r", from.as_str(), to.as_str()]));
    };
    for path in [
        "pkg",
        "apis/provider/civo/go.mod",
        "apis/provider/civo/go.sum",
    ] {
        copy(path);
    }
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
    let go = |arguments: &[&str]| {
        succeed(command("go").current_dir(written).args(arguments));
    };
    go(&["vet", "."]);
    // Its README has the table of its settings, and its cases hold.
    go(&["test", "."]);

    assert!(fail(&mut new("civo", "volume"), 2).contains("exists"));
    assert!(fail(&mut new("gcp", "volume"), 2).contains("has no go.mod"));
}
