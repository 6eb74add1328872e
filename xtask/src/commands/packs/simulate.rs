//! `cargo xtask simulate`: the whole matrix on this machine.
//!
//! Runs the very commands that the workflow runs, each with folders of its own, and with nothing between jobs but what
//! the workflow passes on: archives of packs, or a repository. What a job kept is removed when it ends, as a runner's
//! disk is.

use crate::source::Selection;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use camino::Utf8PathBuf;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use xshell::{Shell, cmd};

use crate::commands::packs::warm::{Warmed, WarmedPack};
use engine::host;
use engine::progress::{Kind, Progress, Step, human_bytes, millis};
use pipeline::flow::Settings;
use pipeline::names::{BASE, COMMON, REST, TOOLS};
use pipeline::pack::matrix;
use pipeline::pack::matrix::Times;
use pipeline::preflight::{self, Plan};
use pipeline::summary;
use pipeline::work::files::remove_tree;
use pipeline::work::out::Out;

/// The file by which the folder of a simulation is known.
const MARKER: &str = "simulation.json";
/// The tag of the image in the repository.
const TAG: &str = "simulated";

#[derive(Debug, Serialize)]
struct Simulation {
    /// The job that makes what all others start from.
    shared: Done,
    providers: Vec<Done>,
    /// The last job: the image, verified, and in a simulation with files the merged caches.
    last: Done,
    /// On as many runners as there are jobs.
    critical_path_ms: u64,
    /// On one runner.
    sequential_ms: u64,
    /// What went between jobs.
    moved_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Done {
    name: String,
    wall_ms: u64,
    /// What it took from other jobs, and left for them.
    moved_bytes: u64,
    packs: Vec<WarmedPack>,
}

struct Job {
    name: String,
    arguments: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub selection: Selection,
    /// Jobs that run at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub parallel: u16,
    /// Where the image, the merged caches and the jobs' packs go
    #[arg(long, value_name = "DIR", default_value = "target/simulate")]
    pub out: Utf8PathBuf,
    /// Let packs travel through this repository, and not as archives
    #[arg(long, value_name = "HOST/REPO")]
    pub registry: Option<String>,
    /// Divide providers that would take longer than this
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub minutes: Option<u16>,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    pub insecure: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the matrix and prints its account.
pub fn run(flags: &Args) -> Result<()> {
    let (source, modules, providers) = flags.selection.read(None)?;
    let plan = Plan {
        settings: &Settings::new(source.clone()),
        modules: &modules,
        verifies: true,
        out: Some(&flags.out),
        // Each job keeps its own work there.
        kept: flags.out.clone(),
    };
    preflight::check(&plan, None)?;
    let limit = flags
        .minutes
        .map(|minutes| std::time::Duration::from_secs(60 * u64::from(minutes)));
    let jobs = matrix::jobs(&modules, &providers, &Times::read(None)?, limit)?;
    let out = Out::of(&flags.out, "a simulation", &[MARKER])?;
    let folder = out.begin()?.to_owned();
    let runner = Runner {
        flags,
        source,
        folder: folder.clone(),
        program: Utf8PathBuf::try_from(std::env::current_exe()?)?,
    };
    for name in ["shared", "packs", "jobs"] {
        fs_err::create_dir(folder.join(name))?;
    }

    let mut progress = Progress::default();
    let shared = progress.step("base, tools, common, rest", Kind::Local, |_| {
        runner.warm(&runner.shared())
    })?;
    let providers = progress.step("providers", Kind::Local, |step| {
        let jobs = jobs.iter().map(|job| runner.provider(job)).collect();
        runner.in_parallel(jobs, step)
    })?;
    let last = progress.step("assemble, merge, verify", Kind::Local, |_| {
        runner.last(&shared, &providers)
    })?;

    let slowest = providers.iter().map(|job| job.wall_ms).max().unwrap_or(0);
    let sum: u64 = providers.iter().map(|job| job.wall_ms).sum();
    let simulation = Simulation {
        critical_path_ms: shared.wall_ms + slowest + last.wall_ms,
        sequential_ms: shared.wall_ms + sum + last.wall_ms,
        moved_bytes: std::iter::once(&shared)
            .chain(&providers)
            .chain([&last])
            .map(|job| job.moved_bytes)
            .sum(),
        shared,
        providers,
        last,
    };
    let json = serde_json::to_vec_pretty(&simulation)?;
    fs_err::write(folder.join(MARKER), &json)?;
    remove_tree(&folder.join("jobs"))?;
    out.complete()?;
    if flags.json {
        println!("{}", String::from_utf8_lossy(&json));
    } else {
        println!("{}\n\n{}", simulation.text(), out.place());
    }
    Ok(())
}

/// Runs jobs, each in folders of its own.
struct Runner<'a> {
    flags: &'a Args,
    source: Utf8PathBuf,
    folder: Utf8PathBuf,
    program: Utf8PathBuf,
}

impl Runner<'_> {
    /// The job that makes what all others start from.
    fn shared(&self) -> Job {
        let mut arguments = vec!["warm".to_owned()];
        for name in [BASE, TOOLS, COMMON, REST] {
            arguments.extend(["--provider".to_owned(), name.to_owned()]);
        }
        self.leave(&mut arguments, "shared/shared.tar");
        Job {
            name: "shared".to_owned(),
            arguments,
        }
    }

    fn provider(&self, job: &matrix::MatrixJob) -> Job {
        let mut arguments: Vec<String> = ["warm", "--provider", &job.provider]
            .map(str::to_owned)
            .into();
        if job.part.of > 1 {
            arguments.extend(["--part".to_owned(), job.part.to_string()]);
        }
        let from = match &self.flags.registry {
            Some(repository) => repository.clone(),
            None => self.folder.join("shared").into_string(),
        };
        arguments.extend(["--from".to_owned(), from]);
        self.leave(&mut arguments, &format!("packs/{}.tar", job.name));
        Job {
            name: job.name.clone(),
            arguments,
        }
    }

    /// Where a job leaves its packs.
    fn leave(&self, arguments: &mut Vec<String>, archive: &str) {
        arguments.push("--json".to_owned());
        arguments.extend(["--source".to_owned(), self.source.to_string()]);
        if let Some(repository) = &self.flags.registry {
            arguments.extend(["--push".to_owned(), repository.clone()]);
        } else {
            let out = self.folder.join(archive).into_string();
            arguments.extend(["--out".to_owned(), out]);
        }
        arguments.extend(self.flags.insecure.then(|| "--insecure".to_owned()));
    }

    fn warm(&self, job: &Job) -> Result<Done> {
        let started = Instant::now();
        let warmed: Warmed = self.json(&job.name, &job.arguments)?;
        let wall_ms = millis(started);
        remove_tree(&self.own_folder(&job.name))?;
        Ok(Done {
            name: job.name.clone(),
            wall_ms,
            moved_bytes: warmed.moved_bytes,
            packs: warmed.packs,
        })
    }

    fn in_parallel(&self, jobs: VecDeque<Job>, step: &Step) -> Result<Vec<Done>> {
        let total = jobs.len();
        let (waiting, done) = (Mutex::new(jobs), Mutex::new(Vec::new()));
        let work = || -> Result<()> {
            loop {
                let next = waiting.lock().map_err(poisoned)?.pop_front();
                let Some(job) = next else { return Ok(()) };
                let finished = self.warm(&job)?;
                let mut done = done.lock().map_err(poisoned)?;
                done.push(finished);
                step.detail(format!("{} of {total}", done.len()));
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.flags.parallel)
                .map(|_| scope.spawn(work))
                .collect();
            let joined = threads.into_iter().map(|thread| {
                let joined = thread.join();
                joined.unwrap_or_else(|_| Err(anyhow!("a job's thread ended badly")))
            });
            joined
                .collect::<Vec<_>>()
                .into_iter()
                .collect::<Result<()>>()
        })?;
        let mut done = done.into_inner().map_err(poisoned)?;
        done.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(done)
    }

    /// The image, merged caches, and the verifier's report.
    fn last(&self, shared: &Done, providers: &[Done]) -> Result<Done> {
        let started = Instant::now();
        let done = std::iter::once(shared).chain(providers);
        let packs: Vec<String> = match &self.flags.registry {
            Some(repository) => done
                .flat_map(|job| &job.packs)
                .map(|pack| format!("{repository}:{}", pack.tag))
                .collect(),
            None => std::iter::once(self.folder.join("shared/shared.tar"))
                .chain(
                    providers
                        .iter()
                        .map(|job| self.folder.join(format!("packs/{}.tar", job.name))),
                )
                .map(Utf8PathBuf::into_string)
                .collect(),
        };
        let name = "last";
        let mut assemble = vec!["assemble".to_owned(), "--json".to_owned()];
        assemble.extend(packs.iter().cloned());
        let image = if let Some(repository) = &self.flags.registry {
            let image = format!("{repository}:{TAG}");
            assemble.extend(["--push".to_owned(), image.clone()]);
            image
        } else {
            let layout = self.folder.join("oci").into_string();
            assemble.extend(["--out".to_owned(), layout.clone()]);
            layout
        };
        assemble.extend(self.flags.insecure.then(|| "--insecure".to_owned()));
        let assembled: Assembled = self.json(name, &assemble)?;
        if self.flags.registry.is_none() {
            let mut merge = vec!["merge".to_owned()];
            merge.extend(packs);
            merge.push("--out".to_owned());
            merge.push(self.folder.join("merged-cache").into_string());
            self.run(name, &merge)?;
        }
        let report = self.folder.join("report.json").into_string();
        let source = self.source.to_string();
        let mut verify: Vec<String> = [
            "verify", "--image", &image, "--source", &source, "--json", &report,
        ]
        .map(str::to_owned)
        .into();
        verify.extend(self.flags.insecure.then(|| "--insecure".to_owned()));
        verify.extend(["--", "run", "--min-hit-rate", "1"].map(str::to_owned));
        self.run(name, &verify)?;
        remove_tree(&self.own_folder(name))?;
        let archives = || -> Result<u64> {
            let mut bytes = 0;
            for folder in ["shared", "packs"] {
                for entry in fs_err::read_dir(self.folder.join(folder))? {
                    bytes += entry?.metadata()?.len();
                }
            }
            Ok(bytes)
        };
        Ok(Done {
            name: name.to_owned(),
            wall_ms: millis(started),
            moved_bytes: assembled.moved_bytes + archives()?,
            packs: Vec::new(),
        })
    }

    fn own_folder(&self, job: &str) -> Utf8PathBuf {
        self.folder.join("jobs").join(job)
    }

    fn json<T: DeserializeOwned>(&self, job: &str, arguments: &[String]) -> Result<T> {
        let printed = self.run(job, arguments)?;
        serde_json::from_str(&printed)
            .with_context(|| format!("`{}` of the job {job} printed no account", arguments[0]))
    }

    /// Runs this program as the job's machine would; what it printed.
    fn run(&self, job: &str, arguments: &[String]) -> Result<String> {
        let folder = self.own_folder(job);
        fs_err::create_dir_all(&folder)?;
        let (sh, program) = (Shell::new()?, &self.program);
        let _folder = sh.push_dir(&folder);
        let _cache = sh.push_env("XDG_CACHE_HOME", folder.join("cache"));
        host::read(cmd!(sh, "{program} {arguments...}")).with_context(|| {
            format!(
                "the job {job} failed in `cargo xtask {}`",
                arguments.join(" ")
            )
        })
    }
}

/// What of the account of `assemble` is used here.
#[derive(Deserialize)]
struct Assembled {
    moved_bytes: u64,
}

fn poisoned<T>(_: T) -> anyhow::Error {
    anyhow!("a job's thread ended badly")
}

impl Simulation {
    fn text(&self) -> String {
        let mut table =
            summary::table(&["job", "modules", "compressed", "caches", "wall", "moved"]);
        let jobs = std::iter::once(&self.shared).chain(&self.providers);
        for job in jobs.chain([&self.last]) {
            let sum = |bytes: fn(&WarmedPack) -> u64| job.packs.iter().map(bytes).sum::<u64>();
            let modules: usize = job.packs.iter().map(|pack| pack.modules).sum();
            table.add_row([
                job.name.clone(),
                modules.to_string(),
                human_bytes(sum(|pack| pack.compressed_bytes)),
                human_bytes(sum(|pack| pack.uncompressed_bytes)),
                summary::seconds(job.wall_ms as f64),
                human_bytes(job.moved_bytes),
            ]);
        }
        format!(
            "{table}\n\non unlimited runners {}, on one {}; {} moved between jobs",
            summary::seconds(self.critical_path_ms as f64),
            summary::seconds(self.sequential_ms as f64),
            human_bytes(self.moved_bytes)
        )
    }
}
