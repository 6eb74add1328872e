//! Reproducible layer blobs: tar, compressed and hashed in one pass.
//!
//! What goes in decides every byte that comes out: entries come in the caller's (sorted) order, times and owners are
//! given, and each folder above an entry is written with its own mode before it. The last point is not cosmetic:
//! Docker makes a folder that a layer leaves out anew, as root's and closed to everyone else.

pub mod zstd_settings;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sha256::Sha256Hash;
use tar::{EntryType, Header};

use self::zstd_settings::Zstd;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Small and fast; read by containerd, Docker from 23, podman and skopeo.
    Zstd,
    /// For older readers.
    Gzip,
}

/// `[layers]`.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Layers {
    /// Level of zstd.
    pub zstd_level: i32,
    /// log2 of zstd's window in bytes.
    pub zstd_window_log: u32,
    /// log2 of the entries of the tables in which zstd looks for repetitions.
    pub zstd_table_log: u32,
    /// Level of gzip.
    pub gzip_level: u32,
}

/// A layer blob in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// How it is compressed.
    pub compression: Compression,
    /// SHA-256 of the blob.
    pub digest: Sha256Hash,
    /// Size of the blob in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the uncompressed tar.
    pub diff_id: Sha256Hash,
    /// Size of the uncompressed tar in bytes.
    pub uncompressed_bytes: u64,
}

/// A layer, and where its blob is.
#[derive(Debug, Clone)]
pub struct LayerBlob {
    /// The blob.
    pub blob: Utf8PathBuf,
    /// Its digests and sizes.
    pub layer: Layer,
}

/// Mode, owner and time of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Unix time in seconds.
    pub mtime: u64,
}

/// Counts and hashes what passes through.
struct Hashed<W> {
    inner: W,
    hasher: Sha256,
    bytes: u64,
}

impl<W: Write> Hashed<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            bytes: 0,
        }
    }

    fn finish(self) -> (W, Sha256Hash, u64) {
        (
            self.inner,
            Sha256Hash::from_bytes(self.hasher.finalize().into()),
            self.bytes,
        )
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.hasher.update(&data[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

enum Compressor<W: Write> {
    Zstd(zstd::stream::write::Encoder<'static, W>),
    Gzip(GzEncoder<W>),
}

impl<W: Write> Compressor<W> {
    fn new(inner: W, compression: Compression, settings: Layers) -> io::Result<Self> {
        match compression {
            Compression::Zstd => Ok(Self::Zstd(Zstd::of(settings).encoder(inner)?)),
            Compression::Gzip => Ok(Self::Gzip(GzEncoder::new(
                inner,
                flate2::Compression::new(settings.gzip_level),
            ))),
        }
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(encoder) => encoder.write(data),
            Self::Gzip(encoder) => encoder.write(data),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.flush(),
            Self::Gzip(encoder) => encoder.flush(),
        }
    }
}

/// The stream behind a blob: uncompressed bytes in, a compressed file out, both hashed.
struct BlobWriter {
    path: Utf8PathBuf,
    compression: Compression,
    stream: Hashed<Compressor<Hashed<BufWriter<File>>>>,
}

impl BlobWriter {
    fn create(path: &Utf8Path, compression: Compression, settings: Layers) -> Result<Self> {
        let file = fs_err::File::create(path)?.into_parts().0;
        let blob = Hashed::new(BufWriter::with_capacity(1 << 20, file));
        let compressor = Compressor::new(blob, compression, settings)
            .context("failed to set up the compression of a layer")?;
        Ok(Self {
            path: path.to_owned(),
            compression,
            stream: Hashed::new(compressor),
        })
    }

    fn finish(self) -> Result<Layer> {
        let path = self.path;
        let written = (|| {
            let (compressor, diff_id, uncompressed_bytes) = self.stream.finish();
            let (mut buffer, digest, size_bytes) = compressor.finish()?.finish();
            buffer.flush()?;
            buffer.get_ref().sync_all()?;
            Ok::<_, io::Error>(Layer {
                compression: self.compression,
                digest,
                size_bytes,
                diff_id,
                uncompressed_bytes,
            })
        })();
        written.with_context(|| format!("failed to write {path}"))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.stream.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Writes one layer.
pub struct LayerWriter<F> {
    tar: tar::Builder<BlobWriter>,
    path: Utf8PathBuf,
    folders: BTreeSet<Utf8PathBuf>,
    meta_of_folder: F,
}

impl<F: Fn(&Utf8Path) -> Meta> LayerWriter<F> {
    /// A layer that becomes the file `path`. `meta_of_folder` gives mode, owner and time of the folders above its
    /// entries; paths are relative to the root of the image.
    pub fn create(
        path: &Utf8Path,
        compression: Compression,
        settings: Layers,
        meta_of_folder: F,
    ) -> Result<Self> {
        let tar = tar::Builder::new(BlobWriter::create(path, compression, settings)?);
        Ok(Self {
            tar,
            path: path.to_owned(),
            folders: BTreeSet::new(),
            meta_of_folder,
        })
    }

    /// Adds the folder `path` and those above it, each once.
    pub fn folder(&mut self, path: &Utf8Path) -> Result<()> {
        let missing: Vec<&Utf8Path> = path
            .ancestors()
            .filter(|folder| !folder.as_str().is_empty() && !self.folders.contains(*folder))
            .collect();
        for folder in missing.into_iter().rev() {
            let mut header = header(EntryType::Directory, (self.meta_of_folder)(folder), 0);
            self.append(
                &mut header,
                &Utf8PathBuf::from(format!("{folder}/")),
                io::empty(),
            )?;
            self.folders.insert(folder.to_owned());
        }
        Ok(())
    }

    /// Adds the file `source` as `path`; returns its digest and size.
    pub fn file(
        &mut self,
        path: &Utf8Path,
        source: &Utf8Path,
        meta: Meta,
    ) -> Result<(Sha256Hash, u64)> {
        let file = fs_err::File::open(source)?;
        let size_bytes = file.metadata()?.len();
        let mut reader = HashedReader {
            inner: BufReader::with_capacity(1 << 18, file),
            hasher: Sha256::new(),
        };
        self.reader(path, &mut reader, size_bytes, meta)?;
        Ok((
            Sha256Hash::from_bytes(reader.hasher.finalize().into()),
            size_bytes,
        ))
    }

    /// Adds `content` as the file `path`.
    pub fn bytes(&mut self, path: &Utf8Path, content: &[u8], meta: Meta) -> Result<()> {
        self.reader(path, content, content.len() as u64, meta)
    }

    fn reader(
        &mut self,
        path: &Utf8Path,
        content: impl Read,
        size_bytes: u64,
        meta: Meta,
    ) -> Result<()> {
        self.parents(path)?;
        let mut header = header(EntryType::Regular, meta, size_bytes);
        self.append(&mut header, path, content)
    }

    /// Adds an entry of another archive as it is, but for its path.
    pub fn copy_entry(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        path: &Utf8Path,
    ) -> Result<()> {
        let context = || format!("failed to add {path} to {}", self.path);
        let mut header = header_like(entry.header()).with_context(context)?;
        let link = entry
            .link_name()
            .with_context(context)?
            .map(std::borrow::Cow::into_owned);
        match link {
            Some(target) => {
                let target = target
                    .strip_prefix(".")
                    .map(std::path::Path::to_owned)
                    .unwrap_or(target);
                self.tar
                    .append_link(&mut header, path, target)
                    .with_context(context)
            }
            None => self
                .tar
                .append_data(&mut header, path, entry)
                .with_context(context),
        }
    }

    /// Completes the blob.
    pub fn finish(self) -> Result<Layer> {
        self.tar
            .into_inner()
            .with_context(|| format!("failed to write {}", self.path))?
            .finish()
    }

    fn parents(&mut self, path: &Utf8Path) -> Result<()> {
        path.parent().map_or(Ok(()), |parent| self.folder(parent))
    }

    fn append(&mut self, header: &mut Header, path: &Utf8Path, content: impl Read) -> Result<()> {
        self.tar
            .append_data(header, path, content)
            .with_context(|| format!("failed to add {path} to {}", self.path))
    }
}

struct HashedReader<R> {
    inner: R,
    hasher: Sha256,
}

impl<R: Read> Read for HashedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

fn header(kind: EntryType, meta: Meta, size_bytes: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(meta.mode);
    header.set_uid(meta.uid.into());
    header.set_gid(meta.gid.into());
    header.set_mtime(meta.mtime);
    header.set_size(size_bytes);
    header
}

/// What a header says of its file, without the format's own fields.
fn header_like(other: &Header) -> io::Result<Header> {
    let kind = other.entry_type();
    let narrow = |value: u64| u32::try_from(value).map_err(io::Error::other);
    let meta = Meta {
        mode: other.mode()?,
        uid: narrow(other.uid()?)?,
        gid: narrow(other.gid()?)?,
        mtime: other.mtime()?,
    };
    Ok(header(
        kind,
        meta,
        if kind.is_file() { other.size()? } else { 0 },
    ))
}

/// The uncompressed tar of a layer, which may not have been compressed at all.
pub fn reader(blob: &Utf8Path, compression: Option<Compression>) -> Result<Box<dyn Read>> {
    let file = BufReader::with_capacity(1 << 20, fs_err::File::open(blob)?);
    Ok(match compression {
        Some(Compression::Zstd) => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(file)
                .with_context(|| format!("failed to read {blob}"))?;
            decoder
                .window_log_max(31)
                .with_context(|| format!("failed to read {blob}"))?;
            Box::new(BufReader::with_capacity(1 << 20, decoder))
        }
        Some(Compression::Gzip) => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        None => Box::new(file),
    })
}

/// Writes `blob` again under another compression; the tar inside stays the same.
pub fn transcode(
    blob: &Utf8Path,
    layer: &Layer,
    to: &Utf8Path,
    compression: Compression,
    settings: Layers,
) -> Result<Layer> {
    let mut writer = BlobWriter::create(to, compression, settings)?;
    let mut reader = reader(blob, Some(layer.compression))?;
    io::copy(&mut reader, &mut writer).with_context(|| format!("failed to copy {blob} to {to}"))?;
    let written = writer.finish()?;
    if written.diff_id != layer.diff_id {
        return Err(failure::corrupt(
            format!("{blob} does not unpack to what it was made from"),
            "remove it and run the same command again",
        ));
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unpack::unpack;
    use std::os::unix::fs::MetadataExt as _;

    const SETTINGS: Layers = Layers {
        zstd_level: 3,
        zstd_window_log: 20,
        zstd_table_log: 16,
        gzip_level: 6,
    };
    const FILE: Meta = Meta {
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 2_114_380_800,
    };

    fn write(folder: &Utf8Path, name: &str, compression: Compression) -> Layer {
        let source = folder.join("source");
        fs_err::write(&source, "content").unwrap();
        let meta = |_: &Utf8Path| Meta {
            mode: 0o775,
            uid: 0,
            gid: 0,
            mtime: 1_735_689_600,
        };
        let mut layer =
            LayerWriter::create(&folder.join(name), compression, SETTINGS, meta).unwrap();
        let (digest, size) = layer
            .file(Utf8Path::new("var/cache/a"), &source, FILE)
            .unwrap();
        assert_eq!(
            (digest, size),
            sha256::hash_reader(&b"content"[..]).unwrap()
        );
        let long = format!("var/cache/{}/b", "x".repeat(150));
        layer.bytes(Utf8Path::new(&long), b"more", FILE).unwrap();
        layer.finish().unwrap()
    }

    #[test]
    fn the_same_input_gives_the_same_bytes_and_unpacks() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        for compression in [Compression::Zstd, Compression::Gzip] {
            let layer = write(folder, "one", compression);
            assert_eq!(layer, write(folder, "two", compression));
            let (digest, size) =
                sha256::hash_reader(fs_err::File::open(folder.join("one")).unwrap()).unwrap();
            assert_eq!((layer.digest, layer.size_bytes), (digest, size));

            let root = folder.join(format!("{compression:?}"));
            fs_err::create_dir(&root).unwrap();
            let unpacked = unpack(&folder.join("one"), Some(compression), &root).unwrap();
            assert_eq!(unpacked, layer.uncompressed_bytes);
            assert_eq!(
                fs_err::read_to_string(root.join("var/cache/a")).unwrap(),
                "content"
            );
            let file = fs_err::metadata(root.join("var/cache/a")).unwrap();
            assert_eq!((file.mtime(), file.mode() & 0o777), (2_114_380_800, 0o644));
            let above = fs_err::metadata(root.join("var/cache")).unwrap();
            assert_eq!(above.mode() & 0o777, 0o775);
        }
    }

    #[test]
    fn transcoding_keeps_the_tar() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let zstd = write(folder, "zstd", Compression::Zstd);
        let gzip = transcode(
            &folder.join("zstd"),
            &zstd,
            &folder.join("gzip"),
            Compression::Gzip,
            SETTINGS,
        )
        .unwrap();
        assert_eq!(
            (gzip.diff_id, gzip.uncompressed_bytes),
            (zstd.diff_id, zstd.uncompressed_bytes)
        );
        assert_ne!(gzip.digest, zstd.digest);
    }
}
