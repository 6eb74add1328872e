//! Folders that are this user's alone, in places where anybody may put anything, as `/tmp` is.
//!
//! Whoever can write to a cache or a home decides what gets built or run; so what lies there already is taken only if
//! it is a folder (no symbolic link) of this very user that nobody else can write.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{Access, access};
use rustix::io::Errno;

/// This user's folder in a folder for temporary files, the same for all processes.
pub fn shared(tmpdir: &Utf8Path, uid: u32) -> Utf8PathBuf {
    tmpdir.join(format!("iac-runner-{uid}"))
}

/// The folder that the environment variable `name` names. One that is empty, or no absolute path, counts as not set.
pub fn named(name: &str) -> Option<Utf8PathBuf> {
    let folder = std::env::var(name).ok().map(Utf8PathBuf::from);
    folder.filter(|folder| folder.is_absolute())
}

/// The folder for temporary files of this process.
pub fn temporary() -> Utf8PathBuf {
    named("TMPDIR").unwrap_or_else(|| "/tmp".into())
}

/// Makes `folder` and what is missing above it, or makes sure that it is user `uid`'s alone.
pub fn make(folder: &Utf8Path, uid: u32) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        let mut parents = DirBuilder::new();
        parents
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(|error| at_path(&error, parent))?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(at_path(&error, folder)),
        _ => check(folder, uid),
    }
}

/// Fails unless `folder` is a folder of user `uid` that nobody else can write.
pub fn check(folder: &Utf8Path, uid: u32) -> io::Result<()> {
    let metadata = fs_err::symlink_metadata(folder)?;
    let reason = if !metadata.is_dir() {
        "is no folder"
    } else if metadata.uid() != uid {
        "belongs to another user"
    } else if metadata.mode() & 0o022 != 0 {
        "can be written by others"
    } else {
        return Ok(());
    };
    Err(io::Error::new(
        ErrorKind::PermissionDenied,
        format!("{folder} {reason}"),
    ))
}

/// Whether this process may make files in `folder`, as far as the system tells without a try.
pub fn is_writable(folder: &Utf8Path) -> bool {
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    // A system that cannot tell is no reason to change anything.
    let may = access(folder.as_std_path(), wanted);
    !matches!(
        may,
        Err(Errno::ACCESS | Errno::ROFS | Errno::PERM | Errno::NOENT | Errno::NOTDIR)
    )
}

/// `error` with the path at which it came up.
pub fn at_path(error: &io::Error, path: &Utf8Path) -> io::Error {
    io::Error::new(error.kind(), format!("failed to write {path}: {error}"))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A folder of a test's own; removed when dropped.
    pub struct Folder(tempfile::TempDir);

    impl Folder {
        pub fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        pub fn path(&self, name: &str) -> Utf8PathBuf {
            Utf8Path::from_path(self.0.path()).unwrap().join(name)
        }

        /// A name below a file: nobody, not even root, can write there.
        pub fn unwritable(&self) -> Utf8PathBuf {
            fs_err::write(self.path("file"), b"").unwrap();
            self.path("file/below")
        }
    }
}
