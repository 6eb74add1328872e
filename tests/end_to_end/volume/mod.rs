//! A provider's caches as a volume: mounted as Kubernetes does it, into a root file system that is not ours.
//!
//! That has the same Go, whose files have other times, and nothing of ours: no verifier, no launchers, no Pulumi.

mod examples;

use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use xshell::cmd;

use crate::civo::{gzip, unpacked};
use crate::support::container::{Container, unpack};
use crate::support::image::{Image, Layout};
use crate::support::run::{as_user, folder, shell, succeed, workspace};

const VOLUME: &str = "latest-civo-volume";

/// Where the volume is unpacked.
fn volume() -> &'static Utf8Path {
    static VOLUME_ROOT: OnceLock<Utf8PathBuf> = OnceLock::new();
    VOLUME_ROOT.get_or_init(|| {
        let place = workspace().join("target/end-to-end/civo-volume");
        unpack(gzip(), VOLUME, &place)
    })
}

/// Mounts the folder $1 over itself so that nobody writes to it and no program runs from it, and runs the rest.
const MOUNTED: &str = r#"
    mount --bind "$1" "$1"
    mount -o remount,bind,ro,noexec "$1"
    shift
    exec "$@"
"#;

/// What `script` prints in a pod of a stock image with the volume at `place`, as a user without a home.
fn in_stock_image(place: &str, script: &str) -> String {
    let (_guard, scratch) = folder();
    let (sh, root, go) = (shell(), unpacked(), scratch.join("go"));
    // Not as they are in our image: times are today's.
    succeed(cmd!(sh, "cp -r {root}/usr/local/go {go}"));
    let mut image = Layout::below(gzip()).image(VOLUME);
    let variables = image.config["config"]["Env"].as_array_mut().unwrap();
    variables.push(json!("PATH=/usr/local/go/bin:/usr/bin:/bin"));
    let (volume, ours) = (volume(), ["lib/iac-runner", "share/iac-runner", "bin"]);
    let ours = ours.map(|folder| format!("/usr/local/{folder}"));
    let mut flags = vec![
        "--ro-bind",
        volume.as_str(),
        place,
        "--ro-bind",
        go.as_str(),
        "/usr/local/go",
    ];
    flags.extend(ours.iter().flat_map(|folder| ["--tmpfs", folder.as_str()]));
    let container = Container {
        root,
        image: &image,
        source: &workspace().join("catalog"),
        user: (65532, 65532),
        flags: &flags,
    };
    let command = as_user(container.command(&sh, script));
    let (program, arguments) = (command.get_program(), command.get_args());
    succeed(cmd!(
        sh,
        "unshare --mount sh -euc {MOUNTED} sh {volume} {program} {arguments...}"
    ))
}

#[test]
fn builds_in_a_stock_image_hit_everything_and_an_edit_compiles_and_links() {
    let script = r#"
        verifier=/var/cache/iac-runner/verifier
        "$verifier" --version 2> /dev/null || echo "no program runs from it"
        test -z "${HOME+set}"
        set > /tmp/before
        eval "$(/bin/sh $verifier.sh info --volume /var/cache)"
        set > /tmp/after
        grep -v '^_=' /tmp/before | diff - /tmp/after | grep -v '^> _=' | grep '^[<>]' || echo "its environment"
        cp -r /elsewhere /tmp/checkout
        cd /tmp/checkout/apis/provider/civo/*/v1/iac/pulumi
        ran() { grep -c '"Cmd": \[' $1 || test $? = 1; }
        go build -debug-actiongraph=/tmp/first.json -o /tmp/first .
        echo "first $(ran /tmp/first.json)"
        test "$(grep -c '"Mode": "build"' /tmp/first.json)" -gt 500
        echo 'package main
func init() { println("changed") }' > added.go
        go build -debug-actiongraph=/tmp/edited.json -o /tmp/edited .
        echo "edited $(ran /tmp/edited.json)"
        (/tmp/edited 2>&1 || true) | head -1
        ls -A /tmp | grep -v '\.json$' | grep '^iac-runner\|^go-build'
    "#;
    let printed = in_stock_image("/var/cache", script);
    let expected =
        "no program runs from it\nits environment\nfirst 0\nedited 2\nchanged\niac-runner-65532\n";
    assert_eq!(printed, expected);
}

#[test]
fn a_volume_that_is_mounted_elsewhere_says_so() {
    let script = r#"
        code=0; /bin/sh /mnt/iac-runner/verifier.sh info --volume /mnt 2>&1 || code=$?
        echo "exit code $code"
        TMPDIR=/proc /bin/sh /mnt/iac-runner/verifier.sh info --volume /mnt 2>&1 || echo "exit code $?"
    "#;
    insta::assert_snapshot!(in_stock_image("/mnt", script));
}

/// The environment that a manifest gives its container.
fn environment(manifest: &Value) -> &Value {
    let container = &manifest["spec"]["containers"][0]["env"];
    let workspace = &manifest["spec"]["workspaceTemplate"]["spec"]["env"];
    if container.is_null() {
        workspace
    } else {
        container
    }
}

#[test]
fn the_environment_of_the_examples_is_that_of_the_volume() {
    let Image { config, .. } = Layout::below(gzip()).image(VOLUME);
    let is_level = |name: &str| name.starts_with("GOAMD64") || name.starts_with("GOARM64");
    let variables = config["config"]["Env"].as_array().unwrap().iter();
    let variables = variables.map(|it| it.as_str().unwrap().split_once('=').unwrap());
    let variables: Vec<Value> = variables
        .filter(|(name, _)| !is_level(name))
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    for name in ["pod.yaml", "stack.yaml"] {
        let example = examples::example(name);
        let mut said = environment(&example).as_array().unwrap().clone();
        said.retain(|it| !is_level(it["name"].as_str().unwrap()));
        assert_eq!(said, variables, "{name}");
    }
}
