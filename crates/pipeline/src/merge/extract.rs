//! The files of a plan, from the layers of its packs to a folder.
//!
//! A layer is one stream, so layers are what is done at the same time, the largest first. Per file there is one open
//! (relative to its folder, which stays open while its files follow each other), one write where it is small, and one
//! call each for its mode and its times; nothing waits for the disk here.

use std::collections::BTreeMap;
use std::io::{self, Read, Write as _};
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::PACKS_PATH;
use gocache::image_info::programs::{PROGRAM_LISTS_PATH, PROGRAMS_PATH};
use rayon::prelude::*;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps};
use sha256::HashingReader;
use tar::{EntryType, Header};

use crate::merge::plan::{PackPlan, Plan, Planned};
use crate::merge::record::{GO_BUILD, GO_MOD};
use crate::owners::relative;
use failure::corrupt;
use oci::layer;
use oci::layer::LayerBlob;
use oci::unpack::limits::{Limits, Meter};

/// Files up to this size are written at once.
const BUFFER_BYTES: usize = 1 << 20;

/// Mode and times of a file or folder.
#[derive(Debug, Clone)]
struct Attributes {
    mode: Mode,
    times: Timestamps,
}

/// What layers say of the folders in the plan.
type Folders = BTreeMap<Utf8PathBuf, Attributes>;

/// Writes the files of `plan` below the empty folder `into`, and makes sure that each is what its manifest says.
pub fn extract(plan: &Plan<'_>, into: &Utf8Path) -> Result<()> {
    for folder in &plan.folders {
        // Open to us until everything is in it; the tree as a whole is closed to others meanwhile.
        let path = into.join(folder);
        rustix::fs::mkdir(path.as_str(), Mode::RWXU)
            .with_context(|| format!("failed to make {path}"))?;
    }
    let mut layers: Vec<(usize, LayerBlob)> = plan
        .packs
        .iter()
        .flat_map(|pack| pack.pack.layers())
        .enumerate()
        .collect();
    let of_layer: Vec<&PackPlan<'_>> = plan
        .packs
        .iter()
        .flat_map(|pack| pack.pack.layers().into_iter().map(move |_| pack))
        .collect();
    layers.sort_by_key(|(_, kept)| std::cmp::Reverse(kept.layer.uncompressed_bytes));
    // A bridge hands them out in this order, one at a time.
    let mut done: Vec<(usize, Result<Folders>)> = layers
        .into_iter()
        .par_bridge()
        .map(|(number, kept)| {
            let extractor = Extractor {
                plan,
                pack: of_layer[number],
                into,
                folder: None,
                buffer: vec![0; BUFFER_BYTES],
            };
            (number, extractor.layer(&kept))
        })
        .collect();
    // Which error is told, and which pack's folders count, must not depend on the threads.
    done.sort_by_key(|(number, _)| *number);
    let mut folders = Folders::new();
    for (_, of_layer) in done {
        for (folder, attributes) in of_layer? {
            folders.entry(folder).or_insert(attributes);
        }
    }
    all_seen(plan)?;
    finish_folders(&folders, into)
}

/// Makes sure that every listed file was in a layer.
fn all_seen(plan: &Plan<'_>) -> Result<()> {
    for pack in &plan.packs {
        let missing = pack
            .files
            .values()
            .filter(|planned| !planned.seen.load(Ordering::Relaxed))
            .map(|planned| planned.path.as_path())
            .min();
        if let Some(path) = missing {
            return Err(damaged(pack, &format!("{path} is in none of its layers")));
        }
    }
    Ok(())
}

/// Gives folders their modes and times, those within others first.
fn finish_folders(folders: &Folders, into: &Utf8Path) -> Result<()> {
    for (folder, attributes) in folders.iter().rev() {
        let path = into.join(folder);
        rustix::fs::utimensat(CWD, path.as_str(), &attributes.times, AtFlags::empty())
            .and_then(|()| rustix::fs::chmod(path.as_str(), attributes.mode))
            .with_context(|| format!("failed to set mode and times of {path}"))?;
    }
    Ok(())
}

fn damaged(pack: &PackPlan<'_>, what: &str) -> anyhow::Error {
    corrupt(
        format!(
            "pack {} in {} is damaged: {what}",
            pack.pack.manifest.name, pack.pack.folder
        ),
        "make the pack anew",
    )
}

struct Extractor<'a> {
    plan: &'a Plan<'a>,
    pack: &'a PackPlan<'a>,
    into: &'a Utf8Path,
    /// The folder of the last file.
    folder: Option<(Utf8PathBuf, OwnedFd)>,
    buffer: Vec<u8>,
}

impl Extractor<'_> {
    /// Extracts a layer of the pack; returns what it says of folders.
    fn layer(mut self, kept: &LayerBlob) -> Result<Folders> {
        let unreadable = |error: io::Error| damaged(self.pack, &format!("{}: {error}", kept.blob));
        let reader = layer::reader(&kept.blob, Some(kept.layer.compression))?;
        let limits = Limits::exactly(kept.layer.uncompressed_bytes);
        let mut archive = tar::Archive::new(Meter::new(reader, limits));
        let mut folders = Folders::new();
        for entry in archive.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            let path = entry.path_bytes();
            let path = std::str::from_utf8(&path)
                .map_err(|_| damaged(self.pack, "a name in it is not UTF-8"))?
                .to_owned();
            let attributes = attributes(entry.header()).map_err(unreadable)?;
            match entry.header().entry_type() {
                EntryType::Directory => {
                    let folder = self.folder_in_tree(&path);
                    folders.extend(folder.map(|folder| (folder, attributes)));
                }
                EntryType::Regular => self.file(&path, &mut entry, &attributes)?,
                // Another name of an entry of the build cache.
                EntryType::Link if is_of_programs(&path) => {}
                _ => return Err(damaged(self.pack, &format!("{path} is no file"))),
            }
        }
        Ok(folders)
    }

    /// Where a folder of the layer is in the tree, if it is.
    fn folder_in_tree(&self, path: &str) -> Option<Utf8PathBuf> {
        let identity = &self.pack.pack.manifest.identity;
        let caches = [
            (&identity.gomodcache, GO_MOD),
            (&identity.gocache, GO_BUILD),
        ];
        let path = Utf8Path::new(path.trim_end_matches('/'));
        let place = caches.into_iter().find_map(|(cache, folder)| {
            let below = path.strip_prefix(relative(Utf8Path::new(cache))).ok()?;
            Some(if below.as_str().is_empty() {
                folder.into()
            } else {
                Utf8Path::new(folder).join(below)
            })
        });
        place.filter(|place| self.plan.folders.contains(place))
    }

    fn file(&mut self, path: &str, content: &mut impl Read, attributes: &Attributes) -> Result<()> {
        let Some(planned) = self.pack.files.get(path) else {
            // What an image says of its packs is in the layer and not in the list, for it holds the list's digest.
            // Programs are for images alone.
            let is_told = Utf8Path::new(path).starts_with(relative(Utf8Path::new(PACKS_PATH)));
            if is_told || is_of_programs(path) {
                return Ok(());
            }
            return Err(damaged(
                self.pack,
                &format!("{path} is in a layer but not in its list"),
            ));
        };
        if planned.seen.swap(true, Ordering::Relaxed) {
            return Err(damaged(
                self.pack,
                &format!("{path} is in its layers twice"),
            ));
        }
        if planned.is_written {
            self.write(planned, content, attributes)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        planned: &Planned<'_>,
        content: &mut impl Read,
        attributes: &Attributes,
    ) -> Result<()> {
        let failed = || format!("failed to write {}", self.into.join(&planned.path));
        let mut file = std::fs::File::from(self.create(&planned.path).with_context(failed)?);
        let mut content = HashingReader::new(content);
        loop {
            let filled = fill(&mut content, &mut self.buffer)
                .map_err(|error| damaged(self.pack, &format!("{}: {error}", planned.path)))?;
            file.write_all(&self.buffer[..filled])
                .with_context(failed)?;
            if filled < self.buffer.len() {
                break;
            }
        }
        let (sha256, size_bytes) = content.finish();
        if (sha256, size_bytes) != (planned.file.sha256, planned.file.size_bytes) {
            return Err(damaged(
                self.pack,
                &format!(
                    "{} has {size_bytes} bytes and the digest {sha256} instead of {} and {}",
                    planned.path, planned.file.size_bytes, planned.file.sha256
                ),
            ));
        }
        rustix::fs::fchmod(&file, attributes.mode)
            .and_then(|()| rustix::fs::futimens(&file, &attributes.times))
            .with_context(failed)
    }

    /// Makes the file `path` of the tree.
    fn create(&mut self, path: &Utf8Path) -> Result<OwnedFd> {
        let (parent, name) = (
            path.parent().context("a file is in a folder")?,
            path.file_name().context("a file has a name")?,
        );
        let folder = match self.folder.take() {
            Some((last, folder)) if last == parent => folder,
            _ => rustix::fs::open(
                self.into.join(parent).as_str(),
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )?,
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&folder, name, flags, Mode::RUSR | Mode::WUSR)?;
        self.folder = Some((parent.to_owned(), folder));
        Ok(file)
    }
}

/// Whether a layer has `path` for those who run programs that are built already.
fn is_of_programs(path: &str) -> bool {
    [PROGRAMS_PATH, PROGRAM_LISTS_PATH]
        .iter()
        .any(|folder| Utf8Path::new(path).starts_with(relative(Utf8Path::new(folder))))
}

fn attributes(header: &Header) -> io::Result<Attributes> {
    let time = Timespec {
        tv_sec: i64::try_from(header.mtime()?).map_err(io::Error::other)?,
        tv_nsec: 0,
    };
    Ok(Attributes {
        mode: Mode::from_raw_mode(header.mode()? & 0o7777),
        times: Timestamps {
            last_access: time,
            last_modification: time,
        },
    })
}

/// Reads until `buffer` is full or `reader` at its end.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
