//! Registries that never come to an end: each is left after so many bytes or requests, with a word on why.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Error;

use super::proxy::{Act, Proxy, answer};
use super::{blob, content, describe, runner, with};
use crate::blob::Blobs as _;

/// As many bytes of a response may be on their way beyond the last one that is taken.
const BUFFERED: u64 = 16 << 20;

/// The message of `error`, which ends the program with `code`.
fn said(error: &Error, code: u8) -> String {
    let said = failure::text(error);
    assert_eq!(failure::kind(error, &[]).exit_code(), code, "{said}");
    said
}

/// A server whose every response begins with `head` and has no end, and the bytes that it got rid of.
fn endless(head: &'static str) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let sent = Arc::new(AtomicU64::new(0));
    let total = Arc::clone(&sent);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let total = Arc::clone(&total);
            std::thread::spawn(move || {
                let mut client = client?;
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    client.read_exact(&mut byte)?;
                    request.push(byte[0]);
                }
                client.write_all(head.as_bytes())?;
                client.write_all(b"\r\n\r\n")?;
                let piece = vec![b' '; 1 << 16];
                loop {
                    total.fetch_add(1 << 16, Ordering::Relaxed);
                    client.write_all(&piece)?;
                }
                #[expect(unreachable_code, reason = "it names the type of the errors")]
                Ok::<_, std::io::Error>(())
            });
        }
    });
    (host, sent)
}

#[test]
fn a_document_without_end_is_not_read() {
    const MEGABYTE: u64 = 1 << 20;
    let denied = "HTTP/1.1 403 Forbidden\r\nConnection: close";
    let manifest = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.manifest.v1+json";
    for (head, most) in [(manifest, 32 * MEGABYTE), (denied, MEGABYTE)] {
        for ask in ["find", "manifest", "tags"] {
            let (host, sent) = endless(head);
            let refused = with(&host, None, |registry, _| match ask {
                "find" => registry.find().unwrap_err(),
                "manifest" => registry.manifest("1").unwrap_err(),
                _ => registry.tags().unwrap_err(),
            });
            let refused = said(&refused, 4);
            assert!(
                refused.contains(&format!("more than {most} bytes")),
                "{refused}"
            );
            let sent = sent.load(Ordering::Relaxed);
            assert!(sent <= most + BUFFERED, "{ask}: {sent}");
        }
    }
}

#[test]
fn a_token_without_end_is_not_read() {
    let token = vec![b' '; 3 << 20];
    let host = Arc::new(std::sync::Mutex::new(String::new()));
    let own = Arc::clone(&host);
    let registry = Proxy::alone(move |request, _| {
        if request.is("GET", "/token") {
            return answer("200 OK", &[], &token);
        }
        let realm = format!("Bearer realm=\"http://{}/token\"", own.lock().unwrap());
        answer("401 Unauthorized", &[("WWW-Authenticate", &realm)], b"")
    });
    registry.host.clone_into(&mut host.lock().unwrap());
    with(&registry.host, Some(runner()), |registry, _| {
        let refused = said(&registry.tags().unwrap_err(), 4);
        assert!(refused.contains("more than 1048576 bytes"), "{refused}");
        let received = registry.transferred().received_bytes;
        assert!(received < 2 << 20, "{received}");
    });
    assert_eq!(registry.seen().len(), 2);
}

#[test]
fn tags_without_end_are_not_listed() {
    let next = |page: usize| format!("</v2/team/runner/tags/list?last={page}>; rel=\"next\"");
    let tags = |page: usize, count: usize| {
        let tags: Vec<String> = (0..count).map(|tag| format!("t{page}.{tag}")).collect();
        serde_json::json!({ "tags": tags }).to_string()
    };
    let junk = format!(
        "{{\"junk\": \"{}\", \"tags\": [\"TAG\"]}}",
        "x".repeat(10 << 20)
    );
    for (kind, reason, requests) in [
        ("one new tag on each page", "more than 1000 pages", 1000),
        ("many new tags on each page", "more than 100000", 11),
        ("large pages", "more than 33554432 bytes", 4),
        ("pages without a tag", "no new ones", 1),
        ("the same tags", "no new ones", 2),
        ("a link to itself", "no new ones", 2),
        ("another host", "nobody named", 1),
    ] {
        let junk = junk.clone();
        let registry = Proxy::alone(move |_, page| {
            let (link, body) = match kind {
                "one new tag on each page" => (next(page), tags(page, 1)),
                "many new tags on each page" => (next(page), tags(page, 10_000)),
                "large pages" => (next(page), junk.replace("TAG", &format!("t{page}"))),
                "pages without a tag" => (next(page), tags(page, 0)),
                "the same tags" => (next(page), tags(0, 5)),
                "a link to itself" => (next(0), tags(0, 5)),
                _ => (
                    next(page).replace("</v2", "<http://127.0.0.1:1/v2"),
                    tags(page, 5),
                ),
            };
            answer("200 OK", &[("Link", &link)], body.as_bytes())
        });
        with(&registry.host, None, |registry, _| {
            let code = if kind == "another host" { 1 } else { 4 };
            let refused = said(&registry.tags().unwrap_err(), code);
            assert!(refused.contains(reason), "{kind}: {refused}");
            assert!(registry.transferred().received_bytes < 50 << 20, "{kind}");
        });
        assert_eq!(registry.seen().len(), requests, "{kind}");
    }
}

#[test]
fn one_byte_for_each_connection_is_no_progress() {
    let whole = content(1);
    let layer = describe(&whole);
    let length = whole.len();
    let registry = Proxy::alone(move |request, _| {
        let range = request.header("range").unwrap_or("bytes=0-");
        let start: usize = range["bytes=".len()..]
            .trim_end_matches('-')
            .parse()
            .unwrap();
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            length - start
        );
        Act::Answer(head, whole[start..=start].to_vec())
    });
    with(&registry.host, None, |registry, _| {
        let refused = said(&registry.fetch(&layer).unwrap_err(), 1);
        assert!(refused.contains("gave up after 6 tries"), "{refused}");
        assert!(
            refused.contains("cut off after 6 of 1048576 bytes"),
            "{refused}"
        );
    });
    assert_eq!(registry.seen().len(), 6);
}

#[test]
fn one_byte_taken_of_each_chunk_is_no_progress() {
    let taken = AtomicU64::new(0);
    let registry = Proxy::alone(move |request, _| {
        let here = ("Location", "/v2/team/runner/blobs/uploads/1");
        if request.is("HEAD", "") {
            return answer("404 Not Found", &[], b"");
        }
        if request.is("PATCH", "") {
            let last = taken.fetch_add(1, Ordering::Relaxed) + 1;
            return answer(
                "202 Accepted",
                &[here, ("Range", &format!("0-{last}"))],
                b"",
            );
        }
        answer("202 Accepted", &[here], b"")
    });
    with(&registry.host, None, |registry, folder| {
        let (file, layer) = blob(folder, &content(1));
        let refused = said(&registry.push_blob(&layer, &file, None).unwrap_err(), 1);
        assert!(refused.contains("took 1 bytes of a chunk"), "{refused}");
    });
    assert_eq!(registry.count("PATCH", ""), 6);
}

#[test]
fn more_than_fits_on_the_disk_is_not_asked_for() {
    let registry = Proxy::alone(|_, _| answer("200 OK", &[], b"x"));
    let one = describe(b"x");
    let huge =
        oci_spec::image::Descriptor::new(one.media_type().clone(), 1 << 60, one.digest().clone());
    with(&registry.host, None, |registry, _| {
        let refused = said(&registry.fetch(&huge).unwrap_err(), 1);
        assert!(refused.contains("1152921504606846976 bytes"), "{refused}");
    });
    assert_eq!(registry.seen().len(), 0);
}

#[test]
fn what_a_registry_says_does_not_drive_the_terminal() {
    let registry = Proxy::alone(|_, _| {
        let why = br#"{"errors": [{"code": "DENIED", "message": "\u001b]0;owned\u0007 \u009b2J \u202e"}]}"#;
        answer("403 Forbidden", &[], why)
    });
    with(&registry.host, None, |registry, _| {
        let refused = said(&registry.tags().unwrap_err(), 1);
        assert!(refused.contains("DENIED"), "{refused}");
        assert!(!refused.contains(failure::is_hidden), "{refused:?}");
    });
}
