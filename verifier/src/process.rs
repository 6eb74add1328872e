//! The one place where commands are run: their output is kept, their wall time taken, their name in every error.

use std::ffi::OsStr;
use std::process::{Command, ExitStatus};
use std::time::Instant;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};

/// Variables for a command, beside those it inherits.
pub type Environment = Vec<(&'static str, String)>;

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// From just before it was started until it had ended.
    pub wall_ms: f64,
}

impl Finished {
    /// The first lines of its messages, those on standard error first; blank lines are left out.
    pub fn first_lines(&self, count: usize) -> Vec<String> {
        let text = [&self.stderr[..], &self.stdout[..]].map(String::from_utf8_lossy);
        let lines = text.iter().flat_map(|text| text.lines()).map(str::trim_end);
        lines
            .filter(|line| !line.is_empty())
            .take(count)
            .map(str::to_owned)
            .collect()
    }
}

/// Runs a command in a folder until it ends, with nothing on standard input.
pub fn run<A: AsRef<OsStr>>(
    program: &str,
    arguments: &[A],
    folder: &Utf8Path,
    environment: &Environment,
) -> anyhow::Result<Finished> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the wrapper that everything else goes through"
    )]
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(std::process::Stdio::null());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let start = Instant::now();
    let output = command
        .output()
        .with_context(|| format!("failed to run {program} in {folder}; is it on PATH?"))?;
    let wall_ms = start.elapsed().as_secs_f64() * 1_000.0;
    Ok(Finished {
        status: output.status,
        stdout: output.stdout,
        stderr: output.stderr,
        wall_ms,
    })
}

/// Whether a command of this name is on PATH.
pub fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter_map(|folder| Utf8PathBuf::from_path_buf(folder).ok())
        .any(|folder| folder.join(program).is_file())
}
