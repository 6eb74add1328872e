//! Builds what a plan names, in the tree and at the paths of the image.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use camino::Utf8Path;
use gocache::{HashInputs, HashLog, InputsRecord, RecordedModule, Store};
use modules::Module;

use crate::foundation::tree::{SCRATCH, SOURCE};
use crate::names::VERIFIER;
use crate::pack::manifest::WarmModule;
use crate::resolve::refusals::advice::as_here;
use crate::resolve::refusals::excluded;
use crate::warm::killed;
use crate::warm::killed::Watch;
use crate::warm::plan::{Built, CacheFolders, WarmPlan, file_name};
use crate::warm::warmer::Warmer;
use crate::work::Scratch;
use engine::excerpt::excerpt;
use engine::progress::Step;
use engine::progress::millis;
use engine::sandbox::Sandbox;
use failure::{failed, usage};

/// What compiler and linker say of what no file declares.
const ABSENT: [&str; 2] = ["undefined: ", "function main is undeclared"];

impl Warmer<'_> {
    /// Builds all packages at once, so that what modules share is compiled once, and then each module; puts each
    /// executable under its link action.
    pub(super) fn build<'a>(
        &self,
        plan: &WarmPlan<'a>,
        caches: &CacheFolders,
        scratch: &Scratch,
        step: &Step,
    ) -> Result<Built<'a>> {
        let sandbox = self
            .sandbox(caches, scratch.path())
            .writable(&caches.go_build, &self.tree.image.go.gocache)
            .read_only(self.source, SOURCE)
            .read_only(self.verifier, VERIFIER)
            .env(self.share.env());
        let watch = Watch::begin();
        let packages = plan.packages.iter();
        let packages = packages.filter(|(_, packages)| !packages.is_empty());
        for (number, (folder, packages)) in packages.enumerate() {
            step.detail(format!(
                "compiling for {}",
                if folder.as_str().is_empty() {
                    plan.name
                } else {
                    folder.as_str()
                }
            ));
            let packages = packages.iter().map(String::as_str);
            let arguments: Vec<&str> = std::iter::once("--").chain(packages).collect();
            let words = self.go_build(&format!("packages-{number}"), &arguments);
            let done = sandbox
                .clone()
                .folder(Utf8Path::new(SOURCE).join(folder))
                .run(&words.iter().map(String::as_str).collect::<Vec<_>>())?;
            let killed = watch.reason(&done.stderr, done.status);
            if let (Some(reason), false) = (killed, self.keep_going) {
                return Err(
                    failed(reason, killed::HINT).context(format!("{} cannot be warmed", plan.name))
                );
            }
            // Where there are modules, their own builds say which of them a broken package breaks.
            if !done.status.success() && plan.modules.is_empty() {
                return Err(usage(
                    format!(
                        "{folder}: what the providers share does not build:\n{}",
                        excerpt(&as_here(&done.stderr, self.source))
                    ),
                    "make it build with `go build ./...` first",
                ));
            }
        }
        let store = Store::at(&caches.go_build);
        let finished = AtomicUsize::new(0);
        let build = |module: &'a Module| {
            let built = self.build_module(module, &sandbox, scratch.path(), &store, watch)?;
            step.detail(format!(
                "linked {} of {}",
                finished.fetch_add(1, Ordering::Relaxed) + 1,
                plan.modules.len()
            ));
            Ok((module, built))
        };
        let results = self.in_parallel(&plan.modules, build)?;
        let (mut modules, mut broken) = (Vec::new(), Vec::new());
        let mut record = InputsRecord::default();
        for (module, built) in results {
            match built {
                Ok((warm, inputs)) => {
                    let go_work = plan.go_works.get(module.go_mod.as_path());
                    let recorded = RecordedModule {
                        go_work: go_work.map(|path| (*path).to_owned()),
                    };
                    record.add(module.path.clone(), recorded, inputs);
                    modules.push((module, warm));
                }
                Err(reason) => broken.push(reason),
            }
        }
        if !broken.is_empty() && !self.keep_going {
            return Err(anyhow::anyhow!("{}", broken.join("\n"))
                .context(format!("{} cannot be warmed", plan.name)));
        }
        Ok(Built {
            modules,
            inputs: record,
            packages: Self::packages(scratch.path())?,
            broken,
            peak_memory_bytes: Self::peak_memory_bytes(scratch.path())?,
        })
    }

    fn build_module(
        &self,
        module: &Module,
        sandbox: &Sandbox,
        scratch: &Utf8Path,
        store: &Store,
        watch: Watch,
    ) -> Result<Result<(WarmModule, HashInputs), String>> {
        let name = file_name(module);
        let output = format!("{SCRATCH}/{name}");
        let started = Instant::now();
        let words = self.go_build(&name, &["-o", &output, "."]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (status, _, log) = sandbox
            .clone()
            .folder(Utf8Path::new(SOURCE).join(module.program()))
            .env([("GODEBUG", "gocachehash=1")])
            .run_with(&words, |stderr| Ok(HashLog::scan(stderr)?))?;
        if let Some(reason) = watch.reason(&log.other.join("\n"), status) {
            let reason = format!("{}: {reason}", module.path);
            return if self.keep_going {
                Ok(Err(format!("{reason}; {}", killed::HINT)))
            } else {
                Err(failed(reason, killed::HINT))
            };
        }
        if !status.success() {
            let said = excerpt(&as_here(&log.other.join("\n"), self.source));
            let mut reason = format!("{} does not build:\n{said}", module.path);
            // What is missing may be in a file that is left out.
            if ABSENT.iter().any(|sign| said.contains(sign)) {
                let folder = self.source.join(module.program());
                let (image, platform) = (&self.tree.image, &self.tree.platform);
                if let Some(explained) = excluded::in_folder(&folder, image, platform)? {
                    reason = format!("{reason}\n{}\nhint: {}", explained.message, explained.hint);
                }
            }
            return Ok(Err(reason));
        }
        let executable = scratch.join(&name);
        let executable_bytes = fs_err::metadata(&executable)?.len();
        let link = log.inputs.links.get(&module.import_path);
        let link_action = link.map(|link| link.action);
        match link_action {
            Some(action) => {
                let time = i64::try_from(self.tree.image.image.cache_entry_time * 1_000_000_000)
                    .context("image.cache_entry_time is too large")?;
                store.put_file(&action, &executable, time)?;
            }
            None => fs_err::remove_file(&executable)?,
        }
        let (component, path) = (module.component.clone(), module.path.clone());
        let warm = WarmModule {
            component,
            path,
            link_action,
            executable_bytes,
            build_ms: millis(started),
        };
        Ok(Ok((warm, log.inputs)))
    }
}
