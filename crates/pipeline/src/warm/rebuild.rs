//! Builds again what will be packed: elsewhere, from read-only caches and without network.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::ActionGraph;
use gocache::image_info::{OBJECTS_PATH, TOOLEXEC_PATH};

use crate::foundation::tree::{ELSEWHERE, SCRATCH};
use crate::names::VERIFIER;
use crate::warm::check::{CacheUse, Rebuilt, check};
use crate::warm::plan::{BuiltModule, CacheFolders, WarmPlan, file_name};
use crate::warm::warmer::Warmer;
use crate::work::Scratch;
use engine::excerpt::excerpt;
use engine::progress::Step;
use engine::sandbox::Sandbox;

impl Warmer<'_> {
    /// Builds everything again from what will be packed, and finds out which entries that takes.
    pub(super) fn rebuild(
        &self,
        plan: &WarmPlan<'_>,
        modules: &[BuiltModule<'_>],
        caches: &CacheFolders,
        scratch: &Scratch,
        step: &Step,
    ) -> Result<CacheUse> {
        let mut sandbox = self.sandbox(caches, scratch.path());
        if self.tree.image.is_lean() {
            sandbox = sandbox
                .read_only(self.verifier, TOOLEXEC_PATH)
                .read_only(&caches.objects, OBJECTS_PATH);
        }
        let sandbox = sandbox
            .read_only(&caches.go_build, &self.tree.image.go.gocache)
            .read_only(self.source, ELSEWHERE)
            .read_only(self.verifier, VERIFIER);
        let mut builds: Vec<Build> = modules
            .iter()
            .map(|(module, _)| Build {
                file: file_name(module),
                name: module.path.to_string(),
                folder: module.path.clone(),
                program: module.program().to_owned(),
                arguments: vec![
                    "-o".into(),
                    format!("{SCRATCH}/{}.out", file_name(module)),
                    ".".into(),
                ],
            })
            .collect();
        if plan.modules.is_empty() {
            builds.extend(
                plan.packages
                    .iter()
                    .filter(|(_, packages)| !packages.is_empty())
                    .enumerate()
                    .map(|(index, (folder, packages))| {
                        let arguments = std::iter::once("--".to_owned())
                            .chain(packages.iter().cloned())
                            .collect();
                        Build {
                            file: format!("{}-{index}", plan.name),
                            name: plan.name.to_owned(),
                            folder: folder.clone(),
                            program: folder.clone(),
                            arguments,
                        }
                    }),
            );
        }
        let finished = AtomicUsize::new(0);
        let run = |build: &Build| -> Result<Rebuilt> {
            let result = build.run(&sandbox, scratch.path(), &self.tree.image.go.gocache)?;
            step.detail(format!(
                "checked {} of {}",
                finished.fetch_add(1, Ordering::Relaxed) + 1,
                builds.len()
            ));
            Ok(result)
        };
        check(self.in_parallel(&builds.iter().collect::<Vec<_>>(), run)?)
    }
}

/// One `go build` of the check.
struct Build {
    /// Names its files, and those of no other build.
    file: String,
    /// For messages.
    name: String,
    folder: Utf8PathBuf,
    /// Where it is run, which is the former unless Pulumi.yaml names another folder.
    program: Utf8PathBuf,
    arguments: Vec<String>,
}

impl Build {
    fn run(&self, sandbox: &Sandbox, scratch: &Utf8Path, gocache: &Utf8Path) -> Result<Rebuilt> {
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
            .folder(Utf8Path::new(ELSEWHERE).join(&self.program))
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
        Ok(Rebuilt {
            name: self.name.clone(),
            folder: self.folder.clone(),
            graph,
            asked,
        })
    }
}
