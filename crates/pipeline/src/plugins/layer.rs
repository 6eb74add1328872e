//! A plugin as a layer of the image: its own, so that providers that need the same one share a blob.

use anyhow::Result;
use camino::Utf8Path;
use gocache::image_info::PLUGINS_PATH;
use oci::layer::{Compression, LayerBlob, LayerWriter};

use crate::foundation::download::{self, Wanted};
use crate::foundation::not_kept;
use crate::image_toml::ImageToml;
use crate::owners::{Owners, relative};
use crate::plugins::lock::{Locked, MAX_ARCHIVE_BYTES};
use crate::plugins::{LOCK, archive};
use crate::work::files::files_below;
use crate::work::{Key, Work, kept_layer};

/// The kind of kept work.
const KIND: &str = "plugin";

/// Raised when what is in the layer changes although its inputs do not.
const FORMAT: u32 = 1;

/// Makes layers of plugins, or finds them kept.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    /// Kept work.
    pub work: &'a Work,
    /// How the image compresses, and which times it has.
    pub image: &'a ImageToml,
    /// Whether the network is out of bounds.
    pub offline: bool,
}

impl Layers<'_> {
    /// Digest of all that the layer is made from. Where the archive comes from is no part of it.
    pub fn key(&self, plugin: &Locked) -> Result<Key> {
        let (name, version) = (&plugin.name, &plugin.version);
        let archive = (name, version, &plugin.platform, plugin.sha256);
        let looks = (self.image.layers, self.image.image.epoch);
        Key::of(&(KIND, FORMAT, archive, looks, PLUGINS_PATH))
    }

    /// Whether it is kept.
    pub fn is_kept(&self, plugin: &Locked) -> Result<bool> {
        Ok(self.work.kept(KIND, &self.key(plugin)?)?.is_some())
    }

    /// Keeps a layer that another machine made.
    pub fn restore(&self, plugin: &Locked, layer: &LayerBlob) -> Result<()> {
        self.work.keep(KIND, &self.key(plugin)?, |folder| {
            kept_layer::restore(&plugin.name, std::slice::from_ref(layer), folder)
        })?;
        Ok(())
    }

    /// The layer, fetched and made where it is not kept; `told` hears what is fetched.
    pub fn make(&self, plugin: &Locked, told: &dyn Fn(&str)) -> Result<LayerBlob> {
        let folder = self.work.keep(KIND, &self.key(plugin)?, |folder| {
            told(&plugin.url);
            if self.offline {
                return Err(not_kept(&plugin.url));
            }
            let scratch = self.work.scratch("plugin")?;
            let archive = scratch.path().join("archive");
            fetch(plugin, &archive)?;
            let files = scratch.path().join("files");
            fs_err::create_dir(&files)?;
            archive::unpack(&archive, plugin, &files)?;
            write(self.image, plugin, &files, folder)
        })?;
        kept_layer::read(&folder)
    }
}

/// Fetches the archive to `to`.
fn fetch(plugin: &Locked, to: &Utf8Path) -> Result<()> {
    let wanted = Wanted {
        url: &plugin.url,
        sha256: plugin.sha256,
        named_in: LOCK,
        max_bytes: plugin.size_bytes.unwrap_or(MAX_ARCHIVE_BYTES),
    };
    download::fetch(&wanted, to)
}

/// Writes the layer of the files in `from` to `folder`.
fn write(image: &ImageToml, plugin: &Locked, from: &Utf8Path, folder: &Utf8Path) -> Result<()> {
    let owners = Owners(image);
    let mut layer = LayerWriter::create(
        &folder.join(kept_layer::FILE),
        Compression::Zstd,
        image.layers,
        |path: &Utf8Path| owners.folder(path),
    )?;
    let place = relative(Utf8Path::new(PLUGINS_PATH)).join(plugin.folder());
    for file in files_below(from)? {
        let (source, path) = (from.join(&file), place.join(&file));
        let metadata = fs_err::metadata(&source)?;
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        layer.file(&path, &source, owners.file(&path, mode & 0o100 != 0))?;
    }
    kept_layer::write(folder, &layer.finish()?)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use tar::EntryType;

    use super::*;
    use crate::fixtures;
    use crate::plugins::archive::tests::{elf, locked, tar_gz};

    /// Answers every request with `answer`, and returns the address.
    fn serve(answer: Vec<u8>) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/a.tar.gz", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _read = stream.read(&mut [0; 4096]);
                let _written = stream.write_all(&answer);
            }
        });
        url
    }

    fn ok(body: &[u8], length: usize) -> Vec<u8> {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    /// The layer of a plugin with this archive, whose server answers so; and the result of a second try.
    fn make(archive: &[u8], answer: Vec<u8>) -> (Result<LayerBlob>, bool) {
        let folder = tempfile::tempdir().unwrap();
        let work = Work::open_at(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
        let image = fixtures::image();
        let layers = Layers {
            work: &work,
            image: &image,
            offline: false,
        };
        let plugin = locked(archive, &serve(answer));
        let made = layers.make(&plugin, &|_| {});
        let is_kept = layers.is_kept(&plugin).unwrap();
        (made, is_kept)
    }

    fn archive() -> Vec<u8> {
        tar_gz(&[("pulumi-resource-toy", EntryType::Regular, &elf(62))])
    }

    #[test]
    fn the_layer_of_an_archive_is_made_once_and_is_always_the_same() {
        let archive = archive();
        let made = || make(&archive, ok(&archive, archive.len()));
        let ((one, is_kept), (other, _)) = (made(), made());
        assert_eq!(one.unwrap().layer.digest, other.unwrap().layer.digest);
        assert!(is_kept);
    }

    #[test]
    fn a_server_that_lies_cuts_or_sends_elsewhere_leaves_nothing() {
        let archive = archive();
        let mut lie = archive.clone();
        *lie.last_mut().unwrap() ^= 1;
        let more = [&archive[..], b"more"].concat();
        let elsewhere =
            "HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/a\r\nContent-Length: 0\r\n\r\n";
        for (answer, reason) in [
            (ok(&lie, lie.len()), "but plugins.lock names"),
            (ok(&more, more.len()), "more than"),
            (ok(&archive[..40], archive.len()), "failed to fetch"),
            (ok(&archive[..40], 40), "but plugins.lock names"),
            (elsewhere.into(), "elsewhere.test/a is refused"),
            (
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(),
                "404",
            ),
        ] {
            let (made, is_kept) = make(&archive, answer);
            let error = made.unwrap_err();
            assert!(format!("{error:#}").contains(reason), "{error:#}");
            assert!(!is_kept, "{reason}");
        }
    }

    #[test]
    fn a_right_digest_does_not_make_a_wrong_archive_a_plugin() {
        let wrong = tar_gz(&[("pulumi-resource-toy", EntryType::Regular, &elf(183))]);
        let (made, is_kept) = make(&wrong, ok(&wrong, wrong.len()));
        let said = failure::text(&made.unwrap_err());
        assert!(said.contains("is for linux/arm64") && !is_kept, "{said}");
    }
}
