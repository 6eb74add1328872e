//! The check of what will be packed: everything is built again, elsewhere, from read-only caches and without network.

use crate::names::VERIFIER;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::ActionGraph;
use sha256::Sha256Hash;

use super::{Built, Caches, Job, Warmer, file_name};
use crate::foundation::tree::{ELSEWHERE, SCRATCH};
use crate::work::Scratch;
use engine::excerpt::excerpt;
use engine::progress;
use engine::progress::Step;
use engine::sandbox::Sandbox;

/// What the check found.
pub(super) struct Check {
    /// Actions that the builds asked the cache for and got.
    pub(super) asked: BTreeSet<Sha256Hash>,
    /// Import paths of the packages, by the names that build IDs give to their actions.
    pub(super) packages: BTreeMap<String, String>,
    /// Modules whose link was not taken from the cache.
    pub(super) links_that_ran: Vec<Utf8PathBuf>,
}

impl Warmer<'_> {
    /// Builds everything again from what will be packed, and finds out which entries that takes.
    pub(super) fn check(
        &self,
        job: &Job<'_>,
        modules: &[Built<'_>],
        caches: &Caches,
        scratch: &Scratch,
        step: &Step,
    ) -> Result<Check> {
        let sandbox = self
            .sandbox(caches, scratch.path())
            .read_only(&caches.go_build, &self.tree.image.go.gocache)
            .read_only(self.source, ELSEWHERE)
            .read_only(self.verifier, VERIFIER);
        let mut builds: Vec<Build> = modules
            .iter()
            .map(|(module, _)| Build {
                file: file_name(module),
                name: module.path.to_string(),
                folder: module.path.clone(),
                arguments: vec![
                    "-o".into(),
                    format!("{SCRATCH}/{}.out", file_name(module)),
                    ".".into(),
                ],
            })
            .collect();
        if job.modules.is_empty() {
            builds.extend(
                job.packages
                    .iter()
                    .filter(|(_, packages)| !packages.is_empty())
                    .enumerate()
                    .map(|(index, (folder, packages))| {
                        let arguments = std::iter::once("--".to_owned())
                            .chain(packages.iter().cloned())
                            .collect();
                        Build {
                            file: format!("{}-{index}", job.name),
                            name: job.name.to_owned(),
                            folder: folder.clone(),
                            arguments,
                        }
                    }),
            );
        }
        let finished = AtomicUsize::new(0);
        let check = |build: &Build| -> Result<(ActionGraph, BTreeSet<Sha256Hash>)> {
            let result = build.run(&sandbox, scratch.path(), &self.tree.image.go.gocache)?;
            step.detail(format!(
                "checked {} of {}",
                finished.fetch_add(1, Ordering::Relaxed) + 1,
                builds.len()
            ));
            Ok(result)
        };
        let checked = self.in_parallel(&builds.iter().collect::<Vec<_>>(), check)?;
        let mut result = Check {
            asked: BTreeSet::new(),
            packages: BTreeMap::new(),
            links_that_ran: Vec::new(),
        };
        for (build, (graph, asked)) in builds.iter().zip(checked) {
            let hits = graph.hits();
            if let Some(package) = hits.compiled.first() {
                bail!(
                    "{}: {} of {} packages were compiled again from the sealed caches, {package} first",
                    build.name,
                    hits.compiled.len(),
                    hits.packages.total
                );
            }
            if !hits.linked.is_empty() {
                progress::warning(format_args!(
                    "{}: the link cannot be taken from the cache with this Go version",
                    build.name
                ));
                result.links_that_ran.push(build.folder.clone());
            }
            result.asked.extend(asked);
            let packages = graph.packages();
            let owned = packages.map(|(action, path)| (action.to_owned(), path.to_owned()));
            result.packages.extend(owned);
        }
        Ok(result)
    }
}

/// One `go build` of the check.
struct Build {
    /// Names its files, and those of no other build.
    file: String,
    /// For messages.
    name: String,
    folder: Utf8PathBuf,
    arguments: Vec<String>,
}

impl Build {
    fn run(
        &self,
        sandbox: &Sandbox,
        scratch: &Utf8Path,
        gocache: &Utf8Path,
    ) -> Result<(ActionGraph, BTreeSet<Sha256Hash>)> {
        let name = &self.file;
        let (graph, log) = (format!("{name}.graph"), format!("{name}.log"));
        let mut arguments = vec![
            "go".to_owned(),
            "build".into(),
            format!("-debug-actiongraph={SCRATCH}/{graph}"),
        ];
        arguments.extend(self.arguments.iter().cloned());
        let program = format!("{VERIFIER} cacheprog --shipped {gocache} --log {SCRATCH}/{log}");
        let done = sandbox
            .clone()
            .folder(Utf8Path::new(ELSEWHERE).join(&self.folder))
            .env([
                ("GOCACHEPROG", program),
                ("XDG_CACHE_HOME", format!("{SCRATCH}/{name}.cache")),
            ])
            .run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())?;
        if !done.status.success() {
            bail!(
                "{}: does not build from the sealed caches:\n{}",
                self.name,
                excerpt(&done.stderr)
            );
        }
        let graph = ActionGraph::parse(fs_err::File::open(scratch.join(&graph))?)?;
        let log = fs_err::read_to_string(scratch.join(&log))?;
        let asked = log
            .lines()
            .filter_map(|line| line.strip_prefix("hit ")?.split(' ').next()?.parse().ok())
            .collect();
        Ok((graph, asked))
    }
}
