//! Sealing: prove that every entry of a cache is what its name says, and make two caches of the same content alike.
//!
//! On a hit Go compares only an output's size, so a flipped bit would end up in an executable; here every output
//! is hashed against its name. Go notes the time in each entry and in each file, so both are set to one time.
//! That time should lie in the future: Go then neither deletes an entry as unused nor touches it on a hit.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use sha256::{Sha256Hash, hash_reader};

use crate::store::{replace, set_time};
use crate::{ActionEntry, Error, FileKind, Store, StoreFile};

/// A cache whose every entry was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedStore {
    /// Entries and outputs, sorted by path.
    pub files: Vec<SealedFile>,
    /// Files that belong to no entry (`README`, `trim.txt`, `log.txt`, `testexpire.txt`, `fuzz/…`, remains of
    /// broken-off writes), sorted by path. They were neither checked nor changed.
    pub other: Vec<StoreFile>,
}

/// A file of a sealed cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedFile {
    /// Relative to the store's root.
    pub path: Utf8PathBuf,
    /// Its size.
    pub size_bytes: u64,
    /// The hash of its content, an entry's after its time was set.
    pub sha256: Sha256Hash,
}

impl Store {
    /// Checks every entry and output, sets their times to `time`, and lists them. The first misfit in the order of
    /// paths is an [`Error::Corrupt`].
    ///
    /// An entry whose noted time differs is replaced, not rewritten: it may be a hard link into another store.
    /// Modification times of outputs, however, are shared by all hard links.
    pub fn seal(&self, time: SystemTime) -> Result<SealedStore, Error> {
        let time_unix_ns = time
            .duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|time| i64::try_from(time.as_nanos()).ok());
        let time_unix_ns = time_unix_ns
            .ok_or_else(|| Error::malformed("time", "an entry cannot hold it (1970 to 2262)"))?;
        let files = self.files()?;
        let outputs: HashMap<Sha256Hash, u64> = files
            .iter()
            .filter_map(|file| match file.kind {
                FileKind::Output(output) => Some((output, file.size_bytes)),
                FileKind::Action(_) | FileKind::Other => None,
            })
            .collect();
        let run = Seal {
            store: self,
            outputs,
            time,
            time_unix_ns,
        };
        // Errors are collected as values first, so that the one reported does not depend on the threads.
        let sealed: Vec<Result<Option<SealedFile>, Error>> =
            files.par_iter().map(|file| run.seal_file(file)).collect();
        let sealed = sealed
            .into_iter()
            .filter_map(Result::transpose)
            .collect::<Result<Vec<_>, _>>()?;
        let other = files
            .into_iter()
            .filter(|file| file.kind == FileKind::Other)
            .collect();
        Ok(SealedStore {
            files: sealed,
            other,
        })
    }
}

struct Seal<'a> {
    store: &'a Store,
    outputs: HashMap<Sha256Hash, u64>,
    time: SystemTime,
    time_unix_ns: i64,
}

impl Seal<'_> {
    fn seal_file(&self, file: &StoreFile) -> Result<Option<SealedFile>, Error> {
        let path = self.store.root().join(&file.path);
        let (sha256, size_bytes) = match file.kind {
            FileKind::Action(action) => self.seal_entry(&path, action)?,
            FileKind::Output(output) => self.seal_output(&path, output)?,
            FileKind::Other if FileKind::poses_as_entry(&file.path) => {
                return Err(Error::corrupt(
                    path,
                    "it is named like an entry, but is none or lies in the wrong folder",
                ));
            }
            FileKind::Other => return Ok(None),
        };
        Ok(Some(SealedFile {
            path: file.path.clone(),
            size_bytes,
            sha256,
        }))
    }

    fn seal_entry(&self, path: &Utf8Path, action: Sha256Hash) -> Result<(Sha256Hash, u64), Error> {
        let entry = ActionEntry::parse(&fs_err::read(path)?)
            .map_err(|error| Error::corrupt(path, error.to_string()))?;
        if entry.action != action {
            return Err(Error::corrupt(
                path,
                format!("it is the entry of action {}", entry.action),
            ));
        }
        match self.outputs.get(&entry.output) {
            None => {
                return Err(Error::corrupt(
                    path,
                    format!("its output {} is missing", entry.output),
                ));
            }
            Some(&size_bytes) if size_bytes != entry.size_bytes => {
                let reason = format!(
                    "its output {} has {size_bytes} bytes instead of {}",
                    entry.output, entry.size_bytes
                );
                return Err(Error::corrupt(path, reason));
            }
            Some(_) => {}
        }
        let sealed = ActionEntry {
            time_unix_ns: self.time_unix_ns,
            ..entry
        }
        .to_bytes();
        if sealed != entry.to_bytes() {
            replace(path, &sealed)?;
        }
        set_time(&fs_err::File::open(path)?, self.time)?;
        Ok((Sha256Hash::of(&sealed), sealed.len() as u64))
    }

    fn seal_output(&self, path: &Utf8Path, output: Sha256Hash) -> Result<(Sha256Hash, u64), Error> {
        let file = fs_err::File::open(path)?;
        let (sha256, size_bytes) = hash_reader(&file)?;
        if sha256 != output {
            return Err(Error::corrupt(
                path,
                format!("the hash of its content is {sha256}"),
            ));
        }
        set_time(&file, self.time)?;
        Ok((sha256, size_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::time::Duration;

    struct Fixture {
        _folder: tempfile::TempDir,
        store: Store,
        entry: ActionEntry,
    }

    fn time() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(2_145_916_800)
    }

    /// Two actions, the second without bytes.
    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::create(Utf8Path::from_path(folder.path()).unwrap()).unwrap();
        let entry = store
            .put_reader(&Sha256Hash::of(b"x"), None, 5, &b"bytes"[..], 5)
            .unwrap();
        store
            .put_reader(&Sha256Hash::of(b"y"), None, 0, io::empty(), 6)
            .unwrap();
        Fixture {
            _folder: folder,
            store,
            entry,
        }
    }

    fn refusal(store: &Store) -> String {
        let error = store.seal(time()).unwrap_err();
        assert_eq!(error.kind(), Some(failure::Kind::Corrupt), "{error}");
        error.to_string()
    }

    #[test]
    fn sets_every_time_and_lists_what_is_there() {
        let Fixture { store, entry, .. } = &fixture();
        fs_err::write(store.root().join("trim.txt"), b"1").unwrap();
        let sealed = store.seal(time()).unwrap();
        assert_eq!(sealed.files.len(), 4);
        assert!(sealed.files.is_sorted_by_key(|file| &file.path));
        for file in &sealed.files {
            let path = store.root().join(&file.path);
            assert_eq!(
                sha256::hash_file(&path).unwrap(),
                (file.sha256, file.size_bytes)
            );
            assert_eq!(fs_err::metadata(path).unwrap().modified().unwrap(), time());
        }
        let found = store.get(&entry.action).unwrap().unwrap();
        assert_eq!(found.time_unix_ns, 2_145_916_800_000_000_000);
        assert_eq!(found.output, entry.output);
        assert_eq!(sealed.other.len(), 1);
        assert_eq!(sealed.other[0].path, "trim.txt");
    }

    #[test]
    fn sealing_again_changes_nothing_and_equal_content_seals_alike() {
        let Fixture { store, .. } = &fixture();
        let first = store.seal(time()).unwrap();
        assert_eq!(store.seal(time()).unwrap(), first);
        assert_eq!(fixture().store.seal(time()).unwrap(), first);
    }

    #[test]
    fn a_hard_link_into_another_store_keeps_its_content() {
        let Fixture { store, entry, .. } = &fixture();
        let path = store.action_path(&entry.action);
        let elsewhere = store.root().join("elsewhere");
        fs_err::hard_link(&path, &elsewhere).unwrap();
        store.seal(time()).unwrap();
        assert_eq!(fs_err::read(elsewhere).unwrap(), entry.to_bytes());
        assert_ne!(fs_err::read(path).unwrap(), entry.to_bytes());
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let Fixture { store, entry, .. } = &fixture();
        fs_err::write(store.output_path(&entry.output), b"bytez").unwrap();
        let refusal = refusal(store);
        assert!(refusal.contains("the hash of its content"), "{refusal}");
        assert!(refusal.contains(&entry.output.to_string()), "{refusal}");
    }

    #[test]
    fn an_entry_without_its_output_is_found() {
        let Fixture { store, entry, .. } = &fixture();
        fs_err::remove_file(store.output_path(&entry.output)).unwrap();
        assert!(refusal(store).contains("is missing"));
    }

    #[test]
    fn an_entry_with_another_size_is_found() {
        let Fixture { store, entry, .. } = &fixture();
        let path = store.action_path(&entry.action);
        fs_err::write(
            path,
            ActionEntry {
                size_bytes: 6,
                ..*entry
            }
            .to_bytes(),
        )
        .unwrap();
        assert!(refusal(store).contains("5 bytes instead of 6"));
    }

    #[test]
    fn an_entry_of_another_action_or_none_is_found() {
        let Fixture { store, entry, .. } = &fixture();
        let path = store.action_path(&entry.action);
        fs_err::write(
            &path,
            ActionEntry {
                action: entry.output,
                ..*entry
            }
            .to_bytes(),
        )
        .unwrap();
        assert!(refusal(store).contains("the entry of action"));
        fs_err::write(&path, b"").unwrap();
        assert!(refusal(store).contains("0 bytes instead of 175"));
    }

    #[test]
    fn misnamed_files_links_and_folders_are_found() {
        for name in [
            "00/x-a",
            "ff/0000000000000000000000000000000000000000000000000000000000000000-d",
        ] {
            let Fixture { store, .. } = &fixture();
            fs_err::write(store.root().join(name), b"").unwrap();
            assert!(refusal(store).contains(name));
        }
        let Fixture { store, entry, .. } = &fixture();
        let path = store.output_path(&entry.output);
        fs_err::rename(&path, store.root().join("moved")).unwrap();
        fs_err::os::unix::fs::symlink(store.root().join("moved"), &path).unwrap();
        assert_eq!(
            store.seal(time()).unwrap_err().kind(),
            Some(failure::Kind::Corrupt)
        );
        fs_err::remove_file(&path).unwrap();
        fs_err::create_dir(&path).unwrap();
        fs_err::write(path.join("exe"), b"bytes").unwrap();
        assert_eq!(
            store.seal(time()).unwrap_err().kind(),
            Some(failure::Kind::Corrupt)
        );
    }

    #[test]
    fn an_impossible_time_is_refused() {
        let Fixture { store, .. } = &fixture();
        assert!(store.seal(UNIX_EPOCH - Duration::from_secs(1)).is_err());
        assert!(
            store
                .seal(UNIX_EPOCH + Duration::from_secs(1 << 40))
                .is_err()
        );
    }
}
