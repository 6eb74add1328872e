//! Sources whose programs stand elsewhere than at the usual place.

use camino::Utf8Path;
use serde_json::Value;
use xshell::cmd;

use super::{hits_everything, program};
use crate::bad_input::image;
use crate::support::run::{fail, folder, shell, succeed, write};
use crate::support::shown::{error, shown};

/// Two programs in `stacks`.
fn stacks(root: &Utf8Path) {
    write(root, "go.mod", "module example.com/stacks\n\ngo 1.25\n");
    for folder in ["stacks/prod/aws/vpc", "stacks/prod/gcp/net"] {
        write(root, &format!("{folder}/main.go"), &program("fmt"));
        let project = "name: x\nruntime: go\n";
        write(root, &format!("{folder}/Pulumi.yaml"), project);
    }
}

#[test]
fn a_source_without_modules_at_the_usual_place_offers_what_it_has() {
    let (_folder, source) = folder();
    stacks(&source);
    let sh = shell();
    let said = fail(cmd!(sh, "cargo xtask discover --source {source}"), 2);
    shown("other_layout", error(&said));
    let discovered = |table: &str| -> Vec<(String, String)> {
        write(&source, "iac-runner.toml", table);
        let printed = succeed(cmd!(sh, "cargo xtask discover --source {source} --json"));
        let modules: Value = serde_json::from_str(&printed).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let modules = modules.as_array().unwrap().iter();
        modules
            .map(|it| (text(&it["provider"]), text(&it["component"])))
            .collect()
    };
    let named = |names: [(&str, &str); 2]| names.map(|(a, b)| (a.to_owned(), b.to_owned()));
    // As it was offered.
    assert_eq!(
        discovered("[source]\ndiscover = \"pulumi-yaml\"\n"),
        named([("stacks", "prod/aws/vpc"), ("stacks", "prod/gcp/net")])
    );
    assert_eq!(
        discovered("[source]\nmodules = [\"stacks/*/{provider}/{component}\"]\n"),
        named([("aws", "vpc"), ("gcp", "net")])
    );
}

#[test]
fn an_image_of_modules_that_the_source_or_the_image_names() {
    let (_source, source) = folder();
    write(&source, "go.mod", "module example.com/stacks\n\ngo 1.25\n");
    write(&source, "stacks/prod/aws/vpc/main.go", &program("fmt"));
    let table = "[source]\nmodules = [\"stacks/*/{provider}/{component}\"]\n";
    write(&source, "iac-runner.toml", table);
    hits_everything(&shell(), &source, 1);

    fs_err::remove_file(source.join("iac-runner.toml")).unwrap();
    let (_root, root) = folder();
    let described = image(&root, "[common]\n", &format!("{table}\n[common]\n"));
    // Without tools, which other folders would have compiled anew.
    let text = fs_err::read_to_string(&described).unwrap();
    let (before, _) = text.split_once("[tools.").unwrap();
    fs_err::write(&described, format!("{before}\n[tools]\n")).unwrap();
    let sh = shell();
    let build = cmd!(
        sh,
        "cargo xtask base-image --source {source} --image {described} --out {root}/out --json"
    );
    let summary: Value = serde_json::from_str(&succeed(build)).unwrap();
    assert_eq!(summary["total"]["links"]["hits"], 1);
    let verify = cmd!(
        sh,
        "cargo xtask verify --image {root}/out/oci --source {source} --json -"
    );
    let report: Value = serde_json::from_str(&succeed(verify)).unwrap();
    assert_eq!(report["modules"][0]["component"], "vpc");
}
