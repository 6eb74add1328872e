//! What is shipped of a sealed build cache where archives are export-only: they are cut, and their object code is
//! compressed beside them.
//!
//! Object code follows each other by import path: the versions of one API are almost the same.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::frames::{DATA_SUFFIX, Frame, INDEX_SUFFIX, Index};
use gocache::objects::{self, ExportOnly, Objects};
use gocache::{SealedFile, SealedStore, Store};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::pack::manifest::PackedFile;
use crate::warm::plan::{CacheFolders, WarmPlan};
use crate::warm::warmer::Warmer;
use crate::work::files::link_tree;
use engine::progress::{Step, millis};

/// What is shipped of a plan's build cache.
pub(super) struct Shipped {
    /// Where it is.
    pub go_build: Utf8PathBuf,
    /// All of it, proven.
    pub sealed: SealedStore,
    /// Files of the plan's object code, relative to the folder of all.
    pub objects: Vec<PackedFile>,
    /// How long compressing took, in milliseconds.
    pub pack_ms: u64,
}

impl Warmer<'_> {
    /// What is shipped of `sealed`, the build cache of `caches`; `packages` are import paths by action.
    pub(super) fn ship(
        &self,
        plan: &WarmPlan<'_>,
        sealed: SealedStore,
        caches: &CacheFolders,
        packages: &BTreeMap<String, String>,
        step: &Step,
    ) -> Result<Shipped> {
        let image = &self.tree.image;
        if !image.is_lean() {
            return Ok(Shipped {
                go_build: caches.go_build.clone(),
                sealed,
                objects: Vec::new(),
                pack_ms: 0,
            });
        }
        step.detail("packing object code");
        let started = Instant::now();
        let time = image.cache_entry_time();
        let store = Store::at(&caches.go_build);
        let lean = Store::create(&caches.lean)?;
        fs_err::create_dir_all(&caches.objects)?;
        let is_own = |file: &SealedFile| {
            let mut shared = plan.shared.iter();
            !shared.any(|shared| shared.go_build.join(&file.path).exists())
        };
        if let Some(shared) = &plan.shared {
            link_tree(&shared.lean, &caches.lean)?;
            link_tree(&shared.objects, &caches.objects)?;
        }
        let own: Vec<SealedFile> = sealed.files.into_iter().filter(is_own).collect();
        let mut archives = objects::export_only(&store, &own, &lean, time)?;
        archives.sort_by_cached_key(|archive| (import_path(archive, packages), archive.whole));
        let whole = |archive: &ExportOnly| store.output_path(&archive.whole);
        let level = image.layers.zstd_level;
        let mut files = Vec::new();
        if !archives.is_empty() {
            files = write_frames(&caches.objects, plan.name, |data| {
                objects::pack(&archives, whole, level, data)
            })?;
            // What `common` has of the same archive must be the same.
            Objects::open(&caches.objects)?;
        }
        Ok(Shipped {
            go_build: caches.lean.clone(),
            sealed: lean.seal(time)?,
            objects: files,
            pack_ms: millis(started),
        })
    }
}

/// Makes the build cache of whole archives of the one that was shipped, in the tree of `caches`.
pub(super) fn unship(caches: &CacheFolders) -> Result<()> {
    let objects = Objects::open(&caches.objects)?;
    let store = Store::create(&caches.go_build)?;
    objects::whole(&Store::at(&caches.lean), &objects, &store)
        .context("the archives of a pack cannot be put together")
}

/// Has `pack` write the frames of the pack `name` in `folder`, and writes their index beside them. Both files, relative
/// to the folder, sorted.
pub(super) fn write_frames<F: Frame + Serialize + DeserializeOwned>(
    folder: &Utf8Path,
    name: &str,
    pack: impl FnOnce(&Utf8Path) -> Result<Index<F>, gocache::Error>,
) -> Result<Vec<PackedFile>> {
    let [data, index] = [DATA_SUFFIX, INDEX_SUFFIX].map(|suffix| format!("{name}{suffix}"));
    let content = pack(&folder.join(&data))?;
    fs_err::write(folder.join(&index), content.to_json())?;
    let packed = |file: String| {
        let (sha256, size_bytes) = sha256::hash_file(&folder.join(&file))?;
        let path = file.into();
        Ok(PackedFile {
            path,
            size_bytes,
            sha256,
        })
    };
    [index, data].into_iter().map(packed).collect()
}

fn import_path<'p>(
    archive: &ExportOnly,
    packages: &'p BTreeMap<String, String>,
) -> Option<&'p str> {
    let mut actions = archive.actions.iter();
    let named = actions.find_map(|action| packages.get(&gocache::in_build_id(action)))?;
    Some(named)
}
