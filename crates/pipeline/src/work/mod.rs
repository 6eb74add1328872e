//! The folder in which finished work is kept: `$XDG_CACHE_HOME/iac-runner`.
//!
//! A step's result is a folder named after the digest of everything it was made from. It is made beside its final
//! place and renamed when it is complete, so that a result is there whole or not at all.
//!
//! Any number of runs use the folder at the same time, by these rules:
//! - Who makes a result holds the lock of its name (`locks/<kind>-<key>`) meanwhile, and looks again whether it is
//!   there once the lock is theirs. Only this lock is waited for while others are held. A step that makes another
//!   one's result inside its own goes from layers to what they are made of (`tools-layer`, `tool`, `std`), never back,
//!   so no two runs wait for each other.
//! - Who uses a result or a shared folder (the module cache, pulled blobs) shares the lock on the folder itself until
//!   the run ends, and notes the use in the folder's modification time.
//! - Nothing is changed or removed where somebody else shares its lock, and nobody waits until it is free: a result
//!   that is to be made anew is marked, and replaced if it is free by then. If it is not, the new one is the run's own.
//! - What is not complete is in the run's own folder (`partial/<process>-<random>`), whose lock the run holds. A folder
//!   whose lock is free was left by a run that died, and the next run removes it.
//!
//! The system releases the locks of a process that dies, however it dies.
//!
//! Nobody else looks into the folder: it holds whole trees of files of root, which in part come from anywhere.

pub mod files;
pub mod kept_layer;
pub mod kept_tree;
pub mod lock;
pub mod out;
pub mod stock;

use engine::progress;
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use self::files::remove_tree;
use self::lock::{Lock, Mode, NamedLock, Tried};
use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use failure::corrupt;

/// Where runs have what is not complete.
const PARTIAL: &str = "partial";
/// Where the locks of names are.
const LOCKS: &str = "locks";
/// The file in a result that is to be made anew.
const RETIRED: &str = ".retired";
/// The mode of the whole folder; what is in it may be opened by any user of a sandbox.
const PRIVATE: u32 = 0o700;
/// Raised when what a step makes changes although its inputs do not.
const FORMAT: u32 = 3;

/// The SHA-256 of a step's inputs, in hex. A pack is found and believed by it, so nobody may be able to make other
/// inputs of the same key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Key(String);

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if Self::is_key(&text) {
            Ok(Self(text))
        } else {
            Err(format!("{text:?} is no digest of inputs"))
        }
    }
}

impl Key {
    /// Its length.
    pub const CHARACTERS: usize = 64;

    fn is_key(text: &str) -> bool {
        text.len() == Self::CHARACTERS && is_hex(text)
    }

    /// The key of `inputs`, by their JSON.
    pub fn of(inputs: &impl Serialize) -> Result<Self> {
        let json =
            serde_json::to_vec(&(FORMAT, inputs)).context("failed to serialize a step's inputs")?;
        Ok(Self(hex::encode(Sha256::digest(json))))
    }

    /// The key of the same inputs where `more` came to them; the same key where there is no more.
    pub fn with(self, more: &[String]) -> Result<Self> {
        if more.is_empty() {
            Ok(self)
        } else {
            Self::of(&(self, more))
        }
    }
}

fn is_hex(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.bytes().all(is_digit)
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder of kept work, as one run uses it.
#[derive(Debug)]
pub struct Work {
    root: Utf8PathBuf,
    run: RunFolder,
    /// What this run uses, by its place.
    held: Mutex<BTreeMap<Utf8PathBuf, Held>>,
}

#[derive(Debug)]
struct Held {
    /// The place, or this run's own result in its stead.
    folder: Utf8PathBuf,
    _lock: Lock,
}

/// Where work is kept, as the environment says.
pub fn place() -> Result<Utf8PathBuf> {
    let absolute = |name| std::env::var(name).ok().filter(|it| it.starts_with('/'));
    let home = || absolute("HOME").map(|home| Utf8Path::new(&home).join(".cache"));
    let cache = absolute("XDG_CACHE_HOME")
        .map(Utf8PathBuf::from)
        .or_else(home);
    let cache = cache
        .context("neither XDG_CACHE_HOME nor HOME is set to an absolute path; set one of them")?;
    Ok(cache.join("iac-runner"))
}

impl Work {
    /// Opens the folder that the environment names, and removes what runs that died left there.
    pub fn open() -> Result<Self> {
        Self::open_at(&place()?)
    }

    pub(crate) fn open_at(root: &Utf8Path) -> Result<Self> {
        let create = || -> Result<RunFolder> {
            fs_err::create_dir_all(root)?;
            close(root)?;
            fs_err::create_dir_all(root.join(LOCKS))?;
            let run = RunFolder::create(root)?;
            spread(&run.path)?;
            Ok(run)
        };
        let run = create().with_context(|| {
            format!("failed to keep work in {root}; set XDG_CACHE_HOME to a folder that you may write to")
        })?;
        for entry in root.join(PARTIAL).read_dir_utf8()? {
            let left = entry?.into_path();
            if let Tried::Locked(_alone) = lock::try_lock(&left, Mode::Exclusive)? {
                remove_tree(&left)?;
            }
        }
        Ok(Self {
            root: root.to_owned(),
            run,
            held: Mutex::default(),
        })
    }

    /// A folder that is shared by all steps and never complete, such as the module cache. It stays until this run ends.
    pub fn shared(&self, name: &str) -> Result<Utf8PathBuf> {
        let folder = self.root.join(name);
        loop {
            fs_err::create_dir_all(&folder)?;
            if let Some(folder) = self.hold(&folder)? {
                return Ok(folder);
            }
        }
    }

    /// Changes the shared `folder`, unless another run uses it; `None` in that case.
    pub fn change<T>(
        &self,
        folder: &Utf8Path,
        change: impl FnOnce() -> Result<T>,
    ) -> Result<Option<T>> {
        self.held().remove(folder);
        let changed = match lock::try_lock(folder, Mode::Exclusive)? {
            Tried::Locked(_alone) => Some(change()?),
            Tried::Busy | Tried::Absent => None,
        };
        self.hold(folder)?;
        Ok(changed)
    }

    /// An empty folder until the value goes.
    pub fn scratch(&self, name: &str) -> Result<Scratch> {
        self.lasting(&format!("scratch-{name}-")).map(Scratch)
    }

    /// An empty folder for the time of this run, whose name begins with `prefix`.
    pub fn lasting(&self, prefix: &str) -> Result<Utf8PathBuf> {
        let folder = tempfile::Builder::new()
            .prefix(prefix)
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(&self.run.path)?;
        Ok(Utf8PathBuf::try_from(folder.keep())?)
    }

    /// Holds the lock `name`, for what only one run may do at a time. One that waits says for whom: another run that
    /// `does` it.
    pub fn lock(&self, name: &str, does: &str) -> Result<NamedLock> {
        let file = self.root.join(LOCKS).join(name);
        NamedLock::take(file, || {
            progress::note(format_args!("waiting for another run that {does}"));
        })
    }

    /// Where the result of step `kind` with `key` is, once it was made. It stays until this run ends.
    pub fn kept(&self, kind: &str, key: &Key) -> Result<Option<Utf8PathBuf>> {
        self.hold(&self.root.join(kind).join(&key.0))
    }

    /// The result of step `kind` with `key`: kept from an earlier run, or made now by `make`. It stays until this run
    /// ends.
    pub fn keep(
        &self,
        kind: &str,
        key: &Key,
        make: impl FnOnce(&Utf8Path) -> Result<()>,
    ) -> Result<Utf8PathBuf> {
        if let Some(folder) = self.kept(kind, key)? {
            return Ok(folder);
        }
        let _making = self.lock(&format!("{kind}-{key}"), &format!("makes {kind} {key}"))?;
        if let Some(folder) = self.kept(kind, key)? {
            return Ok(folder);
        }
        let partial = self.lasting(&format!("{kind}-{key}-"))?;
        if let Err(error) = make(&partial) {
            remove_tree(&partial)
                .with_context(|| format!("failed to clean up after: {error:#}"))?;
            return Err(error);
        }
        sync(&partial)?;
        self.put(&partial, &self.root.join(kind).join(&key.0))
    }

    /// Puts the result `made` in its `place`, and holds it; the lock of its name is held.
    fn put(&self, made: &Utf8Path, place: &Utf8Path) -> Result<Utf8PathBuf> {
        fs_err::create_dir_all(place.parent().unwrap_or(&self.root))?;
        // Held before others see it.
        let lock = lock::lock(made, Mode::Shared, || {})?;
        let lock = lock.with_context(|| format!("{made} was removed meanwhile"))?;
        let folder = match lock::try_lock(place, Mode::Exclusive)? {
            // Another run uses the one that this one replaces.
            Tried::Busy => made,
            Tried::Absent => {
                fs_err::rename(made, place)?;
                place
            }
            Tried::Locked(_alone) => {
                let old = self.lasting("old-")?.join("result");
                fs_err::rename(place, &old)?;
                fs_err::rename(made, place)?;
                remove_tree(&old)?;
                place
            }
        };
        let held = Held {
            folder: folder.to_owned(),
            _lock: lock,
        };
        self.held().insert(place.to_owned(), held);
        Ok(folder.to_owned())
    }

    /// Shares the lock of what is at `place` until this run ends; `None` where nothing is, or what is to be made anew.
    fn hold(&self, place: &Utf8Path) -> Result<Option<Utf8PathBuf>> {
        let mut held = self.held();
        if let Some(Held { folder, .. }) = held.get(place) {
            if !is_retired(folder) {
                return Ok(Some(folder.clone()));
            }
            held.remove(place);
        }
        // Whoever has it alone only renames it.
        let Some(lock) = lock::lock(place, Mode::Shared, || {})? else {
            return Ok(None);
        };
        if is_retired(place) {
            return Ok(None);
        }
        lock.touch();
        let folder = place.to_owned();
        held.insert(
            place.to_owned(),
            Held {
                folder: folder.clone(),
                _lock: lock,
            },
        );
        Ok(Some(folder))
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Utf8PathBuf, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folder of one run for what is not complete; it goes with the value, and is locked until then.
#[derive(Debug)]
struct RunFolder {
    path: Utf8PathBuf,
    _lock: Lock,
}

impl RunFolder {
    fn create(root: &Utf8Path) -> Result<Self> {
        let partial = root.join(PARTIAL);
        fs_err::create_dir_all(&partial)?;
        loop {
            let folder = tempfile::Builder::new()
                .prefix(&format!("{}-", std::process::id()))
                .permissions(Permissions::from_mode(0o755))
                .tempdir_in(&partial)?;
            let path = Utf8PathBuf::try_from(folder.keep())?;
            // Absent: another run took it for one that was left, before it was locked.
            if let Some(lock) = lock::lock(&path, Mode::Exclusive, || {})? {
                return Ok(Self { path, _lock: lock });
            }
        }
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.path) {
            progress::warning(format_args!("{error:#}"));
        }
    }
}

/// Sends a result to the disk, as far as it lies in `folder` itself.
fn sync(folder: &Utf8Path) -> Result<()> {
    fs_err::File::open(folder)?
        .sync_all()
        .with_context(|| format!("failed to sync {folder}"))?;
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            fs_err::File::open(path)?.sync_all()?;
        }
    }
    Ok(())
}

fn is_retired(folder: &Utf8Path) -> bool {
    folder.join(RETIRED).exists()
}

/// Marks a result, so that whoever needs it next makes it anew; who uses it now goes on.
pub fn retire(folder: &Utf8Path) -> Result<()> {
    fs_err::write(folder.join(RETIRED), "")?;
    Ok(())
}

/// Keeps other users of the machine out of `folder`.
fn close(folder: &Utf8Path) -> Result<()> {
    if fs_err::metadata(folder)?.permissions().mode() & 0o7777 != PRIVATE {
        fs_err::set_permissions(folder, Permissions::from_mode(PRIVATE))?;
    }
    Ok(())
}

/// Asks the file system to put what is made in `folder` far from each other.
///
/// ext4 without a journal, as many virtual machines have it, passes over all that was removed nearby in the last
/// minutes, one by one, for each new file: an image that is unpacked soon after another was removed takes the
/// processor twice as long.
fn spread(folder: &Utf8Path) -> Result<()> {
    let opened = fs_err::File::open(folder)?;
    let hint = |flags| ioctl_setflags(&opened, flags | IFlags::TOPDIR);
    match ioctl_getflags(&opened).and_then(hint) {
        // Other file systems refuse it, each with an error of its own, and need none.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Retires a damaged result, so that the next run makes it again, and says so.
pub fn discard(folder: &Utf8Path, reason: &str) -> anyhow::Error {
    let hint = match retire(folder) {
        Ok(()) => "run the same command again to make it anew".to_owned(),
        Err(error) => format!("remove it and run the same command again ({error:#})"),
    };
    corrupt(format!("{folder} is damaged: {reason}"), hint)
}

/// A folder that lasts as long as this value.
#[derive(Debug)]
pub struct Scratch(Utf8PathBuf);

impl Scratch {
    /// The folder.
    pub fn path(&self) -> &Utf8Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.0) {
            progress::warning(format_args!("{error:#}"));
        }
    }
}

#[cfg(test)]
mod tests;
