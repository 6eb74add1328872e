//! Kept work of a test's own: what earlier runs made is in it as links, so what a command makes there is told from what
//! it found, whatever other tests do meanwhile; and nobody waits for anybody.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::os::unix::fs::symlink;
use xshell::cmd;

use super::run::{shell, succeed};

/// What every image starts from. The module cache is one folder for all; the others have one for each result.
pub const FOUNDATION: [&str; 8] = [
    "base",
    "root",
    "go",
    "std",
    "release",
    "tool",
    "tools-layer",
    "common",
];
/// What comes from the source.
pub const SOURCE: [&str; 4] = ["requirements", "pack", "transcoded", "report"];

/// Filled by all, and never complete.
const GO_MOD: &str = "go-mod";

/// The results that a folder has of its own: by step and key, with what changes when one is made anew.
pub type Results = BTreeMap<String, (u64, i64)>;

/// A folder for kept work.
pub struct Kept {
    place: tempfile::TempDir,
}

impl Kept {
    /// One with links to what the ordinary folder has of `steps` by now.
    pub fn linked(steps: &[&str]) -> Self {
        let ordinary = ordinary();
        // Beside it, so that hard links reach.
        let place = tempfile::tempdir_in(&ordinary).unwrap();
        let work = place.path().join("iac-runner");
        fs_err::create_dir_all(&work).unwrap();
        let from = ordinary.join("iac-runner");
        fs_err::create_dir_all(from.join(GO_MOD)).unwrap();
        symlink(from.join(GO_MOD), work.join(GO_MOD)).unwrap();
        for step in steps {
            let from = from.join(step);
            if !from.exists() {
                continue;
            }
            // Each result by itself: what is added later is this folder's own.
            fs_err::create_dir(work.join(step)).unwrap();
            for result in from.read_dir_utf8().unwrap() {
                let result = result.unwrap();
                let link = work.join(step).join(result.file_name());
                symlink(result.path(), link).unwrap();
            }
        }
        Self { place }
    }

    /// The results of `step`, as copies of this folder's own that may be damaged.
    pub fn own(&self, step: &str) -> Vec<Utf8PathBuf> {
        let work = Utf8PathBuf::from_path_buf(self.place.path().join("iac-runner")).unwrap();
        let sh = shell();
        let results = work.join(step).read_dir_utf8().unwrap();
        let results: Vec<_> = results.map(|result| result.unwrap().into_path()).collect();
        for link in &results {
            let result = link.canonicalize_utf8().unwrap();
            fs_err::remove_file(link).unwrap();
            succeed(cmd!(sh, "cp -a {result} {link}"));
        }
        results
    }

    /// Value of `XDG_CACHE_HOME`.
    pub fn cache_home(&self) -> &std::path::Path {
        self.place.path()
    }

    /// What was made here.
    pub fn made(&self) -> Results {
        let work = Utf8PathBuf::from_path_buf(self.place.path().join("iac-runner")).unwrap();
        let mut made = Results::new();
        for step in FOUNDATION.iter().chain(&SOURCE) {
            let folder = work.join(step);
            if !folder.exists() {
                continue;
            }
            for result in folder.read_dir_utf8().unwrap().map(Result::unwrap) {
                let metadata = result.path().symlink_metadata().unwrap();
                if !metadata.is_symlink() {
                    let name = format!("{step}/{}", result.file_name());
                    made.insert(name, (metadata.ino(), newest(result.path())));
                }
            }
        }
        made
    }

    /// How many results of `step` were made here after `before`; all that was there must be as it was.
    pub fn made_since(&self, before: &Results, step: &str) -> usize {
        let now = self.made();
        for (name, made) in before {
            assert_eq!(now.get(name), Some(made), "{name} was made again");
        }
        let is_new = |name: &&String| {
            let of_step = name.split_once('/').is_some_and(|(of, _)| of == step);
            of_step && !before.contains_key(*name)
        };
        now.keys().filter(is_new).count()
    }
}

/// `XDG_CACHE_HOME` of all other tests.
fn ordinary() -> Utf8PathBuf {
    let named = std::env::var("XDG_CACHE_HOME");
    named.map_or_else(
        |_| Utf8PathBuf::from(std::env::var("HOME").unwrap()).join(".cache"),
        Utf8PathBuf::from,
    )
}

/// Unix time of what was written last in the result `folder`, in nanoseconds; the folder's own tells when it was used.
fn newest(folder: &Utf8Path) -> i64 {
    let entries = folder.read_dir_utf8().unwrap().map(Result::unwrap);
    let times = entries.map(|entry| {
        let metadata = entry.path().symlink_metadata().unwrap();
        metadata.mtime() * 1_000_000_000 + metadata.mtime_nsec()
    });
    times.max().unwrap_or_default()
}
