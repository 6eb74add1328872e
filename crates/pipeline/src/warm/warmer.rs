//! What warming takes from its surroundings, and what its steps have in common.

use anyhow::{Context as _, Result};
use camino::Utf8Path;
use rayon::prelude::*;

use crate::foundation::tree::Tree;
use crate::warm::plan::CacheFolders;
use crate::work::Work;
use engine::sandbox::Sandbox;

/// Everything that warming takes from its surroundings.
#[derive(Debug, Clone, Copy)]
pub struct Warmer<'a> {
    /// Kept work.
    pub work: &'a Work,
    /// The image's tree.
    pub tree: &'a Tree,
    /// The statically linked verifier, which serves the cache in the check.
    pub verifier: &'a Utf8Path,
    /// The source.
    pub source: &'a Utf8Path,
    /// The module cache that all fetches share.
    pub go_mod: &'a Utf8Path,
    /// Settings of this machine by which Go modules were not checked.
    pub unchecked: &'a [String],
    /// Modules that are built at the same time.
    pub jobs: usize,
    /// Whether a module that does not build leaves the others be.
    pub keep_going: bool,
}

impl Warmer<'_> {
    /// Commands in the tree, with the module cache of `caches`.
    pub(super) fn sandbox(&self, caches: &CacheFolders, scratch: &Utf8Path) -> Sandbox {
        self.tree
            .sandbox(scratch)
            .read_only(&caches.go_mod, &self.tree.image.go.gomodcache)
    }

    /// Runs `work` for each of `items`, `jobs` at a time; the results keep their order.
    pub(super) fn in_parallel<'t, T: Sync, R: Send>(
        &self,
        items: &[&'t T],
        work: impl Fn(&'t T) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.jobs)
            .build()
            .context("failed to start threads for the builds")?;
        pool.install(|| items.par_iter().map(|item| work(item)).collect())
    }
}
