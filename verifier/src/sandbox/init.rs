//! The first process of a sandbox: runs one command as a user without rights, and reaps what that leaves.
//!
//! A sandbox of root starts with just enough rights to become somebody else. Whatever runs while it has them must not
//! come from the tree it is in, whose programs and libraries may be anybody's: this one is linked statically and
//! mounted from outside. The command that it starts has no rights at all, and cannot get any: every set of capabilities
//! is empty, the bounding set as well.
//!
//! It stays as root's process, by then without rights of its own: only such a one dies with the sandbox's parent, and
//! all others with it.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, wait};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities,
};

use super::{command, exit_code};

/// Run a command as a user without rights; for sandboxes
#[derive(Debug, clap::Args)]
pub struct Args {
    /// User and group of the command
    #[arg(long, value_name = "ID")]
    user: u32,
    /// The command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Runs the command to its end; its exit code.
pub fn run(args: &Args) -> Result<ExitCode> {
    let mut command = command(&args.command)?;
    let program = &args.command[0];
    keep_only(CapabilitySet::SETUID | CapabilitySet::SETGID)
        .context("failed to give up rights; only a sandbox of root runs this")?;
    // As root's process this also leaves every group.
    command.uid(args.user).gid(args.user);
    let child = command
        .spawn()
        .with_context(|| format!("failed to run {program} as the user {}", args.user))?;
    keep_only(CapabilitySet::empty()).context("failed to give up the last rights")?;
    let status = reap_until(Pid::from_child(&child))
        .with_context(|| format!("failed to wait for {program}"))?;
    Ok(ExitCode::from(exit_code(status)))
}

/// Keeps `rights` until the next program, which gets none.
fn keep_only(rights: CapabilitySet) -> Result<(), Errno> {
    // Once, while it may: the right to do so goes with the others.
    if !rights.is_empty() {
        for right in CapabilitySet::all().iter() {
            match remove_capability_from_bounding_set(right) {
                // An older system does not know them all.
                Ok(()) | Err(Errno::INVAL) => {}
                Err(error) => return Err(error),
            }
        }
    }
    clear_ambient_capability_set()?;
    let sets = CapabilitySets {
        effective: rights,
        permitted: rights,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets)
}

/// Waits for `child`, and for whatever else ends before it.
fn reap_until(child: Pid) -> Result<ExitStatus> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((ended, status))) if ended == child => {
                return Ok(ExitStatus::from_raw(status.as_raw()));
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
