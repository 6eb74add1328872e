//! `cargo xtask bench gate`: how often the gate is wrong, measured on a real image.
//!
//! The verifier measures it again and again, and each report is held against the three before it: nothing
//! has changed, so every gate that is not met is a false alarm. In between, things are made worse on purpose, and
//! every gate that is met has missed one:
//! - a wrapper before the go command that makes each one take a fifth longer,
//! - one output missing in GOCACHE,
//! - one flag missing in GOFLAGS.
//!
//! All in one unpacked copy of the image, of which nothing stays.

use crate::flags::{ImageLayout, open_layout};
use crate::source::Source;
use std::collections::{BTreeMap, VecDeque};
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::{PACKS_PATH, PackInfo};
use regular_file::in_root;
use report::Report;
use report::gate::{self, Baseline, MIN_RUNS};

use engine::progress::{Kind, Progress, Step};
use engine::sandbox::{Sandbox, User};
use engine::{Engine, host};
use oci::image::Image;
use oci::platform::Platform;
use pipeline::foundation::tree::ELSEWHERE;
use pipeline::foundation::verifier;
use pipeline::measure;
use pipeline::names::VERIFIER;
use pipeline::owners::relative;
use pipeline::readable;
use pipeline::work::Work;

/// The variant that is measured: the one whose verifier runs without any rights.
const VARIANT: &str = "latest-nonroot";
/// First builds in a report, of all modules together, if `--runs` does not say otherwise: with fewer of them, a fifth
/// more is found only most of the time.
const FIRST_BUILDS: usize = 40;
/// Each report is held against as many that were made just before it.
const BASELINES: usize = 3;
const WRAPPER: &str = "/run/wrapper";
/// Time that the wrapper adds, as a divisor: a fifth.
const WRAPPER_SCRIPT: &str = r#"#!/bin/bash
begun=${EPOCHREALTIME/./}
GO "$@"
code=$?
added=$(( (${EPOCHREALTIME/./} - begun) / 5 ))
sleep "$(printf '%d.%06d' $((added / 1000000)) $((added % 1000000)))"
exit $code
"#;

/// What was tried, how often, and how often the gate was not met.
struct Line {
    what: String,
    gates: usize,
    not_met: usize,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub layout: ImageLayout,
    #[command(flatten)]
    pub source: Source,
    /// Gates between which nothing changes
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub pairs: u16,
    /// Gates with a slower go command, as many with an entry missing, and with a flag missing
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub tries: u16,
    /// Runs of each module in a report [default: enough for 40 first builds of all modules together]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(5..))]
    pub runs: Option<u16>,
}

/// Measures, counts and prints; misses and false alarms beyond one in a hundred end in exit code 3.
pub fn run(flags: &Args) -> Result<()> {
    let source = flags.source.folder()?;
    host::require_programs(&[host::SANDBOX])?;
    let mut progress = Progress::default();
    let work = Work::open()?;
    let scratch = work.scratch("gate")?;
    let bench = progress.step("unpack", Kind::Local, |_| {
        let verifier = verifier::make(
            &work,
            &pipeline::workspace::workspace(),
            &Platform::host(),
            false,
        )?;
        Bench::unpack(flags, &source, &verifier, scratch.path())
    })?;
    let (none, slower) = progress.step("measure times", Kind::Local, |step| {
        bench.times(flags.pairs.into(), flags.tries.into(), step)
    })?;
    let baseline = Baseline::of(&bench.measure(&bench.sandbox, 1)?);
    let entry = progress.step("drop entries", Kind::Local, |step| {
        bench.entries(&baseline, flags.tries, step)
    })?;
    let flag = progress.step("drop flags", Kind::Local, |step| {
        bench.flags(&baseline, flags.tries, step)
    })?;

    let mut table = pipeline::summary::table(&["", "gates", "not met", "should be"]);
    let injected = [slower, entry, flag];
    let row = |line: &Line, should: &str| {
        let (gates, not_met) = (line.gates.to_string(), line.not_met.to_string());
        [line.what.clone(), gates, not_met, should.to_owned()]
    };
    table.add_row(row(&none, "at most 1 in 100"));
    for line in &injected {
        table.add_row(row(line, "all"));
    }
    println!("{table}");
    let is_missed = injected.iter().any(|line| line.not_met < line.gates);
    if is_missed || none.not_met * 100 > none.gates {
        return Err(failure::missed(
            "the gate is wrong too often on this machine",
        ));
    }
    Ok(())
}

/// An unpacked image in which modules are measured.
struct Bench {
    root: Utf8PathBuf,
    env: BTreeMap<String, String>,
    /// With the source, and the image's environment.
    sandbox: Sandbox,
    /// Those that are warm, by path.
    modules: Vec<Utf8PathBuf>,
    runs: usize,
    wrapper: tempfile::TempDir,
}

impl Bench {
    fn unpack(
        flags: &Args,
        source: &Utf8Path,
        verifier: &Utf8Path,
        root: &Utf8Path,
    ) -> Result<Self> {
        let image = unpack(&flags.layout.image, root)?;
        let env: BTreeMap<String, String> = image
            .env()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let config = image.config.config().as_ref();
        let user = config.and_then(|config| config.user().as_deref());
        let user = user.unwrap_or_default();
        let user = user
            .parse()
            .with_context(|| format!("{VARIANT} runs as {user:?}"))?;
        readable::check(source, User::of(user), Engine::Native)?;
        let sandbox = Sandbox::new(root)
            .env(&env)
            .env([("HOME", "/tmp")])
            .user(User::of(user))
            .init(verifier)
            .read_only(verifier, VERIFIER)
            .read_only(source, ELSEWHERE);
        let modules = warm_modules(root)?;
        if modules.is_empty() {
            return Err(failure::usage(
                format!(
                    "no module is warm in the image {VARIANT} of {}",
                    flags.layout.image
                ),
                "name an image with packs",
            ));
        }
        let as_many = FIRST_BUILDS.div_ceil(modules.len()).max(MIN_RUNS);
        let wrapper = tempfile::tempdir().context("failed to make a temporary folder")?;
        let go = env.get("GOROOT").context("the image sets no GOROOT")?;
        let script = wrapper.path().join("go");
        fs_err::write(
            &script,
            WRAPPER_SCRIPT.replace("GO", &format!("{go}/bin/go")),
        )?;
        for path in [wrapper.path(), &script] {
            fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
        }
        Ok(Self {
            root: root.to_owned(),
            sandbox,
            modules,
            runs: flags.runs.map_or(as_many, usize::from),
            wrapper,
            env,
        })
    }

    fn measure(&self, sandbox: &Sandbox, runs: usize) -> Result<Report> {
        let runs = runs.to_string();
        let mut flags = vec!["--runs", &runs];
        for module in &self.modules {
            flags.extend(["--module", module.as_str()]);
        }
        Ok(measure::Report::parse(&measure::measure(sandbox, &flags)?)?.data)
    }

    fn times(&self, pairs: usize, tries: usize, step: &Step) -> Result<(Line, Line)> {
        let wrapper = Utf8Path::from_path(self.wrapper.path()).context("TMPDIR is not UTF-8")?;
        let path = self.env.get("PATH").map_or("/usr/bin:/bin", String::as_str);
        let slow_go = self
            .sandbox
            .clone()
            .read_only(wrapper, WRAPPER)
            .env([("PATH", format!("{WRAPPER}:{path}"))]);
        let mut none = Line::new("nothing changed");
        let mut slower = Line::new("each go command a fifth slower");
        let mut baselines = VecDeque::new();
        baselines.push_front(Baseline::of(&self.measure(&self.sandbox, self.runs)?));
        while none.gates < pairs || slower.gates < tries {
            step.detail(format!("{} of {pairs}", none.gates));
            // Taken in turns, so that neither has the quieter hour.
            if slower.gates < tries {
                let report = self.measure(&slow_go, self.runs)?;
                for baseline in baselines.iter().take(tries - slower.gates) {
                    slower.gate(baseline, &report, true);
                }
            }
            if none.gates < pairs {
                let report = self.measure(&self.sandbox, self.runs)?;
                for baseline in baselines.iter().take(pairs - none.gates) {
                    none.gate(baseline, &report, false);
                }
                baselines.push_front(Baseline::of(&report));
                baselines.truncate(BASELINES);
            }
        }
        Ok((none, slower))
    }

    /// Takes away one output after the other, of packages spread over all that the first module needs.
    fn entries(&self, baseline: &Baseline, tries: u16, step: &Step) -> Result<Line> {
        let list = ["go", "list", "-deps", "-export", "-f", "{{.Export}}", "."];
        let module = Utf8Path::new(ELSEWHERE).join(&self.modules[0]);
        let listed = self.sandbox.clone().folder(module).run(&list)?;
        if !listed.status.success() {
            bail!("go list failed:\n{}", listed.stderr.trim());
        }
        // `unsafe` has no output.
        let outputs: Vec<&str> = listed
            .stdout
            .lines()
            .filter(|line| !line.is_empty())
            .collect();
        let mut line = Line::new("one output missing in GOCACHE");
        for output in outputs
            .iter()
            .step_by((outputs.len() / usize::from(tries)).max(1))
            .take(tries.into())
        {
            step.detail(*output);
            let file = self.root.join(relative(Utf8Path::new(output)));
            let aside = file.with_extension("aside");
            fs_err::rename(&file, &aside)?;
            line.gate(baseline, &self.measure(&self.sandbox, 1)?, true);
            fs_err::rename(&aside, &file)?;
        }
        Ok(line)
    }

    /// Takes away one flag after the other, over and over.
    fn flags(&self, baseline: &Baseline, tries: u16, step: &Step) -> Result<Line> {
        let flags: Vec<&str> = self
            .env
            .get("GOFLAGS")
            .map_or("", String::as_str)
            .split(' ')
            .collect();
        let mut line = Line::new("one flag missing in GOFLAGS");
        for dropped in flags.iter().cycle().take(tries.into()) {
            step.detail(*dropped);
            let kept: Vec<_> = flags
                .iter()
                .copied()
                .filter(|flag| flag != dropped)
                .collect();
            let sandbox = self.sandbox.clone().env([("GOFLAGS", kept.join(" "))]);
            line.gate(baseline, &self.measure(&sandbox, 1)?, true);
        }
        Ok(line)
    }
}

impl Line {
    fn new(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            gates: 0,
            not_met: 0,
        }
    }

    /// Counts a gate; what it should not have said is shown.
    fn gate(&mut self, baseline: &Baseline, report: &Report, is_worse: bool) {
        let comparison = gate::compare(baseline, report);
        self.gates += 1;
        self.not_met += usize::from(!comparison.is_met());
        if comparison.is_met() == is_worse {
            eprintln!("wrong, {}:\n{}", self.what, comparison.text());
        }
    }
}

/// The modules of all packs in the image.
fn warm_modules(root: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let packs = PackInfo::read_all(&in_root::resolve_utf8(root, PACKS_PATH)?)?;
    let modules = packs.into_iter().flat_map(|pack| pack.modules);
    let mut modules: Vec<_> = modules.map(|module| module.path).collect();
    modules.sort();
    Ok(modules)
}

/// Fetches [`VARIANT`] from a layout, and unpacks it.
fn unpack(layout: &Utf8Path, root: &Utf8Path) -> Result<Image> {
    let (layout, platform) = (open_layout(layout)?, Platform::host());
    let image = Image::fetch(&layout, layout.find(Some(VARIANT), &platform)?, &platform)?;
    image.unpack(root)?;
    Ok(image)
}
