//! A process in a group of its own that ends with this program, with all that it started in turn.
//!
//! A handle of duct ends nothing when it is dropped, and ends no grandchildren when it is told to. So each process
//! leads a group, and the whole group is asked to end, and waited for, when its guard is dropped before it was waited
//! for, on an interrupt, and when what runs beside it fails. It also keeps programs that signal their whole group when
//! they fail (mmdebstrap) from ending this one. A program of this project that is asked to end does so with its own
//! groups first.

use std::os::unix::process::CommandExt as _;
use std::process::Output;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use duct::{Expression, Handle};
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::{interrupt, progress, together};

/// How long a group may take to end before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for a program of this project, which ends groups of its own meanwhile.
pub const PATIENCE_WITH_OURS: Duration = Duration::from_secs(30);

/// How often an ending group is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// A process under way.
#[derive(Debug)]
pub struct ProcessGroup {
    group: Arc<Group>,
    is_done: bool,
    _on_interrupt: interrupt::Guard,
    on_failure: Option<together::Guard>,
}

#[derive(Debug)]
struct Group {
    leader: Handle,
    id: Pid,
    patience: Duration,
}

impl ProcessGroup {
    /// Starts the one command of `expression`.
    pub fn start(expression: &Expression) -> Result<Self> {
        Self::start_with_patience(expression, PATIENCE)
    }

    /// Starts the one command of `expression`, which may take `patience` to end when it has to.
    pub fn start_with_patience(expression: &Expression, patience: Duration) -> Result<Self> {
        let expression = expression.unchecked().before_spawn(|command| {
            command.process_group(0);
            Ok(())
        });
        let (group, on_interrupt) = interrupt::start(|| {
            let leader = expression.start()?;
            let id = leader.pids()[0];
            let id = Pid::from_raw(i32::try_from(id).context("a process ID is an i32")?);
            let group = Arc::new(Group {
                leader,
                id,
                patience,
            });
            let interrupted = Arc::clone(&group);
            Ok((group, move || interrupted.end()))
        })?;
        let failed = Arc::clone(&group);
        let mut started = Self {
            group,
            is_done: false,
            _on_interrupt: on_interrupt,
            on_failure: None,
        };
        started.on_failure = Some(together::on_failure(move || failed.end())?);
        Ok(started)
    }

    /// Waits until the process ends, however it does; what its expression captured.
    pub fn wait(mut self) -> Result<Output> {
        let output = self.group.leader.wait()?.clone();
        self.is_done = true;
        Ok(output)
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        if !self.is_done
            && let Err(error) = self.group.end()
        {
            progress::warning(format!("{error:#}"));
        }
    }
}

impl Group {
    /// Asks all processes of the group to end, and kills those that have not done so in time.
    fn end(&self) -> Result<()> {
        let context = || format!("failed to end the process group {}", self.id);
        let asked = Instant::now();
        self.signal(Signal::SIGTERM).with_context(context)?;
        while self.is_alive().with_context(context)? {
            if asked.elapsed() > self.patience {
                return self.signal(Signal::SIGKILL).with_context(context);
            }
            thread::sleep(INTERVAL);
        }
        Ok(())
    }

    fn signal(&self, signal: impl Into<Option<Signal>>) -> Result<(), Errno> {
        match killpg(self.id, signal) {
            // Nothing of it is left.
            Err(Errno::ESRCH) => Ok(()),
            sent => sent,
        }
    }

    fn is_alive(&self) -> Result<bool> {
        // Also takes note of the leader's end: as a zombie it would be a member for ever.
        let leader_runs = self.leader.try_wait()?.is_none();
        Ok(leader_runs || killpg(self.id, None).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use camino::{Utf8Path, Utf8PathBuf};

    use super::*;

    /// A shell that starts another process and waits for it; both process IDs, once both run.
    fn family(folder: &Utf8Path, script: &str) -> (ProcessGroup, [Utf8PathBuf; 2]) {
        let file = folder.join("started");
        let script =
            format!("{script}; sleep 1000 & echo $$ $! > {file}.new; mv {file}.new {file}; wait");
        let started = ProcessGroup::start_with_patience(
            &duct::cmd("sh", ["-c", &script]),
            Duration::from_secs(2),
        );
        let started = started.unwrap();
        while !file.exists() {
            thread::sleep(INTERVAL);
        }
        let ids = fs_err::read_to_string(file).unwrap();
        let (child, grandchild) = ids.trim().split_once(' ').unwrap();
        let places = [child, grandchild].map(|id| Utf8Path::new("/proc").join(id));
        assert!(places.iter().all(|place| runs(place)), "{ids}");
        (started, places)
    }

    /// A process that nobody waits for any more is not there.
    fn runs(place: &Utf8Path) -> bool {
        fs_err::read_to_string(place.join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn a_dropped_guard_ends_child_and_grandchild() {
        for script in ["true", "trap '' TERM"] {
            let folder = tempfile::tempdir().unwrap();
            let (guard, places) = family(Utf8Path::from_path(folder.path()).unwrap(), script);
            drop(guard);
            thread::sleep(10 * INTERVAL);
            assert!(!places.iter().any(|place| runs(place)), "{script}");
        }
    }

    #[test]
    fn an_interrupt_ends_child_and_grandchild_while_they_are_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let (guard, places) = family(Utf8Path::from_path(folder.path()).unwrap(), "true");
        let group = Arc::clone(&guard.group);
        let waiting = thread::spawn(move || guard.wait().unwrap().status);
        group.end().unwrap();
        assert!(!waiting.join().unwrap().success());
        assert!(!places.iter().any(|place| runs(place)));
    }

    #[test]
    fn a_failure_beside_it_ends_child_and_grandchild_and_keeps_others_from_starting() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let (sender, places) = std::sync::mpsc::channel();
        let failed = together::run(vec![
            Box::new(|| {
                let (guard, places) = family(folder, "true");
                sender.send(places)?;
                assert!(!guard.wait()?.status.success());
                assert!(ProcessGroup::start(&duct::cmd!("touch", folder.join("late"))).is_err());
                anyhow::bail!("ended")
            }),
            Box::new(move || {
                let places = places.recv()?;
                assert!(places.iter().all(|place| runs(place)));
                anyhow::bail!("{} {}", places[0], places[1])
            }),
        ]);
        let failed = failed.unwrap_err().to_string();
        assert!(failed.starts_with("/proc/"), "{failed}");
        assert!(
            !failed.split(' ').any(|place| runs(place.into())),
            "{failed}"
        );
    }

    #[test]
    fn what_was_waited_for_is_left_alone() {
        let captured = duct::cmd("sh", ["-c", "echo out; exit 3"]).stdout_capture();
        let done = ProcessGroup::start(&captured).unwrap().wait().unwrap();
        assert_eq!(done.status.code(), Some(3));
        assert_eq!(done.stdout, b"out\n");
    }
}
