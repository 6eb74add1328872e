//! Images and packs with signatures: pushed with a key, and taken by whoever trusts it.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use daemon::registry::Access;
use serde_json::Value;
use xshell::{Shell, cmd};

use super::Built;
use crate::support::cosign::{self, PROVENANCE, SIGNATURE, SPDX};
use crate::support::image::Layout;
use crate::support::registry::Registry;
use crate::support::run::{ended, fail, folder, shell, succeed, succeed_with_both};

const REPORT: &str = "urn:iac-runner:verifier-report:1";
/// What every image has a signature of.
const ALWAYS: [&str; 3] = [SIGNATURE, PROVENANCE, SPDX];

/// A registry, and keys.
struct Signing {
    sh: Shell,
    registry: Registry,
    image: String,
    keys: [[Utf8PathBuf; 2]; 2],
    _guard: tempfile::TempDir,
}

impl Signing {
    fn new(with_stand_in: bool) -> Self {
        let (guard, folder) = folder();
        let sh = shell();
        sh.set_var("DOCKER_CONFIG", folder.join("docker"));
        if with_stand_in {
            cosign::stand_in(&sh, &folder);
        }
        let registry = Registry::start(Access::Open);
        Self {
            keys: ["ours", "theirs"].map(|name| cosign::key(&sh, &folder, name)),
            image: format!("{}/iac/runner:v1.0.0", registry.host),
            registry,
            sh,
            _guard: guard,
        }
    }

    /// Pushes; how many signatures that took.
    fn push(&self, flags: &[&str]) -> Option<String> {
        let (sh, oci, image) = (&self.sh, Built::get().oci(), &self.image);
        let push = cmd!(sh, "cargo xtask push {oci} {image} {flags...}");
        let (_, said) = succeed_with_both(push);
        let mut lines = said.lines();
        let made = lines.find_map(|line| line.strip_suffix(" signatures made"));
        made.map(str::to_owned)
    }

    /// Looks at the whole image as one who trusts a key does.
    fn verify(&self, key: usize) -> xshell::Cmd<'_> {
        let key = self.keys[key][1].as_str();
        let flags = ["--trusted-key", key, "--", "info"];
        Built::get().verify(&self.sh, &self.image, &flags)
    }
}

#[test]
fn an_image_is_signed_before_it_has_a_tag_and_taken_by_who_trusts_its_key() {
    let signing = Signing::new(true);
    let [[key, public], _] = &signing.keys;
    let nonroot = Layout::below(&Built::get().out)
        .image("latest-nonroot")
        .digest;
    signing.push(&[]);
    let unsigned = fail(signing.verify(0), 4);
    assert!(
        unsigned.contains("there is no signature of it"),
        "{unsigned}"
    );

    let with_key = ["--sign-key", key.as_str()];
    assert_ne!(signing.push(&with_key).unwrap(), "0");
    assert_eq!(cosign::signed(&signing.sh, &signing.image), ALWAYS);
    let log = signing.registry.log();
    let put = |name: &str| log.rfind(&format!("\"PUT /v2/iac/runner/manifests/{name}"));
    let tagged = log
        .rfind("\"PUT /v2/iac/runner/manifests/v1.0.0-tools ")
        .unwrap();
    assert!(
        put("sha256-").unwrap() < tagged,
        "a tag moved before its signatures were there"
    );
    assert_eq!(signing.push(&with_key).unwrap(), "0");

    let (_, said) = succeed_with_both(signing.verify(0));
    assert!(
        said.contains(&format!("is signed with the key {public}")),
        "{said}"
    );
    let other = fail(signing.verify(1), 4);
    assert!(other.contains("made with another key"), "{other}");
    assert!(other.contains(&signing.image), "{other}");

    // The report is of the twin; whoever adds it without a key makes that one suspect.
    let report = Built::get().out.join("report.json");
    let twin = format!("{}-nonroot", signing.image);
    let twin = || {
        Built::get().verify(
            &signing.sh,
            &twin,
            &["--trusted-key", public.as_str(), "--", "info"],
        )
    };
    assert!(nonroot.starts_with("sha256:"));
    succeed(twin());
    let changed = key.with_file_name("report.json");
    let mut json: Value = serde_json::from_slice(&fs_err::read(report).unwrap()).unwrap();
    json["image"]["compressed_bytes"] = 1.into();
    fs_err::write(&changed, json.to_string()).unwrap();
    signing.push(&["--report", changed.as_str()]);
    let suspect = fail(twin(), 4);
    assert!(
        suspect.contains(REPORT) && suspect.contains(&nonroot),
        "{suspect}"
    );
    succeed(signing.verify(0));
}

#[test]
fn packs_are_taken_by_who_trusts_a_key_if_they_are_signed_with_it() {
    let signing = Signing::new(true);
    let [[key, public], [_, theirs]] = &signing.keys;
    let (sh, source) = (&signing.sh, &Built::get().source);
    let packs = format!("{}/iac/packs", signing.registry.host);
    let warm = |run: &str, flags: &[&str]| {
        let providers = ["base", "tools", "common", "civo"].into_iter();
        let providers = providers.flat_map(|name| ["--provider", name]);
        let to = ["--push", packs.as_str(), "--run", run];
        let warm = cmd!(
            sh,
            "cargo xtask warm --source {source} {providers...} {to...}"
        );
        succeed(warm.args(flags));
    };
    warm("unsigned", &[]);
    let (_guard, out) = folder();
    let assemble = |run: &str, key: &Utf8PathBuf| {
        cmd!(
            sh,
            "cargo xtask assemble --from {packs} --run {run} --trusted-key {key} --out {out}/{run}"
        )
    };
    let unsigned = fail(assemble("unsigned", public), 4);
    assert!(
        unsigned.contains("there is no signature of it"),
        "{unsigned}"
    );
    warm("signed", &["--sign-key", key.as_str()]);
    succeed(assemble("signed", public));
    let other = fail(assemble("signed", theirs), 4);
    assert!(other.contains("made with another key"), "{other}");
}

#[test]
#[ignore = "compiling cosign takes five minutes of CPU; install it (CONTRIBUTING.md) and run `cargo test --package \
            end-to-end --test images -- --ignored cosign`"]
fn cosign_accepts_the_signature_of_every_image_and_of_each_statement() {
    let signing = Signing::new(false);
    let [[key, public], [_, theirs]] = &signing.keys;
    let report = Built::get().out.join("report.json");
    signing.push(&["--sign-key", key.as_str(), "--report", report.as_str()]);
    let (sh, image) = (&signing.sh, &signing.image);
    let offline = ["--insecure-ignore-tlog=true", "--allow-http-registry"];
    let layout = Layout::below(&Built::get().out);
    let mut attested = BTreeSet::new();
    for name in layout.names().into_iter().chain(layout.programs()) {
        let image = format!("{image}{}", name.strip_prefix("latest").unwrap());
        succeed(cmd!(
            sh,
            "cosign verify --key {public} {offline...} {image}"
        ));
        let other = cmd!(sh, "cosign verify --key {theirs} {offline...} {image}");
        assert!(!ended(other).get_output().status.success());
        let types = layout.statements(&layout.image(&name).digest).into_keys();
        for of_type in types {
            let flags = ["--type", of_type.as_str(), "--key", public.as_str()];
            succeed(cmd!(
                sh,
                "cosign verify-attestation {flags...} {offline...} {image}"
            ));
            attested.insert(of_type);
        }
    }
    assert!([PROVENANCE, REPORT].iter().all(|it| attested.contains(*it)));
    for of_type in ["slsaprovenance1", "spdxjson"] {
        let flags = ["--type", of_type, "--key", public.as_str()];
        succeed(cmd!(
            sh,
            "cosign verify-attestation {flags...} {offline...} {image}"
        ));
    }
    // What cosign makes itself is taken as well.
    let digest = layout.image("latest-tools").digest;
    succeed(signing.verify(0));
    let repository = image.rsplit_once(':').unwrap().0;
    let (folder, tools) = (
        signing.keys[1][0].parent().unwrap(),
        format!("{image}-tools"),
    );
    let (services, root) = (folder.join("services.json"), folder.join("root.json"));
    succeed(cmd!(sh, "cosign signing-config create --out {services}"));
    succeed(cmd!(sh, "cosign trusted-root create --out {root}"));
    let other = &signing.keys[1][0];
    let flags = [
        "--signing-config",
        services.as_str(),
        "--trusted-root",
        root.as_str(),
    ];
    succeed(cmd!(
        sh,
        "cosign sign --yes --key {other} {flags...} --allow-http-registry {repository}@{digest}"
    ));
    let trusted = |key: &Utf8PathBuf| {
        let flags = ["--trusted-key", key.as_str(), "--", "info"];
        Built::get().verify(sh, &tools, &flags)
    };
    succeed(trusted(public));
    let unsigned = fail(trusted(theirs), 4);
    // It has that key's signature now, and statements of ours alone.
    let expected = format!("is not signed with the key {theirs}");
    assert!(
        unsigned.contains("the statement ") && unsigned.contains(&expected),
        "{unsigned}"
    );
}
