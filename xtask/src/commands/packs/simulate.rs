//! `cargo xtask simulate`: the whole matrix on this machine.
//!
//! Runs the very commands that the workflow runs, each with folders of its own, and with nothing between jobs but what
//! the workflow passes on: archives of packs, or a repository. What a job kept is removed when it ends, as a runner's
//! disk is.

use crate::flags::Platforms;
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
use oci::platform::Platform;
use pipeline::flow::Settings;
use pipeline::names::{BASE, COMMON, REST, TOOLS};
use pipeline::pack::archive;
use pipeline::pack::matrix;
use pipeline::pack::matrix::Times;
use pipeline::preflight::{self, Makes, Plan};
use pipeline::summary;
use pipeline::work::files::remove_tree;
use pipeline::work::out::Out;

/// The file by which the folder of a simulation is known.
const MARKER: &str = "simulation.json";
/// The tag of the image in the repository.
const TAG: &str = "simulated";

#[derive(Debug, Serialize)]
struct Simulation {
    /// The jobs that make what all others start from, one for each platform.
    shared: Vec<Done>,
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
    #[command(flatten)]
    pub platforms: Platforms,
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
    let platforms = flags.platforms.or_host();
    let plan = Plan {
        settings: &Settings::new(source.clone()),
        modules: &modules,
        platforms: &platforms,
        makes: Makes::ALL,
        verifies: true,
        out: Some(&flags.out),
        // Each job keeps its own work there.
        kept: flags.out.clone(),
    };
    preflight::check(&plan, None)?;
    let limit = flags
        .minutes
        .map(|minutes| std::time::Duration::from_secs(60 * u64::from(minutes)));
    let times = Times::read(None)?;
    let mut jobs = Vec::new();
    for platform in &platforms {
        jobs.extend(matrix::jobs(&modules, &providers, platform, &times, limit)?);
    }
    let out = Out::of(&flags.out, "a simulation", &[MARKER])?;
    let folder = out.begin()?.to_owned();
    let runner = Runner {
        flags,
        source,
        platforms,
        folder: folder.clone(),
        program: Utf8PathBuf::try_from(std::env::current_exe()?)?,
    };
    for name in ["shared", "packs", "jobs"] {
        fs_err::create_dir(folder.join(name))?;
    }

    let mut progress = Progress::default();
    let shared = progress.step("base, tools, common, rest", Kind::Local, |step| {
        let jobs = runner.platforms.iter().map(|it| runner.shared(it));
        runner.in_parallel(jobs.collect(), step)
    })?;
    let providers = progress.step("providers", Kind::Local, |step| {
        let jobs = jobs.iter().map(|job| runner.provider(job)).collect();
        runner.in_parallel(jobs, step)
    })?;
    let last = progress.step("assemble, merge, verify", Kind::Local, |_| {
        runner.last(&shared, &providers)
    })?;

    let slowest = |jobs: &[Done]| jobs.iter().map(|job| job.wall_ms).max().unwrap_or(0);
    let sum = |jobs: &[Done]| jobs.iter().map(|job| job.wall_ms).sum::<u64>();
    let simulation = Simulation {
        critical_path_ms: slowest(&shared) + slowest(&providers) + last.wall_ms,
        sequential_ms: sum(&shared) + sum(&providers) + last.wall_ms,
        moved_bytes: shared
            .iter()
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
    platforms: Vec<Platform>,
    folder: Utf8PathBuf,
    program: Utf8PathBuf,
}

impl Runner<'_> {
    /// What the jobs and files of `platform` are called: `name` alone for the only one.
    fn called(&self, name: &str, platform: &str) -> String {
        if self.platforms.len() == 1 {
            name.to_owned()
        } else {
            archive::name(name, platform)
        }
    }

    /// The job that makes what all others for `platform` start from.
    fn shared(&self, platform: &Platform) -> Job {
        let platform = platform.to_string();
        let mut arguments = vec!["warm".to_owned(), "--platform".to_owned(), platform.clone()];
        for name in [BASE, TOOLS, COMMON, REST] {
            arguments.extend(["--provider".to_owned(), name.to_owned()]);
        }
        let name = self.called("shared", &platform);
        self.leave(&mut arguments, &format!("shared/{name}.tar"));
        Job { name, arguments }
    }

    fn provider(&self, job: &matrix::MatrixJob) -> Job {
        let words = [
            "warm",
            "--platform",
            &job.platform,
            "--provider",
            &job.provider,
        ];
        let mut arguments: Vec<String> = words.map(str::to_owned).into();
        if job.part.of > 1 {
            arguments.extend(["--part".to_owned(), job.part.to_string()]);
        }
        let from = match &self.flags.registry {
            Some(repository) => repository.clone(),
            None => self.folder.join("shared").into_string(),
        };
        arguments.extend(["--from".to_owned(), from]);
        let name = self.called(&job.name, &job.platform);
        self.leave(&mut arguments, &format!("packs/{name}.tar"));
        Job { name, arguments }
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
    fn last(&self, shared: &[Done], providers: &[Done]) -> Result<Done> {
        let started = Instant::now();
        let archives = |folder: &str, jobs: &[Done]| -> Vec<String> {
            let file = |job: &Done| self.folder.join(format!("{folder}/{}.tar", job.name));
            jobs.iter().map(|job| file(job).into_string()).collect()
        };
        let packs: Vec<String> = match &self.flags.registry {
            Some(repository) => shared
                .iter()
                .chain(providers)
                .flat_map(|job| &job.packs)
                .map(|pack| format!("{repository}:{}", pack.tag))
                .collect(),
            None => [archives("shared", shared), archives("packs", providers)].concat(),
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
        for platform in self.platforms.iter().map(Platform::to_string) {
            if self.flags.registry.is_none() {
                let end = self.called("", &platform);
                let is_of_platform = |pack: &&String| {
                    self.platforms.len() == 1 || pack.ends_with(&format!("{end}.tar"))
                };
                let mut merge = vec!["merge".to_owned()];
                merge.extend(packs.iter().filter(is_of_platform).cloned());
                let out = self.folder.join(self.called("merged-cache", &platform));
                merge.extend(["--out".to_owned(), out.into_string()]);
                self.run(name, &merge)?;
            }
            let report = format!("{}.json", self.called("report", &platform));
            let report = self.folder.join(report).into_string();
            let source = self.source.as_str();
            let words = [
                "verify",
                "--image",
                &image,
                "--platform",
                &platform,
                "--source",
                source,
                "--json",
                &report,
            ];
            let mut verify: Vec<String> = words.map(str::to_owned).into();
            verify.extend(self.flags.insecure.then(|| "--insecure".to_owned()));
            verify.extend(["--", "run", "--min-hit-rate", "1"].map(str::to_owned));
            self.run(name, &verify)?;
        }
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
        let jobs = self.shared.iter().chain(&self.providers);
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
