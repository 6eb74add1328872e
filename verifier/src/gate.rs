//! `verifier gate`: holds a report against a baseline. Renewing a baseline is for the repository it stands in, so that
//! is left to `cargo xtask gate`.

use failure::Kind;
use std::process::ExitCode;

use camino::Utf8PathBuf;
use report::gate::{self, Baseline};

use crate::output;

/// Hold a report against a baseline; the exit code is 3 if anything is worse
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The baseline
    #[arg(long, value_name = "FILE")]
    baseline: Utf8PathBuf,
    /// The report that `verifier run` wrote
    #[arg(value_name = "REPORT")]
    report: Utf8PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let report = report::file::read(&args.report)?;
    let comparison = gate::compare(&Baseline::read(&args.baseline)?, &report);
    output::print(&comparison.text())?;
    Ok(if comparison.is_met() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Kind::Missed.exit_code())
    })
}
