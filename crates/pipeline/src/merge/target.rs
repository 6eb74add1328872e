//! Where a merged tree goes: there is the old one or the new one, whole, at any time.
//!
//! One merge at a time works on a folder: it locks the folder above, which needs no file of its own that would stay
//! behind, and which the system unlocks when a process dies. The new tree is written beside the old one, goes to the
//! disk in one call for the whole file system, and the two change places in one step. What a merge that was killed
//! left, the next one removes.

use std::cell::OnceCell;
use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::merge::record::{MARKER, Record};
use crate::work::files::remove_tree;
use crate::work::out;
use engine::{interrupt, progress};
use failure::usage;

/// A folder for a merged tree, held by this process.
#[derive(Debug)]
pub struct MergeTarget {
    /// Where the tree is when it is complete.
    folder: Utf8PathBuf,
    partial: Utf8PathBuf,
    /// Where the old tree is between two steps, on file systems where two folders cannot change places in one.
    old: Utf8PathBuf,
    /// The folder above, locked.
    parent: File,
    begun: OnceCell<interrupt::Guard>,
}

impl MergeTarget {
    /// Takes hold of `folder`, waiting until no other merge works beside it, and removes what a killed one left.
    pub fn lock(folder: &Utf8Path) -> Result<Self> {
        let name = folder
            .file_name()
            .ok_or_else(|| usage(format!("--out {folder} names no folder"), "name a folder"))?;
        let above = folder
            .parent()
            .filter(|above| !above.as_str().is_empty())
            .unwrap_or(Utf8Path::new("."));
        fs_err::create_dir_all(above)?;
        let parent = fs_err::File::open(above)?.into_parts().0;
        match parent.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress::note(format_args!(
                    "waiting for another merge that writes to {above}"
                ));
                parent
                    .lock()
                    .with_context(|| format!("failed to lock {above}"))?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("failed to lock {above}"));
            }
        }
        let locked = Self {
            folder: folder.to_owned(),
            partial: folder.with_file_name(format!(".{name}.partial")),
            old: folder.with_file_name(format!(".{name}.old")),
            parent,
            begun: OnceCell::new(),
        };
        locked.recover()?;
        locked.check()?;
        remove_tree(&locked.old)?;
        remove_tree(&locked.partial)?;
        Ok(locked)
    }

    /// Brings the old tree back, if a merge was killed between its two steps.
    fn recover(&self) -> Result<()> {
        if !self.is_there() && self.old.join(MARKER).is_file() {
            fs_err::rename(&self.old, &self.folder)?;
        }
        Ok(())
    }

    /// Makes sure that nothing of somebody else is at the place.
    fn check(&self) -> Result<()> {
        let place = &self.folder;
        if !self.is_there() {
            return Ok(());
        }
        let is_folder = fs_err::symlink_metadata(place)?.is_dir();
        let is_ours = is_folder
            && (place.join(MARKER).is_file() || fs_err::read_dir(place)?.next().is_none());
        if is_ours {
            return Ok(());
        }
        Err(usage(
            format!("--out {place} exists and is not a merged cache"),
            "name another folder or remove it",
        ))
    }

    fn is_there(&self) -> bool {
        self.folder.symlink_metadata().is_ok()
    }

    /// What the tree at the place was made of. One that cannot be read is to be made anew, like one of other packs.
    pub fn record(&self) -> Option<Record> {
        let json = fs_err::read(self.folder.join(MARKER)).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// The folder to write to, empty. An interrupt removes it, and so does a failure.
    pub fn begin(&self) -> Result<&Utf8Path> {
        self.begun
            .get_or_init(|| out::remove_on_interrupt(&self.partial));
        fs_err::create_dir(&self.partial)?;
        Ok(&self.partial)
    }

    /// Puts the written tree in its place, and removes the one that was there; returns how long the disk took.
    pub fn complete(&self, record: &Record) -> Result<Duration> {
        let (partial, place) = (self.partial.as_str(), self.folder.as_str());
        let json = serde_json::to_vec_pretty(record).context("failed to serialize the record")?;
        fs_err::write(self.partial.join(MARKER), json)?;
        let written = fs_err::File::open(partial)?;
        let started = Instant::now();
        rustix::fs::syncfs(&written).with_context(|| format!("failed to sync {partial}"))?;
        let sync = started.elapsed();
        if self.is_there() {
            match rustix::fs::renameat_with(CWD, partial, CWD, place, RenameFlags::EXCHANGE) {
                Err(Errno::INVAL | Errno::NOSYS) => {
                    fs_err::rename(place, &self.old)?;
                    fs_err::rename(partial, place)?;
                }
                exchanged => exchanged.with_context(|| format!("failed to replace {place}"))?,
            }
        } else {
            fs_err::rename(partial, place)?;
        }
        self.parent
            .sync_all()
            .with_context(|| format!("failed to sync the folder of {place}"))?;
        remove_tree(&self.old)?;
        remove_tree(&self.partial)?;
        Ok(sync)
    }
}

impl Drop for MergeTarget {
    fn drop(&mut self) {
        if self.begun.get().is_some()
            && let Err(error) = remove_tree(&self.partial)
        {
            progress::warning(format_args!("{error:#}"));
        }
    }
}
