//! Programs that serve for as long as a value lives: [`Daemon`] for any of them, [`registry::Registry`] for Debian's
//! `docker-registry`.
//!
//! A handle of duct that is dropped leaves its process running, and so does a test that panics. Here the process is
//! killed *and* waited for on drop: when the value is gone, so are the process, its port and its hold on its files.
//! Starting ends, too: with the daemon answering, with the daemon's own end, or when the time is up.
//!
//! Only the process itself is killed. What it started is its own affair; none of the programs used here leave any.

pub mod registry;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use duct::{Expression, Handle};

/// How long a daemon may take to answer, unless its starter knows better.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Pause between two looks at whether a daemon answers.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Why no daemon runs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program is not on this machine.
    #[error("there is no {program} on this machine; install it (`apt-get install {program}`)")]
    Missing {
        /// Its name, which is that of its Debian package as well.
        program: String,
    },
    /// It could not be started.
    #[error("failed to start {program}")]
    Start {
        /// Its name.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended by itself before it answered.
    #[error("{program} ended before it answered ({status})")]
    Ended {
        /// Its name.
        program: String,
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// It did not answer in time; it was killed.
    #[error("{program} did not answer within {timeout:?}")]
    Silent {
        /// Its name.
        program: String,
        /// The time it had.
        timeout: Duration,
    },
    /// A file or a port that it needs could not be had.
    #[error("failed to prepare {what}")]
    Prepare {
        /// The file or port.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// One of the others, with the place where the daemon wrote what it had to say.
    #[error("{source}; see {log}")]
    Logged {
        /// Its log.
        log: Utf8PathBuf,
        /// What happened.
        source: Box<Error>,
    },
}

impl Error {
    /// Whether the program is not installed, so that a caller that can do without it may skip.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    /// Whether a test that needs the daemon may be skipped: where the program is missing, and nothing like the variable
    /// `CI` demands it.
    pub fn may_be_skipped(&self) -> bool {
        self.is_missing() && std::env::var_os("CI").is_none()
    }
}

/// A running process; killed and waited for when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    handle: Arc<Handle>,
}

impl Daemon {
    /// Starts `expression`, which runs `program`, and waits until `answers`.
    ///
    /// # Errors
    /// The program is missing, ends by itself, or does not answer within `timeout`; nothing is left running then.
    pub fn start(
        program: &str,
        expression: &Expression,
        timeout: Duration,
        mut answers: impl FnMut() -> bool,
    ) -> Result<Self, Error> {
        let program = program.to_owned();
        let handle = match expression.stdin_null().unchecked().start() {
            Ok(handle) => handle,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Missing { program });
            }
            Err(source) => return Err(Error::Start { program, source }),
        };
        let daemon = Self {
            handle: Arc::new(handle),
        };
        let started = Instant::now();
        loop {
            // Before the question: on the port of a daemon that has ended, another one may answer.
            match daemon.handle.try_wait() {
                Ok(None) => {}
                Ok(Some(output)) => {
                    let status = output.status;
                    return Err(Error::Ended { program, status });
                }
                Err(source) => return Err(Error::Start { program, source }),
            }
            if answers() {
                return Ok(daemon);
            }
            if started.elapsed() > timeout {
                return Err(Error::Silent { program, timeout });
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// What kills it from elsewhere, on an interrupt say: it does not need this value, which may never be dropped then.
    pub fn killer(&self) -> impl FnOnce() -> io::Result<()> + Send + 'static {
        let handle = Arc::clone(&self.handle);
        move || handle.kill()
    }

    /// Process IDs, in the order of the expression.
    pub fn pids(&self) -> Vec<u32> {
        self.handle.pids()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Waiting for what could not be killed would never end.
        if self.handle.kill().is_ok() {
            drop(self.handle.wait());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use duct::cmd;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    fn is_running(pid: u32) -> bool {
        std::path::Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn a_daemon_is_gone_when_its_guard_is() {
        let daemon = Daemon::start("sleep", &cmd!("sleep", "600"), SHORT, || true).unwrap();
        let pid = daemon.pids()[0];
        assert!(is_running(pid));
        drop(daemon);
        // A process that was killed but not waited for still has its folder.
        assert!(!is_running(pid));
    }

    #[test]
    fn it_is_asked_until_it_answers() {
        let asked = Cell::new(0);
        let answers = || {
            asked.set(asked.get() + 1);
            asked.get() == 3
        };
        Daemon::start("sleep", &cmd!("sleep", "600"), START_TIMEOUT, answers).unwrap();
        assert_eq!(asked.get(), 3);
    }

    #[test]
    fn a_daemon_that_never_answers_is_an_error_and_gone() {
        let (folder, pid_file) = pid_file();
        let script = cmd!("sh", "-c", "echo $$ > \"$0\"; exec sleep 600", &pid_file);
        // Long enough for the script to have said who it is.
        let timeout = 20 * SHORT;
        let error = Daemon::start("sh", &script, timeout, || false).unwrap_err();
        assert!(matches!(error, Error::Silent { .. }), "{error}");
        let pid = fs_err::read_to_string(&pid_file).unwrap();
        assert!(!is_running(pid.trim().parse().unwrap()));
        drop(folder);
    }

    fn pid_file() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8PathBuf::from_path_buf(folder.path().join("pid")).unwrap();
        (folder, file)
    }

    #[test]
    fn a_daemon_that_ends_is_not_waited_for() {
        let answers = || false;
        let error = Daemon::start("false", &cmd!("false"), START_TIMEOUT, answers).unwrap_err();
        assert!(error.to_string().contains("exit status: 1"), "{error}");
        assert!(!error.is_missing());
    }

    #[test]
    fn a_missing_program_is_told_from_other_errors() {
        let error = Daemon::start("absent-daemon", &cmd!("absent-daemon"), SHORT, || true);
        let error = error.unwrap_err();
        assert!(error.is_missing(), "{error:?}");
        assert!(error.to_string().contains("apt-get install absent-daemon"));
    }
}
