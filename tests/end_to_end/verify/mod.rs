//! `cargo xtask verify`: the same image from a layout, a registry and Docker, whole and damaged.

mod signatures;

use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use daemon::registry::{self, Access};
use gocache::Sha256Hash;
use serde_json::{Value, json};
use xshell::{Cmd, Shell, cmd};

use crate::sources::small;
use crate::support::image::Layout;
use crate::support::programs::is_there_or_skipped;
use crate::support::registry::Registry;
use crate::support::run::{fail, folder, shell, succeed, succeed_with_both, workspace, write};
use crate::support::shown::{shown_json, shown_tables};

/// The image of a small source, built once for all tests of this file.
pub struct Built {
    pub source: Utf8PathBuf,
    pub out: Utf8PathBuf,
    /// What the command printed.
    printed: String,
}

impl Built {
    pub fn get() -> &'static Self {
        static BUILT: OnceLock<Built> = OnceLock::new();
        BUILT.get_or_init(|| {
            let root = workspace().join("target/end-to-end/verify");
            let (source, out) = (root.join("source"), root.join("out"));
            small(&source);
            let sh = shell();
            let build = cmd!(sh, "cargo xtask base-image --source {source} --out {out}");
            let printed = succeed(build);
            Self {
                source,
                out,
                printed,
            }
        })
    }

    pub fn oci(&self) -> Utf8PathBuf {
        self.out.join("oci")
    }

    /// A copy of the layout, to be changed.
    fn copy(&self) -> (tempfile::TempDir, Utf8PathBuf) {
        let (sh, oci) = (shell(), self.oci());
        let (guard, place) = folder();
        succeed(cmd!(sh, "cp -r {oci} {place}"));
        (guard, place.join("oci"))
    }

    /// `cargo xtask verify` of `image`.
    pub fn verify<'s>(&self, sh: &'s Shell, image: &str, flags: &[&str]) -> Cmd<'s> {
        let source = &self.source;
        cmd!(
            sh,
            "cargo xtask verify --image {image} --source {source} {flags...}"
        )
    }

    /// Verifies `image`, where every first build has to hit everything, and returns the report.
    fn report(&self, sh: &Shell, image: &str) -> Value {
        let json = succeed(self.verify(sh, image, &["--json", "-"]));
        let report: Value = serde_json::from_str(&json).unwrap();
        for module in report["modules"].as_array().unwrap() {
            let first = &module["phases"]["first"];
            for what in ["packages", "links"] {
                assert_eq!(first[what]["hits"], first[what]["total"], "{module}");
                assert_ne!(first[what]["total"], 0, "{module}");
            }
        }
        report
    }
}

/// A shell whose commands have kept work and Docker's configuration of their own, in a folder that goes.
pub fn apart() -> (tempfile::TempDir, Utf8PathBuf, Shell) {
    let (guard, cache) = folder();
    let sh = shell();
    sh.set_var("XDG_CACHE_HOME", &cache);
    sh.set_var("DOCKER_CONFIG", cache.join("docker"));
    (guard, cache, sh)
}

fn providers(report: &Value) -> Vec<&str> {
    let modules = report["modules"].as_array().unwrap();
    modules
        .iter()
        .map(|module| module["provider"].as_str().unwrap())
        .collect()
}

fn blob(layout: &Utf8Path, digest: &Value) -> Utf8PathBuf {
    let digest = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    layout.join("blobs/sha256").join(digest)
}

fn flip_a_byte(file: &Utf8Path) {
    let mut content = fs_err::read(file).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    // The file may be a link to one that stays as it is.
    fs_err::remove_file(file).unwrap();
    fs_err::write(file, content).unwrap();
}

#[test]
fn a_layout_is_verified_as_it_is() {
    let built = Built::get();
    let (_kept, _, sh) = apart();
    let image = format!("{}:latest-civo", built.oci());
    let report = built.report(&sh, &image);
    // The source has aws as well, the image has not.
    assert_eq!(providers(&report), ["civo"]);
    let shipped = Layout::below(&built.out).image("latest-civo");
    let layers = shipped.manifest["layers"].as_array().unwrap();
    let compressed: u64 = layers
        .iter()
        .map(|layer| layer["size"].as_u64().unwrap())
        .sum();
    assert_eq!(report["image"]["name"], "latest-civo");
    assert_eq!(report["image"]["digest"], shipped.digest);
    assert_eq!(report["image"]["compressed_bytes"], compressed);
    assert!(report["image"]["uncompressed_bytes"].as_u64().unwrap() > compressed);

    // What `base-image` measured itself has the same image in it.
    let own: Value =
        serde_json::from_slice(&fs_err::read(built.out.join("report.json")).unwrap()).unwrap();
    let nonroot = Layout::below(&built.out).image("latest-nonroot");
    assert_eq!(own["image"]["digest"], nonroot.digest);
    // And is said of that image, beside where it came from.
    let statements = Layout::below(&built.out).statements(&nonroot.digest);
    assert_eq!(
        statements["urn:iac-runner:verifier-report:1"]["predicate"],
        own
    );
    let provenance = &statements["https://slsa.dev/provenance/v1"]["predicate"];
    let dependencies = &provenance["buildDefinition"]["resolvedDependencies"];
    let names = dependencies.as_array().unwrap().iter();
    let names: Vec<_> = names.filter_map(|it| it["name"].as_str()).collect();
    for pack in ["base", "tools", "common", "aws", "civo"] {
        assert!(names.contains(&pack), "{names:?}");
    }
}

#[test]
fn what_base_image_prints_and_writes_is_as_it_was() {
    let built = Built::get();
    let peak_memory = built.printed.find("peak memory");
    shown_tables("base_image", &built.printed[..peak_memory.unwrap()]);
    let index = fs_err::read(built.oci().join("index.json")).unwrap();
    shown_json("index", &serde_json::from_slice(&index).unwrap());
    let image = Layout::below(&built.out).image("latest-civo-nonroot");
    shown_json("manifest", &image.manifest);
    shown_json("config", &image.config);
}

#[test]
fn the_verifier_decides_how_it_ends() {
    let built = Built::get();
    let (_kept, _, sh) = apart();
    let oci = built.oci();
    let said = fail(
        built.verify(&sh, oci.as_str(), &["--", "--target-ms", "0"]),
        3,
    );
    assert!(said.contains("first build"), "{said}");
    let unknown = ["--provider", "azure", "--json", "report.json"];
    let said = fail(built.verify(&sh, oci.as_str(), &unknown), 2);
    assert!(said.contains("azure"), "{said}");
    assert!(!workspace().join("report.json").exists());

    let others = [
        "--user",
        "root",
        "--writable",
        "--tag",
        "latest-tools",
        "--",
        "info",
        "--json",
    ];
    let said = succeed(built.verify(&sh, oci.as_str(), &others));
    let info: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(info["packs"], json!([]));
    assert_eq!(info["differences"], json!([]));
}

#[test]
fn a_damaged_layout_and_a_tag_that_is_not_there() {
    let built = Built::get();
    let (_kept, _, sh) = apart();
    let (_folder, layout) = built.copy();
    let shipped = Layout::below(&built.out).image("latest-civo");
    let last = &shipped.manifest["layers"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()["digest"];
    flip_a_byte(&blob(&layout, last));
    let image = format!("{layout}:latest-civo");
    let said = fail(built.verify(&sh, &image, &[]), 4);
    let hex = last.as_str().unwrap().strip_prefix("sha256:").unwrap();
    assert!(said.contains(hex), "{said}");

    let missing = format!("{layout}:latest-azure");
    let said = fail(built.verify(&sh, &missing, &[]), 2);
    for there in ["latest-azure", "latest-aws", "latest-tools-nonroot"] {
        assert!(said.contains(there), "{said}");
    }
}

/// Writes `content` as a blob of `layout`; its descriptor.
pub fn put(layout: &Utf8Path, media_type: &str, content: &[u8]) -> Value {
    let digest = Sha256Hash::of(content);
    fs_err::write(layout.join(format!("blobs/sha256/{digest}")), content).unwrap();
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len()})
}

/// Adds the image `foreign`, as another tool makes them: the image `base` without its verifier, hidden by a whiteout in
/// a tar that is not compressed, behind an index of platforms.
fn add_foreign(layout: &Utf8Path, base: &str) {
    let index_file = layout.join("index.json");
    let mut index: Value = serde_json::from_slice(&fs_err::read(&index_file).unwrap()).unwrap();
    let mut image = Layout::below(layout.parent().unwrap()).image(base);

    let (_folder, tree) = folder();
    write(&tree, "usr/local/bin/.wh.verifier", "");
    let tar = tree.join("layer.tar");
    let sh = shell();
    succeed(cmd!(sh, "tar -C {tree} -cf {tar} usr"));
    let tar = fs_err::read(tar).unwrap();
    let layer = put(layout, "application/vnd.oci.image.layer.v1.tar", &tar);
    let push = |list: &mut Value, value: &Value| list.as_array_mut().unwrap().push(value.clone());
    push(&mut image.config["rootfs"]["diff_ids"], &layer["digest"]);
    push(&mut image.manifest["layers"], &layer);
    let config = image.config.to_string();
    image.manifest["config"] = put(
        layout,
        "application/vnd.oci.image.config.v1+json",
        config.as_bytes(),
    );
    let mut manifest = put(
        layout,
        "application/vnd.oci.image.manifest.v1+json",
        image.manifest.to_string().as_bytes(),
    );
    let mut other = put(layout, "application/vnd.oci.image.manifest.v1+json", b"{}");
    other["platform"] = json!({"os": "linux", "architecture": "s390x"});
    manifest["platform"] =
        json!({"os": image.config["os"], "architecture": image.config["architecture"]});
    let platforms = json!({"schemaVersion": 2, "manifests": [other, manifest]});
    let mut entry = put(
        layout,
        "application/vnd.oci.image.index.v1+json",
        platforms.to_string().as_bytes(),
    );
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "foreign"});
    push(&mut index["manifests"], &entry);
    fs_err::write(index_file, index.to_string()).unwrap();
}

#[test]
fn an_image_without_a_verifier_is_lent_one() {
    let built = Built::get();
    let (_kept, _, sh) = apart();
    let (_folder, layout) = built.copy();
    add_foreign(&layout, "latest-aws");
    let verify = built.verify(&sh, &format!("{layout}:foreign"), &["--json", "-"]);
    let (json, said) = succeed_with_both(verify);
    assert!(
        said.contains("holds no verifier; this repository's is used"),
        "{said}"
    );
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(providers(&report), ["aws"]);
    assert_eq!(report["summary"]["links"], json!({"hits": 1, "total": 1}));
}

#[test]
fn a_registry_hands_out_the_image_once_and_nothing_damaged() {
    let built = Built::get();
    let registry = Registry::start(Access::Open);
    let (_kept, cache, sh) = apart();
    let reference = registry.push(&sh, &built.oci(), "latest-civo", &[]);
    let report = built.report(&sh, &reference);
    let shipped = Layout::below(&built.out).image("latest-civo");
    assert_eq!(report["image"]["digest"], shipped.digest);
    assert_eq!(report["image"]["name"], reference);
    let sent = registry.blobs_sent();
    assert!(sent > 1, "{sent}");

    // What is kept is not pulled again, whatever the image is called; what was cut off is continued.
    let pinned = format!("{}/iac/runner@{}", registry.host, shipped.digest);
    let layer = shipped.manifest["layers"][0]["digest"].as_str().unwrap();
    let kept = cache
        .join("iac-runner/blobs")
        .join(layer.strip_prefix("sha256:").unwrap());
    built.report(&sh, &pinned);
    assert_eq!(registry.blobs_sent(), sent);
    let content = fs_err::read(&kept).unwrap();
    fs_err::write(format!("{kept}.partial"), &content[..content.len() / 2]).unwrap();
    fs_err::remove_file(&kept).unwrap();
    succeed(built.verify(&sh, &pinned, &["--", "info"]));
    assert_eq!(registry.blobs_sent(), sent + 1);
    assert_eq!(fs_err::read(&kept).unwrap(), content);
    let log = registry.log();
    assert!(log.contains("\" 206 "), "the whole layer was pulled again");

    let missing = format!("{}/iac/runner:latest-azure", registry.host);
    let said = fail(built.verify(&sh, &missing, &[]), 2);
    assert!(said.contains("latest-civo"), "{said}");

    flip_a_byte(&registry.blob(layer));
    let (_kept, cache, sh) = apart();
    let said = fail(built.verify(&sh, &reference, &[]), 4);
    assert!(said.contains(layer), "{said}");
    assert!(
        !cache
            .join("iac-runner/blobs")
            .join(kept.file_name().unwrap())
            .exists()
    );
    flip_a_byte(&registry.blob(&shipped.digest));
    let said = fail(built.verify(&sh, &reference, &[]), 4);
    assert!(said.contains(&shipped.digest), "{said}");

    let gone = registry.host.clone();
    drop(registry);
    let said = fail(built.verify(&sh, &reference, &[]), 1);
    assert!(
        said.contains(&gone) && said.contains("check its name"),
        "{said}"
    );
}

#[test]
fn credentials_are_for_their_own_registry() {
    let built = Built::get();
    let registry = Registry::start(Access::Password);
    let (_kept, cache, sh) = apart();
    let user = format!("{}:{}", registry::USER, registry::PASSWORD);
    let flags = ["--dest-creds", &user];
    let reference = registry.push(&sh, &built.oci(), "latest-tools", &flags);
    let info = || built.verify(&sh, &reference, &["--", "info"]);
    for host in [None, Some("registry.example")] {
        if let Some(host) = host {
            write(&cache, "docker/config.json", &log_in(host));
        }
        let said = fail(info(), 1);
        assert!(said.contains("docker login"), "{said}");
    }
    write(&cache, "docker/config.json", &log_in(&registry.host));
    succeed(info());
}

/// Docker's configuration after `docker login` at `host`.
fn log_in(host: &str) -> String {
    // `runner:pulumi`.
    json!({"auths": {host: {"auth": "cnVubmVyOnB1bHVtaQ=="}}}).to_string()
}

#[test]
fn docker_hands_out_the_image() {
    let (_kept, cache, sh) = apart();
    if !is_there_or_skipped(cmd!(sh, "docker info")) {
        return;
    }
    let built = Built::get();
    let oci = built.oci();
    let name = "iac-runner-end-to-end:civo";
    // Docker 20.10 reads no zstd.
    succeed(cmd!(
        sh,
        "skopeo copy --quiet --dest-decompress oci:{oci}:latest-civo dir:{cache}/plain"
    ));
    succeed(cmd!(
        sh,
        "skopeo copy --quiet dir:{cache}/plain docker-daemon:{name}"
    ));
    // It is large, and what follows needs the space.
    fs_err::remove_dir_all(cache.join("plain")).unwrap();
    let report = built.report(&sh, &format!("docker:{name}"));
    succeed(cmd!(sh, "docker rmi {name}"));
    assert_eq!(providers(&report), ["civo"]);
    let image = Layout::below(&built.out).image("latest-civo");
    assert_eq!(
        report["image"]["digest"],
        image.manifest["config"]["digest"]
    );

    let absent = "docker:iac-runner-end-to-end:absent";
    let said = fail(built.verify(&sh, absent, &[]), 2);
    assert!(said.contains("docker images"), "{said}");
}
