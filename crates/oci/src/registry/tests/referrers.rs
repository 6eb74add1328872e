//! What is said of an image beside it, in registries that keep a list of it and in others.

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};

use super::proxy::{Proxy, answer};
use super::server::Server;
use super::{describe, with};
use crate::referrer::{MAX_REFERRERS, Referrers as _};
use crate::registry::Registry;

/// What is said of `subject`, with its blob in the registry.
fn said(registry: &Registry<'_>, subject: &Descriptor, what: &[u8]) -> ImageManifest {
    let content = describe(what);
    registry.push_bytes(&content, what).unwrap();
    crate::referrer::manifest(subject, "application/toy", content).unwrap()
}

#[test]
fn what_is_said_of_an_image_is_listed_under_a_tag_where_a_registry_keeps_no_list() {
    let Some(server) = Server::start(
        "what_is_said_of_an_image_is_listed_under_a_tag_where_a_registry_keeps_no_list",
        false,
    ) else {
        return;
    };
    let subject = describe(b"an image that is pushed later");
    with(&server.host, None, |registry, _| {
        let referrers = [b"one".as_slice(), b"two"].map(|what| said(registry, &subject, what));
        // Twice is as good as once.
        for manifest in referrers.iter().chain(&referrers) {
            registry.push_referrer(manifest, &subject).unwrap();
        }
        let tag = subject.digest().to_string().replace(':', "-");
        let (_, listed) = registry.manifest(&tag).unwrap().unwrap();
        let listed: ImageIndex = serde_json::from_slice(&listed).unwrap();
        assert_eq!(listed.manifests().len(), 2);
        assert_eq!(registry.referrers(&subject).unwrap(), *listed.manifests());
        let other = describe(b"an image of which nothing is said");
        assert_eq!(registry.referrers(&other).unwrap(), []);
        for referrer in listed.manifests() {
            assert_eq!(referrer.artifact_type(), &Some("application/toy".into()));
            let (_, manifest) = registry
                .manifest(referrer.digest().as_ref())
                .unwrap()
                .unwrap();
            let manifest: ImageManifest = serde_json::from_slice(&manifest).unwrap();
            assert_eq!(manifest.subject().as_ref(), Some(&subject));
        }
    });
}

#[test]
fn a_registry_that_keeps_a_list_of_what_is_said_of_images_gets_no_tag() {
    let proxy = Proxy::alone(|request, _| {
        if !request.is("PUT", "/manifests/") {
            return answer("200 OK", &[], b"");
        }
        let path = request.head.split(' ').nth(1).unwrap();
        let digest = path.rsplit('/').next().unwrap().to_owned();
        let headers = [
            ("Docker-Content-Digest", digest.as_str()),
            ("OCI-Subject", "sha256:a"),
        ];
        answer("201 Created", &headers, b"")
    });
    let subject = describe(b"an image");
    with(&proxy.host, None, |registry, _| {
        let manifest = said(registry, &subject, b"one");
        registry.push_referrer(&manifest, &subject).unwrap();
    });
    assert_eq!(proxy.count("PUT", "/manifests/"), 1);
    assert_eq!(proxy.count("PUT", "/manifests/sha256-"), 0);
}

/// A list of as many referrers as there are digits in `digits`, with what comes after it.
fn page(digits: &str) -> String {
    let manifests: Vec<_> = digits
        .chars()
        .map(|digit| describe(&[digit as u8]))
        .collect();
    serde_json::json!({"schemaVersion": 2, "manifests": manifests}).to_string()
}

#[test]
fn a_list_is_read_to_its_end() {
    let proxy = Proxy::alone(|request, _| {
        if request.head.contains("last=2") {
            return answer("200 OK", &[], page("3").as_bytes());
        }
        let path = request.head.split(' ').nth(1).unwrap();
        let next = format!("<{path}?last=2>; rel=\"next\"");
        answer("200 OK", &[("Link", &next)], page("12").as_bytes())
    });
    let subject = describe(b"an image");
    with(&proxy.host, None, |registry, _| {
        let found = registry.referrers(&subject).unwrap();
        let expected: Vec<_> = [b"1", b"2", b"3"].map(|it| describe(it)).into();
        assert_eq!(found, expected);
    });
    assert_eq!(proxy.count("GET", "/referrers/sha256:"), 2);
}

#[test]
fn a_list_without_an_end_is_refused() {
    let many = format!("more than {MAX_REFERRERS}");
    for (kind, reason, requests) in [
        ("many on each page", many.as_str(), 2),
        ("one on each page", "more than 1000 pages", 1000),
        ("none after the first page", "has none names another", 2),
        ("large pages", "more than 33554432 bytes", 4),
    ] {
        let proxy = Proxy::alone(move |request, before| {
            let path = request.head.split(' ').nth(1).unwrap();
            let next = format!("<{path}>; rel=\"next\"");
            let body = match kind {
                "many on each page" => page(&"1".repeat(600)),
                "none after the first page" if before > 0 => page(""),
                // White space is JSON, too.
                "large pages" => page("1") + &" ".repeat(10 << 20),
                _ => page("1"),
            };
            answer("200 OK", &[("Link", &next)], body.as_bytes())
        });
        let subject = describe(b"an image");
        with(&proxy.host, None, |registry, _| {
            let error = registry.referrers(&subject).unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt, "{kind}");
            let said = failure::text(&error);
            assert!(said.contains(reason), "{kind}: {said}");
            assert!(registry.transferred().received_bytes < 50 << 20, "{kind}");
        });
        assert_eq!(proxy.count("GET", "/referrers/sha256:"), requests, "{kind}");
    }
}
