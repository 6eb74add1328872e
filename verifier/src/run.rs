//! `verifier run`: builds every module as its first user would, and says how long it took and what was compiled.
//!
//! For each module, as often as `--runs` says: `first` is the build in the state as shipped, `relink` the next one
//! with the executable removed, `noop` the one after that; further phases on request. Modules are built one after the
//! other, so that they do not disturb each other's times; nothing else should use the same GOCACHE meanwhile, for all
//! that is new in it is removed (see [`pristine`]).
//!
//! A module that fails is reported, and the rest goes on.
//!
//! Without a source nothing is built: what runs are the programs that the image has built already, for which it takes no
//! Go.

mod bench;
mod cold_disk;
mod edited;
mod emulation;
mod index;
mod network;
mod phases;
mod plan;
mod preview;
pub mod pristine;
mod probe;
mod sample;
pub mod selection;
mod table;
mod targets;

use failure::Kind;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::PackInfo;
use report::{Failure, MeasuredModule, PackSize, PhaseName, Report, SCHEMA, Summary, Verifier};

use self::bench::Bench;
use self::network::Network;
use self::phases::Phases;
use self::plan::Plan;
use self::pristine::Pristine;
use self::probe::Probe;
use self::sample::Estimate;
use self::targets::Targets;
use crate::{info, output};

/// Build every module as its first user would, and measure it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The Go monorepo whose modules are built; without one, the programs that the image has built already are run alone,
    /// which takes no Go
    #[arg(long, value_name = "DIR")]
    source: Option<Utf8PathBuf>,
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

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let measured_at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let named = (&args.providers[..], &args.modules[..]);
    let plan = match &args.source {
        Some(source) => Plan::of_source(source, named, &args.phases)?,
        None => Plan::of_image(named, args.phases.prebuilt)?,
    };
    let gocache = Utf8Path::new(&plan.identity.gocache);
    let pristine = Pristine::note(gocache)?;
    let network = Network::listen()?;
    let goroot = Utf8Path::new(&plan.identity.goroot);
    let builds = plan.source.is_some();
    let probe = builds
        .then(|| Probe::prepare(goroot))
        .transpose()?
        .flatten();
    if builds && probe.is_none() {
        eprintln!(
            "there is no gofmt in {goroot}/bin: these times cannot be compared with those of other reports"
        );
    }
    let bench = Bench {
        source: plan.source.as_deref(),
        gocache,
        pristine: &pristine,
        network: &network,
        probe: probe.as_ref(),
        programs: &plan.programs,
        environment: &plan.environment,
        runs: args.runs,
    };

    let (mut measured, mut failures, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    let mut estimate = Estimate::default();
    let Plan {
        modules, wanted, ..
    } = &plan;
    for (index, (module, wanted_of_it)) in modules.iter().zip(wanted).enumerate() {
        let name = report::name(&module.provider, &module.component);
        let progress = format!("[{}/{}] {name}", index + 1, modules.len());
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
                eprintln!("{progress}: {}{left}", headline(&module));
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
        emulated: emulation::is_emulated(),
        identity: plan.identity.clone(),
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

/// What a module is told of by while others are measured.
fn headline(module: &MeasuredModule) -> String {
    let prebuilt = module.phases.get(&PhaseName::Prebuilt);
    match (module.first_median_ms(), prebuilt) {
        (Some(first_ms), _) => format!("first build {first_ms:.0} ms"),
        (None, Some(prebuilt)) => format!("{} {:.0} ms", PhaseName::Prebuilt, prebuilt.median_ms()),
        (None, None) => "nothing measured".to_owned(),
    }
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
