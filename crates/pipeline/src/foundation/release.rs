//! Release archives: fetched, checked against the digest that `image.toml` names, and unpacked.

use anyhow::{Context as _, Result, anyhow, bail};
use camino::Utf8Path;
use oci::platform::Platform;

use crate::foundation::download::{self, Wanted};
use crate::image_toml::Release;
use crate::work::Key;

/// The kind of kept work.
pub const KIND: &str = "release";

/// The key of what is taken out of an archive.
pub fn key(url: &str, sha256: &str, binaries: &[String]) -> Result<Key> {
    Key::of(&(url, sha256, binaries))
}

impl Release {
    /// The address of the archive of the tool's version.
    pub fn url(&self, version: &str, platform: &Platform) -> String {
        let arch = self.arch.get(&platform.arch).unwrap_or(&platform.arch);
        self.url
            .replace("{version}", version)
            .replace("{os}", &platform.os)
            .replace("{arch}", arch)
    }
}

/// More bytes than any archive has: whatever answers instead of the release does not fill the disk.
const MAX_BYTES: u64 = 2 << 30;

/// Fetches the `.tar.gz` at `url`, which must have the SHA-256 `wanted` (hex), and takes the files named `binaries` out
/// of it, wherever in it they are.
pub fn unpack(url: &str, wanted: &str, binaries: &[String], to: &Utf8Path) -> Result<()> {
    let archive = to.join("archive");
    let sha256 = wanted.to_ascii_lowercase().parse();
    let sha256 = sha256.map_err(|_| anyhow!("{wanted:?}, of {url}, is no SHA-256"))?;
    let wanted = Wanted {
        url,
        sha256,
        named_in: "image.toml",
        max_bytes: MAX_BYTES,
    };
    download::fetch(&wanted, &archive)?;
    extract(&archive, binaries, to).with_context(|| format!("failed to unpack {url}"))?;
    Ok(fs_err::remove_file(&archive)?)
}

fn extract(archive: &Utf8Path, binaries: &[String], to: &Utf8Path) -> Result<()> {
    let mut missing: Vec<&str> = binaries.iter().map(String::as_str).collect();
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(fs_err::File::open(archive)?));
    for entry in tar.entries()? {
        let mut entry = entry?;
        let name = entry
            .path()?
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let Some(found) = missing
            .iter()
            .position(|binary| Some(*binary) == name.as_deref())
        else {
            continue;
        };
        if entry.header().entry_type().is_file() {
            let binary = missing.swap_remove(found);
            let mut file = fs_err::File::create(to.join(binary))?;
            std::io::copy(&mut entry, &mut file)?;
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        bail!("it holds no file named {}", missing.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// An archive with one executable, in a folder as releases have it.
    fn archive() -> Vec<u8> {
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o755);
        tar.append_data(&mut header, "tool-1.0/bin/tool", &b"tool"[..])
            .unwrap();
        tar.into_inner().unwrap().finish().unwrap()
    }

    /// Serves `body` once on the loopback interface, and returns its address.
    fn serve(body: Vec<u8>) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).unwrap();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&body).unwrap();
        });
        format!("http://{address}/tool-1.0-linux-amd64.tar.gz")
    }

    fn fetch(binary: &str, wanted: Option<&str>) -> (tempfile::TempDir, Result<()>) {
        let folder = tempfile::tempdir().unwrap();
        let archive = archive();
        let digest = sha256::Sha256Hash::of(&archive).to_string();
        let place = Utf8Path::from_path(folder.path()).unwrap();
        let done = unpack(
            &serve(archive),
            wanted.unwrap_or(&digest),
            &[binary.to_owned()],
            place,
        );
        (folder, done)
    }

    #[test]
    fn executables_are_taken_out_of_an_archive_with_the_right_digest() {
        let (folder, done) = fetch("tool", None);
        done.unwrap();
        assert_eq!(fs_err::read(folder.path().join("tool")).unwrap(), b"tool");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_digest_stops_the_build() {
        let wrong = "0".repeat(64);
        let (folder, done) = fetch("tool", Some(&wrong));
        let error = done.unwrap_err();
        assert!(error.to_string().contains(&wrong), "{error}");
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
        assert!(!folder.path().join("tool").exists());
    }

    #[test]
    fn an_archive_without_the_executable_is_refused_by_name() {
        let (_folder, done) = fetch("other", None);
        assert!(format!("{:#}", done.unwrap_err()).contains("no file named other"));
    }
}
