//! Turns of links that have archives put together, of all processes of a user.
//!
//! As many link at a time as there are processors. Of these one at a time unpacks object code: that keeps all processors
//! busy, and each of them takes a window's memory for it.

use std::fs::{File, TryLockError};
use std::io;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use crate::private_folder;

/// How long a link waits for its turn: longer than dozens take that were started together.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it looks whether it is its turn.
const PAUSE: Duration = Duration::from_millis(10);

/// A turn, until it is dropped, or the process ends.
pub struct Turn {
    _file: Option<File>,
}

/// Where the files lie that say who has a turn.
pub struct Turns {
    folder: Utf8PathBuf,
    uid: u32,
}

impl Turns {
    /// Those of this process's user.
    pub fn of_user() -> Self {
        let uid = rustix::process::geteuid().as_raw();
        Self::in_folder(
            private_folder::shared(&private_folder::temporary(), uid),
            uid,
        )
    }

    /// Those in `folder`, which is user `uid`'s alone.
    pub fn in_folder(folder: Utf8PathBuf, uid: u32) -> Self {
        Self { folder, uid }
    }

    /// Waits until this process may link, beside as many others as there are processors.
    pub fn link(&self) -> Turn {
        self.wait("links", processors())
    }

    /// Waits until no other process unpacks object code.
    pub fn unpack(&self) -> Turn {
        self.wait("unpacking", 1)
    }

    /// Where there is no place for files that say who has a turn, nobody waits.
    fn wait(&self, name: &str, turns: usize) -> Turn {
        let taken = Turn::take(&self.folder.join(name), self.uid, turns, PATIENCE);
        Turn {
            _file: taken.ok().flatten(),
        }
    }
}

/// How many processors this process may keep busy. Who tells Go's programs how many means those that they start, too.
pub fn processors() -> usize {
    let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    at_most(all, std::env::var("GOMAXPROCS").ok().as_deref())
}

fn at_most(all: usize, gomaxprocs: Option<&str>) -> usize {
    let said = gomaxprocs.and_then(|it| it.parse().ok());
    said.filter(|it| *it > 0).map_or(all, |said| all.min(said))
}

impl Turn {
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
    fn no_more_processors_are_kept_busy_than_go_is_told() {
        for (said, expected) in [("2", 2), ("9", 4), ("0", 4), ("-1", 4), ("x", 4), ("", 4)] {
            assert_eq!(at_most(4, Some(said)), expected, "{said}");
        }
        assert_eq!(at_most(4, None), 4);
    }

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
