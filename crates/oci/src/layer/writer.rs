//! Writes the tar of a layer.
//!
//! Entries come in the caller's (sorted) order, times and owners are given, and each folder above an entry is written
//! with its own mode before it. The last point is not cosmetic: Docker makes a folder that a layer leaves out anew, as
//! root's and closed to everyone else.

use std::collections::BTreeSet;
use std::io::{self, BufReader, Read};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use sha256::{HashingReader, Sha256Hash};
use tar::{EntryType, Header};

use super::SET_ID;
use super::blob::BlobWriter;
use super::compression::{Compression, CompressionSettings};
use super::description::Layer;

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
        settings: CompressionSettings,
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
        let mut reader = HashingReader::new(BufReader::with_capacity(1 << 18, file));
        self.reader(path, &mut reader, size_bytes, meta)?;
        Ok(reader.finish())
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

    /// Adds `path` as a symbolic link to `target`.
    pub fn link(&mut self, path: &Utf8Path, target: &Utf8Path, meta: Meta) -> Result<()> {
        self.link_of(EntryType::Symlink, path, target, meta)
    }

    /// Adds `path` as another name of the file `target`, which this layer has already; both have the same `meta`, for
    /// there is one file.
    pub fn hard_link(&mut self, path: &Utf8Path, target: &Utf8Path, meta: Meta) -> Result<()> {
        self.link_of(EntryType::Link, path, target, meta)
    }

    fn link_of(
        &mut self,
        kind: EntryType,
        path: &Utf8Path,
        target: &Utf8Path,
        meta: Meta,
    ) -> Result<()> {
        self.parents(path)?;
        let mut header = header(kind, meta, 0);
        self.tar
            .append_link(&mut header, path, target)
            .with_context(|| format!("failed to add {path} to {}", self.path))
    }

    /// Adds an entry of another archive as it is, but for its path and for what gives rights to whoever runs it.
    pub fn copy_entry(
        &mut self,
        entry: &mut tar::Entry<'_, impl Read>,
        path: &Utf8Path,
    ) -> Result<()> {
        if entry.header().entry_type().is_dir() {
            // What is added below it does not add it again: many readers refuse a path that is there twice.
            self.folders.insert(path.to_owned());
        }
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

/// What a header says of its file, without the format's own fields and without setuid and setgid.
fn header_like(other: &Header) -> io::Result<Header> {
    let kind = other.entry_type();
    let narrow = |value: u64| u32::try_from(value).map_err(io::Error::other);
    let meta = Meta {
        mode: other.mode()? & !SET_ID,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::reader;

    #[test]
    fn what_is_copied_gives_no_rights_and_keeps_all_else() {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, kind, mode) in [
            ("./usr/bin/su", EntryType::Regular, 0o4755),
            ("./usr/bin/chage", EntryType::Regular, 0o2755),
            ("./both", EntryType::Regular, 0o6711),
            ("./var/mail", EntryType::Directory, 0o2775),
            ("./tmp", EntryType::Directory, 0o1777),
        ] {
            let meta = Meta {
                mode,
                uid: 1,
                gid: 42,
                mtime: 7,
            };
            tar.append_data(&mut header(kind, meta, 0), path, io::empty())
                .unwrap();
        }
        let tar = tar.into_inner().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let blob = Utf8Path::from_path(folder.path()).unwrap().join("layer");
        let settings = CompressionSettings {
            zstd_level: 1,
            zstd_window_log: 20,
            zstd_table_log: 20,
            gzip_level: 1,
        };
        let above = |_: &Utf8Path| unreachable!("every folder is an entry");
        let mut writer = LayerWriter::create(&blob, Compression::Zstd, settings, above).unwrap();
        for entry in tar::Archive::new(&tar[..]).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = Utf8PathBuf::try_from(entry.path().unwrap().into_owned()).unwrap();
            writer.copy_entry(&mut entry, &path).unwrap();
        }
        writer.finish().unwrap();
        let mut layer = tar::Archive::new(reader(&blob, Some(Compression::Zstd)).unwrap());
        let modes: Vec<(u32, u64, u64)> = layer
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                (
                    header.mode().unwrap(),
                    header.gid().unwrap(),
                    header.mtime().unwrap(),
                )
            })
            .collect();
        let expected = [0o755, 0o755, 0o711, 0o775, 0o1777].map(|mode| (mode, 42, 7));
        assert_eq!(modes, expected);
    }
}
