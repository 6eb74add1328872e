//! Which layer an entry of the build cache goes into, if any, and in what order.
//!
//! Archives of packages come last, by import path: those of one SDK are much alike, most of all the versions of one
//! API, and what is near is what compresses. It also leaves what a first build reads, all else, in one place.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use camino::Utf8Path;
use gocache::{FileKind, SealedFile, Store};
use sha256::Sha256Hash;

use crate::pack::manifest::PackedFile;
use crate::warm::check::CacheUse;
use crate::warm::plan::BuiltModule;

/// New entries of a build cache.
#[derive(Default)]
pub(super) struct SortedEntries {
    /// Packages and the package index.
    pub(super) entries: Vec<PackedFile>,
    /// Executables.
    pub(super) executables: Vec<PackedFile>,
}

impl SortedEntries {
    /// Sorts the new entries: executables, everything else, and what only this checkout would ask for.
    pub(super) fn of(
        delta: impl Iterator<Item = SealedFile>,
        modules: &[BuiltModule<'_>],
        used: &CacheUse,
        go_build: &Utf8Path,
    ) -> Result<Self> {
        let store = Store::at(go_build);
        let links: BTreeSet<Sha256Hash> = modules
            .iter()
            .filter_map(|(_, warm)| warm.link_action)
            .collect();
        let (mut executables, mut dropped) = (BTreeSet::new(), BTreeSet::new());
        let (mut dropped_actions, mut wanted) = (BTreeSet::new(), BTreeSet::new());
        let mut archives: BTreeMap<Sha256Hash, &str> = BTreeMap::new();
        let delta: Vec<SealedFile> = delta.collect();
        for file in &delta {
            let FileKind::Action(action) = FileKind::of(&file.path) else {
                continue;
            };
            let entry = store
                .get(&action)?
                .with_context(|| format!("{} was removed while it was packed", file.path))?;
            if links.contains(&action) {
                executables.insert(entry.output);
            } else if !used.asked.contains(&action) && is_index(&store.output_path(&entry.output))?
            {
                dropped.insert(entry.output);
                dropped_actions.insert(action);
            } else {
                wanted.insert(entry.output);
            }
            if let Some(import_path) = used.packages.get(&gocache::in_build_id(&action)) {
                archives.insert(entry.output, import_path);
            }
        }
        let mut sorted = Self::default();
        for file in delta {
            let packed = PackedFile {
                path: file.path,
                size_bytes: file.size_bytes,
                sha256: file.sha256,
            };
            match FileKind::of(&packed.path) {
                FileKind::Action(action) if links.contains(&action) => {
                    sorted.executables.push(packed);
                }
                FileKind::Action(action) if dropped_actions.contains(&action) => {}
                FileKind::Output(output) if wanted.contains(&output) => sorted.entries.push(packed),
                FileKind::Output(output) if executables.contains(&output) => {
                    sorted.executables.push(packed);
                }
                FileKind::Output(output) if dropped.contains(&output) => {}
                _ => sorted.entries.push(packed),
            }
        }
        sorted
            .entries
            .sort_by_key(|file| match FileKind::of(&file.path) {
                FileKind::Output(output) => archives.get(&output).copied(),
                _ => None,
            });
        Ok(sorted)
    }
}

/// Whether `output` is an entry of the package index.
fn is_index(output: &Utf8Path) -> Result<bool> {
    let mut start = Vec::new();
    std::io::Read::read_to_end(
        &mut std::io::Read::take(fs_err::File::open(output)?, 8),
        &mut start,
    )?;
    Ok(start == b"go index")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn archives_come_last_by_import_path() {
        let folder = tempfile::tempdir().unwrap();
        let go_build = Utf8Path::from_path(folder.path()).unwrap();
        let store = Store::create(go_build).unwrap();
        let put = |name: &str| {
            let action = Sha256Hash::of(name.as_bytes());
            let bytes = name.as_bytes();
            let size = bytes.len() as u64;
            let entry = store.put_reader(&action, None, size, bytes, 1).unwrap();
            (action, entry.output)
        };
        let import_paths = ["api/v2", "std", "api/v1"];
        let archives = import_paths.map(put);
        let other = put("something else");
        let used = CacheUse {
            asked: BTreeSet::new(),
            packages: std::iter::zip(archives, import_paths)
                .map(|((action, _), path)| (gocache::in_build_id(&action), path.to_owned()))
                .collect(),
            links_that_ran: Vec::new(),
        };
        let sealed = store.seal(SystemTime::UNIX_EPOCH).unwrap();
        let sorted = SortedEntries::of(sealed.files.into_iter(), &[], &used, go_build).unwrap();
        let outputs: Vec<_> = sorted
            .entries
            .iter()
            .filter_map(|file| match FileKind::of(&file.path) {
                FileKind::Output(output) => Some(output),
                _ => None,
            })
            .collect();
        let [v2, std, v1] = archives.map(|(_, output)| output);
        assert_eq!(outputs, [other.1, v1, v2, std]);
        assert_eq!(sorted.entries.len(), 8);
        assert!(
            sorted.entries[..4]
                .iter()
                .any(|file| file.path.as_str().ends_with("-a"))
        );
    }
}
