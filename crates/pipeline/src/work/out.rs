//! Output folders and files: complete or absent, and no folder of somebody else's. One run at a time writes to a place.

use std::cell::RefCell;
use std::io::Write as _;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};

use crate::work::files::remove_tree;
use crate::work::lock::{self, Lock, Mode};
use engine::{interrupt, progress};
use failure::usage;

/// The file by which a folder is known to be one of ours.
pub const MARKER: &str = "summary.json";

/// Removes the folder `partial` on an interrupt. Kept work needs no such care: the next run removes what this one did
/// not finish.
pub fn remove_on_interrupt(partial: &Utf8Path) -> interrupt::Guard {
    let partial = partial.to_owned();
    interrupt::register(move || remove_tree(&partial))
}

/// An output folder that is being written beside its final place.
#[derive(Debug)]
pub struct Out {
    place: Utf8PathBuf,
    partial: Utf8PathBuf,
    /// Of the folder that is written, from its beginning until it is complete; an interrupt removes it, too.
    begun: RefCell<Option<(Lock, interrupt::Guard)>>,
}

impl Out {
    /// Makes sure that `place` may be written, as an image; nothing is made yet.
    pub fn at(place: &Utf8Path) -> Result<Self> {
        Self::of(place, "an image", &[MARKER, "oci/oci-layout"])
    }

    /// Makes sure that `place` may be written, as an OCI image layout; nothing is made yet.
    pub fn layout(place: &Utf8Path) -> Result<Self> {
        Self::of(place, "a layout", &["oci-layout", "index.json"])
    }

    /// Makes sure that `place` may be written: that it is not there, or empty, or has the files by which `what` of
    /// ours is known. Nothing is made yet.
    pub fn of(place: &Utf8Path, what: &str, markers: &[&str]) -> Result<Self> {
        if place.as_str().is_empty() {
            return Err(usage("--out is empty", "name a folder"));
        }
        let place = Utf8PathBuf::try_from(std::path::absolute(place)?)?;
        let name = place
            .file_name()
            .ok_or_else(|| usage(format!("--out {place} names no folder"), "name a folder"))?;
        let is_ours = markers.iter().all(|marker| place.join(marker).is_file());
        let is_empty = place.is_dir() && fs_err::read_dir(&place)?.next().is_none();
        if place.symlink_metadata().is_ok() && !is_ours && !is_empty {
            return Err(usage(
                format!("--out {place} exists and is not {what} of ours"),
                "name another folder or remove it",
            ));
        }
        let partial = place.with_file_name(format!(".{name}.partial"));
        Ok(Self {
            place,
            partial,
            begun: RefCell::default(),
        })
    }

    /// Its final place, as an absolute path.
    pub fn place(&self) -> &Utf8Path {
        &self.place
    }

    /// The folder to write to, empty, once no other run writes to the same place. An interrupt removes it.
    pub fn begin(&self) -> Result<&Utf8Path> {
        let waiting = || {
            progress::note(format_args!(
                "waiting for another run that writes {}",
                self.place
            ));
        };
        let mut begun = self.begun.borrow_mut();
        while begun.is_none() {
            fs_err::create_dir_all(&self.partial)?;
            // None: the other run has completed it.
            let lock = lock::lock(&self.partial, Mode::Exclusive, waiting)?;
            *begun = lock.map(|lock| (lock, remove_on_interrupt(&self.partial)));
        }
        for left in self.partial.read_dir_utf8()? {
            remove_tree(left?.path())?;
        }
        Ok(&self.partial)
    }

    /// The folder that [`Out::begin`] made.
    pub fn begun(&self) -> &Utf8Path {
        &self.partial
    }

    /// Puts the written folder in its place.
    pub fn complete(&self) -> Result<()> {
        let old = self.partial.with_extension("old");
        remove_tree(&old)?;
        if self.place.exists() {
            fs_err::rename(&self.place, &old)?;
        }
        fs_err::File::open(&self.partial)?
            .sync_all()
            .with_context(|| format!("failed to sync {}", self.partial))?;
        fs_err::rename(&self.partial, &self.place)?;
        self.begun.take();
        remove_tree(&old)
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        // Another run may be writing to the same place.
        if self.begun.borrow().is_some()
            && let Err(error) = remove_tree(&self.partial)
        {
            progress::warning(format_args!("{error:#}"));
        }
    }
}

/// Writes a file that is complete or absent.
pub fn write_file(file: &Utf8Path, content: &[u8]) -> Result<()> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_str().is_empty())
        .unwrap_or(Utf8Path::new("."));
    if !folder.is_dir() {
        let message = format!("failed to write {file}: there is no folder {folder}");
        return Err(usage(message, "make it, or name another"));
    }
    let write = || -> std::io::Result<()> {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        let mut temporary = tempfile::Builder::new()
            .permissions(permissions)
            .tempfile_in(folder)?;
        temporary.write_all(content)?;
        temporary.as_file().sync_all()?;
        temporary.persist(file)?;
        Ok(())
    };
    write().with_context(|| format!("failed to write {file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_somebody_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let place = Utf8Path::from_path(folder.path()).unwrap().join("out");
        fs_err::create_dir(&place).unwrap();
        Out::at(&place).unwrap();
        fs_err::write(place.join("thesis.tex"), "x").unwrap();
        assert!(
            Out::at(&place)
                .unwrap_err()
                .to_string()
                .contains("not an image of ours")
        );
        assert!(place.join("thesis.tex").is_file());
    }

    #[test]
    fn one_run_at_a_time_writes_to_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let place = Utf8Path::from_path(folder.path()).unwrap().join("out");
        let one = Out::at(&place).unwrap();
        let partial = one.begin().unwrap().to_owned();
        let write = |partial: &Utf8Path, content| {
            fs_err::create_dir(partial.join("oci")).unwrap();
            fs_err::write(partial.join("oci/oci-layout"), "{}").unwrap();
            fs_err::write(partial.join(MARKER), content).unwrap();
        };
        write(&partial, "one");
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let other = Out::at(&place).unwrap();
                write(other.begin().unwrap(), "other");
                other.complete().unwrap();
            });
            assert!(matches!(
                lock::try_lock(&partial, Mode::Exclusive).unwrap(),
                lock::Tried::Busy
            ));
            one.complete().unwrap();
            other.join().unwrap();
        });
        assert_eq!(fs_err::read_to_string(place.join(MARKER)).unwrap(), "other");
        // The first does not take what is the second's with it.
        let other = Out::at(&place).unwrap();
        other.begin().unwrap();
        drop(one);
        assert!(partial.is_dir());
    }

    #[test]
    fn what_was_not_completed_vanishes_and_what_was_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let place = Utf8Path::from_path(folder.path()).unwrap().join("out");
        for content in ["one", "two"] {
            let out = Out::at(&place).unwrap();
            let partial = out.begin().unwrap();
            fs_err::create_dir(partial.join("oci")).unwrap();
            fs_err::write(partial.join("oci/oci-layout"), "{}").unwrap();
            fs_err::write(partial.join(MARKER), content).unwrap();
            out.complete().unwrap();
            assert_eq!(fs_err::read_to_string(place.join(MARKER)).unwrap(), content);
        }
        let out = Out::at(&place).unwrap();
        fs_err::write(out.begin().unwrap().join(MARKER), "three").unwrap();
        drop(out);
        assert_eq!(fs_err::read_to_string(place.join(MARKER)).unwrap(), "two");
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }
}
