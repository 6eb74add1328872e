//! Starts the commands of a sandbox and follows what they say.
//!
//! Children stay in the process group of this program, where a Ctrl-C of the terminal reaches them: bubblewrap ends
//! with its parent, and all of its namespace with it. Containers of Docker are no children; an interrupt removes them.
//! What fails beside a command ends it, too.

use std::io::BufRead;
use std::process::{ExitStatus, Output};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use duct::Expression;

use crate::sandbox::scan::scan_all;
use crate::sandbox::spec::{RootFs, Sandbox};
use crate::sandbox::{bubblewrap, current_container, docker};
use crate::together;

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Done {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Where the standard output of a command goes whose standard error is that of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdout {
    /// To that of this process.
    Inherited,
    /// To the caller.
    Captured,
}

impl Sandbox {
    /// Runs a command to its end, whatever its exit code.
    pub fn run(&self, arguments: &[&str]) -> Result<Done> {
        self.run_with(arguments, |stderr| {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text)?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        })
        .map(|(status, stdout, stderr)| Done {
            status,
            stdout,
            stderr,
        })
    }

    /// Runs a command whose standard error is too long to be kept, and gives it to `scan` as it comes.
    pub fn run_with<T: Send>(
        &self,
        arguments: &[&str],
        scan: impl FnOnce(&mut dyn BufRead) -> Result<T> + Send,
    ) -> Result<(ExitStatus, String, T)> {
        let ran = if let RootFs::DockerImage(image) = &self.root {
            docker::run(self, image, arguments, scan)
        } else {
            follow(&self.expression(arguments)?, scan)
        };
        ran.with_context(|| self.context(arguments))
    }

    /// Runs a command that says what it says where this process does; `stdout` may be captured instead.
    pub fn run_through(&self, arguments: &[&str], stdout: Stdout) -> Result<Output> {
        let expression = self.expression(arguments)?;
        match stdout {
            Stdout::Inherited => expression.run(),
            Stdout::Captured => expression.stdout_capture().run(),
        }
        .with_context(|| self.context(arguments))
    }

    fn context(&self, arguments: &[&str]) -> String {
        format!("failed to run {} in {}", arguments.join(" "), self.root)
    }

    fn expression(&self, arguments: &[&str]) -> Result<Expression> {
        let expression = match &self.root {
            RootFs::Directory(directory) => bubblewrap::expression(self, directory, arguments)?,
            RootFs::CurrentContainer => current_container::expression(self, arguments)?,
            RootFs::DockerImage(_) => bail!("what a container says cannot be passed through"),
        };
        Ok(expression.stdin_null().unchecked())
    }
}

/// Runs a command to its end, and gives `scan` its standard error as it comes.
fn follow<T>(
    expression: &Expression,
    scan: impl FnOnce(&mut dyn BufRead) -> Result<T>,
) -> Result<(ExitStatus, String, T)> {
    // A reader is given standard output alone, hence the swap.
    let reader = Arc::new(expression.stdout_stderr_swap().stderr_capture().reader()?);
    let failed = Arc::clone(&reader);
    let guard = together::on_failure(move || failed.kill().context("failed to end a command"));
    let _guard = guard.or_else(|stopped| reader.kill().map_err(Into::into).and(Err(stopped)))?;
    let scanned = scan_all(&*reader, scan);
    let ended = reader.try_wait()?;
    let ended = ended.context("what it said could not be read to the end")?;
    let stdout = String::from_utf8(ended.stderr.clone()).context("its output is not UTF-8")?;
    Ok((ended.status, stdout, scanned?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sandbox() -> Sandbox {
        Sandbox::of(RootFs::CurrentContainer).env([("PATH", "/usr/bin:/bin")])
    }

    #[test]
    fn streams_are_told_apart_and_the_exit_code_is_no_error() {
        let script = "echo out; echo err >&2; exit 3";
        let done = sandbox().run(&["sh", "-c", script]).unwrap();
        assert_eq!((&*done.stdout, &*done.stderr), ("out\n", "err\n"));
        assert_eq!(done.status.code(), Some(3));
    }

    #[test]
    fn a_scan_sees_a_line_before_the_command_ends_and_need_not_read_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let seen = folder.path().join("seen");
        let place = seen.display();
        // More than a pipe holds, on both streams.
        let much = "yes | head -c 300000";
        let script = format!(
            "echo begin >&2; while ! [ -e {place} ]; do sleep 0.01; done; {much}; {much} >&2"
        );
        let (status, stdout, first) = sandbox()
            .run_with(&["sh", "-c", &script], |stderr| {
                let mut line = String::new();
                stderr.read_line(&mut line)?;
                fs_err::write(&seen, "")?;
                Ok(line)
            })
            .unwrap();
        assert!(status.success());
        assert_eq!(stdout.len(), 300_000);
        assert_eq!(first, "begin\n");
    }

    #[test]
    fn a_failed_scan_fails_after_the_command_ended_and_names_it() {
        let said = sandbox()
            .run_with(&["sh", "-c", "echo x >&2"], |_| {
                bail!("no log") as Result<()>
            })
            .unwrap_err();
        assert_eq!(
            format!("{said:#}"),
            "failed to run sh -c echo x >&2 in this container: no log"
        );
    }

    #[test]
    fn a_failure_beside_a_command_ends_it_and_keeps_others_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let started = place("started");
        let script = format!("touch {}; exec sleep 600", started.display());
        let late = place("late").display().to_string();
        let failed = together::run(vec![
            Box::new(|| {
                let done = sandbox().run(&["sh", "-c", &script])?;
                assert!(!done.status.success());
                assert!(sandbox().run(&["touch", &late]).is_err());
                bail!("ended")
            }),
            Box::new(|| {
                while !started.exists() {
                    std::thread::yield_now();
                }
                bail!("no network")
            }),
        ]);
        assert_eq!(failed.unwrap_err().to_string(), "no network");
    }

    #[test]
    fn what_is_captured_is_standard_output_alone() {
        let script = ["sh", "-c", "echo out; exit 1"];
        let done = sandbox().run_through(&script, Stdout::Captured).unwrap();
        assert_eq!(done.stdout, b"out\n");
        assert_eq!(done.status.code(), Some(1));
    }
}
