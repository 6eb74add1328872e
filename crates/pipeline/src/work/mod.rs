//! The folder in which finished work is kept: `$XDG_CACHE_HOME/iac-runner`.
//!
//! A step's result is a folder named after the digest of everything it was made from. It is made beside its final
//! place and renamed when it is complete, so that a result is there whole or not at all; what an interrupted run
//! left is removed by the next one. One run at a time holds the folder.

pub mod files;
pub mod kept_layer;
pub mod out;

use std::fs::{File, Permissions, TryLockError};
use std::os::unix::fs::PermissionsExt as _;

use self::files::remove_tree;
use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use failure::corrupt;

/// Raised when what a step makes changes although its inputs do not.
const FORMAT: u32 = 2;
/// Enough that no two inputs ever meet.
const KEY_BYTES: usize = 12;

/// The digest of a step's inputs, in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Key(String);

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() == 2 * KEY_BYTES && text.bytes().all(is_hex) {
            Ok(Self(text))
        } else {
            Err(format!("{text:?} is no digest of inputs"))
        }
    }
}

impl Key {
    /// The key of `inputs`, by their JSON.
    pub fn of(inputs: &impl Serialize) -> Result<Self> {
        let json =
            serde_json::to_vec(&(FORMAT, inputs)).context("failed to serialize a step's inputs")?;
        Ok(Self(hex::encode(&Sha256::digest(json)[..KEY_BYTES])))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder of kept work, held by this process.
#[derive(Debug)]
pub struct Work {
    root: Utf8PathBuf,
    _lock: File,
}

impl Work {
    /// Opens the folder that the environment names, waiting until no other run holds it.
    pub fn open() -> Result<Self> {
        let cache = std::env::var("XDG_CACHE_HOME")
            .ok()
            .filter(|folder| folder.starts_with('/'));
        let home = std::env::var("HOME")
            .ok()
            .filter(|folder| folder.starts_with('/'));
        let root = cache
            .map(Utf8PathBuf::from)
            .or_else(|| home.map(|home| Utf8Path::new(&home).join(".cache")))
            .context("neither XDG_CACHE_HOME nor HOME is set to an absolute path; set one of them")?
            .join("iac-runner");
        Self::open_at(&root)
    }

    fn open_at(root: &Utf8Path) -> Result<Self> {
        fs_err::create_dir_all(root)?;
        let path = root.join("lock");
        let lock = fs_err::File::create(&path)?.into_parts().0;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another run that uses {root}");
                lock.lock()
                    .with_context(|| format!("failed to lock {path}"))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("failed to lock {path}"));
            }
        }
        let work = Self {
            root: root.to_owned(),
            _lock: lock,
        };
        remove_tree(&work.partial())?;
        fs_err::create_dir_all(work.partial())?;
        spread(&work.partial())?;
        Ok(work)
    }

    fn partial(&self) -> Utf8PathBuf {
        self.root.join("partial")
    }

    /// A folder that is shared by all steps and never complete, such as the module cache.
    pub fn shared(&self, name: &str) -> Result<Utf8PathBuf> {
        let folder = self.root.join(name);
        fs_err::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// An empty folder for the time of this run.
    pub fn scratch(&self, name: &str) -> Result<Scratch> {
        let folder = tempfile::Builder::new()
            .prefix(&format!("scratch-{name}-"))
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in(self.partial())?;
        Ok(Scratch(Utf8PathBuf::try_from(folder.keep())?))
    }

    /// Where the result of step `kind` with `key` is, once it was made.
    pub fn kept(&self, kind: &str, key: &Key) -> Option<Utf8PathBuf> {
        let folder = self.root.join(kind).join(&key.0);
        folder.is_dir().then_some(folder)
    }

    /// The result of step `kind` with `key`: kept from an earlier run, or made now by `make`.
    pub fn keep(
        &self,
        kind: &str,
        key: &Key,
        make: impl FnOnce(&Utf8Path) -> Result<()>,
    ) -> Result<Utf8PathBuf> {
        if let Some(folder) = self.kept(kind, key) {
            return Ok(folder);
        }
        let partial = self.partial().join(format!("{kind}-{key}"));
        remove_tree(&partial)?;
        fs_err::create_dir_all(&partial)?;
        if let Err(error) = make(&partial) {
            remove_tree(&partial)
                .with_context(|| format!("failed to clean up after: {error:#}"))?;
            return Err(error);
        }
        let folder = self.root.join(kind).join(&key.0);
        fs_err::create_dir_all(self.root.join(kind))?;
        fs_err::File::open(&partial)?
            .sync_all()
            .with_context(|| format!("failed to sync {partial}"))?;
        for entry in fs_err::read_dir(&partial)? {
            let path = entry?.path();
            if path.is_file() {
                fs_err::File::open(path)?.sync_all()?;
            }
        }
        fs_err::rename(&partial, &folder)?;
        Ok(folder)
    }
}

/// Asks the file system to put what is made in `folder` far from each other.
///
/// ext4 without a journal, as many virtual machines have it, passes over all that was removed nearby in the last minutes,
/// one by one, for each new file: an image that is unpacked soon after another was removed takes the processor twice as long.
fn spread(folder: &Utf8Path) -> Result<()> {
    let opened = fs_err::File::open(folder)?;
    let hint = |flags| ioctl_setflags(&opened, flags | IFlags::TOPDIR);
    match ioctl_getflags(&opened).and_then(hint) {
        // Other file systems refuse it, each with an error of its own, and need none.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Takes a damaged result out of the way, so that the next run makes it again, and says so.
pub fn discard(folder: &Utf8Path, reason: &str) -> anyhow::Error {
    let removed = match remove_tree(folder) {
        Ok(()) => "it was removed; run the same command again to make it anew".to_owned(),
        Err(error) => format!("remove it and run the same command again ({error:#})"),
    };
    corrupt(
        format!("{folder} is damaged: {reason}"),
        format!("{removed}"),
    )
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
            eprintln!("warning: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(folder.path().join("iac-runner")).unwrap();
        (folder, root)
    }

    #[test]
    fn a_result_is_made_once_and_a_failure_leaves_nothing() {
        let (_folder, root) = work();
        let work = Work::open_at(&root).unwrap();
        let key = Key::of(&"inputs").unwrap();
        let failed = work.keep("step", &key, |folder| {
            fs_err::write(folder.join("half"), "x")?;
            anyhow::bail!("stopped half-way")
        });
        assert!(failed.is_err());
        assert!(work.kept("step", &key).is_none());
        assert_eq!(fs_err::read_dir(root.join("partial")).unwrap().count(), 0);

        let made = work
            .keep("step", &key, |folder| {
                Ok(fs_err::write(folder.join("whole"), "x")?)
            })
            .unwrap();
        let again = work
            .keep("step", &key, |_| unreachable!("already made"))
            .unwrap();
        assert_eq!(made, again);
        assert!(made.join("whole").is_file());
    }

    #[test]
    fn opening_removes_what_an_interrupted_run_left() {
        let (_folder, root) = work();
        fs_err::create_dir_all(root.join("partial/step-1/ro")).unwrap();
        fs_err::write(root.join("partial/step-1/ro/file"), "x").unwrap();
        let work = Work::open_at(&root).unwrap();
        assert_eq!(fs_err::read_dir(work.partial()).unwrap().count(), 0);
    }

    #[test]
    fn scratch_folders_are_apart_and_go() {
        let (_folder, root) = work();
        let work = Work::open_at(&root).unwrap();
        let one = work.scratch("same").unwrap();
        let other = work.scratch("same").unwrap();
        fs_err::write(one.path().join("file"), "x").unwrap();
        assert_eq!(fs_err::read_dir(other.path()).unwrap().count(), 0);
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists() && other.path().is_dir());
    }

    #[test]
    fn keys_differ_with_their_inputs() {
        assert_eq!(Key::of(&("a", 1)).unwrap(), Key::of(&("a", 1)).unwrap());
        assert_ne!(Key::of(&("a", 1)).unwrap(), Key::of(&("a", 2)).unwrap());
    }
}
