//! Turns of links that have archives put together, of all processes of a user.

use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use crate::private_folder;

/// How long a link waits for its turn: longer than dozens take that were started together.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it looks whether it is its turn.
const PAUSE: Duration = Duration::from_millis(10);

/// One of as many turns as there are processors, until it is dropped, or the process ends.
pub struct Turn {
    _file: Option<File>,
}

impl Turn {
    /// Waits for a turn; where there is no place for files that say who has one, nobody waits.
    pub fn wait() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let tmpdir = std::env::var("TMPDIR")
            .ok()
            .filter(|it| it.starts_with('/'));
        let tmpdir = Utf8PathBuf::from(tmpdir.unwrap_or_else(|| "/tmp".to_owned()));
        let folder = private_folder::shared(&tmpdir, uid).join("links");
        let turns = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            _file: Self::take(&folder, uid, turns, PATIENCE).ok().flatten(),
        }
    }

    /// The file of a turn; none after waiting for as long as `patience`.
    fn take(
        folder: &Utf8Path,
        uid: u32,
        turns: usize,
        patience: Duration,
    ) -> io::Result<Option<File>> {
        if let Some(parent) = folder.parent() {
            private_folder::make(parent, uid)?;
        }
        private_folder::make(folder, uid)?;
        let mut how = File::options();
        how.create(true).truncate(false).write(true);
        let files: Vec<File> = (0..turns)
            .map(|turn| how.open(folder.join(turn.to_string())))
            .collect::<io::Result<_>>()?;
        Ok(first_free(files, patience))
    }
}

/// The first of `files` whose lock is free, with it; none after waiting for as long as `patience`.
fn first_free(mut files: Vec<File>, patience: Duration) -> Option<File> {
    let start = Instant::now();
    loop {
        let mut is_one_taken = false;
        for turn in 0..files.len() {
            let tried = files[turn].try_lock();
            if tried.is_ok() {
                return Some(files.swap_remove(turn));
            }
            is_one_taken |= is_taken(&tried);
        }
        if !is_one_taken || start.elapsed() >= patience {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Whether somebody has the lock that was `tried`. Where there are no locks, as on some network file systems, nobody
/// has one, and waiting changes nothing.
pub fn is_taken(tried: &Result<(), TryLockError>) -> bool {
    matches!(tried, Err(TryLockError::WouldBlock))
}

/// A file that cannot be locked.
#[cfg(test)]
pub fn without_locks() -> File {
    use std::os::unix::fs::OpenOptionsExt as _;

    let flags = rustix::fs::OFlags::PATH.bits();
    let mut how = File::options();
    how.read(true).custom_flags(i32::try_from(flags).unwrap());
    how.open("/").unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_where_there_are_no_locks() {
        let tried = without_locks().try_lock();
        assert!(matches!(tried, Err(TryLockError::Error(_))), "{tried:?}");
        let started = Instant::now();
        let files = vec![without_locks(), without_locks()];
        assert!(first_free(files, PATIENCE).is_none());
        assert!(started.elapsed() < PATIENCE / 2);
    }

    #[test]
    fn as_many_have_a_turn_as_there_are_turns_and_the_next_waits_for_one() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temporary.path())
            .unwrap()
            .join("own/links");
        let uid = rustix::process::geteuid().as_raw();
        let take = |patience| Turn::take(&folder, uid, 2, patience).unwrap();
        let [one, two] = [0, 1].map(|_| take(Duration::ZERO).unwrap());
        assert!(take(2 * PAUSE).is_none(), "nobody waits for ever");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| take(PATIENCE));
            std::thread::sleep(5 * PAUSE);
            assert!(!waiting.is_finished());
            drop((one, two));
            assert!(waiting.join().unwrap().is_some());
        });
    }
}
