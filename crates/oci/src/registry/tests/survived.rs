//! What comes through, and is the right content then.

use std::sync::{Arc, Mutex};

use oci_spec::image::MediaType;

use super::proxy::{Act, Proxy, Request, answer};
use super::server::Server;
use super::{
    REPOSITORY, blob, content, describe, manifest, runner, with, with_repository, with_services,
};
use crate::blob::Blobs as _;
use crate::events::Silent;
use crate::registry::Registry;
use crate::registry::push::Pushed;
use crate::registry::token_service::TokenServices;

/// Bytes after which some tests cut connections; a chunk is larger.
const CUT: usize = 3 << 19;

#[test]
fn what_is_pushed_comes_back_and_is_not_sent_twice() {
    let Some(server) = Server::start("what_is_pushed_comes_back_and_is_not_sent_twice", false)
    else {
        return;
    };
    let pushed = content(9);
    let bytes = pushed.len() as u64;
    let image = with(&server.host, None, |registry, folder| {
        let (file, layer) = blob(folder, &pushed);
        let config = describe(b"{}");
        assert!(!registry.has_blob(&layer).unwrap());
        assert_eq!(registry.tags().unwrap(), Vec::<String>::new());
        let push = || registry.push_blob(&layer, &file, None).unwrap();
        assert_eq!(push(), Pushed::Sent { bytes });
        assert_eq!(push(), Pushed::Existed);
        assert!(registry.has_blob(&layer).unwrap());
        let empty = describe(b"");
        for (descriptor, content) in [(&config, &b"{}"[..]), (&empty, b"")] {
            let sent = registry.push_bytes(descriptor, content).unwrap();
            let bytes = content.len() as u64;
            assert_eq!(sent, Pushed::Sent { bytes });
        }

        let image = manifest(&config, &layer);
        let named = describe(&image).digest().to_string();
        for name in ["latest", "v1", &named] {
            let pushed = registry.push_manifest(&image, &MediaType::ImageManifest, name);
            assert_eq!(pushed.unwrap().digest().to_string(), named);
            let (found, content) = registry.manifest(name).unwrap().unwrap();
            assert_eq!(found.media_type(), &MediaType::ImageManifest);
            assert_eq!(
                (found.digest().to_string(), content),
                (named.clone(), image.clone())
            );
        }
        assert_eq!(registry.tags().unwrap(), ["latest", "v1"]);
        assert_eq!(registry.manifest("v2").unwrap(), None);

        let before = registry.transferred();
        assert_eq!(before.sent_bytes, bytes + 2 + 3 * image.len() as u64);
        let fetched = registry.fetch(&layer).unwrap();
        assert_eq!(fs_err::read(fetched).unwrap(), pushed);
        let received = registry.transferred().received_bytes - before.received_bytes;
        assert_eq!(received, bytes);
        named
    });
    assert!(server.blob(&image).is_some());
}

#[test]
fn what_another_repository_has_is_mounted() {
    let Some(server) = Server::start("what_another_repository_has_is_mounted", false) else {
        return;
    };
    let pushed = content(1);
    let bytes = pushed.len() as u64;
    with_repository(&server.host, "team/packs", None, |registry, folder| {
        let (file, layer) = blob(folder, &pushed);
        registry.push_blob(&layer, &file, None).unwrap();
    });
    for (repository, from, how) in [
        ("team/runner", "team/packs", Pushed::Mounted),
        ("team/runner", "team/packs", Pushed::Existed),
        ("team/other", "team/absent", Pushed::Sent { bytes }),
    ] {
        with_repository(&server.host, repository, None, |registry, folder| {
            let (file, layer) = blob(folder, &pushed);
            let done = registry.push_blob(&layer, &file, Some(from)).unwrap();
            assert_eq!(done, how);
            let sent = if how == (Pushed::Sent { bytes }) {
                bytes
            } else {
                0
            };
            assert_eq!(registry.transferred().sent_bytes, sent);
        });
    }
}

#[test]
fn cut_connections_cost_time_only() {
    let Some(server) = Server::start("cut_connections_cost_time_only", false) else {
        return;
    };
    let proxy = Proxy::before(&server.host, |_, _| Act::CutAfter(CUT));
    let pushed = content(6);
    with(&proxy.host, None, |registry, folder| {
        let (file, layer) = blob(folder, &pushed);
        let bytes = pushed.len() as u64;
        let done = registry.push_blob(&layer, &file, None).unwrap();
        assert_eq!(done, Pushed::Sent { bytes });
        assert_eq!(server.blob(layer.digest().as_ref()).unwrap(), pushed);
        // This registry loses what was cut: chunks of 4 and of 2 megabytes were, those of 1 were not.
        assert_eq!(proxy.count("POST", "/uploads/"), 3);
        assert_eq!(proxy.count("PATCH", "/uploads/"), 2 + 6);
        assert!(registry.transferred().sent_bytes > bytes);

        let fetched = registry.fetch(&layer).unwrap();
        assert_eq!(fs_err::read(fetched).unwrap(), pushed);
        let seen = proxy.seen();
        let pulls = seen
            .iter()
            .filter(|request| request.is("GET", "/blobs/sha256"));
        let ranges: Vec<Option<&str>> = pulls.map(|request| request.header("range")).collect();
        assert!(ranges.len() >= 4, "{ranges:?}");
        assert_eq!(ranges[0], None);
        assert!(ranges[1..].iter().all(Option::is_some), "{ranges:?}");
    });
}

#[test]
fn an_overloaded_registry_is_asked_again() {
    let Some(server) = Server::start("an_overloaded_registry_is_asked_again", false) else {
        return;
    };
    // Of each kind of request the first ends in 429, the second in 500.
    let failed = Mutex::new(Vec::new());
    let proxy = Proxy::before(&server.host, move |request, _| {
        let mut failed = failed.lock().unwrap();
        let method = request.head.split(' ').next().unwrap().to_owned();
        let times = failed.iter().filter(|found| **found == method).count();
        failed.push(method);
        match times {
            0 => {
                let wait = if request.is("PATCH", "") { "1" } else { "0" };
                answer("429 Too Many Requests", &[("Retry-After", wait)], b"")
            }
            1 => answer("500 Internal Server Error", &[], b"<html>"),
            _ => Act::Pass,
        }
    });
    let pushed = content(5);
    with(&proxy.host, None, |registry, folder| {
        let (file, layer) = blob(folder, &pushed);
        registry.push_blob(&layer, &file, None).unwrap();
        assert_eq!(server.blob(layer.digest().as_ref()).unwrap(), pushed);
        // The upload went on where it was.
        assert_eq!(proxy.count("POST", "/uploads/"), 3);
        assert_eq!(proxy.count("PATCH", "/uploads/"), 2 + 2);
        assert_eq!(proxy.count("PUT", "/uploads/"), 3);
        let fetched = registry.fetch(&layer).unwrap();
        assert_eq!(fs_err::read(fetched).unwrap(), pushed);
    });
}

#[test]
fn an_answer_that_was_lost_costs_time_only() {
    let Some(server) = Server::start("an_answer_that_was_lost_costs_time_only", false) else {
        return;
    };
    let lost = Mutex::new(vec!["POST", "PATCH", "PUT"]);
    let proxy = Proxy::before(&server.host, move |request, _| {
        let mut lost = lost.lock().unwrap();
        match lost.iter().position(|method| request.is(method, "")) {
            Some(found) => {
                lost.remove(found);
                Act::LoseAnswer
            }
            None => Act::Pass,
        }
    });
    let pushed = content(1);
    with(&proxy.host, None, |registry, folder| {
        let (file, layer) = blob(folder, &pushed);
        registry.push_blob(&layer, &file, None).unwrap();
        assert_eq!(server.blob(layer.digest().as_ref()).unwrap(), pushed);
    });
    // This registry knows no upload any more whose chunk it took without being heard.
    assert_eq!(proxy.count("POST", ""), 3);
    assert_eq!(proxy.count("PATCH", ""), 2);
    // The blob was stored the first time, which the second `HEAD` told.
    assert_eq!(proxy.count("PUT", ""), 2);
    assert_eq!(proxy.count("HEAD", ""), 2);
}

#[test]
fn what_a_registry_kept_of_a_chunk_is_not_sent_again() {
    // A registry that keeps what came before the cut, as the specification would have it.
    let kept = Arc::new(Mutex::new(Vec::new()));
    let stored = Arc::clone(&kept);
    let cuts = Mutex::new(2);
    let registry = Proxy::alone(move |request, _| {
        let mut stored = stored.lock().unwrap();
        let here = ("Location", "/v2/team/runner/blobs/uploads/1");
        if request.is("HEAD", "") {
            return answer("404 Not Found", &[], b"");
        }
        if request.is("PATCH", "") {
            let range = format!("{}-{}", stored.len(), stored.len() + request.body.len() - 1);
            assert_eq!(request.header("content-range"), Some(range.as_str()));
            let mut cuts = cuts.lock().unwrap();
            if *cuts > 0 {
                *cuts -= 1;
                stored.extend_from_slice(&request.body[..1_000_000]);
                return Act::Hang;
            }
            stored.extend_from_slice(&request.body);
        }
        if request.is("PUT", "digest=") {
            let digest = describe(&stored).digest().to_string();
            return answer(
                "201 Created",
                &[("Docker-Content-Digest", &digest), here],
                b"",
            );
        }
        let range = format!("0-{}", stored.len().saturating_sub(1));
        let status = if request.is("GET", "") {
            "204 No Content"
        } else {
            "202 Accepted"
        };
        answer(status, &[("Range", &range), here], b"")
    });
    let pushed = content(6);
    with(&registry.host, None, |repository, folder| {
        let (file, layer) = blob(folder, &pushed);
        repository.push_blob(&layer, &file, None).unwrap();
    });
    assert_eq!(*kept.lock().unwrap(), pushed);
    assert_eq!(registry.count("POST", ""), 1);
    assert_eq!(registry.count("PATCH", ""), 4);
    assert_eq!(registry.count("GET", "/uploads/1"), 2);
}

#[test]
fn storage_elsewhere_is_read_without_credentials() {
    let Some(server) = Server::start("storage_elsewhere_is_read_without_credentials", true) else {
        return;
    };
    let pushed = content(1);
    let stored = pushed.clone();
    let storage = Proxy::alone(move |_, _| answer("200 OK", &[], &stored));
    let place = format!("http://{}/signed", storage.host);
    let proxy = Proxy::before(&server.host, move |request, _| {
        if request.is("GET", "/blobs/") || request.is("HEAD", "/blobs/sha256:00") {
            return answer("307 Temporary Redirect", &[("Location", &place)], b"");
        }
        Act::Pass
    });
    with(&proxy.host, Some(runner()), |registry, folder| {
        let (file, layer) = blob(folder, &pushed);
        registry.push_blob(&layer, &file, None).unwrap();
        let fetched = registry.fetch(&layer).unwrap();
        assert_eq!(fs_err::read(fetched).unwrap(), pushed);
        // Our own requests are no other.
        let zeros = format!("sha256:{}", "0".repeat(64));
        let zeros: oci_spec::image::Digest = zeros.parse().unwrap();
        let elsewhere = oci_spec::image::Descriptor::new(MediaType::ImageConfig, 1 << 20, zeros);
        assert!(registry.has_blob(&elsewhere).unwrap());
    });
    assert!(all_have(&proxy.seen(), "GET", "Basic "));
    assert_eq!(storage.seen().len(), 2);
    for request in storage.seen() {
        assert_eq!(request.header("authorization"), None, "{}", request.head);
    }
}

/// Whether the last of these requests showed who asks.
fn all_have(seen: &[Request], method: &str, scheme: &str) -> bool {
    let last = seen.iter().rfind(|request| request.is(method, "/blobs/"));
    last.and_then(|request| request.header("authorization"))
        .is_some_and(|value| value.starts_with(scheme))
}

#[test]
fn a_token_service_gets_the_password_and_the_registry_the_token() {
    let Some(server) = Server::start(
        "a_token_service_gets_the_password_and_the_registry_the_token",
        false,
    ) else {
        return;
    };
    let tokens =
        Proxy::alone(|_, _| answer("200 OK", &[], br#"{"token": "opaque", "expires_in": 300}"#));
    let realm = format!(
        "Bearer realm=\"http://{}/token\",service=\"test\"",
        tokens.host
    );
    let proxy = Proxy::before(&server.host, move |request, _| {
        match request.header("authorization") {
            Some("Bearer opaque") => Act::Pass,
            _ => answer("401 Unauthorized", &[("WWW-Authenticate", &realm)], b""),
        }
    });
    let pushed = content(5);
    let services = TokenServices::parse(&format!("http://{}", tokens.host)).unwrap();
    let user = Some(runner());
    with_services(
        &proxy.host,
        REPOSITORY,
        user,
        services,
        |registry, folder| {
            let (file, layer) = blob(folder, &pushed);
            registry.push_blob(&layer, &file, None).unwrap();
            let fetched = registry.fetch(&layer).unwrap();
            assert_eq!(fs_err::read(fetched).unwrap(), pushed);
        },
    );
    let pull = "service=test&scope=repository%3Ateam%2Frunner%3Apull";
    assert_eq!(tokens.count("GET", pull), 2);
    assert_eq!(tokens.count("GET", &format!("{pull}%2Cpush")), 1);
    assert_eq!(tokens.seen().len(), 2);
    for request in tokens.seen() {
        // `runner:pulumi`.
        let given = request.header("authorization");
        assert_eq!(given, Some("Basic cnVubmVyOnB1bHVtaQ=="));
    }
    let shown = proxy.seen();
    let mut shown = shown
        .iter()
        .filter_map(|request| request.header("authorization"));
    assert!(shown.all(|value| value == "Bearer opaque"));
}

#[test]
fn all_pages_of_tags_are_read() {
    let registry = Proxy::alone(|request, before| {
        let next = (
            "Link",
            "</v2/team/runner/tags/list?n=1000&last=b>; rel=\"next\"",
        );
        match before {
            0 => {
                assert!(request.is("GET", "/v2/team/runner/tags/list?n=1000"));
                answer("200 OK", &[next], br#"{"tags": ["a", "b"]}"#)
            }
            // What is no tag is nothing that could be asked for.
            1 => answer("200 OK", &[], br#"{"tags": ["c", "\u001b[2J", "", "a/b"]}"#),
            _ => answer("404 Not Found", &[], b""),
        }
    });
    let tags = with(&registry.host, None, |registry, _| registry.tags().unwrap());
    assert_eq!(tags, ["a", "b", "c"]);
    assert_eq!(registry.seen().len(), 2);
}

#[test]
fn two_that_pull_the_same_blob_into_one_folder_pull_it_once() {
    let Some(server) = Server::start(
        "two_that_pull_the_same_blob_into_one_folder_pull_it_once",
        false,
    ) else {
        return;
    };
    let pushed = content(9);
    with(&server.host, None, |registry, folder| {
        let (file, layer) = blob(folder, &pushed);
        registry.push_blob(&layer, &file, None).unwrap();
        let other = Registry::open_as(
            None,
            TokenServices::default(),
            registry.reference,
            false,
            registry.kept.clone(),
            &Silent,
        )
        .unwrap();
        std::thread::scope(|scope| {
            let pulls =
                [registry, &other].map(|registry| scope.spawn(|| registry.fetch(&layer).unwrap()));
            for pull in pulls {
                assert_eq!(fs_err::read(pull.join().unwrap()).unwrap(), pushed);
            }
        });
        let received = [registry, &other].map(|registry| registry.transferred().received_bytes);
        assert_eq!(received.iter().sum::<u64>(), pushed.len() as u64);
        let left = fs_err::read_dir(&registry.kept).unwrap();
        assert_eq!(left.count(), 1, "nothing but the blob is left");
    });
}
