//! Where tools come from, and what works with those of each source.

mod pulumi;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use xshell::{Cmd, cmd};

use crate::sources::small;
use crate::support::image::Layout;
use crate::support::kept::{FOUNDATION, Kept};
use crate::support::run::{fail, folder, shell, succeed, succeed_with_both, workspace};
use crate::verify::Built;

/// A release of Pulumi with both executables, as a `.tar.gz`.
fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
        Vec::new(),
        flate2::Compression::fast(),
    ));
    for name in ["pulumi", "pulumi-language-go", "pulumi-language-nodejs"] {
        let content = format!("#!/bin/sh\necho {name} of the release\n");
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        tar.append_data(&mut header, format!("pulumi/{name}"), content.as_bytes())
            .unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// Answers every request with `status` and, unless only the head is wanted, `body`; returns the server's address.
fn serve(status: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let body = Arc::new(body);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, body) = (stream.unwrap(), Arc::clone(&body));
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let read = stream.read(&mut request).unwrap();
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                )
                .unwrap();
                if !request[..read].starts_with(b"HEAD") {
                    stream.write_all(&body).unwrap();
                }
            });
        }
    });
    format!("http://{address}")
}

/// A copy of `image.toml` whose release of Pulumi is that of `server`, with this digest.
fn image_toml(place: &Utf8Path, server: &str, sha256: &str) -> Utf8PathBuf {
    let shipped = workspace().join("base-images/iac-runner");
    let sh = shell();
    succeed(cmd!(sh, "cp -r {shipped}/tools {place}"));
    let text = fs_err::read_to_string(shipped.join("image.toml")).unwrap();
    let text: Vec<String> = text
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some(("url", address)) if address.contains("pulumi") => {
                format!("url = \"{server}/pulumi-v{{version}}-{{os}}-{{arch}}.tar.gz\"")
            }
            Some((platform, _)) if platform.starts_with("\"linux/") => {
                format!("{platform} = \"{sha256}\"")
            }
            _ => line.to_owned(),
        })
        .collect();
    let image = place.join("image.toml");
    fs_err::write(&image, text.join("\n")).unwrap();
    image
}

/// Makes the pack of the tools in kept work of its own, at `out`, and hands the command on.
fn warm_tools<T>(
    image: &Utf8Path,
    out: &Utf8Path,
    flags: &[&str],
    run: impl FnOnce(Cmd<'_>) -> T,
) -> T {
    Built::get();
    let (kept, sh) = (Kept::linked(&FOUNDATION), shell());
    sh.set_var("XDG_CACHE_HOME", kept.cache_home());
    let (_folder, source) = folder();
    small(&source);
    run(cmd!(
        sh,
        "cargo xtask warm --source {source} --image {image} --zstd-level 1 --provider tools --out {out} {flags...}"
    ))
}

/// The pack of the tools, and what making it said.
fn tools_pack(image: &Utf8Path, flags: &[&str]) -> (Value, String) {
    let (_folder, place) = folder();
    let out = place.join("packs");
    let (_, said) = warm_tools(image, &out, flags, succeed_with_both);
    let mut packs = Layout::at(&out).packs();
    assert_eq!(packs.len(), 1);
    (packs.remove(0).config, said)
}

/// What a pack says of where a tool comes from, after its version.
fn source_of<'a>(pack: &'a Value, tool: &str) -> &'a str {
    let described = pack["tools"][tool].as_str().unwrap();
    described.split_once(' ').unwrap().1
}

#[test]
fn a_release_is_taken_whose_server_answers_and_whose_digest_is_right() {
    let (_folder, place) = folder();
    let archive = archive();
    let digest = sha256::Sha256Hash::of(&archive).to_string();
    let server = serve("200 OK", archive);
    let image = image_toml(&place, &server, &digest);
    for flags in [&[][..], &["--tools", "release"]] {
        let (pack, said) = tools_pack(&image, flags);
        assert_eq!(pack["tools"]["pulumi"], "3.221.0 (release)");
        assert_eq!(source_of(&pack, "opentofu"), "(module-proxy)");
        assert!(!said.contains("is compiled from Go modules"), "{said}");
    }
    let (pack, _) = tools_pack(&image, &["--tools", "module-proxy"]);
    assert_eq!(source_of(&pack, "pulumi"), "(module-proxy)");
}

#[test]
fn a_server_that_cannot_be_reached_is_said_with_what_the_compiled_tool_lacks() {
    let (_folder, place) = folder();
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let image = image_toml(&place, &format!("http://{closed}"), &"0".repeat(64));
    let (pack, said) = tools_pack(&image, &[]);
    assert_eq!(source_of(&pack, "pulumi"), "(module-proxy)");
    for part in [
        "is compiled from Go modules",
        "cannot be reached",
        "`pulumi package add`",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_wrong_digest_and_a_refusing_server_always_fail() {
    let (_folder, place) = folder();
    let out = place.join("packs");
    for (status, code, part) in [
        ("200 OK", 4, "has the SHA-256"),
        ("404 Not Found", 1, "404"),
    ] {
        let image = image_toml(&place, &serve(status, archive()), &"0".repeat(64));
        let said = warm_tools(&image, &out, &[], |warm| fail(warm, code));
        assert!(said.contains(part), "{said}");
        assert!(!out.exists());
    }
}
