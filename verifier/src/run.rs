//! `verifier run`: builds every module as its first user would, and says how long it took and what was compiled.
//!
//! For each module, as often as `--runs` says: `first` is the build in the state as shipped, `relink` the next one
//! with the executable removed, `noop` the one after that; further phases on request. Modules are built one after the
//! other, so that they do not disturb each other's times; nothing else should use the same GOCACHE meanwhile, for all
//! that is new in it is removed (see [`pristine`]).
//!
//! A module that fails is reported, and the rest goes on.

mod bench;
mod cold_disk;
mod edited;
mod index;
mod network;
mod preview;
pub mod pristine;
mod probe;
mod sample;
pub mod selection;
mod table;
mod targets;

use failure::Kind;
use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::PackInfo;
use gocache::image_info::programs::{PROGRAM_LISTS_PATH, Program};
use report::{Failure, MeasuredModule, PackSize, PhaseName, Report, SCHEMA, Summary, Verifier};

use self::bench::Bench;
use self::network::Network;
use self::pristine::Pristine;
use self::probe::Probe;
use self::sample::{Estimate, Which};
use self::targets::Targets;
use crate::{go, info, output};

/// Build every module as its first user would, and measure it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The Go monorepo whose modules are built
    #[arg(long, value_name = "DIR")]
    source: Utf8PathBuf,
    /// Only modules of this provider; may be repeated
    #[arg(long = "provider", value_name = "P")]
    providers: Vec<String>,
    /// Only this module, named by its path in the source or as PROVIDER/COMPONENT; may be repeated
    #[arg(long = "module", value_name = "M")]
    modules: Vec<String>,
    /// Write the report as JSON; `-` is standard output, and the table then goes to standard error
    #[arg(long, value_name = "FILE")]
    json: Option<Utf8PathBuf>,
    /// How often each phase is measured
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    #[command(flatten)]
    phases: Phases,
    #[command(flatten)]
    targets: Targets,
}

/// Phases beside `first`, `relink` and `noop`; `sample` is the first module of each provider
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
struct Phases {
    /// Measure every phase that is listed here, for every module
    #[arg(long = "all-phases")]
    all: bool,
    /// Build with an empty GOCACHE
    #[arg(long, value_name = "WHICH", default_value = "none")]
    cold: Which,
    /// Build with an empty GOMODCACHE, too, where there is a network, for the modules that `--cold` selects
    #[arg(long)]
    cold_modules: bool,
    /// Build with an empty page cache; takes root
    #[arg(long)]
    cold_disk: bool,
    /// Build a copy in which one thing is changed
    #[arg(long)]
    edited: bool,
    /// Run `pulumi preview`, where there is a Pulumi.yaml
    #[arg(long, value_name = "WHICH", default_value = "none")]
    preview: Which,
    /// Run `pulumi preview` with the executable that the image has of the program
    #[arg(long, value_name = "WHICH", default_value = "none")]
    prebuilt: Which,
    /// One more phase of every module with a Pulumi.yaml, which --all-phases leaves out: `up` makes its resources, in a
    /// backend of its own, and destroys them again
    #[arg(long = "phase", value_name = "PHASE", value_enum)]
    more: Vec<More>,
}

/// Phases that nothing but their name asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum More {
    /// `pulumi up`, and then `pulumi destroy`
    Up,
}

impl Phases {
    /// For each of `modules`, what is wanted of it.
    fn wanted(&self, source: &Utf8Path, modules: &[modules::Module]) -> Vec<BTreeSet<PhaseName>> {
        let scope = |which| if self.all { Which::All } else { which };
        let cold = scope(self.cold).of(modules, |_| true);
        let has_project =
            |module: &modules::Module| source.join(&module.path).join("Pulumi.yaml").is_file();
        let preview = scope(self.preview).of(modules, has_project);
        let prebuilt = scope(self.prebuilt).of(modules, has_project);
        let up = self.more.contains(&More::Up);
        let each = cold.into_iter().zip(preview).zip(prebuilt).zip(modules);
        each.map(|(((cold, preview), prebuilt), module)| {
            let phases = [
                (PhaseName::Cold, cold),
                (
                    PhaseName::ColdModules,
                    cold && (self.cold_modules || self.all),
                ),
                (PhaseName::FirstColdDisk, self.cold_disk || self.all),
                (PhaseName::Edited, self.edited || self.all),
                (PhaseName::Preview, preview),
                (PhaseName::Prebuilt, prebuilt),
                (PhaseName::Up, up && has_project(module)),
            ];
            let wanted = phases.into_iter().filter(|(_, wanted)| *wanted);
            wanted.map(|(phase, _)| phase).collect()
        })
        .collect()
    }
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let measured_at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let source = args.source.as_path();
    let layout = info::layout(Utf8Path::new("/"))?;
    let discovery = modules::discover(source, layout.as_ref())?;
    let selected = selection::select(
        source,
        layout.as_ref(),
        discovery,
        &args.providers,
        &args.modules,
    )?;
    let wanted = args.phases.wanted(source, &selected);
    let runs_pulumi = [PhaseName::Preview, PhaseName::Prebuilt, PhaseName::Up];
    if wanted
        .iter()
        .any(|wanted| runs_pulumi.iter().any(|phase| wanted.contains(phase)))
    {
        preview::check_tools()?;
    }
    let source = source
        .canonicalize_utf8()
        .with_context(|| format!("failed to find the real path of {source}"))?;
    let settings = go::Settings::in_folder(&source)?;
    let gocache = Utf8Path::new(&settings.identity.gocache);
    let pristine = Pristine::note(gocache)?;
    let network = Network::listen()?;
    let goroot = Utf8Path::new(&settings.identity.goroot);
    let probe = Probe::prepare(goroot)?;
    if probe.is_none() {
        eprintln!(
            "there is no gofmt in {goroot}/bin: these times cannot be compared with those of other reports"
        );
    }
    let bench = Bench {
        source: &source,
        gocache,
        pristine: &pristine,
        network: &network,
        probe: probe.as_ref(),
        programs: &Program::read_all(Utf8Path::new(PROGRAM_LISTS_PATH))?,
        environment: &settings.independent_of_home(),
        runs: args.runs,
    };

    let (mut measured, mut failures, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    let mut estimate = Estimate::default();
    for (index, (module, wanted_of_it)) in selected.iter().zip(&wanted).enumerate() {
        let name = report::name(&module.provider, &module.component);
        let progress = format!("[{}/{}] {name}", index + 1, selected.len());
        let started = Instant::now();
        let outcome = bench.measure(module, wanted_of_it, &mut skipped);
        // Also when it failed, and before anything else is done.
        pristine.restore()?;
        match outcome {
            Ok(module) => {
                estimate.add(started.elapsed(), cold_time(&module));
                let rest = &wanted[index + 1..];
                let cold = rest
                    .iter()
                    .filter(|wanted| wanted.contains(&PhaseName::Cold));
                let cold = cold.count();
                let left = left_text(estimate.left(rest.len(), cold));
                let first_ms = module.first_median_ms().unwrap_or_default();
                eprintln!("{progress}: first build {first_ms:.0} ms{left}");
                measured.push(module);
            }
            Err(error) => {
                eprintln!("{progress}: failed: {error:#}");
                failures.push(Failure::new(module, format!("{error:#}")));
            }
        }
    }

    let report = Report {
        schema: SCHEMA,
        measured_at_s: measured_at.ok().map(|since| since.as_secs()),
        identity: settings.identity.clone(),
        image: None,
        packs: info::packs()?.iter().map(pack_size).collect(),
        summary: Summary::of(&measured),
        modules: measured,
        failures,
        skipped,
        verifier: Verifier {
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
    };
    show(args, &report)
}

/// Time that a module spent in cold builds, if any was made.
fn cold_time(module: &MeasuredModule) -> Option<Duration> {
    let cold = [PhaseName::Cold, PhaseName::ColdModules];
    let phases = cold.iter().filter_map(|name| module.phases.get(name));
    let ms: f64 = phases.flat_map(|phase| &phase.wall_ms).sum();
    (ms > 0.0).then(|| Duration::from_secs_f64(ms / 1_000.0))
}

/// What is worth saying of the time that is left.
fn left_text(left: Option<Duration>) -> String {
    match left.map(|left| left.as_secs()) {
        None | Some(0..30) => String::new(),
        Some(seconds @ 30..120) => format!(" (about {seconds} s left)"),
        Some(seconds) => format!(" (about {} min left)", seconds.div_ceil(60)),
    }
}

fn pack_size(pack: &PackInfo) -> PackSize {
    PackSize {
        name: pack.name.clone(),
        go_mod_bytes: pack.go_mod_bytes,
        go_build_bytes: pack.go_build_bytes + pack.objects_bytes,
        executables_bytes: pack.executables_bytes,
    }
}

/// Prints the table and writes the report; the exit code says whether all is well.
fn show(args: &Args, report: &Report) -> anyhow::Result<ExitCode> {
    let text = table::render(report);
    match &args.json {
        Some(file) if file == "-" => {
            eprint!("{text}");
            output::json_to_stdout(report)?;
        }
        Some(file) => {
            output::json_to_file(report, file)?;
            output::print(&text)?;
        }
        None => output::print(&text)?,
    }
    let missed = args.targets.missed_by(report);
    let mut stderr = std::io::stderr().lock();
    for line in table::warnings(report).iter().chain(&missed) {
        let _ = writeln!(stderr, "{line}");
    }
    Ok(if !report.failures.is_empty() {
        ExitCode::from(Kind::Failed.exit_code())
    } else if !missed.is_empty() {
        ExitCode::from(Kind::Missed.exit_code())
    } else {
        ExitCode::SUCCESS
    })
}
