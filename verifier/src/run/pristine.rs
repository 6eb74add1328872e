//! The state as shipped, again and again: what a build leaves behind is removed before the next one.
//!
//! A build leaves entries in GOCACHE and rewrites `trim.txt` there; where GOCACHE cannot be written, they are kept
//! below `XDG_CACHE_HOME` or `TMPDIR`, by `verifier cacheprog` or beside links to what is shipped, which do not count.
//! So GOCACHE is listed once at the start, and what is not in that list is removed later; the few files that are no
//! entries get back their bytes and times; and every build that counts as a first one gets a new, empty home, cache
//! home and folder for temporary files.
//!
//! Only names are listed, so that the contents do not get into the page cache by it.

use std::collections::HashSet;
use std::fs::FileTimes;
use std::io::{self, ErrorKind};
use std::time::SystemTime;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use walkdir::WalkDir;

use crate::private_folder;
use crate::process::Environment;

#[derive(Debug)]
pub struct Pristine {
    gocache: Utf8PathBuf,
    files: HashSet<std::path::PathBuf>,
    /// Files at the top: `trim.txt`, `README`, `testexpire.txt`.
    top: Vec<TopFile>,
}

#[derive(Debug)]
struct TopFile {
    path: std::path::PathBuf,
    content: Vec<u8>,
    modified: SystemTime,
}

impl TopFile {
    fn is_as_noted(&self) -> bool {
        let modified = fs_err::metadata(&self.path).and_then(|metadata| metadata.modified());
        modified.is_ok_and(|modified| modified == self.modified)
            && fs_err::read(&self.path).is_ok_and(|content| content == self.content)
    }

    fn restore(&self) -> io::Result<()> {
        fs_err::write(&self.path, &self.content)?;
        let file = fs_err::File::open(&self.path)?;
        file.file()
            .set_times(FileTimes::new().set_modified(self.modified))
    }
}

impl Pristine {
    /// Notes what GOCACHE holds; it need not exist.
    pub fn note(gocache: &Utf8Path) -> anyhow::Result<Self> {
        let files = list(gocache)?;
        let at_top = files.iter().filter(|path| {
            path.parent() == Some(gocache.as_std_path())
                && fs_err::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
        });
        let top: io::Result<Vec<_>> = at_top
            .map(|path| {
                let modified = fs_err::metadata(path)?.modified()?;
                Ok(TopFile {
                    path: path.clone(),
                    content: fs_err::read(path)?,
                    modified,
                })
            })
            .collect();
        Ok(Self {
            gocache: gocache.to_owned(),
            top: top?,
            files,
        })
    }

    /// What is new in GOCACHE, and in the folder of `surroundings` that stands in for it where it cannot be written.
    pub fn added(&self, surroundings: &Surroundings) -> anyhow::Result<Added> {
        let new = list(&self.gocache)?;
        let new = new.difference(&self.files);
        let mut added = Added::default();
        // Links to what is shipped, what says that they are there, and remains of a write are no entries.
        let is_entry = |path: &std::path::Path| {
            let name = path.file_name().map(std::ffi::OsStr::as_encoded_bytes);
            let has_name = name.is_some_and(|it| {
                !it.starts_with(b".") && (it.ends_with(b"-a") || it.ends_with(b"-d"))
            });
            has_name && !path.is_symlink()
        };
        for path in list(&surroundings.path(FALLBACK))? {
            if is_entry(&path) {
                added.count(&path)?;
            }
        }
        for path in list(&surroundings.path(COLD))? {
            added.count(&path)?;
        }
        for path in new {
            added.count(path)?;
        }
        Ok(added)
    }

    /// Removes what is new and restores what was changed.
    pub fn restore(&self) -> anyhow::Result<()> {
        let now = list(&self.gocache)?;
        for path in now.difference(&self.files) {
            match fs_err::remove_file(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed.context("failed to restore GOCACHE to the state as shipped")?,
            }
        }
        for file in self.top.iter().filter(|file| !file.is_as_noted()) {
            file.restore()
                .context("failed to restore GOCACHE to the state as shipped")?;
        }
        Ok(())
    }
}

fn list(gocache: &Utf8Path) -> anyhow::Result<HashSet<std::path::PathBuf>> {
    if !gocache.is_dir() {
        return Ok(HashSet::new());
    }
    let mut files = HashSet::new();
    for entry in WalkDir::new(gocache) {
        let entry = entry.context("failed to list GOCACHE")?;
        if !entry.file_type().is_dir() {
            files.insert(entry.into_path());
        }
    }
    Ok(files)
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Added {
    pub files: u64,
    pub bytes: u64,
}

impl Added {
    fn count(&mut self, path: &std::path::Path) -> anyhow::Result<()> {
        self.files += 1;
        self.bytes += fs_err::symlink_metadata(path)?.len();
        Ok(())
    }

    /// What came since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self {
            files: self.files.saturating_sub(earlier.files),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }
}

/// Name of the folder below [`Surroundings`] for caches of the user.
const FALLBACK: &str = "cache";

/// Name of the empty GOCACHE below [`Surroundings`] of a cold build.
pub const COLD: &str = "go-build";

/// New folders for all that a build may write outside GOCACHE; removed when dropped. A home that cannot be written to
/// stays what it is, for that is what a user of this container has.
#[derive(Debug)]
pub struct Surroundings {
    root: tempfile::TempDir,
    environment: Environment,
}

impl Surroundings {
    /// The folders lie where this process has its temporary files.
    pub fn new(environment: Environment) -> anyhow::Result<Self> {
        let root = tempfile::Builder::new().prefix("verifier-").tempdir();
        let root = root.context(
            "failed to make a temporary folder; set TMPDIR to a folder that can be written",
        )?;
        let mut surroundings = Self { root, environment };
        let home = std::env::var("HOME").unwrap_or_default();
        let home = private_folder::is_writable(Utf8Path::new(&home)).then_some(("HOME", "home"));
        let others = [("TMPDIR", "tmp"), ("XDG_CACHE_HOME", FALLBACK)];
        for (name, folder) in others.into_iter().chain(home) {
            let path = surroundings.path(folder);
            fs_err::create_dir(&path)?;
            surroundings.environment.push((name, path.into_string()));
        }
        Ok(surroundings)
    }

    pub fn path(&self, name: &str) -> Utf8PathBuf {
        // TMPDIR is not UTF-8 on no machine that can build anything; the loss would show in the first error.
        Utf8PathBuf::from(self.root.path().to_string_lossy().into_owned()).join(name)
    }

    /// What commands get to see of it.
    pub fn environment(&self) -> Environment {
        self.environment.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn what_a_build_leaves_is_removed_and_the_rest_is_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let gocache = Utf8Path::from_path(folder.path()).unwrap();
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        fs_err::create_dir_all(gocache.join("00")).unwrap();
        for (name, content) in [("trim.txt", "1"), ("README", "r"), ("00/x-a", "shipped")] {
            fs_err::write(gocache.join(name), content).unwrap();
            let file = fs_err::File::open(gocache.join(name)).unwrap();
            file.file().set_modified(old).unwrap();
        }
        let pristine = Pristine::note(gocache).unwrap();
        fs_err::write(gocache.join("trim.txt"), "2").unwrap();
        fs_err::remove_file(gocache.join("README")).unwrap();
        for name in ["00/new-a", "testexpire.txt", "01/new-d"] {
            fs_err::create_dir_all(gocache.join(name).parent().unwrap()).unwrap();
            fs_err::write(gocache.join(name), "new").unwrap();
        }
        let surroundings = Surroundings::new(Vec::new()).unwrap();
        let fallback = surroundings.path(FALLBACK);
        fs_err::write(fallback.join("x-d"), "four").unwrap();
        fs_err::write(fallback.join("complete"), "").unwrap();
        fs_err::write(fallback.join(".x.tmp-d"), "remains").unwrap();
        std::os::unix::fs::symlink(gocache.join("00/x-a"), fallback.join("x-a")).unwrap();
        let added = pristine.added(&surroundings).unwrap();
        assert_eq!(
            added,
            Added {
                files: 4,
                bytes: 13
            }
        );
        pristine.restore().unwrap();
        pristine.restore().unwrap();
        assert_eq!(list(gocache).unwrap(), pristine.files);
        for (name, content) in [("trim.txt", "1"), ("README", "r"), ("00/x-a", "shipped")] {
            assert_eq!(fs_err::read_to_string(gocache.join(name)).unwrap(), content);
            assert_eq!(
                fs_err::metadata(gocache.join(name))
                    .unwrap()
                    .modified()
                    .unwrap(),
                old,
                "{name}"
            );
        }
    }

    #[test]
    fn a_cache_that_was_not_there_is_empty_again() {
        let folder = tempfile::tempdir().unwrap();
        let gocache = Utf8Path::from_path(folder.path()).unwrap().join("new");
        let pristine = Pristine::note(&gocache).unwrap();
        pristine.restore().unwrap();
        fs_err::create_dir_all(gocache.join("00")).unwrap();
        fs_err::write(gocache.join("00/x-a"), "").unwrap();
        pristine.restore().unwrap();
        assert_eq!(list(&gocache).unwrap().len(), 0);
    }

    #[test]
    fn surroundings_are_new_and_go_away() {
        let surroundings = Surroundings::new(vec![("GOCACHE", "/c".into())]).unwrap();
        let environment = surroundings.environment();
        assert_eq!(environment[0], ("GOCACHE", "/c".into()));
        for name in ["HOME", "TMPDIR", "XDG_CACHE_HOME"] {
            let (_, folder) = environment
                .iter()
                .find(|variable| variable.0 == name)
                .unwrap();
            assert_eq!(fs_err::read_dir(folder).unwrap().count(), 0);
        }
        let root = surroundings.path("");
        drop(surroundings);
        assert!(!root.exists());
    }
}
