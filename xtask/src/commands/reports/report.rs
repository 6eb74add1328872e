//! `cargo xtask report`: writes a report in another format, outside the image as `verifier report` does inside.

use camino::Utf8PathBuf;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use report::Format;
use std::io::{ErrorKind, Write as _};

use anyhow::{Context as _, Result};
use report::Export;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The report, as `base-image` and the verifier write it
    #[arg(value_name = "REPORT")]
    pub file: Utf8PathBuf,
    /// What to write
    #[arg(long, value_name = "FORMAT", value_parser = format())]
    pub format: Format,
    /// Where to [default: standard output; for markdown, the job's summary where GitHub runs it]
    #[arg(long, value_name = "FILE")]
    pub out: Option<Utf8PathBuf>,
    /// Earlier reports, one line each, which html draws
    #[arg(long, value_name = "FILE")]
    pub history: Option<Utf8PathBuf>,
    /// What html draws as the target, and what a first build fails to meet in junit [html: 500]
    #[arg(long, value_name = "MS")]
    pub target_ms: Option<f64>,
}

fn format() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::as_str))
        .try_map(|name| name.parse::<Format>())
}

/// Writes it.
pub fn run(flags: &Args) -> Result<()> {
    let export = Export {
        report: &flags.file,
        format: flags.format,
        out: flags.out.as_deref(),
        history: flags.history.as_deref(),
        target_ms: flags.target_ms,
    };
    let Some(text) = export.run(std::env::var("GITHUB_STEP_SUMMARY").ok())? else {
        return Ok(());
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        // A reader that has gone away is no failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("failed to write to standard output")
        }
        _ => Ok(()),
    }
}
