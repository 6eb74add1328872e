//! What is found of a home that cannot be written to in the one that stands in for it: links to what root or the user
//! put there, such as credentials that a cluster mounts.
//!
//! It is looked for when the stand-in is new, and again when a folder that was gone through has changed. How much there
//! is to a home nobody knows, as it may be any folder; so what is looked at has an end, and what lies further up comes
//! first.

use std::collections::VecDeque;
use std::os::unix::fs::{MetadataExt as _, symlink};

use camino::{Utf8Path, Utf8PathBuf};

use crate::private_folder;

/// How deep folders of a home are made anew, and how many entries are linked in all: credentials are few, and not deep.
const LEVELS: u32 = 3;
const ENTRIES: usize = 1_000;

/// The file of a stand-in that says which folders were gone through, and when those had changed last.
const NOTE: &str = ".iac-runner-linked";

/// A folder, and its time of change in seconds and nanoseconds, if it is there.
type Seen = (Utf8PathBuf, Option<(i64, i64)>);

/// Links what root or user `uid` put into `home` into `stand_in`, unless that was done and is up to date. What cannot
/// be linked is not there, as it would not be without links.
pub(super) fn link(home: &Utf8Path, stand_in: &Utf8Path, uid: u32) {
    // Container runtimes call the root the home of a user whom they do not know.
    if home.parent().is_none() {
        return;
    }
    let note = stand_in.join(NOTE);
    let seen: Option<Vec<Seen>> = fs_err::read(&note)
        .ok()
        .and_then(|note| serde_json::from_slice(&note).ok());
    let is_current = |(folder, changed): &Seen| changed_at(folder) == *changed;
    if seen.is_some_and(|seen| seen.iter().all(is_current)) {
        return;
    }
    let is_closed = |folder: &Utf8Path| !private_folder::is_writable(folder);
    let seen = link_what_is_trusted(home, stand_in, uid, is_closed);
    if let Ok(text) = serde_json::to_vec(&seen) {
        let _ = fs_err::write(note, text);
    }
}

/// Links entries of `home` into `stand_in`, unless something is there. Folders that are closed to the user are made
/// anew, so that programs can add to them; of what is mounted below the home, only the folder that is mounted. Returns
/// the folders that were gone through.
fn link_what_is_trusted(
    home: &Utf8Path,
    stand_in: &Utf8Path,
    uid: u32,
    is_closed: impl Fn(&Utf8Path) -> bool,
) -> Vec<Seen> {
    let device = fs_err::metadata(home).map(|metadata| metadata.dev()).ok();
    let mut folders = VecDeque::from([(home.to_owned(), stand_in.to_owned(), LEVELS)]);
    let mut left = ENTRIES;
    let mut seen = Vec::new();
    while let Some((from, to, levels)) = folders.pop_front() {
        // What changes from now on is looked at the next time.
        seen.push((from.clone(), changed_at(&from)));
        let entries = from.read_dir_utf8().into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            if left == 0 {
                return seen;
            }
            left -= 1;
            let Ok(metadata) = entry.path().symlink_metadata() else {
                continue;
            };
            if ![0, uid].contains(&metadata.uid()) {
                continue;
            }
            let place = to.join(entry.file_name());
            let is_closed = metadata.is_dir() && is_closed(entry.path());
            if is_closed && levels > 0 && private_folder::make(&place, uid).is_ok() {
                let is_mounted = Some(metadata.dev()) != device;
                let below = if is_mounted { 0 } else { levels - 1 };
                folders.push_back((entry.into_path(), place, below));
            } else if !place.is_symlink() {
                let _ = symlink(entry.path(), place);
            }
        }
    }
    seen
}

/// Unlike the time of modification it is no image's constant.
fn changed_at(folder: &Utf8Path) -> Option<(i64, i64)> {
    let metadata = fs_err::metadata(folder).ok()?;
    Some((metadata.ctime(), metadata.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_folder::tests::Folder;

    fn uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn count(folder: &Utf8Path) -> usize {
        let below = walkdir::WalkDir::new(folder).min_depth(1);
        below.into_iter().map(Result::unwrap).count()
    }

    #[test]
    fn what_root_and_the_user_put_there_is_linked() {
        let folder = Folder::new();
        let (home, new) = (folder.path("old"), folder.path("new"));
        for name in [".aws", "others"] {
            fs_err::create_dir_all(home.join(name)).unwrap();
        }
        std::os::unix::fs::chown(home.join("others"), Some(4711), None).unwrap_or_default();
        let others_exist = fs_err::metadata(home.join("others")).unwrap().uid() == 4711;
        fs_err::create_dir(&new).unwrap();
        for _ in 0..2 {
            link(&home, &new, uid());
            fs_err::remove_file(new.join(NOTE)).unwrap();
        }
        assert_eq!(
            fs_err::read_link(new.join(".aws")).unwrap(),
            home.join(".aws")
        );
        assert_eq!(new.join("others").exists(), !others_exist);
    }

    #[test]
    fn it_is_looked_for_again_when_a_folder_has_changed() {
        let folder = Folder::new();
        let (home, new) = (folder.path("old"), folder.path("new"));
        fs_err::create_dir(&new).unwrap();
        link(&home, &new, uid());
        assert_eq!(count(&new), 1, "the note");
        fs_err::create_dir(&home).unwrap();
        fs_err::write(home.join("one"), "").unwrap();
        link(&home, &new, uid());
        assert!(new.join("one").is_symlink());
        fs_err::remove_file(new.join("one")).unwrap();
        link(&home, &new, uid());
        assert!(!new.join("one").is_symlink(), "nothing has changed");
        fs_err::write(home.join("two"), "").unwrap();
        link(&home, &new, uid());
        assert!(new.join("one").is_symlink() && new.join("two").is_symlink());
    }

    #[test]
    fn the_root_is_no_home() {
        let folder = Folder::new();
        for root in ["/", "//", "/."] {
            link(Utf8Path::new(root), &folder.path(""), uid());
            assert_eq!(count(&folder.path("")), 0, "{root}");
        }
    }

    #[test]
    fn folders_are_made_anew_and_what_is_linked_has_an_end() {
        let folder = Folder::new();
        let (home, new) = (folder.path("old"), folder.path("new"));
        for number in 0..20 {
            let below = home.join(format!("{number}/a/b/c/d"));
            fs_err::create_dir_all(&below).unwrap();
            for file in 0..100 {
                fs_err::write(home.join(format!("{number}/a/{file}")), "").unwrap();
            }
        }
        fs_err::create_dir(&new).unwrap();
        let seen = link_what_is_trusted(&home, &new, uid(), |_| true);
        assert_eq!(seen[0].0, home);
        assert_eq!(count(&new), ENTRIES);
        for number in 0..20 {
            let place = new.join(number.to_string());
            assert!(!place.is_symlink() && place.is_dir(), "{place}");
        }
        let (home, new) = (home.join("0"), folder.path("other"));
        fs_err::create_dir(&new).unwrap();
        link_what_is_trusted(&home, &new, uid(), |_| true);
        assert!(!new.join("a/b/c").is_symlink() && new.join("a/b/c/d").is_symlink());
    }

    /// What is in /proc is mounted there, wherever tests run.
    #[test]
    fn what_is_mounted_below_a_home_is_not_gone_through() {
        let folder = Folder::new();
        let root = Utf8Path::new("/");
        let is_proc = |folder: &Utf8Path| folder.starts_with("/proc");
        link_what_is_trusted(root, &folder.path(""), uid(), is_proc);
        assert!(folder.path("proc").is_dir() && !folder.path("proc").is_symlink());
        assert!(folder.path("proc/self").is_symlink());
        assert!(folder.path("proc/sys").is_symlink());
    }
}
