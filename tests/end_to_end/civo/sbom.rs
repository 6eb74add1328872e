//! What `cargo xtask sbom` says of the image, against what other programs find in it.

use serde_json::Value;
use xshell::cmd;

use super::{built, gzip};
use crate::support::image::Layout;
use crate::support::run::{shell, succeed};

#[test]
fn the_document_names_all_that_other_programs_find_and_no_more() {
    let (out, _) = built();
    let sh = shell();
    let checked = succeed(cmd!(sh, "cargo xtask sbom --check {out}/oci:latest-civo"));
    let said = checked
        .trim()
        .strip_prefix("nothing missing, nothing invented: ");
    let counts: Vec<u32> = said
        .unwrap()
        .split(", ")
        .map(|part| part.split(' ').next().unwrap().parse().unwrap())
        .collect();
    // Debian packages, Go modules, executables of Go, and the modules in them.
    for (count, least) in counts.iter().zip([80, 50, 5, 500]) {
        assert!(*count >= least, "{checked}");
    }
    assert_eq!(counts.len(), 4);
    let beside = "; the document beside it is the same\n";
    assert!(checked.ends_with(beside), "{checked}");
}

#[test]
fn the_document_is_the_one_beside_the_image_and_names_the_crates_of_the_verifier() {
    let (out, _) = built();
    let sh = shell();
    let document = succeed(cmd!(sh, "cargo xtask sbom {out}/oci:latest-run-civo"));
    let layout = Layout::below(out);
    let beside = layout.document(&layout.image("latest-run-civo").digest);
    assert!(document.as_bytes() == beside, "they differ");
    let document: Value = serde_json::from_str(&document).unwrap();
    let packages = document["packages"].as_array().unwrap();
    let id = |name: &str| {
        let found = packages.iter().find(|it| it["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}"))["SPDXID"].clone()
    };
    let (verifier, linked) = (id("/usr/local/bin/verifier"), id("serde_json"));
    let relations = document["relationships"].as_array().unwrap();
    let needs = |it: &&Value| it["spdxElementId"] == verifier && it["relatedSpdxElement"] == linked;
    assert!(relations.iter().any(|it| needs(&it)));
    // Each Debian package has the digest of the archive that it came in.
    let is_debian = |it: &&Value| {
        let references = it["externalRefs"].as_array().into_iter().flatten();
        let mut locators = references.filter_map(|it| it["referenceLocator"].as_str());
        locators.any(|locator| locator.starts_with("pkg:deb/"))
    };
    let debian: Vec<_> = packages.iter().filter(is_debian).collect();
    assert!(debian.len() > 80, "{}", debian.len());
    for package in debian {
        let digest = package["checksums"][0]["checksumValue"].as_str();
        assert_eq!(digest.map(str::len), Some(64), "{package}");
    }
    // Tests alone take it.
    assert!(packages.iter().all(|it| it["name"] != "insta"));
}

#[test]
fn the_document_of_a_volume_has_its_go_modules() {
    let place = format!("{}/oci:latest-civo-volume", gzip());
    let sh = shell();
    let checked = succeed(cmd!(sh, "cargo xtask sbom --check {place}"));
    assert!(checked.contains(": 0 Debian packages, "), "{checked}");
    assert!(!checked.contains(" 0 Go modules"), "{checked}");
}
