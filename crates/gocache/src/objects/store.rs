//! A build cache with export-only archives, and the one with whole archives that it stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::time::SystemTime;

use camino::Utf8Path;
use rayon::prelude::*;
use sha256::{HashingReader, Sha256Hash};

use super::archive::Archive;
use super::complete::{Incomplete, Objects};
use super::index::ObjectCode;
use crate::store::{link, replace, set_time};
use crate::{ActionEntry, Error, FileKind, SealedFile, Store};

/// An archive that was cut after its export data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportOnly {
    /// Digest of the whole archive, which is its output ID.
    pub whole: Sha256Hash,
    /// Size of the whole archive.
    pub whole_bytes: u64,
    /// Digest of the export-only archive, which is its output ID.
    pub export_only: Sha256Hash,
    /// Size of the export-only archive.
    pub export_bytes: u64,
    /// The actions that it is the output of, sorted.
    pub actions: Vec<Sha256Hash>,
}

impl ExportOnly {
    pub(super) fn object_code(&self) -> ObjectCode {
        ObjectCode {
            export_only: self.export_only,
            whole: self.whole,
            bytes: self.whole_bytes - self.export_bytes,
        }
    }
}

/// Puts `files`, sealed ones of the cache `store`, into the cache `target`, archives export-only; everything else
/// becomes a hard link. Returns the archives that were cut, sorted by digest.
///
/// # Errors
/// [`Error::Corrupt`] if two whole archives would be one without their object code.
pub fn export_only(
    store: &Store,
    files: &[SealedFile],
    target: &Store,
    time: SystemTime,
) -> Result<Vec<ExportOnly>, Error> {
    let cut: Vec<Result<Option<ExportOnly>, Error>> = files
        .par_iter()
        .map(|file| match FileKind::of(&file.path) {
            FileKind::Output(output) => cut_output(store, output, target, time),
            FileKind::Action(_) => Ok(None),
            FileKind::Other => link(
                &store.root().join(&file.path),
                &target.root().join(&file.path),
            )
            .map(|()| None),
        })
        .collect();
    let mut archives: BTreeMap<Sha256Hash, ExportOnly> = BTreeMap::new();
    for archive in cut {
        archives.extend(archive?.map(|archive| (archive.whole, archive)));
    }
    let mut names = BTreeSet::new();
    if let Some(twice) = archives.values().find(|it| !names.insert(it.export_only)) {
        let reason = "another archive has the same export data and other object code";
        return Err(Error::corrupt(store.output_path(&twice.whole), reason));
    }
    for file in files {
        let FileKind::Action(action) = FileKind::of(&file.path) else {
            continue;
        };
        let path = target.root().join(&file.path);
        let entry = ActionEntry::parse(&fs_err::read(store.root().join(&file.path))?)?;
        // The output may be one that the target has from elsewhere.
        let known = match archives.get_mut(&entry.output) {
            Some(archive) => {
                archive.actions.push(action);
                Some((archive.export_only, archive.export_bytes))
            }
            None => digest_cut(store, entry.output)?.map(|it| (it.export_only, it.export_bytes)),
        };
        match known {
            None => link(&store.root().join(&file.path), &path)?,
            Some((output, size_bytes)) => {
                let cut = ActionEntry {
                    output,
                    size_bytes,
                    ..entry
                };
                replace(&path, &cut.to_bytes())?;
                set_time(&fs_err::File::open(&path)?, time)?;
            }
        }
    }
    let mut archives: Vec<ExportOnly> = archives.into_values().collect();
    for archive in &mut archives {
        archive.actions.sort();
    }
    Ok(archives)
}

/// Puts one output into `target`, cut if it is an archive.
fn cut_output(
    store: &Store,
    output: Sha256Hash,
    target: &Store,
    time: SystemTime,
) -> Result<Option<ExportOnly>, Error> {
    let from = store.output_path(&output);
    let Some(cut) = digest_cut(store, output)? else {
        link(&from, &target.output_path(&output))?;
        return Ok(None);
    };
    let mut export_data = Vec::new();
    fs_err::File::open(&from)?
        .take(cut.export_bytes)
        .read_to_end(&mut export_data)?;
    let path = target.output_path(&cut.export_only);
    replace(&path, &export_data)?;
    set_time(&fs_err::File::open(&path)?, time)?;
    Ok(Some(cut))
}

/// What becomes of an output if it is an archive with object code.
fn digest_cut(store: &Store, output: Sha256Hash) -> Result<Option<ExportOnly>, Error> {
    let path = store.output_path(&output);
    let whole_bytes = fs_err::metadata(&path)?.len();
    let shape = Archive::of(fs_err::File::open(&path)?, whole_bytes)?;
    let Some(Archive::Whole { export_bytes }) = shape else {
        return Ok(None);
    };
    let mut start = HashingReader::new(fs_err::File::open(&path)?.take(export_bytes));
    std::io::copy(&mut start, &mut std::io::sink())?;
    let (export_only, _) = start.finish();
    Ok(Some(ExportOnly {
        whole: output,
        whole_bytes,
        export_only,
        export_bytes,
        actions: Vec::new(),
    }))
}

/// Puts what the cache `store` holds into the cache `target`, with archives whole again. What is made anew has the time
/// of what it was made of.
pub fn whole(store: &Store, objects: &Objects, target: &Store) -> Result<(), Error> {
    let mut incomplete = Vec::new();
    for file in store.files()? {
        let (from, to) = (
            store.root().join(&file.path),
            target.root().join(&file.path),
        );
        match file.kind {
            FileKind::Output(output) => match objects.find(&output) {
                Some(code) => incomplete.push(Incomplete {
                    whole: target.output_path(&code.whole),
                    export_only: from,
                    digest: output,
                }),
                None => link(&from, &to)?,
            },
            FileKind::Action(_) => {
                let entry = ActionEntry::parse(&fs_err::read(&from)?)
                    .map_err(|error| Error::corrupt(&from, error.to_string()))?;
                match objects.find(&entry.output) {
                    Some(code) => {
                        let whole = ActionEntry {
                            output: code.whole,
                            size_bytes: entry.size_bytes.saturating_add(code.bytes),
                            ..entry
                        };
                        replace(&to, &whole.to_bytes())?;
                        set_time(&fs_err::File::open(&to)?, time_of(&from)?)?;
                    }
                    None => link(&from, &to)?,
                }
            }
            FileKind::Other => link(&from, &to)?,
        }
    }
    objects.complete(&incomplete)?;
    for archive in &incomplete {
        set_time(
            &fs_err::File::open(&archive.whole)?,
            time_of(&archive.export_only)?,
        )?;
    }
    Ok(())
}

fn time_of(path: &Utf8Path) -> Result<SystemTime, Error> {
    Ok(fs_err::metadata(path)?.modified()?)
}
