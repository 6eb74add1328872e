//! Locks on files and folders, which the system releases when the process that holds them dies.
//!
//! A lock is on what was opened, not on its name: whoever comes to hold one looks whether the name still leads there,
//! and otherwise begins anew. So what is locked may be renamed and removed by whoever holds it alone.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::time::SystemTime;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};

/// How a lock is held.
#[derive(Debug, Clone, Copy)]
pub enum Mode {
    /// Beside others who share it.
    Shared,
    /// By nobody else.
    Exclusive,
}

/// A lock, held until this value goes.
#[derive(Debug)]
pub struct Lock(File);

/// What came of trying to get a lock.
#[derive(Debug)]
pub enum Tried {
    /// It is held.
    Locked(Lock),
    /// Somebody else holds it.
    Busy,
    /// There is nothing at the path.
    Absent,
}

/// Locks what is at `path`, unless that would take waiting.
pub fn try_lock(path: &Utf8Path, mode: Mode) -> Result<Tried> {
    acquire(path, mode, None)
}

/// Locks what is at `path`; `waiting` is called, once, before waiting for somebody else. `None` where nothing is there.
pub fn lock(path: &Utf8Path, mode: Mode, mut waiting: impl FnMut()) -> Result<Option<Lock>> {
    match acquire(path, mode, Some(&mut waiting))? {
        Tried::Locked(lock) => Ok(Some(lock)),
        Tried::Busy | Tried::Absent => Ok(None),
    }
}

fn acquire(path: &Utf8Path, mode: Mode, waiting: Option<&mut dyn FnMut()>) -> Result<Tried> {
    let context = || format!("failed to lock {path}");
    let may_wait = waiting.is_some();
    let mut waiting = waiting;
    loop {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Tried::Absent),
            Err(error) => return Err(error).with_context(context),
        };
        let tried = match mode {
            Mode::Shared => file.try_lock_shared(),
            Mode::Exclusive => file.try_lock(),
        };
        match tried {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if !may_wait => return Ok(Tried::Busy),
            Err(TryLockError::WouldBlock) => {
                if let Some(waiting) = waiting.take() {
                    waiting();
                }
                match mode {
                    Mode::Shared => file.lock_shared(),
                    Mode::Exclusive => file.lock(),
                }
                .with_context(context)?;
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(context),
        }
        let locked = file.metadata().with_context(context)?;
        match std::fs::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (locked.dev(), locked.ino()) => {
                return Ok(Tried::Locked(Lock(file)));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Tried::Absent),
            Err(error) => return Err(error).with_context(context),
        }
    }
}

impl Lock {
    /// Notes that what is locked was used now. What belongs to somebody else stays as it is: cleaning is theirs, too.
    pub fn touch(&self) {
        let _not_ours = self.0.set_modified(SystemTime::now());
    }
}

/// A lock on a name alone: its file is there only as long as somebody holds it or waits for it.
#[derive(Debug)]
pub struct NamedLock {
    file: Utf8PathBuf,
    _lock: Lock,
}

impl NamedLock {
    /// Locks `file`, which holds nothing; `waiting` is called, once, before waiting for somebody else.
    pub fn take(file: Utf8PathBuf, mut waiting: impl FnMut()) -> Result<Self> {
        let mut has_said = false;
        loop {
            fs_err::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&file)?;
            let say = || {
                if !std::mem::replace(&mut has_said, true) {
                    waiting();
                }
            };
            // Absent: whoever held it removed it after it was opened.
            if let Some(lock) = lock(&file, Mode::Exclusive, say)? {
                return Ok(Self { file, _lock: lock });
            }
        }
    }
}

impl Drop for NamedLock {
    fn drop(&mut self) {
        if let Err(error) = fs_err::remove_file(&self.file) {
            engine::progress::warning(format_args!("{error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        (folder, path)
    }

    #[test]
    fn what_is_shared_is_locked_by_many_and_by_nobody_alone() {
        let (_guard, folder) = folder();
        let one = try_lock(&folder, Mode::Shared).unwrap();
        let other = try_lock(&folder, Mode::Shared).unwrap();
        assert!(matches!(
            (&one, &other),
            (Tried::Locked(_), Tried::Locked(_))
        ));
        let alone = || try_lock(&folder, Mode::Exclusive).unwrap();
        assert!(matches!(alone(), Tried::Busy));
        drop((one, other));
        assert!(matches!(alone(), Tried::Locked(_)));
        let absent = try_lock(&folder.join("absent"), Mode::Shared).unwrap();
        assert!(matches!(absent, Tried::Absent));
    }

    #[test]
    fn who_waited_for_what_was_replaced_locks_what_is_there_now() {
        let (_guard, folder) = folder();
        let (place, aside) = (folder.join("place"), folder.join("aside"));
        fs_err::create_dir(&place).unwrap();
        let Tried::Locked(old) = try_lock(&place, Mode::Exclusive).unwrap() else {
            panic!("nobody else knows it");
        };
        let (waits, has_to_wait) = mpsc::channel();
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let lock = lock(&place, Mode::Shared, || waits.send(()).unwrap()).unwrap();
                lock.unwrap().0.metadata().unwrap().ino()
            });
            has_to_wait.recv().unwrap();
            fs_err::rename(&place, &aside).unwrap();
            fs_err::create_dir(&place).unwrap();
            drop(old);
            assert_eq!(
                waiter.join().unwrap(),
                fs_err::metadata(&place).unwrap().ino()
            );
        });
    }

    #[test]
    fn a_name_is_held_by_one_at_a_time_and_leaves_no_file() {
        let (_guard, folder) = folder();
        let file = folder.join("name");
        let held = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let lock = NamedLock::take(file.clone(), || {}).unwrap();
                        assert!(!held.swap(true, std::sync::atomic::Ordering::SeqCst));
                        held.store(false, std::sync::atomic::Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert!(!file.exists());
    }
}
