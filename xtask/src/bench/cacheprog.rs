//! `cargo xtask bench cacheprog`: what a first build takes where GOCACHE cannot be written to, beside one where it can
//! be.
//!
//! The image is unpacked once. Each build runs in a container of its own with an empty folder for temporary files, and
//! what it adds to GOCACHE is removed. The ways to build take turns, so that a machine that changes its speed treats
//! all alike. System calls are counted in one more build of each way, which is not timed: `strace` slows what it
//! follows.

use std::collections::HashSet;

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::Store;
use gocache::image_info::{OBJECTS_PATH, PACKS_PATH, PackInfo};
use gocache::objects::{self, Objects};
use report::PhaseName;
use report::stats::median;
use serde::Serialize;

use crate::bench::unpacked::ImageOfLayout;
use crate::source::Source;
use engine::excerpt::excerpt;
use engine::host;
use engine::progress::{Kind, Progress};
use engine::sandbox::Sandbox;
use failure::usage;
use pipeline::assemble::image_config;
use pipeline::foundation::tree::ELSEWHERE;
use pipeline::image_toml::ImageToml;
use pipeline::measure::Report;
use pipeline::owners::relative;
use pipeline::work::Work;
use pipeline::work::files::files_below;
use pipeline::{measure, summary};

/// As many providers as are measured where no module is named.
const PROVIDERS: usize = 3;

/// Where `cacheprog` notes its requests.
const LOG: &str = "/tmp/requests";

/// What counts system calls, and its Debian package.
const TRACER: (&str, &str) = ("strace", "strace");

/// A way to build; the first is what the others are measured against. A form of caches that is to be compared is one
/// more of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Archives are whole, and GOCACHE can be written to.
    Whole,
    /// GOCACHE can be written to.
    Writable,
    /// The launcher makes links.
    Links,
    /// The real go command asks `verifier cacheprog`.
    Cacheprog,
    /// The real go command keeps no package index, and so has nothing to write.
    NoIndex,
}

impl Way {
    const ALL: [(Self, &str); 5] = [
        (
            Self::Whole,
            "plain: whole archives, GOCACHE can be written to",
        ),
        (Self::Writable, "as shipped, GOCACHE can be written to"),
        (Self::Links, "links"),
        (Self::Cacheprog, "cacheprog"),
        (Self::NoIndex, "GODEBUG=goindex=0"),
    ];

    /// Whether `go` is what users call, and so what the verifier does.
    fn is_by_the_launcher(self) -> bool {
        matches!(self, Self::Whole | Self::Writable | Self::Links)
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Build {
    wall_ms: f64,
    /// Of the go command and all that it starts, as user and in the kernel.
    cpu_ms: f64,
}

#[derive(Debug, Serialize)]
struct Line {
    module: String,
    way: &'static str,
    builds: Vec<Build>,
    wall_median_ms: f64,
    cpu_median_ms: f64,
    /// Against the plain one.
    wall_ratio: f64,
    cpu_ratio: f64,
    /// What a GOCACHEPROG is asked; none where there is none.
    requests: Option<u64>,
    /// Of the go command and all that it starts.
    system_calls: u64,
    /// The verifier's phase `edited`, and that against the plain one; none where it was not asked for.
    edited_median_ms: Option<f64>,
    edited_ratio: Option<f64>,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub image: ImageOfLayout,
    /// Build this module; repeat for several [default: one of each of three providers of the image]
    #[arg(long = "module", value_name = "PATH")]
    pub modules: Vec<Utf8PathBuf>,
    /// First builds of each module in each way
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..))]
    pub builds: u16,
    /// Builds after an edit of each module, with whole archives, as shipped and with links
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub edited: u16,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(flags: &Args) -> Result<()> {
    host::require_programs(&[host::SANDBOX, TRACER])?;
    let source = flags.source.folder()?;
    let found = crate::source::discover(&source, None)?.modules;
    let image_toml = ImageToml::read(&pipeline::workspace::image_toml())?;
    let work = Work::open()?;
    let scratch = work.scratch("cacheprog")?;
    let root = scratch.path();
    let mut progress = Progress::default();
    let image = flags.image.unpack(root, &mut progress)?;
    let mut modules = flags.modules.clone();
    if modules.is_empty() {
        modules = one_of_each_pack(&PackInfo::read_all(
            &root.join(relative(Utf8Path::new(PACKS_PATH))),
        )?);
    }
    let scratch = work.scratch("whole")?;
    let whole = scratch.path().join("go-build");
    let unpacked = root.join(relative(&image_toml.go.gocache));
    progress.step("put archives together", Kind::Local, |_| {
        let objects = Objects::open(&root.join(relative(Utf8Path::new(OBJECTS_PATH))))?;
        let (from, to) = (Store::at(&unpacked), Store::create(&whole)?);
        Ok(objects::whole(&from, &objects, &to)?)
    })?;
    let node = Node {
        whole,
        sandbox: measure::root_sandbox(root, &image, &source),
        gocache: image_toml.go.gocache.clone(),
        unpacked,
        go: image_toml.go.goroot.join("bin/go"),
        counts: scratch.path().join("system-calls"),
    };
    let mut lines = Vec::new();
    for path in &modules {
        let module = found.iter().find(|module| module.path == *path);
        let module = module.ok_or_else(|| {
            let hint = "`cargo xtask discover` lists its modules";
            usage(format!("{path} is no module of {source}"), hint)
        })?;
        let folder = format!("{ELSEWHERE}/{}", module.program());
        lines.extend(progress.step(path.as_str(), Kind::Local, |step| {
            node.measure(path, &folder, flags, |round| {
                step.detail(format!("round {round}"));
            })
        })?);
    }
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&lines)?);
    } else {
        println!("{}", table(&lines));
    }
    Ok(())
}

/// The first module of each pack that has some.
fn one_of_each_pack(packs: &[PackInfo]) -> Vec<Utf8PathBuf> {
    let first = |pack: &PackInfo| pack.modules.first().map(|module| module.path.clone());
    packs.iter().filter_map(first).take(PROVIDERS).collect()
}

/// The unpacked image.
struct Node {
    sandbox: Sandbox,
    /// In the image, and here.
    gocache: Utf8PathBuf,
    unpacked: Utf8PathBuf,
    /// With whole archives.
    whole: Utf8PathBuf,
    /// The real one.
    go: Utf8PathBuf,
    /// Where the tracer writes what it counted.
    counts: Utf8PathBuf,
}

impl Node {
    fn measure(
        &self,
        path: &Utf8Path,
        folder: &str,
        flags: &Args,
        tell: impl Fn(u16),
    ) -> Result<Vec<Line>> {
        let caches = [&self.unpacked, &self.whole];
        let shipped = [files(caches[0])?, files(caches[1])?];
        let forget = || -> Result<()> {
            for (cache, shipped) in std::iter::zip(caches, &shipped) {
                for new in files(cache)?.difference(shipped) {
                    fs_err::remove_file(cache.join(new))?;
                }
            }
            Ok(())
        };
        let mut builds = Way::ALL.map(|_| Vec::new());
        for round in 1..=flags.builds {
            tell(round);
            for (way, builds) in std::iter::zip(Way::ALL, &mut builds) {
                builds.push(self.build(way.0, folder)?);
                forget()?;
            }
        }
        let mut edited = Way::ALL.map(|_| Vec::new());
        for round in 1..=flags.edited {
            tell(round);
            for (way, edited) in std::iter::zip(Way::ALL, &mut edited) {
                if way.0.is_by_the_launcher() {
                    edited.push(self.edited(way.0, path)?);
                    forget()?;
                }
            }
        }
        let requests = self.requests(folder)?;
        let mut lines: Vec<Line> = Vec::new();
        for (((way, name), builds), edited) in Way::ALL.into_iter().zip(builds).zip(edited) {
            let of =
                |value: fn(&Build) -> f64| median(&builds.iter().map(value).collect::<Vec<_>>());
            let (wall_ms, cpu_ms) = (of(|build| build.wall_ms), of(|build| build.cpu_ms));
            let system_calls = self.system_calls(way, folder)?;
            forget()?;
            let edited_median_ms = (!edited.is_empty()).then(|| median(&edited));
            let plain = lines.first();
            lines.push(Line {
                module: path.to_string(),
                way: name,
                wall_median_ms: wall_ms,
                cpu_median_ms: cpu_ms,
                wall_ratio: plain.map_or(1.0, |plain| wall_ms / plain.wall_median_ms),
                cpu_ratio: plain.map_or(1.0, |plain| cpu_ms / plain.cpu_median_ms),
                requests: (way == Way::Cacheprog).then_some(requests),
                system_calls,
                edited_median_ms,
                edited_ratio: edited_median_ms.and_then(|it| {
                    Some(it / plain.map_or(Some(it), |plain| plain.edited_median_ms)?)
                }),
                builds,
            });
        }
        Ok(lines)
    }

    /// The container of a build in one way, and its go command.
    fn container(&self, way: Way) -> (Sandbox, &str) {
        let served = image_config::cacheprog(&self.gocache);
        // Root finds a mount that is read-only as closed as any user does.
        let closed = || {
            self.sandbox
                .clone()
                .read_only(&self.unpacked, &self.gocache)
        };
        let sandbox = match way {
            Way::Whole => self
                .sandbox
                .clone()
                .writable(&self.whole, &self.gocache)
                .env([("GOCACHEPROG", "")]),
            Way::Writable => self.sandbox.clone().env([("GOCACHEPROG", "")]),
            Way::Links | Way::Cacheprog => closed().env([("GOCACHEPROG", served)]),
            Way::NoIndex => closed().env([("GOCACHEPROG", ""), ("GODEBUG", "goindex=0")]),
        };
        let go = if way.is_by_the_launcher() {
            "go"
        } else {
            self.go.as_str()
        };
        (sandbox, go)
    }

    fn build(&self, way: Way, folder: &str) -> Result<Build> {
        let (sandbox, go) = self.container(way);
        let script = format!(
            "TIMEFORMAT='%R %U %S'; cd '{folder}' && export HOME=/tmp && time {go} build -o /tmp/program . 2> /tmp/said \
             || {{ cat /tmp/said >&2; exit 1; }}"
        );
        let done = sandbox.run(&["bash", "-c", &script])?;
        if !done.status.success() {
            bail!("the build failed in {folder}:\n{}", excerpt(&done.stderr));
        }
        of_times(&done.stderr).with_context(|| format!("no times in {:?}", done.stderr))
    }

    /// How long the verifier waits for a build after an edit, in milliseconds.
    fn edited(&self, way: Way, path: &Utf8Path) -> Result<f64> {
        let (sandbox, _) = self.container(way);
        let said = measure::measure(&sandbox, &["--edited", "--module", path.as_str()])?;
        let report = Report::parse(&said)?.data;
        let mut modules = report.modules.iter();
        let phase = modules.find_map(|module| module.phases.get(&PhaseName::Edited));
        Ok(phase
            .context("the report has no phase `edited`")?
            .median_ms())
    }

    /// The system calls of a build, without those of what starts it.
    fn system_calls(&self, way: Way, folder: &str) -> Result<u64> {
        let (sandbox, go) = self.container(way);
        let sandbox = sandbox.tracer([
            TRACER.0,
            "--follow-forks",
            "--summary-only",
            "--summary-columns=calls,name",
            "--output",
            self.counts.as_str(),
        ]);
        let count = |command: &str| {
            let script = format!("cd '{folder}' && HOME=/tmp {command}; exit $?");
            let done = sandbox.run(&["bash", "-c", &script])?;
            if !done.status.success() {
                bail!("the build failed in {folder}:\n{}", excerpt(&done.stderr));
            }
            let counts = fs_err::read_to_string(&self.counts)?;
            total_of(&counts).with_context(|| format!("no total in {counts:?}"))
        };
        let nothing = count("true")?;
        Ok(count(&format!("{go} build -o /tmp/program ."))?.saturating_sub(nothing))
    }

    /// What a build asks of `cacheprog`.
    fn requests(&self, folder: &str) -> Result<u64> {
        let (sandbox, go) = self.container(Way::Cacheprog);
        let logged = format!("{} --log {LOG}", image_config::cacheprog(&self.gocache));
        let script =
            format!("cd '{folder}' && HOME=/tmp {go} build -o /tmp/program . && wc -l < {LOG}");
        let done = sandbox
            .env([("GOCACHEPROG", logged)])
            .run(&["bash", "-c", &script])?;
        let count = done.stdout.trim().parse();
        count.with_context(|| format!("the build failed in {folder}:\n{}", excerpt(&done.stderr)))
    }
}

/// The files of a cache.
fn files(cache: &Utf8Path) -> Result<HashSet<Utf8PathBuf>> {
    Ok(files_below(cache)?.into_iter().collect())
}

/// What bash says of the seconds that a command took: altogether, as user, and in the kernel.
fn of_times(said: &str) -> Option<Build> {
    let line = said.trim().lines().last()?;
    let seconds: Vec<f64> = line
        .split(' ')
        .map_while(|word| word.parse().ok())
        .collect();
    match seconds[..] {
        [wall, user, kernel] => Some(Build {
            wall_ms: wall * 1e3,
            cpu_ms: (user + kernel) * 1e3,
        }),
        _ => None,
    }
}

/// The sum in what `strace` counted.
fn total_of(counts: &str) -> Option<u64> {
    let line = counts.lines().rev().find(|line| line.ends_with(" total"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn table(lines: &[Line]) -> comfy_table::Table {
    let header = [
        "module",
        "way",
        "first build",
        "against plain",
        "CPU",
        "against plain",
        "requests",
        "system calls",
        "edited",
        "against plain",
    ];
    let mut table = summary::table(&header);
    for line in lines {
        table.add_row([
            line.module.clone(),
            line.way.to_owned(),
            summary::seconds(line.wall_median_ms),
            format!("{:.2}", line.wall_ratio),
            summary::seconds(line.cpu_median_ms),
            format!("{:.2}", line.cpu_ratio),
            line.requests.map_or_else(String::new, |it| it.to_string()),
            line.system_calls.to_string(),
            line.edited_median_ms
                .map_or_else(String::new, summary::seconds),
            line.edited_ratio
                .map_or_else(String::new, |it| format!("{it:.2}")),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use gocache::image_info::PackModule;

    #[test]
    fn times_are_read_from_the_last_line() {
        let build = of_times("bash: warning\n0.450 0.310 0.125\n").unwrap();
        assert!((build.wall_ms - 450.0).abs() < 0.1 && (build.cpu_ms - 435.0).abs() < 0.1);
        assert!(of_times("0.450 0.310\n").is_none());
        assert!(of_times("").is_none());
    }

    #[test]
    fn the_total_is_read_from_the_table() {
        let counts = "    calls syscall\n--------- -------\n     2471 read\n--------- -------\n     3041 total\n";
        assert_eq!(total_of(counts), Some(3041));
        assert_eq!(total_of("strace: exited"), None);
    }

    #[test]
    fn one_module_of_each_of_three_providers() {
        let pack = |name: &str, modules: &[&str]| PackInfo {
            name: name.into(),
            modules: modules
                .iter()
                .map(|path| PackModule {
                    component: "x".into(),
                    path: (*path).into(),
                })
                .collect(),
            ..PackInfo::default()
        };
        let packs = [
            pack("aws", &["a/1", "a/2"]),
            pack("civo", &["c/1"]),
            pack("common", &[]),
            pack("gcp", &["g/1"]),
            pack("oci", &["o/1"]),
        ];
        assert_eq!(one_of_each_pack(&packs), ["a/1", "c/1", "g/1"]);
    }
}
