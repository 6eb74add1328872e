//! One place where new entries may be kept, `$GOCACHE` or a folder that is the user's alone, and whether it takes them.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use gocache::Store;
use sha256::Sha256Hash;

use crate::cacheprog::tidy;
use crate::private_folder::{self, at_path};

/// More than a full disk has left.
const PROBE_BYTES: usize = 64 << 10;

/// A cache that may turn out to be writable.
#[derive(Debug)]
pub struct Place {
    pub store: Store,
    /// The folder that must be ours alone; none for `$GOCACHE`, which is as safe as the user made it.
    pub private: Option<(Utf8PathBuf, u32)>,
    /// Whether there is something to ask.
    pub exists: AtomicBool,
    /// Whether it goes with this process.
    is_temporary: bool,
    /// Held while a temporary one is there.
    lock: OnceLock<Option<File>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Place {
    /// `$GOCACHE`, which is as safe as its owner made it.
    pub fn gocache(root: &Utf8Path) -> Self {
        Self {
            store: Store::at(root),
            private: None,
            exists: AtomicBool::new(true),
            is_temporary: false,
            lock: OnceLock::new(),
        }
    }

    pub fn private(folder: Utf8PathBuf, uid: u32) -> Self {
        let store = Store::at(&folder.join("go-build"));
        let exists = AtomicBool::new(private_folder::check(&folder, uid).is_ok());
        Self {
            store,
            private: Some((folder, uid)),
            exists,
            is_temporary: false,
            lock: OnceLock::new(),
        }
    }

    /// A folder below `parent` that no other process has or will have.
    pub fn temporary(parent: &Utf8Path, uid: u32) -> Self {
        let of_processes = tidy::of_processes(uid);
        let name = format!("{of_processes}{}-{:x}", std::process::id(), now_unix_ns());
        let mut place = Self::private(parent.join(name), uid);
        place.is_temporary = true;
        place
    }

    /// Makes the folder that must be ours alone, or makes sure that it is.
    pub fn prepare(&self) -> io::Result<()> {
        let Some((folder, uid)) = self
            .private
            .as_ref()
            .filter(|_| !self.exists.load(Ordering::Relaxed))
        else {
            return Ok(());
        };
        private_folder::make(folder, *uid)?;
        if self.is_temporary {
            self.lock.get_or_init(|| tidy::lock(folder));
        }
        Ok(())
    }

    /// Removes what other processes that are gone left beside this folder, if it goes with its process.
    pub fn remove_orphans(&self) {
        if let (true, Some((folder, uid))) = (self.is_temporary, &self.private)
            && let Some(temporary) = folder.parent()
        {
            tidy::remove_orphans(temporary, *uid, SystemTime::now());
        }
    }

    /// Removes what nobody will ask this place for again.
    pub fn close(&self) {
        self.remove();
        // GOCACHE is trimmed by the go command.
        if self.private.is_some() && !self.is_temporary && self.exists.load(Ordering::Relaxed) {
            tidy::trim(&self.store, SystemTime::now());
        }
    }

    /// Removes the folder, if it goes with this process.
    fn remove(&self) {
        // One that had no room for anything was made, too.
        if let (true, Some((folder, uid))) = (self.is_temporary, &self.private)
            && private_folder::check(folder, *uid).is_ok()
        {
            // What stays is in a place where things do not.
            let _ = fs_err::remove_dir_all(folder);
        }
    }

    /// Writes a file to where the place is or would be made, and removes it.
    pub fn has_room(&self) -> io::Result<()> {
        if let Some((folder, uid)) = &self.private
            && folder.symlink_metadata().is_ok()
        {
            private_folder::check(folder, *uid)?;
        }
        let mut above = self.store.root().ancestors();
        let there = above.find(|folder| folder.symlink_metadata().is_ok());
        let mut file = tempfile::NamedTempFile::new_in(there.unwrap_or(self.store.root()))?;
        file.write_all(&vec![0; PROBE_BYTES])
    }

    /// Makes a file where an output would be kept.
    pub fn probe(&self, output: &Sha256Hash) -> io::Result<()> {
        let path = self.store.output_path(output);
        let folder = path.parent().unwrap_or(self.store.root());
        fs_err::create_dir_all(folder)?;
        tempfile::NamedTempFile::new_in(folder)
            .map(drop)
            .map_err(|error| at_path(&error, folder))
    }
}

/// Unix time in nanoseconds.
pub fn now_unix_ns() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
