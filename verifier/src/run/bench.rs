//! Measures one module in every phase that was asked for.
//!
//! Each phase starts from the state as shipped: what earlier builds added is removed, and home, temporary files and the
//! user's caches are new folders. Only `relink` and `noop` go on where the build before them ended.

use std::collections::BTreeSet;

use camino::Utf8Path;
use gocache::image_info::programs::Program;
use modules::Module;
use report::{MeasuredModule, Phase, PhaseName, SkippedPhase};
use sha256::Sha256Hash;

use super::network::Network;
use super::preview::Runs;
use super::pristine::{Added, COLD, Pristine, Surroundings};
use super::probe::Probe;
use super::{cold_disk, edited, index, preview};
use crate::process::{Environment, rounded};
use crate::{go, unpacked_program};

/// What all modules have in common.
#[derive(Debug)]
pub struct Bench<'a> {
    /// None where nothing is built, and only what is built already runs.
    pub source: Option<&'a Utf8Path>,
    pub gocache: &'a Utf8Path,
    pub pristine: &'a Pristine,
    pub network: &'a Network,
    /// None where it cannot be made.
    pub probe: Option<&'a Probe>,
    /// Those of the image that are built already.
    pub programs: &'a [Program],
    /// For every go command.
    pub environment: &'a Environment,
    pub runs: u32,
}

impl Bench<'_> {
    /// Measures `module`: `first`, `relink` and `noop` wherever there is a source, of the others what is `wanted`. A phase
    /// that cannot be measured here goes to `skipped`, once.
    pub fn measure(
        &self,
        module: &Module,
        wanted: &BTreeSet<PhaseName>,
        skipped: &mut Vec<SkippedPhase>,
    ) -> anyhow::Result<MeasuredModule> {
        let mut measured = MeasuredModule::new(module);
        let Some(source) = self.source else {
            for _ in 0..self.runs {
                self.prebuilt(module, &mut measured, skipped)?;
            }
            return Ok(measured);
        };
        let folder = source.join(module.program());
        let index_ids = self.index_ids(&folder)?;
        for _ in 0..self.runs {
            let before_build = self.probe.map(Probe::run).transpose()?;
            let surroundings = self.as_shipped()?;
            let environment = self.offline(&surroundings);
            let first = Phase {
                index: Some(index::answered(&index_ids, self.gocache)?),
                ..self.build(&folder, &surroundings, &environment, Added::default())?
            };
            measured.add(PhaseName::First, first);
            for phase in [PhaseName::Relink, PhaseName::Noop] {
                if phase == PhaseName::Relink {
                    fs_err::remove_file(surroundings.path(PROGRAM))?;
                }
                let before = self.pristine.added(&surroundings)?;
                let run = self.build(&folder, &surroundings, &environment, before)?;
                measured.add(phase, run);
            }
            let before_list = self.probe.map(Probe::run).transpose()?;
            if let (Some(one), Some(other)) = (before_build, before_list) {
                measured.probe_ms.push(rounded((one * other).sqrt()));
            }
            let surroundings = self.as_shipped()?;
            let list_ms = go::list_ms(&folder, &self.offline(&surroundings))?;
            measured.list_ms.push(list_ms);
        }
        if wanted.contains(&PhaseName::FirstColdDisk) {
            self.first_cold_disk(&folder, &mut measured, skipped)?;
        }
        for _ in 0..self.runs {
            if wanted.contains(&PhaseName::Edited) {
                let surroundings = self.as_shipped()?;
                let environment = self.offline(&surroundings);
                let copy = surroundings.path("source");
                let copied = edited::copy(source, module.program(), &copy, &environment)?;
                // Copying asked the go command about packages at another path; the copy is new to it all the same.
                self.pristine.restore()?;
                let run = self.build(&copied, &surroundings, &environment, Added::default())?;
                measured.add(PhaseName::Edited, run);
            }
            if wanted.contains(&PhaseName::Preview) {
                let run = self.of_pulumi(|surroundings, environment| {
                    preview::run(&Runs::Source(&folder), surroundings, environment)
                })?;
                measured.add(PhaseName::Preview, run);
            }
            if wanted.contains(&PhaseName::Prebuilt) {
                self.prebuilt(module, &mut measured, skipped)?;
            }
            if wanted.contains(&PhaseName::Up) {
                let run = self.of_pulumi(|surroundings, environment| {
                    preview::up(&folder, surroundings, environment)
                })?;
                measured.add(PhaseName::Up, run);
            }
            if wanted.contains(&PhaseName::Cold) {
                let surroundings = self.as_shipped()?;
                let mut environment = self.offline(&surroundings);
                environment.extend(cold(&surroundings));
                let run = self.build(&folder, &surroundings, &environment, Added::default())?;
                measured.add(PhaseName::Cold, run);
            }
        }
        if wanted.contains(&PhaseName::ColdModules) {
            self.cold_modules(&folder, &mut measured, skipped)?;
        }
        Ok(measured)
    }

    fn prebuilt(
        &self,
        module: &Module,
        measured: &mut MeasuredModule,
        skipped: &mut Vec<SkippedPhase>,
    ) -> anyhow::Result<()> {
        let mut programs = self.programs.iter();
        let Some(program) = programs.find(|program| program.path == module.path) else {
            let reason = format!("the image has no executable of {} to run", measured.name());
            skip(skipped, PhaseName::Prebuilt, reason);
            return Ok(());
        };
        let run = self.of_pulumi(|surroundings, environment| {
            let executable = if program.is_packed() {
                let to = surroundings.path(PROGRAMS);
                unpacked_program::put(program, Utf8Path::new("/"), &to)?.join(&program.binary)
            } else {
                program.executable()
            };
            preview::run(&Runs::Executable(&executable), surroundings, environment)
        })?;
        measured.add(PhaseName::Prebuilt, run);
        Ok(())
    }

    /// What `run`, which starts Pulumi, measures in the state as shipped and without a network.
    fn of_pulumi(
        &self,
        run: impl FnOnce(&Surroundings, Environment) -> anyhow::Result<Phase>,
    ) -> anyhow::Result<Phase> {
        let surroundings = self.as_shipped()?;
        let phase = run(&surroundings, self.offline(&surroundings))?;
        self.account(phase, &surroundings, Added::default())
    }

    fn first_cold_disk(
        &self,
        folder: &Utf8Path,
        measured: &mut MeasuredModule,
        skipped: &mut Vec<SkippedPhase>,
    ) -> anyhow::Result<()> {
        for _ in 0..self.runs {
            let surroundings = self.as_shipped()?;
            if let Err(error) = cold_disk::drop_caches() {
                skip(
                    skipped,
                    PhaseName::FirstColdDisk,
                    format!("the page cache cannot be emptied here: {error}"),
                );
                break;
            }
            let environment = self.offline(&surroundings);
            let run = self.build(folder, &surroundings, &environment, Added::default())?;
            measured.add(PhaseName::FirstColdDisk, run);
        }
        Ok(())
    }

    /// The download may fail where there is no network, which is no fault of the module's: it has built before.
    fn cold_modules(
        &self,
        folder: &Utf8Path,
        measured: &mut MeasuredModule,
        skipped: &mut Vec<SkippedPhase>,
    ) -> anyhow::Result<()> {
        for _ in 0..self.runs {
            let surroundings = self.as_shipped()?;
            let mut environment = surroundings.environment();
            environment.extend(cold(&surroundings));
            let flags = std::env::var("GOFLAGS").unwrap_or_default();
            environment.extend([
                ("GOMODCACHE", surroundings.path("go-mod").into_string()),
                ("GOFLAGS", format!("{flags} -modcacherw").trim().to_owned()),
            ]);
            match self.build(folder, &surroundings, &environment, Added::default()) {
                Ok(run) => measured.add(PhaseName::ColdModules, run),
                Err(error) => {
                    // The go command names everything that it began to fetch, and what went wrong at the end.
                    let said = format!("{error:#}");
                    let last = said.trim_end().lines().next_back().unwrap_or_default();
                    let reason = format!(
                        "{} does not build with an empty GOMODCACHE: {last}",
                        measured.name()
                    );
                    skip(skipped, PhaseName::ColdModules, reason);
                    break;
                }
            }
        }
        Ok(())
    }

    /// What the package index is asked for; leaves the state as shipped.
    fn index_ids(&self, folder: &Utf8Path) -> anyhow::Result<BTreeSet<Sha256Hash>> {
        let surroundings = self.as_shipped()?;
        let ids = index::look_ups(folder, &self.offline(&surroundings))?;
        self.pristine.restore()?;
        Ok(ids)
    }

    /// Removes what earlier builds left and makes new folders for temporary files and fallback caches.
    fn as_shipped(&self) -> anyhow::Result<Surroundings> {
        self.pristine.restore()?;
        Surroundings::new(self.environment.clone())
    }

    fn offline(&self, surroundings: &Surroundings) -> Environment {
        let mut environment = surroundings.environment();
        environment.extend(self.network.environment());
        environment
    }

    fn build(
        &self,
        folder: &Utf8Path,
        surroundings: &Surroundings,
        environment: &Environment,
        before: Added,
    ) -> anyhow::Result<Phase> {
        let graph = surroundings.path("graph.json");
        let program = surroundings.path(PROGRAM);
        // What was asked before this build is not its.
        self.network.take();
        let run = go::build(folder, &graph, &program, environment)?;
        self.account(run, surroundings, before)
    }

    /// Adds what the run asked of the network and what it left in the caches.
    fn account(
        &self,
        run: Phase,
        surroundings: &Surroundings,
        before: Added,
    ) -> anyhow::Result<Phase> {
        let requests = self.network.take();
        let added = self.pristine.added(surroundings)?.since(before);
        Ok(Phase {
            added_files: added.files,
            added_bytes: added.bytes,
            ..run.with_requests(requests)
        })
    }
}

/// An empty GOCACHE with nothing beside it.
fn cold(surroundings: &Surroundings) -> Environment {
    vec![
        ("GOCACHE", surroundings.path(COLD).into_string()),
        ("GOCACHEPROG", String::new()),
    ]
}

const PROGRAM: &str = "program";

/// The folder that programs are unpacked to.
const PROGRAMS: &str = "programs";

fn skip(skipped: &mut Vec<SkippedPhase>, phase: PhaseName, reason: String) {
    if skipped.iter().all(|known| known.phase != phase) {
        eprintln!("skipped {phase}: {reason}");
        skipped.push(SkippedPhase { phase, reason });
    }
}
