//! `verifier report`: writes a report in another format. All it does is in the `report` crate.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use report::{Export, Format};

use crate::output;

/// Write a report in another format
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The report, as `run --json` wrote it
    #[arg(value_name = "REPORT")]
    report: Utf8PathBuf,
    /// What to write
    #[arg(long, value_name = "FORMAT", value_parser = format())]
    format: Format,
    /// Where to [default: standard output; for markdown, the job's summary where GitHub runs it]
    #[arg(long, value_name = "FILE")]
    out: Option<Utf8PathBuf>,
    /// Earlier reports, one line each, which html draws
    #[arg(long, value_name = "FILE")]
    history: Option<Utf8PathBuf>,
    /// What html draws as the target, and what a first build fails to meet in junit [html: 500]
    #[arg(long, value_name = "MS")]
    target_ms: Option<f64>,
}

fn format() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::as_str))
        .try_map(|name| name.parse::<Format>())
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let export = Export {
        report: &args.report,
        format: args.format,
        out: args.out.as_deref(),
        history: args.history.as_deref(),
        target_ms: args.target_ms,
    };
    if let Some(text) = export.run(std::env::var("GITHUB_STEP_SUMMARY").ok())? {
        output::print(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}
