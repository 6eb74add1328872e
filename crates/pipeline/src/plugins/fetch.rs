//! Fetches the archives that a lock does not know, and what it does not know of them; or takes that from a table.
//!
//! What a server sends the first time is believed, as with go.sum, and reviewed with the lock; from then on the digest
//! counts. One plugin that cannot be had does not keep the others out of the lock.

use std::collections::BTreeSet;

use anyhow::{Context as _, Error, Result};
use oci::http;
use oci::platform::Platform;
use sha256::hash_file;

use crate::plugins::lock::{Lock, Locked, MAX_ARCHIVE_BYTES};
use crate::plugins::plugin::Plugin;
use crate::plugins::published::Published;
use crate::plugins::{address, archive};
use crate::work::Work;

/// The architectures for which images are made.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// Fetches each of `plugins` for each platform and adds it to `lock`; what went wrong with which. `told` hears what is
/// fetched now.
pub fn into_lock(
    work: &Work,
    lock: &mut Lock,
    plugins: &BTreeSet<Plugin>,
    told: &dyn Fn(&str),
) -> Vec<Error> {
    add_each(lock, plugins, |plugin, platform| {
        fetch(work, plugin, platform, told)
    })
}

/// Adds to `lock` what `table` says of each of `plugins` for each platform, and fetches nothing; what went wrong with
/// which.
pub fn from_table(table: &Published, lock: &mut Lock, plugins: &BTreeSet<Plugin>) -> Vec<Error> {
    add_each(lock, plugins, |plugin, platform| {
        table.find(plugin, platform)
    })
}

fn add_each(
    lock: &mut Lock,
    plugins: &BTreeSet<Plugin>,
    find: impl Fn(&Plugin, &Platform) -> Result<Locked>,
) -> Vec<Error> {
    let mut failures = Vec::new();
    for plugin in plugins {
        for arch in ARCHITECTURES {
            let platform = Platform {
                os: "linux".to_owned(),
                arch: arch.to_owned(),
            };
            let added = find(plugin, &platform).and_then(|locked| lock.add(locked));
            let (name, version) = (&plugin.name, &plugin.version);
            let added =
                added.with_context(|| format!("the plugin {name} {version} for {platform}"));
            failures.extend(added.err());
        }
    }
    failures
}

/// The archive of the plugin, which was fetched, looked at and let go.
fn fetch(work: &Work, plugin: &Plugin, platform: &Platform, told: &dyn Fn(&str)) -> Result<Locked> {
    let url = address::of_locked(plugin, platform)?;
    told(&url);
    let scratch = work.scratch("plugin")?;
    let file = scratch.path().join("archive");
    http::download(&url, MAX_ARCHIVE_BYTES, &mut fs_err::File::create(&file)?)?;
    let (sha256, size_bytes) = hash_file(&file)?;
    let locked = Locked {
        name: plugin.name.clone(),
        version: plugin.version.clone(),
        platform: platform.to_string(),
        sha256,
        size_bytes: Some(size_bytes),
        url,
    };
    let files = scratch.path().join("files");
    fs_err::create_dir(&files)?;
    archive::unpack(&file, &locked, &files)?;
    Ok(locked)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use camino::Utf8Path;
    use tar::EntryType;

    use super::*;
    use crate::plugins::archive::tests::{elf, tar_gz};

    /// A server that has an archive of `toy` 1.0.0 for each architecture, with these bytes in it, and nothing else.
    fn server(content: &'static [u8]) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let machine = if request.contains("arm64") { 183 } else { 62 };
                let program = [&elf(machine), content].concat();
                let archive = tar_gz(&[("pulumi-resource-toy", EntryType::Regular, &program)]);
                let (status, body) = if request.contains("resource-toy-v1.0.0-linux-") {
                    ("200 OK", &archive[..])
                } else {
                    ("404 Not Found", &b""[..])
                };
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let _written = stream.write_all(&[head.as_bytes(), body].concat());
            }
        });
        url
    }

    fn plugins(server: &str, names: &[&str]) -> BTreeSet<Plugin> {
        let plugin = |name: &&str| Plugin::new(name, "1.0.0", Some(server)).unwrap();
        names.iter().map(plugin).collect()
    }

    fn lock(lock: &mut Lock, plugins: &BTreeSet<Plugin>) -> Vec<Error> {
        let folder = tempfile::tempdir().unwrap();
        let work = Work::open_at(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
        into_lock(&work, lock, plugins, &|_| {})
    }

    #[test]
    fn what_can_be_had_is_locked_for_each_platform_and_what_cannot_is_named() {
        let mut found = Lock::default();
        let failures = lock(&mut found, &plugins(&server(b"one"), &["absent", "toy"]));
        let text = found.to_string();
        assert_eq!(text.matches("\ntoy 1.0.0 linux/").count(), 2, "{text}");
        let said: Vec<String> = failures.iter().map(|error| format!("{error:#}")).collect();
        for (said, platform) in said.iter().zip(["linux/amd64", "linux/arm64"]) {
            let name = format!("the plugin absent 1.0.0 for {platform}: ");
            assert!(said.starts_with(&name) && said.contains("404"), "{said}");
        }
        assert_eq!(said.len(), 2);
        let before = found.clone();
        assert!(lock(&mut found, &plugins("http://127.0.0.1:9", &["toy"])).len() == 2);
        assert_eq!(found, before, "without a server nothing changes");
    }

    #[test]
    fn another_archive_under_a_known_version_is_an_error() {
        let mut found = Lock::default();
        assert!(lock(&mut found, &plugins(&server(b"one"), &["toy"])).is_empty());
        let before = found.clone();
        let failures = lock(&mut found, &plugins(&server(b"two"), &["toy"]));
        assert_eq!(failures.len(), 2);
        for error in failures {
            assert_eq!(
                failure::kind(&error, &[]),
                failure::Kind::Corrupt,
                "{error:#}"
            );
            assert!(
                failure::text(&error).contains("has the SHA-256"),
                "{error:#}"
            );
        }
        assert_eq!(found, before);
    }

    #[test]
    fn what_has_no_address_says_so() {
        let failures = lock(&mut Lock::default(), &plugins("git://toy.test/a", &["toy"]));
        assert_eq!(failure::kind(&failures[0], &[]), failure::Kind::Usage);
    }
}
