//! One provider of the catalog, with its real SDK, through the whole flow.

mod programs;
mod runner;
mod sbom;
mod users;

use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::support::container::{Container, unpack};
use crate::support::description;
use crate::support::image::Layout;
use crate::support::kept::{FOUNDATION, Kept, Results, SOURCE};
use crate::support::run::{folder, shell, succeed, workspace};

/// The image, built once for all tests of this file, and what the command printed.
fn built() -> &'static (Utf8PathBuf, Value) {
    static BUILT: OnceLock<(Utf8PathBuf, Value)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let out = workspace().join("target/end-to-end/civo");
        let summary = base_image(&shell(), &out, &[]);
        (out, summary)
    })
}

fn base_image(sh: &Shell, out: &Utf8Path, flags: &[&str]) -> Value {
    let build = cmd!(
        sh,
        "cargo xtask base-image --provider civo --json --out {out} {flags...}"
    );
    serde_json::from_str(&succeed(build)).unwrap()
}

/// The same image with layers that every tool reads, and with its volume.
pub fn gzip() -> &'static Utf8PathBuf {
    static GZIP: OnceLock<Utf8PathBuf> = OnceLock::new();
    GZIP.get_or_init(|| {
        built();
        let gzip = workspace().join("target/end-to-end/civo-gzip");
        let image = description::with_volumes(&workspace().join("target/end-to-end/civo-volumes"));
        let flags = ["--compression", "gzip", "--image", image.as_str()];
        base_image(&shell(), &gzip, &flags);
        gzip
    })
}

/// The image `civo` unpacked by a tool that is not ours.
pub fn unpacked() -> &'static Utf8PathBuf {
    static UNPACKED: OnceLock<Utf8PathBuf> = OnceLock::new();
    UNPACKED.get_or_init(|| {
        let (out, _) = built();
        let place = workspace().join("target/end-to-end/civo-unpacked");
        let root = unpack(gzip(), "latest-civo", &place);
        assert_ne!(
            Layout::below(gzip()).image("latest-civo").digest,
            Layout::below(out).image("latest-civo").digest
        );
        root
    })
}

#[test]
fn the_first_build_of_every_module_hits_everything() {
    let (out, summary) = built();
    let report: Value =
        serde_json::from_slice(&fs_err::read(out.join("report.json")).unwrap()).unwrap();
    let modules = report["modules"].as_array().unwrap();
    let sh = shell();
    let sources = succeed(cmd!(sh, "cargo xtask discover --json"));
    let sources: Value = serde_json::from_str(&sources).unwrap();
    let civo = sources
        .as_array()
        .unwrap()
        .iter()
        .filter(|module| module["provider"] == "civo")
        .count();
    assert_eq!(modules.len(), civo);
    for module in modules {
        let first = &module["phases"]["first"];
        assert!(
            first["packages"]["total"].as_u64().unwrap() > 500,
            "{module}"
        );
        assert_eq!(
            first["packages"]["hits"], first["packages"]["total"],
            "{module}"
        );
        assert_eq!(
            (
                first["links"]["hits"].as_u64(),
                first["links"]["total"].as_u64()
            ),
            (Some(1), Some(1)),
            "{module}"
        );
        let preview = &module["phases"]["preview"];
        assert_eq!(
            preview["wall_ms"].as_array().map(Vec::len),
            Some(1),
            "{module}"
        );
        for (phase, measured) in module["phases"].as_object().expect("an object") {
            assert_eq!(measured["network_attempts"], 0, "{phase} of {module}");
        }
    }
    assert_eq!(
        summary["total"]["links"]["total"].as_u64(),
        Some(modules.len() as u64)
    );
}

#[test]
fn variants_share_their_blobs_and_nonroot_twins_differ_in_their_configuration_only() {
    let (out, _) = built();
    let layout = Layout::below(out);
    layout.check_blobs();
    let names = [
        "latest",
        "latest-nonroot",
        "latest-tools",
        "latest-tools-nonroot",
        "latest-civo",
        "latest-civo-nonroot",
        "latest-run",
        "latest-run-nonroot",
        "latest-run-civo",
        "latest-run-civo-nonroot",
    ];
    assert_eq!(layout.names(), names);
    let layers = |name: &str| -> Vec<Value> {
        layout.image(name).manifest["layers"]
            .as_array()
            .unwrap()
            .clone()
    };
    assert_eq!(layers("latest-civo").len(), 8);
    assert_eq!(layers("latest-tools"), layers("latest-civo")[..3]);
    assert_eq!(layers("latest"), layers("latest-civo"));
    for name in ["latest", "latest-tools", "latest-civo"] {
        let (root, nonroot) = (layout.image(name), layout.image(&format!("{name}-nonroot")));
        assert_eq!(root.manifest["layers"], nonroot.manifest["layers"]);
        assert_eq!(root.config["rootfs"], nonroot.config["rootfs"]);
        assert_eq!(root.config["config"].get("User"), None);
        assert_eq!(nonroot.config["config"]["User"], "65532");
    }
}

#[test]
fn other_tools_read_the_layout() {
    let (out, _) = built();
    let sh = shell();
    let inspected = succeed(cmd!(sh, "skopeo inspect oci:{out}/oci:latest-civo"));
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(
        inspected["Digest"],
        Layout::below(out).image("latest-civo").digest
    );
    let labels = inspected["Labels"].as_object().unwrap();
    for label in ["title", "description", "licenses", "version", "created"] {
        assert!(
            labels.contains_key(&format!("org.opencontainers.image.{label}")),
            "{label}: {labels:?}"
        );
    }
}

#[test]
fn the_same_inputs_give_the_same_image_and_nothing_is_made_again() {
    let (out, _) = built();
    let sh = shell();
    let (_folder, other) = folder();
    let other = other.join("again");
    let kept = Kept::linked(&[&FOUNDATION[..], &SOURCE].concat());
    let _kept = sh.push_env("XDG_CACHE_HOME", kept.cache_home());
    let summary = base_image(&sh, &other, &["--offline"]);
    assert_eq!(kept.made(), Results::new());
    for stage in summary["stages"].as_array().unwrap() {
        assert_eq!(stage["go_ms"], 0, "{stage}");
    }
    let digests = |out: &Utf8Path| {
        let layout = Layout::below(out);
        layout
            .names()
            .iter()
            .map(|name| layout.image(name).digest)
            .collect::<Vec<_>>()
    };
    assert_eq!(digests(out), digests(&other));
}

#[test]
fn no_file_gives_rights_and_no_key_is_of_another_release() {
    let root = unpacked();
    let mut keys = Vec::new();
    for entry in walkdir::WalkDir::new(root).into_iter().map(Result::unwrap) {
        let mode = entry.path().symlink_metadata().unwrap().mode();
        assert_eq!(mode & 0o6000, 0, "{}", entry.path().display());
        let is_key = entry
            .path()
            .extension()
            .is_some_and(|it| it == "gpg" || it == "asc");
        let name = entry.file_name().to_string_lossy().into_owned();
        keys.extend((is_key && name.starts_with("debian-archive-")).then_some(name));
    }
    assert!(keys.len() >= 6, "{keys:?}");
    let is_foreign = |name: &&String| !name.starts_with("debian-archive-bookworm-");
    assert_eq!(keys.iter().find(is_foreign), None, "{keys:?}");
}

/// Runs `script` in the unpacked image as `user`, with the catalog in `/elsewhere`.
fn in_container(user: u32, group: u32, script: &str) -> String {
    in_container_with(&workspace().join("catalog"), user, group, script)
}

/// Runs `script` in the unpacked image as `user`, with `source` in `/elsewhere` and a copy of the caches that it may
/// change, without network.
pub fn in_container_with(source: &Utf8Path, user: u32, group: u32, script: &str) -> String {
    let sh = shell();
    let (_folder, scratch) = folder();
    let root = unpacked();
    succeed(cmd!(sh, "cp -a {root}/var/cache/go-build {scratch}"));
    let caches = scratch.join("go-build");
    let flags = [
        "--bind",
        caches.as_str(),
        "/var/cache/go-build",
        "--setenv",
        "HOME",
        "/tmp",
    ];
    in_variant("latest-civo", source, (user, group), &flags, script)
}

/// Runs `script` in a variant as `user`, with the catalog in `/elsewhere` and a read-only root.
pub fn catalog_as(variant: &str, user: (u32, u32), script: &str) -> String {
    in_variant(variant, &workspace().join("catalog"), user, &[], script)
}

/// Whether the image has Pulumi from its release.
pub fn has_release() -> bool {
    let image = Layout::below(&built().0).image("latest-civo");
    let labels = &image.config["config"]["Labels"];
    let pulumi = labels["iac-runner.tools.pulumi"].as_str().unwrap();
    pulumi.ends_with(" (release)")
}

/// Runs `script` with a variant's environment in the unpacked image, which is read-only, with `flags` of bubblewrap.
fn in_variant(
    name: &str,
    source: &Utf8Path,
    user: (u32, u32),
    flags: &[&str],
    script: &str,
) -> String {
    let image = Layout::below(&built().0).image(name);
    let container = Container {
        root: unpacked(),
        image: &image,
        source,
        user,
        flags,
    };
    container.run(script)
}

/// Builds the module twice with a change of its own package in between; prints what was compiled each time.
const EDIT: &str = r#"
    cp -r /elsewhere /tmp/checkout
    cd /tmp/checkout/apis/provider/civo/*/v1/iac/pulumi
    echo 'package main
func init() { println("changed") }' > added.go
    for run in one two; do
        rm -f /tmp/out
        go build -debug-actiongraph=/tmp/$run.json -o /tmp/out .
        echo "$run $(grep -c '"Cmd": \[' /tmp/$run.json || test $? = 1)"
    done
"#;

#[test]
fn a_changed_module_compiles_once_for_whichever_user() {
    for (user, group) in [(0, 0), (65532, 65532), (1_000_710_000, 0)] {
        let printed = in_container(user, group, EDIT);
        let ran: Vec<&str> = printed.lines().collect();
        assert_eq!(ran[0], "one 2", "uid {user}: the main package and its link");
        assert_eq!(
            ran[1], "two 1",
            "uid {user}: the link, which the go command does not keep"
        );
    }
}

#[test]
fn the_image_explains_what_the_build_of_an_edited_checkout_misses() {
    let script = r#"
        cp -r /elsewhere /tmp/checkout && cd /tmp/checkout
        module=$(echo apis/provider/civo/*/v1/iac/pulumi)
        verifier explain "$module" --source . | head -1
        echo 'var edited = 1' >> "$module/main.go"
        verifier explain "$module" --source . | head -1
        GOFLAGS=-trimpath verifier explain "$module" --source . > /tmp/flags || test $? = 3
        head -1 /tmp/flags
    "#;
    let printed = in_container(65532, 65532, script);
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines[0].starts_with("everything hits: "), "{printed}");
    assert!(
        lines[1].starts_with("main.go of package ") && lines[1].ends_with(" was edited"),
        "{printed}"
    );
    assert!(
        lines[2].starts_with("GOFLAGS is \"-trimpath\" (set in the environment)"),
        "{printed}"
    );
}

#[test]
fn the_record_of_inputs_tells_nothing_of_the_build_machine() {
    let file = unpacked().join("usr/local/share/iac-runner/packs/civo.inputs.json");
    let record: gocache::InputsRecord =
        serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
    assert!(record.packages.len() > 500);
    for (package, inputs) in record.packages.iter().chain(&record.links) {
        for line in inputs
            .iter()
            .flat_map(|it| it.settings.iter().chain(&it.build_info))
        {
            let mut words = line.split([' ', '\t', '=', '"']);
            assert!(
                !words.any(|word| word.starts_with('/')),
                "{package}: {line}"
            );
        }
    }
}

#[test]
fn an_image_treated_as_400_days_old_loses_no_entry() {
    let script = r#"
        date -d '400 days ago' +%s > /var/cache/go-build/trim.txt
        cd /var/cache/go-build && find . -type f -name '*-?' | sort > /tmp/before
        cd /elsewhere/apis/provider/civo/*/v1/iac/pulumi && go build -o /tmp/out .
        cd /var/cache/go-build && find . -type f -name '*-?' | sort > /tmp/after
        echo "entries $(wc -l < /tmp/before) lost $(comm -23 /tmp/before /tmp/after | wc -l)"
        test "$(cat trim.txt)" -gt "$(date -d '1 day ago' +%s)" && echo trimmed
    "#;
    let printed = in_container(0, 0, script);
    let words: Vec<&str> = printed.split_whitespace().collect();
    assert!(words[1].parse::<u32>().unwrap() > 1000, "{printed}");
    assert_eq!(words[2..], ["lost", "0", "trimmed"], "{printed}");
}

#[test]
fn opentofu_works_offline_with_its_plugin_cache() {
    let script = r#"
        mkdir /tmp/configuration && cd /tmp/configuration
        echo 'resource "terraform_data" "one" { input = "value" }' > main.tf
        tofu init -no-color > /dev/null && tofu apply -auto-approve -no-color | tail -2
        test -d "$TF_PLUGIN_CACHE_DIR" && verifier info > /dev/null && pulumi version
    "#;
    let printed = in_container(65532, 65532, script);
    assert!(
        printed.contains("Apply complete! Resources: 1 added"),
        "{printed}"
    );
}

#[test]
fn everything_in_the_caches_is_as_shipped_and_other_tools_agree() {
    let script = r#"
        verifier check --source /elsewhere > /tmp/check
        tail -1 /tmp/check
        cd /usr/local/share/iac-runner/packs
        cat *.sha256 > /tmp/all
        sha256sum --quiet --strict --check /tmp/all && echo "listed $(wc -l < /tmp/all)"
        find /var/cache/go-* -type f | wc -l
        grep -o 'lists of files [0-9a-f]*' /tmp/check
        ls *.sha256 *.left-out | LC_ALL=C sort | xargs sha256sum | sha256sum
    "#;
    let layout = Layout::below(gzip());
    let said = layout.statements(&layout.image("latest-civo").digest);
    let provenance = &said["https://slsa.dev/provenance/v1"]["predicate"];
    let files = &provenance["runDetails"]["byproducts"][0];
    assert_eq!(files["name"], "files");
    let files = files["digest"]["sha256"].as_str().unwrap();
    for (user, group) in [(0, 0), (65532, 65532)] {
        let printed = in_container(user, group, script);
        let lines: Vec<&str> = printed.lines().collect();
        assert!(
            lines[0].ends_with(": 0 corrupt, 0 not as shipped"),
            "{printed}"
        );
        assert_eq!(lines[1], format!("listed {}", lines[2]), "{printed}");
        assert_eq!(lines[3], format!("lists of files {files}"), "{printed}");
        assert_eq!(lines[4], format!("{files}  -"), "{printed}");
    }
}
