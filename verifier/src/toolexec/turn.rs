//! Turns of links that have archives put together, of all processes of a user.

use std::fs::File;
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
        let start = Instant::now();
        loop {
            if let Some(turn) = files.iter().position(|file| file.try_lock().is_ok()) {
                return Ok(files.into_iter().nth(turn));
            }
            if start.elapsed() >= patience {
                return Ok(None);
            }
            std::thread::sleep(PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
