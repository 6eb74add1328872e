//! Commands on the build machine itself, and the packages they come from.
//!
//! Everything else runs in the image's own tree (`sandbox`). What is missing here is installed where that is
//! possible without asking (root on Debian or Ubuntu); elsewhere the exact command is printed.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use camino::Utf8PathBuf;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use failure::usage;

/// The program that runs commands in an image's tree, with its Debian package.
pub const SANDBOX: (&str, &str) = ("bwrap", "bubblewrap");

/// Programs that building an image takes, with the Debian package of each.
pub const PROGRAMS: [(&str, &str); 2] = [SANDBOX, ("mmdebstrap", "mmdebstrap")];

/// A command on the build machine.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where commands of the build machine start"
)]
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

/// The cargo that runs this program, without what it says to this program alone: crates whose build scripts look at that
/// would be compiled anew, and again by the next `cargo xtask`.
pub fn cargo() -> Command {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut cargo = command(&program);
    let said = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in
        said.filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
    {
        cargo.env_remove(name);
    }
    cargo
}

/// Runs `command` and returns its standard output; a failure holds the command and the end of what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let done = run(command)?;
    String::from_utf8(done.stdout).with_context(|| format!("{} printed no UTF-8", shown(command)))
}

/// Runs `command` to its end, and fails when it does.
pub fn run(command: &mut Command) -> Result<Output> {
    let done = command
        .output()
        .with_context(|| format!("failed to execute {}", shown(command)))?;
    checked(command, done)
}

/// Process groups of [`run_apart`], which a Ctrl-C does not reach by itself.
static APART: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Runs `command` like [`run`], in a process group of its own: for programs that signal their whole group when they
/// fail, and would end this one and its caller with it.
pub fn run_apart(command: &mut Command) -> Result<Output> {
    let context = |command: &Command| format!("failed to execute {}", shown(command));
    command
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command.spawn().with_context(|| context(command))?;
    let group = Pid::from_raw(i32::try_from(child.id()).context("a process ID is an i32")?);
    change_apart(|groups| groups.push(group));
    let done = child.wait_with_output().with_context(|| context(command));
    change_apart(|groups| groups.retain(|other| *other != group));
    checked(command, done?)
}

/// Ends what [`run_apart`] has running.
pub fn stop_apart() {
    change_apart(|groups| {
        for group in groups.drain(..) {
            if let Err(error) = killpg(group, Signal::SIGTERM) {
                eprintln!("warning: failed to stop the process group {group}: {error}");
            }
        }
    });
}

fn change_apart(change: impl FnOnce(&mut Vec<Pid>)) {
    change(&mut APART.lock().unwrap_or_else(PoisonError::into_inner));
}

fn checked(command: &Command, done: Output) -> Result<Output> {
    if !done.status.success() {
        bail!(
            "{} failed ({}):\n{}",
            shown(command),
            done.status,
            tail(&done.stderr, 20)
        );
    }
    Ok(done)
}

/// The last `lines` lines of `text`.
fn tail(text: &[u8], lines: usize) -> String {
    let text = String::from_utf8_lossy(text);
    let all: Vec<&str> = text.trim_end().lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// `command` as a person would type it, without its environment.
fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .take(6)
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Where `program` is on PATH.
pub fn find(program: &str) -> Option<Utf8PathBuf> {
    let path = std::env::var("PATH").ok()?;
    path.split(':')
        .map(|folder| Utf8PathBuf::from(folder).join(program))
        .find(|file| file.is_file())
}

/// Processors that this process may use; one where the system does not tell.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Whether this process may do what only root may.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Makes sure that these programs (with the Debian package of each) are there.
pub fn require_programs(programs: &[(&str, &'static str)]) -> Result<()> {
    let missing: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get update && apt-get install -y {}", missing.join(" "));
    if !is_root() || find("apt-get").is_none() {
        let sudo = if is_root() { "" } else { "sudo sh -c " };
        return Err(usage(
            format!("{} missing on this machine", missing.join(" and ")),
            format!("install with: {sudo}'{install}'"),
        ));
    }
    eprintln!("installing {} with apt-get", missing.join(" and "));
    run(command("apt-get").arg("update")).context("failed to install what the build needs")?;
    run(command("apt-get")
        .args(["install", "-y", "--no-install-recommends"])
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive"))
    .context("failed to install what the build needs")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = output(command("sh").args(["-c", "echo first; echo why >&2; exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("sh -c"), "{error}");
        assert!(error.ends_with("why"), "{error}");
    }

    #[test]
    fn an_absent_program_is_named() {
        let error = output(&mut command("no-such-program"))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "failed to execute no-such-program");
    }
}
