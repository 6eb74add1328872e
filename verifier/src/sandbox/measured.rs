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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_process_counts_and_the_exit_code_is_that_of_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let peak = Utf8PathBuf::try_from(folder.path().join("peak")).unwrap();
        let measured = |script: &str| {
            let args = Args {
                peak: peak.clone(),
                command: ["sh", "-c", script].map(str::to_owned).into(),
            };
            let code = format!("{:?}", run(&args).unwrap());
            let bytes: u64 = fs_err::read_to_string(&peak).unwrap().parse().unwrap();
            (code, bytes)
        };
        let (code, little) = measured("exit 3");
        assert_eq!(code, format!("{:?}", ExitCode::from(3)));
        // A child of it, which it waits for.
        let (code, much) =
            measured("sh -c 'x=$(head -c 50000000 /dev/zero | tr \"\\0\" x); kill -9 $$'");
        assert_eq!(code, format!("{:?}", ExitCode::from(137)));
        assert!(much > 50_000_000 && much > little, "{little} {much}");
    }
}
