//! What a pack adds to the module cache, and what of that its Go modules have besides: elsewhere, or nowhere.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use gocache::{Checksums, GoModule};
use rayon::prelude::*;

use crate::image_toml::ImageToml;
use crate::owners::relative;
use crate::pack::KeptPack;
use crate::resolve::go_mod_files::GoModFiles;
use crate::resolve::requirements::{Required, Requirements};

/// What the pack below holds.
#[derive(Debug, Default)]
pub struct Below<'a> {
    /// Paths of its files, relative to the root of the image.
    pub paths: BTreeSet<&'a Utf8Path>,
    /// Go modules that it has all of.
    pub go_modules: BTreeSet<&'a GoModule>,
}

impl<'a> Below<'a> {
    /// What `pack` holds.
    pub fn of(pack: &'a KeptPack) -> Self {
        let go_modules = pack.manifest.go_modules.iter();
        Self {
            paths: pack.paths(),
            go_modules: go_modules.map(|required| &required.module).collect(),
        }
    }

    /// Whether the pack below does not have `path` of the cache that the image has at `cache`.
    pub fn lacks(&self, cache: &Utf8Path, path: &Utf8Path) -> bool {
        !self.paths.contains(relative(cache).join(path).as_path())
    }
}

/// What a pack adds to the module cache.
pub struct NewGoModules {
    /// Go modules that are complete with it.
    pub go_modules: Vec<Required>,
    /// Go modules of which it has a stub.
    pub stubs: Vec<Required>,
    /// Its files, relative to the module cache.
    pub files: Vec<Utf8PathBuf>,
    /// What these Go modules have besides, in the pack below or left out, with its paths in the image.
    pub left_out: Checksums,
}

impl NewGoModules {
    /// What of `requirements`, whose `files` are in the shared module cache `cache`, is not in the pack below.
    pub fn of(
        image: &ImageToml,
        requirements: &Requirements,
        files: &GoModFiles,
        below: &Below<'_>,
        cache: &Utf8Path,
    ) -> Result<Self> {
        let in_image = &image.go.gomodcache;
        let is_new = |path: &Utf8PathBuf| below.lacks(in_image, path);
        let go_modules: Vec<Required> = requirements
            .required
            .iter()
            .filter(|required| !below.go_modules.contains(&required.module))
            .cloned()
            .collect();
        let stubs: Vec<Required> = requirements
            .stubs
            .iter()
            .filter(|required| is_new(&required.module.download_file("ziphash")))
            .cloned()
            .collect();
        let own: BTreeSet<&GoModule> = go_modules
            .iter()
            .chain(&stubs)
            .map(|required| &required.module)
            .collect();
        let is_own =
            |path: &Utf8PathBuf| GoModule::of_extracted(path).is_some_and(|it| own.contains(&it));
        let (new, elsewhere): (Vec<&Utf8PathBuf>, _) =
            files.kept.iter().partition(|path| is_new(path));
        let besides: Vec<&Utf8PathBuf> = elsewhere.into_iter().chain(&files.left_out).collect();
        let hash = |path: &&Utf8PathBuf| {
            let (digest, _) = sha256::hash_file(&cache.join(path))?;
            Ok((in_image.join(path), digest))
        };
        let besides = besides.par_iter().filter(|path| is_own(path));
        let left_out: Result<Vec<_>> = besides.map(hash).collect();
        Ok(Self {
            files: new.into_iter().cloned().collect(),
            left_out: left_out?.into_iter().collect(),
            go_modules,
            stubs,
        })
    }
}
