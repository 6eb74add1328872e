//! What starts commands in sandboxes, from outside of the tree that they run in.

pub mod init;
pub mod measured;

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};

use anyhow::{Context as _, Result};

/// The command of these words, which are at least one.
fn command(words: &[String]) -> Result<Command> {
    let (program, arguments) = words.split_first().context("there is no command")?;
    #[expect(
        clippy::disallowed_methods,
        reason = "it takes the place of this process, whose streams it has"
    )]
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// As a shell says it: 128 and the signal, for what a signal ended.
fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| Some(128 + status.signal()?));
    code.and_then(|code| u8::try_from(code).ok())
        .unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_shows_in_the_exit_code() {
        for (raw, code) in [(0, 0), (3 << 8, 3), (9, 137)] {
            assert_eq!(exit_code(ExitStatus::from_raw(raw)), code);
        }
    }
}
