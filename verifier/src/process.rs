//! The one place where commands are run: their output is kept, their wall time and what they took from the machine is
//! measured, their name is in every error.

use std::ffi::OsStr;
use std::io::Read as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use wait4::Wait4 as _;

/// Variables for a command, beside those it inherits.
pub type Environment = Vec<(&'static str, String)>;

#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// From just before it was started until it had ended.
    pub wall_ms: f64,
    pub usage: Usage,
}

/// What a command and the processes that it started took from the machine; none where the system does not tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Resident memory of the largest process, in bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Written to disks, in bytes.
    pub written_bytes: Option<u64>,
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
        // As a shell does: the go command calls a folder behind a link by the name it has here.
        .env("PWD", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    let start = Instant::now();
    let child = command
        .spawn()
        .with_context(|| format!("failed to run {program} in {folder}; is it on PATH?"))?;
    finish(child, start).with_context(|| format!("failed to run {program} in {folder}"))
}

fn finish(mut child: Child, start: Instant) -> std::io::Result<Finished> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let read = thread::scope(|scope| {
        let other = scope.spawn(|| err.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut stderr)));
        let read = out.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut stdout));
        let other = other
            .join()
            .map_err(|_| std::io::Error::other("a reader stopped"));
        read.and(other.and_then(|read| read))
    });
    // Ended, but not yet waited for: only in between does the system tell what all of its processes wrote.
    let pid = Pid::from_child(&child);
    waitid(
        WaitId::Pid(pid),
        WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
    )?;
    let wall_ms = start.elapsed().as_secs_f64() * 1_000.0;
    let written_bytes = written_bytes(child.id());
    let used = child.wait4()?;
    read?;
    Ok(Finished {
        status: used.status,
        stdout,
        stderr,
        wall_ms,
        usage: Usage {
            peak_memory_bytes: Some(used.rusage.maxrss).filter(|bytes| *bytes > 0),
            written_bytes,
        },
    })
}

/// What a process and those of its children that it waited for wrote to disks; `proc_pid_io(5)`.
fn written_bytes(process: u32) -> Option<u64> {
    let io = fs_err::read_to_string(format!("/proc/{process}/io")).ok()?;
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))?;
    line.parse().ok()
}

/// Milliseconds to a microsecond: more is noise.
pub fn rounded(ms: f64) -> f64 {
    (ms * 1_000.0).round() / 1_000.0
}

pub fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter_map(|folder| Utf8PathBuf::from_path_buf(folder).ok())
        .any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grandchildren_write_counts() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let script = "sh -c 'head -c 3000000 /dev/zero > big; echo out; echo err >&2'; exit 7";
        let finished = run("sh", &["-c", script], folder, &Environment::new()).unwrap();
        assert_eq!(finished.status.code(), Some(7));
        assert_eq!(finished.first_lines(9), ["err", "out"]);
        assert!(finished.usage.peak_memory_bytes.unwrap() > 100_000);
        assert!(finished.usage.written_bytes.unwrap() >= 3_000_000);
    }
}
