//! Runs one command and writes down how much memory the largest process of it had. Only whoever waits for a process is
//! told, so it is a process of the same sandbox that waits, whichever engine the sandbox is of.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use camino::Utf8PathBuf;
use wait4::Wait4 as _;

use super::{command, exit_code};

/// Run a command and write down the memory of its largest process; for sandboxes
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the number of bytes goes
    #[arg(long, value_name = "FILE")]
    peak: Utf8PathBuf,
    /// The command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the command to its end; its exit code.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut command = command(&args.command)?;
    let program = &args.command[0];
    let mut child = command
        .spawn()
        .with_context(|| format!("failed to run {program}"))?;
    let used = child
        .wait4()
        .with_context(|| format!("failed to wait for {program}"))?;
    fs_err::write(&args.peak, used.rusage.maxrss.to_string())?;
    Ok(ExitCode::from(exit_code(used.status)))
}
