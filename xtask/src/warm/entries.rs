//! Which layer an entry of the build cache goes into, if any.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use camino::Utf8Path;
use gocache::{FileKind, SealedFile, Sha256Hash, Store};

use super::Built;
use crate::pack::PackedFile;

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
        modules: &[Built<'_>],
        asked: &BTreeSet<Sha256Hash>,
        go_build: &Utf8Path,
    ) -> Result<Self> {
        let store = Store::at(go_build);
        let links: BTreeSet<Sha256Hash> = modules
            .iter()
            .filter_map(|(_, warm)| warm.link_action)
            .collect();
        let (mut executables, mut dropped) = (BTreeSet::new(), BTreeSet::new());
        let (mut dropped_actions, mut wanted) = (BTreeSet::new(), BTreeSet::new());
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
            } else if !asked.contains(&action) && is_index(&store.output_path(&entry.output))? {
                dropped.insert(entry.output);
                dropped_actions.insert(action);
            } else {
                wanted.insert(entry.output);
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
