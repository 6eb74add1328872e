//! `cargo xtask report`: writes a report in another format, outside the image as `verifier report` does inside.

use std::io::{ErrorKind, Write as _};

use anyhow::{Context as _, Result};
use report::Export;

use crate::cli;

/// Writes it.
pub fn run(flags: &cli::Report) -> Result<()> {
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
