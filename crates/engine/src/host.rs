//! Commands on the build machine itself, and the packages they come from.
//!
//! Everything else runs in the image's own tree (`sandbox`). A command is written with xshell, which quotes what it is
//! given, and started here alone: without standard input, in a process group of its own that ends with this program,
//! and with what it said in the error if it fails. What is missing here is installed where that is possible without
//! asking (root on Debian or Ubuntu); elsewhere the exact command is printed.

use std::process::{Command, ExitStatus, Output};

use anyhow::{Context as _, Result, bail};
use camino::Utf8PathBuf;
use duct::Expression;
use xshell::{Cmd, Shell, cmd};

use crate::excerpt::excerpt;
use crate::process_group::ProcessGroup;
use crate::progress;
use failure::usage;

/// The program that runs commands in an image's tree, with its Debian package.
pub const SANDBOX: (&str, &str) = ("bwrap", "bubblewrap");

/// Programs that building an image takes, with the Debian package of each.
pub const PROGRAMS: [(&str, &str); 2] = [SANDBOX, ("mmdebstrap", "mmdebstrap")];

/// Begins of the variables by which cargo speaks to this program alone. Crates whose build scripts look at them would
/// be compiled anew by a cargo that this program starts, and again by the next `cargo xtask`.
const FROM_CARGO: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// The cargo that runs this program.
pub fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// Runs `command`, and fails when it does.
pub fn run(command: Cmd<'_>) -> Result<()> {
    succeed(&command.into()).map(drop)
}

/// Runs `command`, and fails when it does; its standard output.
pub fn read(command: Cmd<'_>) -> Result<String> {
    let command = command.into();
    String::from_utf8(succeed(&command)?)
        .with_context(|| format!("{} printed no UTF-8", shown(&command)))
}

/// Runs `command` to its end, however that is; what it said.
pub fn output(command: Cmd<'_>) -> Result<Output> {
    capture(&command.into())
}

/// Runs `command` to its end, however that is; it says what it says where this program does.
pub fn status(command: Cmd<'_>) -> Result<ExitStatus> {
    let command = command.into();
    wait(&command, &to_duct(&command)).map(|done| done.status)
}

/// `command` for a [`ProcessGroup`], where its streams are to go elsewhere or it runs beside others.
pub fn expression(command: Cmd<'_>) -> Expression {
    to_duct(&command.into())
}

fn to_duct(command: &Command) -> Expression {
    let mut expression = duct::cmd(command.get_program(), command.get_args()).stdin_null();
    if let Some(folder) = command.get_current_dir() {
        expression = expression.dir(folder);
    }
    for (name, value) in command.get_envs() {
        expression = match value {
            Some(value) => expression.env(name, value),
            None => expression.env_remove(name),
        };
    }
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if FROM_CARGO.iter().any(|begin| text.starts_with(begin)) {
            expression = expression.env_remove(name);
        }
    }
    expression
}

fn wait(command: &Command, expression: &Expression) -> Result<Output> {
    ProcessGroup::start(expression)
        .and_then(ProcessGroup::wait)
        .with_context(|| format!("failed to execute {}", shown(command)))
}

fn capture(command: &Command) -> Result<Output> {
    wait(command, &to_duct(command).stdout_capture().stderr_capture())
}

fn succeed(command: &Command) -> Result<Vec<u8>> {
    let done = capture(command)?;
    if !done.status.success() {
        bail!(
            "{} failed ({}):\n{}",
            shown(command),
            done.status,
            excerpt(&String::from_utf8_lossy(&done.stderr))
        );
    }
    Ok(done.stdout)
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
    progress::note(format!("installing {} with apt-get", missing.join(" and ")));
    let sh = Shell::new()?;
    let _no_questions = sh.push_env("DEBIAN_FRONTEND", "noninteractive");
    let update = cmd!(sh, "apt-get update");
    let install = cmd!(
        sh,
        "apt-get install -y --no-install-recommends {missing...}"
    );
    run(update)
        .and_then(|()| run(install))
        .context("failed to install what the build needs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let sh = Shell::new().unwrap();
        let script = "echo first; echo why >&2; exit 3";
        let error = read(cmd!(sh, "sh -c {script}")).unwrap_err().to_string();
        assert_eq!(
            error,
            "sh -c echo first; echo why >&2; exit 3 failed (exit status: 3):\nwhy"
        );
    }

    #[test]
    fn an_absent_program_is_named() {
        let sh = Shell::new().unwrap();
        let error = run(cmd!(sh, "no-such-program")).unwrap_err().to_string();
        assert_eq!(error, "failed to execute no-such-program");
    }

    #[test]
    fn folder_and_environment_are_those_of_the_shell_and_cargo_says_nothing() {
        let sh = Shell::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let _folder = sh.push_dir(&folder);
        let _name = sh.push_env("NAME", "a value");
        let script =
            "pwd; echo $NAME $HOME; env | grep -c '^CARGO_PKG_'; read line || echo no input";
        let said = read(cmd!(sh, "sh -c {script}").env_remove("HOME")).unwrap();
        assert_eq!(
            said,
            format!("{}\na value\n0\nno input\n", folder.display())
        );
    }
}
