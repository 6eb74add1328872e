//! `verifier run`: builds every module as its first user would, and says how long it took and what was compiled.
//!
//! For each module, as often as `--runs` says: `first` is the build in the state as shipped, `relink` the next one
//! with the executable removed, `noop` the one after that. `--preview` adds a `pulumi preview`, again in the state
//! as shipped. Modules are built one after the other, so that they do not disturb each other's times; nothing else
//! should use the same GOCACHE meanwhile, for all that is new in it is removed (see [`pristine`]).
//!
//! A module that fails is reported, and the rest goes on.

mod preview;
mod pristine;
mod report;
mod selection;
mod table;
mod targets;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use modules::Module;

use self::pristine::{Pristine, Surroundings};
use self::report::{Failure, MeasuredModule, Report};
use self::targets::Targets;
use crate::{exit, go, output};

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
    /// Run `pulumi preview`, too, for the first N modules of each provider that have a Pulumi.yaml
    #[arg(long, value_name = "N", default_value_t = 0)]
    preview: usize,
    #[command(flatten)]
    targets: Targets,
}

/// Measures, shows and writes the report.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let source = args.source.as_path();
    let discovery = modules::discover(source)?;
    let selected = selection::select(source, discovery, &args.providers, &args.modules)?;
    if args.preview > 0 {
        preview::check_tools()?;
    }
    let source = source
        .canonicalize_utf8()
        .with_context(|| format!("failed to find the real path of {source}"))?;
    let settings = go::Settings::in_folder(&source)?;
    let pristine = Pristine::note(Utf8Path::new(&settings.identity.gocache))?;
    let environment = settings.independent_of_home();

    let (mut measured, mut failures) = (Vec::new(), Vec::new());
    let mut previews: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, module) in selected.iter().enumerate() {
        let name = report::name(&module.provider, &module.component);
        let progress = format!("[{}/{}] {name}", index + 1, selected.len());
        let bench = Bench {
            folder: source.join(&module.path),
            pristine: &pristine,
            environment: &environment,
        };
        let previewed = previews.entry(&module.provider).or_default();
        let preview = *previewed < args.preview && bench.folder.join("Pulumi.yaml").is_file();
        *previewed += usize::from(preview);
        let outcome = bench.measure(module, args.runs, preview);
        // Also when it failed, and before anything else is done.
        pristine.restore()?;
        match outcome.and_then(check_preview) {
            Ok(module) => {
                eprintln!("{progress}: first build {:.0} ms", module.first_median_ms());
                measured.push(module);
            }
            Err(error) => {
                eprintln!("{progress}: failed: {error:#}");
                failures.push(Failure::new(module, format!("{error:#}")));
            }
        }
    }

    let report = Report::new(settings.identity, measured, failures);
    let text = table::render(&report);
    match &args.json {
        Some(file) if file == "-" => {
            eprint!("{text}");
            output::json_to_stdout(&report)?;
        }
        Some(file) => {
            output::json_to_file(&report, file)?;
            output::print(&text)?;
        }
        None => output::print(&text)?,
    }
    let missed = args.targets.missed_by(&report);
    let mut stderr = std::io::stderr().lock();
    for line in table::warnings(&report).iter().chain(&missed) {
        let _ = writeln!(stderr, "{line}");
    }
    Ok(if !report.failures.is_empty() {
        ExitCode::from(exit::FAILED)
    } else if !missed.is_empty() {
        ExitCode::from(exit::TARGET_MISSED)
    } else {
        ExitCode::SUCCESS
    })
}

/// A preview whose program did not run is a failure of the module.
fn check_preview(module: MeasuredModule) -> anyhow::Result<MeasuredModule> {
    match &module.phases.preview {
        Some(preview) if !preview.ran => {
            bail!(
                "pulumi did not run the program:\n{}",
                preview.messages.join("\n")
            )
        }
        _ => Ok(module),
    }
}

/// Where one module is measured.
struct Bench<'a> {
    /// The module's folder.
    folder: Utf8PathBuf,
    pristine: &'a Pristine,
    /// For every go command.
    environment: &'a crate::process::Environment,
}

impl Bench<'_> {
    fn measure(&self, module: &Module, runs: u32, preview: bool) -> anyhow::Result<MeasuredModule> {
        let mut measured = MeasuredModule::new(module);
        for _ in 0..runs {
            let surroundings = self.as_shipped()?;
            let (graph, program) = (
                surroundings.path("graph.json"),
                surroundings.path("program"),
            );
            let build = || go::build(&self.folder, &graph, &program, &surroundings.environment());
            measured.phases.first.add(&build()?);
            fs_err::remove_file(&program)?;
            measured.phases.relink.add(&build()?);
            measured.phases.noop.add(&build()?);
        }
        if preview {
            for _ in 0..runs {
                let surroundings = self.as_shipped()?;
                let shown = preview::run(&self.folder, &surroundings)?;
                measured.phases.preview.get_or_insert_default().add(shown);
            }
        }
        Ok(measured)
    }

    /// Removes what earlier builds left and makes new folders for temporary files and fallback caches.
    fn as_shipped(&self) -> anyhow::Result<Surroundings> {
        self.pristine.restore()?;
        Surroundings::new(self.environment)
    }
}
