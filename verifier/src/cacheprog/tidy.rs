//! What is removed of what this program keeps: the go command trims its own cache, and not that of a GOCACHEPROG.
//!
//! Entries that nobody uses any more go as they do from GOCACHE, once a day and by the time of their last use. The
//! folders of single processes go with these; those of processes that were killed go when the next one starts.

use std::fs::File;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::Utf8Path;
use gocache::Store;

use crate::private_folder;

/// As the go command has both.
const TRIMMED_EVERY: Duration = Duration::from_secs(24 * 3_600);
const UNUSED_AFTER: Duration = Duration::from_secs(5 * 24 * 3_600);

/// The file with the time at which a cache was trimmed, in seconds; the go command's has the same name and form.
const NOTE: &str = "trim.txt";

/// A folder that is younger may belong to a process that is about to lock it.
const LOCKED_AFTER: Duration = Duration::from_secs(60);

/// Removes the entries of `store` that were not used for long, and remains of writes that were broken off as long ago.
/// A cache that cannot be trimmed is none the worse.
pub fn trim(store: &Store, now: SystemTime) {
    let note = store.root().join(NOTE);
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_secs());
    let last = fs_err::read_to_string(&note).ok();
    let last: Option<u64> = last.and_then(|last| last.trim().parse().ok());
    // A time that lies far in the future says nothing.
    if last.is_some_and(|last| seconds.abs_diff(last) < TRIMMED_EVERY.as_secs()) {
        return;
    }
    // First, so that of several processes that end together one does it.
    if fs_err::write(&note, seconds.to_string()).is_err() {
        return;
    }
    let folders = (0..=u8::MAX).map(|byte| store.root().join(format!("{byte:02x}")));
    for folder in folders.chain([store.root().to_owned()]) {
        let entries = folder.read_dir_utf8().into_iter().flatten();
        for entry in entries.filter_map(Result::ok) {
            let name = entry.file_name();
            let is_ours = name.ends_with("-a") || name.ends_with("-d") || name.starts_with('.');
            let path = entry.path();
            if is_ours && is_older(path, UNUSED_AFTER, now) {
                let _ = fs_err::remove_file(path);
            }
        }
    }
}

/// How the names of folders in a folder for temporary files begin that are each one process's of user `uid`. Its number
/// follows, a dash, and the time at which it started.
pub fn of_processes(uid: u32) -> String {
    format!("iac-runner-{uid}-")
}

/// Opens and locks a folder of this process; as long as the file is open, nobody takes it for that of one that is gone.
pub fn lock(folder: &Utf8Path) -> Option<File> {
    let file = fs_err::File::open(folder).ok()?.into_parts().0;
    // Where there are no locks, nobody else has one.
    let _ = file.try_lock();
    Some(file)
}

/// Removes from `temporary` the folders of processes of user `uid` that are gone.
pub fn remove_orphans(temporary: &Utf8Path, uid: u32, now: SystemTime) {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_hexdigit());
    let prefix = of_processes(uid);
    let entries = temporary.read_dir_utf8().into_iter().flatten();
    for entry in entries.filter_map(Result::ok) {
        let folder = entry.path();
        let rest = entry.file_name().strip_prefix(&prefix);
        let numbers = rest.and_then(|rest| rest.split_once('-'));
        let is_of_a_process = numbers.is_some_and(|(id, time)| is_number(id) && is_number(time));
        if is_of_a_process
            && private_folder::check(folder, uid).is_ok()
            && is_older(folder, LOCKED_AFTER, now)
            && let Ok(file) = fs_err::File::open(folder)
            && file.file().try_lock().is_ok()
        {
            let _ = fs_err::remove_dir_all(folder);
        }
    }
}

/// Whether what lies at `path`, and not where a link leads to, was changed longer ago than `age`.
fn is_older(path: &Utf8Path, age: Duration, now: SystemTime) -> bool {
    let modified = fs_err::symlink_metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|time| now.duration_since(time).is_ok_and(|since| since > age))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_folder::tests::Folder;
    use camino::Utf8PathBuf;
    use sha256::Sha256Hash;

    #[test]
    fn what_was_not_used_for_long_goes_once_a_day() {
        let folder = Folder::new();
        let store = Store::at(&folder.path("go-build"));
        let now = SystemTime::now();
        let put = |name: &str| {
            let action = Sha256Hash::of(name.as_bytes());
            let size = name.len() as u64;
            let put = store.put_reader(&action, None, size, name.as_bytes(), 1);
            store.output_path(&put.unwrap().output)
        };
        let (old, new) = (put("old"), put("new"));
        let temporary = old.with_file_name(".abc.tmp");
        let others = store.root().join("others");
        let put_of_root = store.root().join(".tmpabc");
        for path in [&temporary, &others, &put_of_root] {
            fs_err::write(path, "").unwrap();
        }
        let used_at = |path: &Utf8PathBuf, time: SystemTime| {
            let file = fs_err::File::options().append(true).open(path).unwrap();
            file.file().set_modified(time).unwrap();
        };
        let (limit, second) = (now - UNUSED_AFTER, Duration::from_secs(1));
        for path in [&old, &temporary, &others, &put_of_root] {
            used_at(path, limit - second);
        }
        used_at(&new, limit + second);
        trim(&store, now);
        let are_there = || [&old, &temporary, &put_of_root, &new, &others].map(|it| it.exists());
        assert_eq!(are_there(), [false, false, false, true, true]);
        trim(&store, now + TRIMMED_EVERY - second);
        assert!(new.exists(), "it was trimmed that day");
        trim(&store, now + TRIMMED_EVERY);
        assert!(!new.exists());
        // Nothing is made where there is nothing.
        trim(&Store::at(&folder.path("none")), now);
        assert!(!folder.path("none").exists());
    }

    #[test]
    fn the_folder_of_a_process_goes_when_that_is_gone() {
        let folder = Folder::new();
        let uid = rustix::process::geteuid().as_raw();
        let place = |rest: &str| folder.path(&format!("{}{rest}", of_processes(uid)));
        let [gone, there, launchers] = ["12-1a", "13-1a", "1"].map(place);
        for folder in [&gone, &there, &launchers] {
            private_folder::make(folder, uid).unwrap();
        }
        let lock = lock(&there);
        let now = SystemTime::now();
        remove_orphans(&folder.path(""), uid, now);
        assert!(gone.exists(), "its process may be about to lock it");
        remove_orphans(&folder.path(""), uid, now + 2 * LOCKED_AFTER);
        assert_eq!(
            [&gone, &there, &launchers].map(|it| it.exists()),
            [false, true, true]
        );
        drop(lock);
        remove_orphans(&folder.path(""), uid, now + 2 * LOCKED_AFTER);
        assert!(!there.exists());
    }
}
