//! What is refused, with a word on why and what to do.

use anyhow::Error;
use oci_spec::image::MediaType;

use super::proxy::{Act, Proxy, answer};
use super::server::Server;
use super::{blob, content, describe, manifest, runner, with};
use crate::blob::Blobs as _;

/// The message of `error`, which ends the program with `code`.
fn said(error: &Error, code: u8) -> String {
    let said = failure::text(error);
    assert_eq!(failure::kind(error, &[]).exit_code(), code, "{said}");
    said
}

#[test]
fn what_is_damaged_on_the_way_is_not_stored() {
    let Some(server) = Server::start("what_is_damaged_on_the_way_is_not_stored", false) else {
        return;
    };
    let proxy = Proxy::before(&server.host, |request, _| {
        let sends = request.is("PATCH", "") || request.is("PUT", "/manifests/");
        if sends { Act::DamageRequest } else { Act::Pass }
    });
    let config = describe(b"{}");
    with(&proxy.host, None, |registry, folder| {
        let (file, layer) = blob(folder, &content(1));
        let damaged = registry.push_blob(&layer, &file, None).unwrap_err();
        let damaged = said(&damaged, 4);
        assert!(damaged.contains(layer.digest().as_ref()), "{damaged}");
        assert!(damaged.contains("push again"), "{damaged}");
        assert_eq!(server.blob(layer.digest().as_ref()), None);
    });
    // What is named by a tag alone is not checked by the registry.
    let note = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [],
        "annotations": {"note": "o".repeat(2000)},
    })
    .to_string();
    with(&server.host, None, |registry, _| {
        registry.push_bytes(&config, b"{}").unwrap();
    });
    with(&proxy.host, None, |registry, _| {
        let pushed = registry.push_manifest(note.as_bytes(), &MediaType::ImageManifest, "latest");
        let pushed = said(&pushed.unwrap_err(), 4);
        let digest = describe(note.as_bytes()).digest().to_string();
        assert!(pushed.contains(&format!("instead of {digest}")), "{pushed}");
    });
}

#[test]
fn what_is_damaged_on_its_way_back_is_not_used() {
    let Some(server) = Server::start("what_is_damaged_on_its_way_back_is_not_used", false) else {
        return;
    };
    let (layer, config) = (content(1), describe(b"{}"));
    let image = manifest(&config, &describe(&layer));
    with(&server.host, None, |registry, folder| {
        let (file, layer) = blob(folder, &layer);
        registry.push_blob(&layer, &file, None).unwrap();
        registry.push_bytes(&config, b"{}").unwrap();
        let pushed = registry.push_manifest(&image, &MediaType::ImageManifest, "latest");
        pushed.unwrap();
    });
    let proxy = Proxy::before(&server.host, |request, _| {
        let damage = request.is("GET", "/blobs/") || request.is("GET", "/manifests/");
        if damage { Act::DamageAnswer } else { Act::Pass }
    });
    let digest = describe(&image).digest().to_string();
    with(&proxy.host, None, |registry, _| {
        let damaged = registry.fetch(&describe(&layer)).unwrap_err();
        let damaged = said(&damaged, 4);
        assert!(damaged.contains("damaged"), "{damaged}");
        for name in ["latest", &digest] {
            let damaged = said(&registry.manifest(name).unwrap_err(), 4);
            assert!(
                damaged.contains(&format!("instead of {digest}")),
                "{damaged}"
            );
        }
    });
}

#[test]
fn a_registry_that_stored_something_else_is_not_believed() {
    let other = describe(b"other").digest().to_string();
    let registry = Proxy::alone(move |request, _| {
        let here = ("Location", "/v2/team/runner/blobs/uploads/1");
        let stored = [("Docker-Content-Digest", other.as_str()), here];
        match () {
            () if request.is("HEAD", "") => answer("404 Not Found", &[], b""),
            () if request.is("PUT", "") => answer("201 Created", &stored, b""),
            () => answer("202 Accepted", &[here], b""),
        }
    });
    with(&registry.host, None, |registry, _| {
        let refused = registry.push_bytes(&describe(b"{}"), b"{}").unwrap_err();
        assert!(said(&refused, 4).contains("instead of sha256:"));
        let refused = registry.push_manifest(b"{}", &MediaType::ImageManifest, "latest");
        assert!(said(&refused.unwrap_err(), 4).contains("as latest instead of"));
    });
}

#[test]
fn an_upload_to_another_host_is_refused() {
    let Some(server) = Server::start("an_upload_to_another_host_is_refused", true) else {
        return;
    };
    let elsewhere = Proxy::alone(|_, _| answer("202 Accepted", &[], b""));
    let host = elsewhere.host.clone();
    let proxy = Proxy::before(&server.host, move |request, _| {
        let place = format!("http://{host}/v2/team/runner/blobs/uploads/1");
        match request.header("authorization") {
            Some(_) if request.is("POST", "") => {
                answer("202 Accepted", &[("Location", &place)], b"")
            }
            Some(_) if request.is("PUT", "/manifests/") => {
                answer("307 Temporary Redirect", &[("Location", &place)], b"")
            }
            _ => Act::Pass,
        }
    });
    with(&proxy.host, Some(runner()), |registry, _| {
        let refused = registry.push_bytes(&describe(b"{}"), b"{}").unwrap_err();
        let refused = said(&refused, 1);
        assert!(refused.contains(&elsewhere.host), "{refused}");
        assert!(refused.contains("nobody named"), "{refused}");
        let refused = registry.push_manifest(b"{}", &MediaType::ImageManifest, "latest");
        let refused = said(&refused.unwrap_err(), 1);
        assert!(refused.contains(&elsewhere.host), "{refused}");
    });
    assert_eq!(elsewhere.seen().len(), 0);
}

#[test]
fn a_token_service_of_somebody_else_gets_no_password() {
    // Another port of this machine is another user's.
    let other = Proxy::alone(|_, _| answer("200 OK", &[], br#"{"token": "t"}"#));
    for (service, reason) in [
        ("http://auth.example", "only over https"),
        ("https://auth.example", "nobody says that it belongs there"),
        (&format!("http://{}", other.host), "only over https"),
        (&format!("https://{}", other.host), "nobody says"),
    ] {
        let realm = format!("Bearer realm=\"{service}/token\"");
        let registry = Proxy::alone(move |_, _| {
            answer("401 Unauthorized", &[("WWW-Authenticate", &realm)], b"")
        });
        with(&registry.host, Some(runner()), |registry, _| {
            let layer = describe(b"{}");
            for refused in [
                registry.has_blob(&layer).unwrap_err(),
                registry.fetch(&layer).unwrap_err(),
                registry.find().unwrap_err(),
            ] {
                let refused = said(&refused, 1);
                assert!(refused.contains(reason), "{refused}");
                assert!(refused.contains("IAC_RUNNER_TOKEN_HOSTS="), "{refused}");
            }
        });
        for request in registry.seen() {
            assert_eq!(request.header("authorization"), None);
        }
    }
    assert_eq!(other.seen().len(), 0);
}

#[test]
fn whoever_may_not_is_told_how_to_log_in() {
    let Some(server) = Server::start("whoever_may_not_is_told_how_to_log_in", true) else {
        return;
    };
    with(&server.host, None, |registry, folder| {
        let (file, layer) = blob(folder, b"{}");
        let login = format!("docker login {}", server.host);
        for refused in [
            registry.push_blob(&layer, &file, None).unwrap_err(),
            registry.tags().unwrap_err(),
            registry.manifest("latest").unwrap_err(),
            registry.find().unwrap_err(),
        ] {
            assert!(said(&refused, 1).contains(&login), "{refused:#}");
        }
    });
    let denied = Proxy::alone(|_, _| {
        let why = br#"{"errors": [{"code": "DENIED", "message": "read only"}]}"#;
        answer("403 Forbidden", &[], why)
    });
    with(&denied.host, Some(runner()), |registry, _| {
        let refused = registry.push_manifest(b"{}", &MediaType::ImageManifest, "latest");
        let refused = said(&refused.unwrap_err(), 1);
        for part in ["read only", "runner may not", "docker login"] {
            assert!(refused.contains(part), "{refused}");
        }
    });
    // No second try.
    assert_eq!(denied.seen().len(), 1);
}

#[test]
fn a_registry_that_wants_to_be_left_alone_is() {
    let registry = Proxy::alone(|_, _| {
        let wait = ("Retry-After", "3600");
        answer("429 Too Many Requests", &[wait], b"")
    });
    with(&registry.host, None, |registry, _| {
        let refused = said(&registry.tags().unwrap_err(), 1);
        assert!(refused.contains("come back in 3600 s"), "{refused}");
    });
    assert_eq!(registry.seen().len(), 1);
}

#[test]
fn a_broken_registry_is_given_up_on() {
    let registry = Proxy::alone(|_, _| answer("503 Service Unavailable", &[], b"out of disk"));
    with(&registry.host, None, |repository, _| {
        let refused = said(&repository.tags().unwrap_err(), 1);
        for part in [
            "gave up after 6 tries",
            &registry.host,
            "503",
            "out of disk",
        ] {
            assert!(refused.contains(part), "{refused}");
        }
    });
    assert_eq!(registry.seen().len(), 6);
}

#[test]
fn a_file_that_changed_is_not_pushed() {
    let Some(server) = Server::start("a_file_that_changed_is_not_pushed", false) else {
        return;
    };
    with(&server.host, None, |registry, folder| {
        let whole = content(5);
        let mut other = whole.clone();
        other[4_500_000] ^= 1;
        for changed in [&other[..], &whole[..whole.len() - 1], b""] {
            let (file, _) = blob(folder, changed);
            let layer = describe(&whole);
            let refused = registry.push_blob(&layer, &file, None).unwrap_err();
            let refused = said(&refused, 4);
            assert!(refused.contains(file.as_str()), "{refused}");
            assert_eq!(server.blob(layer.digest().as_ref()), None);
            assert_eq!(server.blob(describe(changed).digest().as_ref()), None);
        }
    });
}

#[test]
fn what_a_registry_lacks_is_named_and_what_it_has_instead() {
    let registry = Proxy::alone(|request, _| {
        if request.is("GET", "/tags/list") {
            return answer("200 OK", &[], br#"{"tags": ["old", "older"]}"#);
        }
        let why = br#"{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "unknown"}]}"#;
        answer("404 Not Found", &[], why)
    });
    with(&registry.host, None, |repository, _| {
        let missing = said(&repository.find().unwrap_err(), 2);
        let named = format!("there is no {}/team/runner:1", registry.host);
        assert!(missing.contains(&named), "{missing}");
        assert!(missing.contains("are old, older"), "{missing}");

        let layer = describe(b"layer");
        let missing = said(&repository.fetch(&layer).unwrap_err(), 4);
        assert!(missing.contains(layer.digest().as_ref()), "{missing}");
        assert!(missing.contains("push the image again"), "{missing}");
    });
    // None of it is tried again.
    assert_eq!(registry.seen().len(), 3);
}
