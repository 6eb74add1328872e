//! What warming takes from its surroundings, and what its steps have in common.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use camino::Utf8Path;
use gocache::ActionGraph;
use rayon::prelude::*;

use crate::foundation::tree::SCRATCH;
use crate::foundation::tree::Tree;
use crate::names::VERIFIER;
use crate::warm::plan::CacheFolders;
use crate::warm::share::Share;
use crate::work::Work;
use engine::sandbox::Sandbox;

/// How the files end in which it stands how much memory a build took.
const PEAK: &str = ".peak";
/// How the files end in which it stands what a build did.
const GRAPH: &str = ".graph";

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
    /// What runs side by side.
    pub share: Share,
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

    /// The words of a `go build` with these arguments, of which `name` is known how much memory it took.
    pub(super) fn go_build(&self, name: &str, arguments: &[&str]) -> Vec<String> {
        let peak = format!("{SCRATCH}/{name}{PEAK}");
        let graph = format!("-debug-actiongraph={SCRATCH}/{name}{GRAPH}");
        let processes = self.share.processes.to_string();
        [VERIFIER, "measured", "--peak", &peak, "--", "go", "build"]
            .into_iter()
            .chain(["-p", &processes, &graph])
            .chain(arguments.iter().copied())
            .map(str::to_owned)
            .collect()
    }

    /// Memory of the largest process of all builds with this scratch folder, in bytes.
    pub(super) fn peak_memory_bytes(scratch: &Utf8Path) -> Result<Option<u64>> {
        let mut peak = None;
        for entry in scratch.read_dir_utf8()? {
            let file = entry?.into_path();
            if file.as_str().ends_with(PEAK) {
                peak = peak.max(fs_err::read_to_string(file)?.parse().ok());
            }
        }
        Ok(peak.filter(|bytes| *bytes > 0))
    }

    /// Import paths of the packages in all builds with this scratch folder, by the names that build IDs give to their
    /// actions.
    pub(super) fn packages(scratch: &Utf8Path) -> Result<BTreeMap<String, String>> {
        let mut packages = BTreeMap::new();
        for entry in scratch.read_dir_utf8()? {
            let file = entry?.into_path();
            if file.as_str().ends_with(GRAPH) {
                let graph = ActionGraph::parse(fs_err::File::open(&file)?)?;
                let of_graph = graph.packages();
                packages
                    .extend(of_graph.map(|(action, path)| (action.to_owned(), path.to_owned())));
                fs_err::remove_file(file)?;
            }
        }
        Ok(packages)
    }

    /// Runs `work` for each of `items`, as many at a time as there are jobs; the results keep their order.
    pub(super) fn in_parallel<'t, T: Sync, R: Send>(
        &self,
        items: &[&'t T],
        work: impl Fn(&'t T) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.share.jobs)
            .build()
            .context("failed to start threads for the builds")?;
        pool.install(|| items.par_iter().map(|item| work(item)).collect())
    }
}
