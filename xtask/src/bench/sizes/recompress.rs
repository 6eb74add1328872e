//! What a layer would take if it were put together otherwise: other settings of zstd, another order, some files left
//! out. Nothing is written; the bytes are counted.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};

use oci::image::ImageLayer;
use oci::layer;
use oci::layer::zstd_settings::Zstd;

/// The tar of a layer, unpacked in a file, and where its entries are.
#[derive(Debug)]
pub struct Tar {
    file: Utf8PathBuf,
    entries: Vec<Entry>,
}

/// A file in a tar, with its header.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Path relative to the root of the image.
    pub path: Utf8PathBuf,
    /// Size of the content in bytes.
    pub size_bytes: u64,
    begin: u64,
    end: u64,
}

impl Tar {
    /// Decompresses `layer` to `file`.
    pub fn unpack(layer: &ImageLayer, file: &Utf8Path) -> Result<Self> {
        let mut reader = layer::reader(&layer.blob, layer.compression)?;
        io::copy(&mut reader, &mut fs_err::File::create(file)?)
            .with_context(|| format!("failed to decompress {}", layer.blob))?;
        let mut archive = tar::Archive::new(fs_err::File::open(file)?);
        let (mut entries, mut begin) = (Vec::new(), 0);
        for entry in archive.entries_with_seek()? {
            let entry = entry.with_context(|| format!("failed to read {}", layer.blob))?;
            let path = Utf8PathBuf::try_from(entry.path()?.into_owned())?;
            let size_bytes = entry.size();
            // A long path has entries of its own before that of the file.
            let end = entry.raw_file_position() + size_bytes.next_multiple_of(512);
            if entry.header().entry_type().is_file() {
                entries.push(Entry {
                    path,
                    size_bytes,
                    begin,
                    end,
                });
            }
            begin = end;
        }
        Ok(Self {
            file: file.to_owned(),
            entries,
        })
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// Bytes that `files`, in their order, would take as one compressed archive.
pub fn compressed(files: &[(&Tar, &Entry)], zstd: Zstd) -> Result<u64> {
    let mut encoder = zstd.encoder(Count(0))?;
    let mut open: Option<(&Utf8Path, fs_err::File)> = None;
    for (tar, entry) in files {
        if open.as_ref().is_none_or(|(path, _)| *path != tar.file) {
            open = Some((&tar.file, fs_err::File::open(&tar.file)?));
        }
        let (_, file) = open.as_mut().context("a file was just opened")?;
        file.seek(SeekFrom::Start(entry.begin))?;
        io::copy(&mut file.take(entry.end - entry.begin), &mut encoder)?;
    }
    Ok(encoder.finish()?.0)
}

/// Counts what is written.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0 += data.len() as u64;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Files, each with the archive that holds it.
pub type Files<'a> = Vec<(&'a Tar, &'a Entry)>;

#[cfg(test)]
mod tests {
    use super::*;
    use oci::layer::CompressionSettings;
    use oci::layer::zstd_settings::Far;
    use oci::layer::{Compression, LayerWriter, Meta};

    const META: Meta = Meta {
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 0,
    };
    const ZSTD: Zstd = Zstd {
        level: 3,
        window_log: 20,
        far: Far::Samples,
    };

    #[test]
    fn every_byte_of_a_layer_is_accounted_for() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let settings = CompressionSettings {
            zstd_level: 3,
            zstd_window_log: 20,
            zstd_table_log: 16,
            gzip_level: 6,
        };
        let blob = folder.join("blob");
        let mut writer = LayerWriter::create(&blob, Compression::Zstd, settings, |_| META).unwrap();
        let long = format!("var/{}/b", "x".repeat(150));
        for path in ["var/a", &long] {
            writer
                .bytes(Utf8Path::new(path), &[b'x'; 700], META)
                .unwrap();
        }
        let written = writer.finish().unwrap();
        let layer = ImageLayer {
            blob,
            compression: Some(Compression::Zstd),
            size_bytes: written.size_bytes,
        };
        let tar = Tar::unpack(&layer, &folder.join("tar")).unwrap();
        let found: Vec<_> = tar
            .entries()
            .iter()
            .map(|entry| (entry.path.as_str(), entry.size_bytes))
            .collect();
        assert_eq!(found, [("var/a", 700), (&long, 700)]);
        // Two folders and the end of the archive belong to no file.
        let bytes: u64 = tar
            .entries()
            .iter()
            .map(|entry| entry.end - entry.begin)
            .sum();
        assert!(bytes < written.uncompressed_bytes);
        assert_eq!(bytes % 512, 0);
        let files: Vec<_> = tar.entries().iter().map(|entry| (&tar, entry)).collect();
        let both = compressed(&files, ZSTD).unwrap();
        assert!(
            both > 0
                && both
                    < compressed(&files[..1], ZSTD).unwrap()
                        + compressed(&files[1..], ZSTD).unwrap()
        );
    }
}
