//! A GOCACHE folder: where its files lie, and how to look up and add entries.
//!
//! `<root>/<aa>/<action>-a` holds an [`ActionEntry`], `<root>/<oo>/<output>-d` the output's bytes, each in the
//! folder named by its first two digits. Go opens a cache only when all 256 folders exist and makes those that
//! are missing, which needs write access, so [`Store::create`] makes them all.
//!
//! Invariants of every write: a file appears under its name complete or not at all (temporary name, then rename),
//! the output before the entry that points at it. So any number of processes may write at the same time, and
//! a file that is a hard link into another store is replaced, never changed.

use std::fs::{FileTimes, Permissions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::time::SystemTime;

use camino::{Utf8Path, Utf8PathBuf};
use sha256::{HashingReader, Sha256Hash, hash_file};
use tempfile::NamedTempFile;
use walkdir::WalkDir;

use crate::{ActionEntry, Error};

const BUFFER_BYTES: usize = 128 * 1024;

/// How names of files begin that are being written.
const TEMPORARY_PREFIX: &str = ".";

/// How they end: in what the go command trims, so that what a killed process leaves goes after days without use.
const TEMPORARY_SUFFIX: &str = ".tmp-d";

/// A GOCACHE folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    root: Utf8PathBuf,
}

/// What a file of a cache is, by its name alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// The entry of this action.
    Action(Sha256Hash),
    /// The output with this ID.
    Output(Sha256Hash),
    /// Neither: `README`, `trim.txt`, `fuzz/…`, remains of a write that was broken off, or a misnamed entry.
    Other,
}

impl FileKind {
    /// What the path of a file, relative to the store's root, says of it.
    pub fn of(path: &Utf8Path) -> Self {
        let parse = || {
            let (folder, name) = path.as_str().split_once('/')?;
            let (digits, suffix) = name.split_at_checked(64)?;
            let hash: Sha256Hash = digits.parse().ok()?;
            match suffix {
                _ if !digits.starts_with(folder) || folder.len() != 2 => None,
                "-a" => Some(FileKind::Action(hash)),
                "-d" => Some(FileKind::Output(hash)),
                _ => None,
            }
        };
        parse().unwrap_or(FileKind::Other)
    }

    /// Whether Go might take a file that is no entry for one: it lies in a two-digit folder and ends in `-a` or `-d`,
    /// or in a folder that does, which is how `go run` and `go tool` keep executables. It looks for no name as that of a
    /// file that is being written.
    pub fn poses_as_entry(path: &Utf8Path) -> bool {
        let mut names = path.components().map(|component| component.as_str());
        let folder = names.next().unwrap_or_default();
        let name = names.next().unwrap_or_default();
        folder.len() == 2
            && folder.bytes().all(|b| b.is_ascii_hexdigit())
            && (name.ends_with("-a") || name.ends_with("-d"))
            && !(name.starts_with(TEMPORARY_PREFIX) && name.ends_with(TEMPORARY_SUFFIX))
    }
}

/// A file of a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFile {
    /// Relative to the store's root.
    pub path: Utf8PathBuf,
    /// What its name says it is.
    pub kind: FileKind,
    /// Its size.
    pub size_bytes: u64,
}

impl Store {
    /// Makes the folder and its 256 subfolders, as far as they do not exist.
    pub fn create(root: &Utf8Path) -> Result<Self, Error> {
        for first_byte in 0..=u8::MAX {
            fs_err::create_dir_all(root.join(format!("{first_byte:02x}")))?;
        }
        Ok(Self::at(root))
    }

    /// The store in a folder, which is not looked at yet.
    pub fn at(root: &Utf8Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Utf8Path {
        &self.root
    }

    /// Where an action's entry lies.
    pub fn action_path(&self, action: &Sha256Hash) -> Utf8PathBuf {
        self.path(action, 'a')
    }

    /// Where an output lies.
    pub fn output_path(&self, output: &Sha256Hash) -> Utf8PathBuf {
        self.path(output, 'd')
    }

    fn path(&self, hash: &Sha256Hash, suffix: char) -> Utf8PathBuf {
        self.root
            .join(format!("{:02x}/{hash}-{suffix}", hash.as_bytes()[0]))
    }

    /// Looks an action up. None when there is no entry, or when its output is absent or of another size, which is
    /// all that Go checks.
    ///
    /// Unlike Go, which takes it for a miss, an entry that is malformed or names another action is an error.
    pub fn get(&self, action: &Sha256Hash) -> Result<Option<ActionEntry>, Error> {
        let path = self.action_path(action);
        let Some(bytes) = if_found(fs_err::read(&path))? else {
            return Ok(None);
        };
        let entry =
            ActionEntry::parse(&bytes).map_err(|error| Error::corrupt(&path, error.to_string()))?;
        if entry.action != *action {
            return Err(Error::corrupt(
                path,
                format!("it is the entry of action {}", entry.action),
            ));
        }
        let output = if_found(fs_err::metadata(self.output_path(&entry.output)))?;
        Ok(output
            .filter(|output| output.is_file() && output.len() == entry.size_bytes)
            .map(|_| entry))
    }

    /// Moves a file into the store as the output of an action. Its mode becomes 0644.
    pub fn put_file(
        &self,
        action: &Sha256Hash,
        file: &Utf8Path,
        time_unix_ns: i64,
    ) -> Result<ActionEntry, Error> {
        let (output, size_bytes) = hash_file(file)?;
        let path = self.output_path(&output);
        create_folder_of(&path)?;
        // Executables come as 0755, perhaps under a stricter umask; everyone must be able to read what is shipped.
        fs_err::set_permissions(file, Permissions::from_mode(0o644))?;
        match fs_err::rename(file, &path) {
            Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                let reader = fs_err::File::open(file)?;
                self.put_reader(action, Some(&output), size_bytes, reader, time_unix_ns)?;
                fs_err::remove_file(file)?;
            }
            renamed => renamed?,
        }
        self.put_entry(ActionEntry {
            action: *action,
            output,
            size_bytes,
            time_unix_ns,
        })
    }

    /// Copies `size_bytes` bytes, to the end of `reader`, into the store as the output of an action.
    ///
    /// Fails, and leaves nothing, when the bytes are more or fewer, or not those of `expected_output`.
    pub fn put_reader(
        &self,
        action: &Sha256Hash,
        expected_output: Option<&Sha256Hash>,
        size_bytes: u64,
        reader: impl Read,
        time_unix_ns: i64,
    ) -> Result<ActionEntry, Error> {
        // Not yet known where the output belongs: anywhere in the store can be renamed to anywhere else in it.
        let folder_of = self.output_path(expected_output.unwrap_or(action));
        create_folder_of(&folder_of)?;
        let mut temporary = temporary_beside(&folder_of)?;
        let mut reader = HashingReader::new(reader);
        copy(&mut reader, temporary.as_file_mut())
            .flatten()
            .map_err(|error| at_path(&error, &folder_of))?;
        let (output, copied_bytes) = reader.finish();
        let misfit =
            |reason: String| Error::malformed("output", format!("{reason} (action {action})"));
        if copied_bytes != size_bytes {
            return Err(misfit(format!(
                "{copied_bytes} bytes instead of {size_bytes}"
            )));
        }
        if let Some(expected) = expected_output.filter(|expected| **expected != output) {
            return Err(misfit(format!(
                "its hash is {output} instead of {expected}"
            )));
        }
        let path = self.output_path(&output);
        create_folder_of(&path)?;
        persist(temporary, &path)?;
        self.put_entry(ActionEntry {
            action: *action,
            output,
            size_bytes,
            time_unix_ns,
        })
    }

    /// Writes an output, which `write` makes sure is that of `entry`, and its entry; where both are.
    pub(crate) fn put_written(
        &self,
        entry: ActionEntry,
        write: impl FnOnce(&mut std::fs::File) -> Result<(), Error>,
    ) -> Result<[Utf8PathBuf; 2], Error> {
        let path = self.output_path(&entry.output);
        create_folder_of(&path)?;
        let mut temporary = temporary_beside(&path)?;
        write(temporary.as_file_mut())?;
        persist(temporary, &path)?;
        self.put_entry(entry)?;
        Ok([path, self.action_path(&entry.action)])
    }

    /// Writes the entry of an output that is in place already.
    fn put_entry(&self, entry: ActionEntry) -> Result<ActionEntry, Error> {
        let path = self.action_path(&entry.action);
        create_folder_of(&path)?;
        replace(&path, &entry.to_bytes())?;
        Ok(entry)
    }

    /// Every file (and symbolic link) in the store, sorted by path.
    pub fn files(&self) -> Result<Vec<StoreFile>, Error> {
        let mut files = Vec::new();
        for entry in WalkDir::new(&self.root) {
            let entry = entry.map_err(io::Error::from)?;
            if entry.file_type().is_dir() {
                continue;
            }
            let Some(path) = Utf8Path::from_path(entry.path()) else {
                return Err(Error::corrupt(
                    entry.path().to_string_lossy().into_owned(),
                    "its name is not UTF-8",
                ));
            };
            let path = path.strip_prefix(&self.root).unwrap_or(path);
            let kind = if entry.file_type().is_file() {
                FileKind::of(path)
            } else {
                FileKind::Other
            };
            let size_bytes = entry.metadata().map_err(io::Error::from)?.len();
            files.push(StoreFile {
                path: path.to_owned(),
                kind,
                size_bytes,
            });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }
}

/// Replaces a file at once with one of this content.
pub(crate) fn replace(path: &Utf8Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = temporary_beside(path)?;
    temporary
        .write_all(content)
        .map_err(|error| at_path(&error, path))?;
    persist(temporary, path)
}

/// Makes `to` a hard link to `from`, as which it may be there already.
pub(crate) fn link(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    match fs_err::hard_link(from, to) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => Ok(linked?),
    }
}

/// A file of a random name in the folder of `path`, removed when dropped. Its mode is Go's own, 0666 less the umask.
fn temporary_beside(path: &Utf8Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or(Utf8Path::new("."));
    tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .suffix(TEMPORARY_SUFFIX)
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(|error| at_path(&error, folder))
}

fn persist(temporary: NamedTempFile, path: &Utf8Path) -> io::Result<()> {
    temporary
        .persist(path)
        .map(drop)
        .map_err(|error| at_path(&error.error, path))
}

fn create_folder_of(path: &Utf8Path) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Utf8Path::new("."));
    if folder.is_dir() {
        Ok(())
    } else {
        fs_err::create_dir_all(folder)
    }
}

/// Copies all; an error of the reader is told apart from one of the writer.
pub(crate) fn copy(
    reader: &mut impl Read,
    writer: &mut impl io::Write,
) -> io::Result<io::Result<()>> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(Ok(())),
            Ok(count) => writer.write_all(&buffer[..count])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Ok(Err(error)),
        }
    }
}

/// Sets the times of access and modification of `file`, unless it was modified at `time` already.
pub(crate) fn set_time(file: &fs_err::File, time: SystemTime) -> io::Result<()> {
    if file.metadata()?.modified()? == time {
        return Ok(());
    }
    let times = FileTimes::new().set_accessed(time).set_modified(time);
    let set = file.file().set_times(times);
    set.map_err(|error| {
        let path = file.path().display();
        io::Error::new(
            error.kind(),
            format!("failed to set the time of {path}: {error}"),
        )
    })
}

fn at_path(error: &io::Error, path: &Utf8Path) -> io::Error {
    io::Error::new(error.kind(), format!("failed to write {path}: {error}"))
}

pub(crate) fn if_found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> &Utf8Path {
            Utf8Path::from_path(self.0.path()).unwrap()
        }
    }

    fn action(seed: &str) -> Sha256Hash {
        Sha256Hash::of(seed.as_bytes())
    }

    fn put(store: &Store, seed: &str, bytes: &[u8]) -> ActionEntry {
        store
            .put_reader(&action(seed), None, bytes.len() as u64, bytes, 5)
            .unwrap()
    }

    #[test]
    fn create_makes_every_folder_and_may_be_repeated() {
        let folder = Folder::new();
        let root = folder.path().join("new/cache");
        Store::create(&root).unwrap();
        Store::create(&root).unwrap();
        assert_eq!(fs_err::read_dir(&root).unwrap().count(), 256);
        assert!(root.join("0f").is_dir() && root.join("ff").is_dir());
    }

    #[test]
    fn paths_are_those_of_go() {
        let store = Store::at(Utf8Path::new("/c"));
        let hash: Sha256Hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
            .parse()
            .unwrap();
        assert_eq!(store.action_path(&hash), format!("/c/e3/{hash}-a"));
        assert_eq!(store.output_path(&hash), format!("/c/e3/{hash}-d"));
    }

    #[test]
    fn what_is_put_is_found() {
        let folder = Folder::new();
        let store = Store::at(folder.path());
        assert_eq!(store.get(&action("x")).unwrap(), None);
        let entry = put(&store, "x", b"bytes");
        assert_eq!(entry.output, Sha256Hash::of(b"bytes"));
        assert_eq!(store.get(&action("x")).unwrap(), Some(entry));
        assert_eq!(
            fs_err::read(store.output_path(&entry.output)).unwrap(),
            b"bytes"
        );
        assert_eq!(store.files().unwrap().len(), 2, "no temporary file is left");
    }

    #[test]
    fn a_file_is_moved_in() {
        let folder = Folder::new();
        let store = Store::create(&folder.path().join("cache")).unwrap();
        let file = folder.path().join("exe");
        fs_err::write(&file, b"exe").unwrap();
        fs_err::set_permissions(&file, Permissions::from_mode(0o700)).unwrap();
        let entry = store.put_file(&action("link"), &file, 7).unwrap();
        assert!(!file.exists());
        assert_eq!(store.get(&action("link")).unwrap(), Some(entry));
        let mode = fs_err::metadata(store.output_path(&entry.output))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644);
    }

    #[test]
    fn a_file_is_moved_in_across_file_systems() {
        let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
        let folder = Folder::new();
        let store = Store::at(folder.path());
        let file = Utf8Path::from_path(elsewhere.path()).unwrap().join("exe");
        fs_err::write(&file, b"exe").unwrap();
        let entry = store.put_file(&action("link"), &file, 7).unwrap();
        assert!(!file.exists());
        assert_eq!(store.get(&action("link")).unwrap(), Some(entry));
    }

    #[test]
    fn an_output_of_another_size_or_none_is_a_miss() {
        let folder = Folder::new();
        let store = Store::at(folder.path());
        let entry = put(&store, "x", b"bytes");
        fs_err::write(store.output_path(&entry.output), b"byte").unwrap();
        assert_eq!(store.get(&action("x")).unwrap(), None);
        fs_err::remove_file(store.output_path(&entry.output)).unwrap();
        assert_eq!(store.get(&action("x")).unwrap(), None);
        fs_err::create_dir(store.output_path(&entry.output)).unwrap();
        assert_eq!(store.get(&action("x")).unwrap(), None);
    }

    #[test]
    fn a_bad_entry_is_an_error() {
        let folder = Folder::new();
        let store = Store::at(folder.path());
        let entry = put(&store, "x", b"bytes");
        let path = store.action_path(&action("x"));
        fs_err::write(
            &path,
            ActionEntry {
                action: action("y"),
                ..entry
            }
            .to_bytes(),
        )
        .unwrap();
        assert_eq!(
            store.get(&action("x")).unwrap_err().kind(),
            Some(failure::Kind::Corrupt)
        );
        fs_err::write(&path, b"").unwrap();
        assert_eq!(
            store.get(&action("x")).unwrap_err().kind(),
            Some(failure::Kind::Corrupt)
        );
    }

    #[test]
    fn bytes_that_do_not_fit_leave_nothing() {
        let folder = Folder::new();
        let store = Store::at(folder.path());
        let wrong = action("other");
        for (expected, size) in [(None, 4), (None, 6), (Some(&wrong), 5)] {
            let error = store
                .put_reader(&action("x"), expected, size, &b"bytes"[..], 0)
                .unwrap_err();
            assert!(error.to_string().contains(" instead of "), "{error}");
        }
        assert_eq!(store.files().unwrap(), []);
        let output = Sha256Hash::of(b"bytes");
        store
            .put_reader(&action("x"), Some(&output), 5, &b"bytes"[..], 0)
            .unwrap();
    }

    #[test]
    fn a_put_replaces_and_does_not_write_through_hard_links() {
        let folder = Folder::new();
        let store = Store::at(&folder.path().join("cache"));
        let entry = put(&store, "x", b"one");
        let link = folder.path().join("link");
        fs_err::hard_link(store.action_path(&entry.action), &link).unwrap();
        put(&store, "x", b"two");
        assert_eq!(fs_err::read(&link).unwrap(), entry.to_bytes());
        assert_ne!(
            fs_err::read(store.action_path(&entry.action)).unwrap(),
            entry.to_bytes()
        );
    }

    #[test]
    fn an_error_names_the_path() {
        let folder = Folder::new();
        fs_err::write(folder.path().join("file"), b"").unwrap();
        let store = Store::at(&folder.path().join("file/cache"));
        let error = store
            .put_reader(&action("x"), None, 0, io::empty(), 0)
            .unwrap_err()
            .to_string();
        assert!(error.contains("file/cache"), "{error}");
        assert_eq!(store.get(&action("x")).unwrap(), None);
    }

    #[test]
    fn files_are_told_apart_and_sorted() {
        let folder = Folder::new();
        let store = Store::at(folder.path());
        let entry = put(&store, "x", b"bytes");
        let misplaced = format!("zz/{}-a", entry.action);
        for path in [
            "trim.txt",
            "README",
            "fuzz/corpus/1",
            "00/.abc.tmp-d",
            &misplaced,
        ] {
            let path = folder.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, b"1").unwrap();
        }
        let files = store.files().unwrap();
        assert!(files.is_sorted_by_key(|file| &file.path));
        assert_eq!(files.len(), 7);
        let of_kind = |kind| {
            files
                .iter()
                .filter(|file| file.kind == kind)
                .collect::<Vec<_>>()
        };
        assert_eq!(of_kind(FileKind::Action(entry.action))[0].size_bytes, 175);
        assert_eq!(of_kind(FileKind::Output(entry.output))[0].size_bytes, 5);
        assert_eq!(of_kind(FileKind::Other).len(), 5);
    }

    #[test]
    fn what_a_killed_write_leaves_is_for_go_to_trim_and_poses_as_nothing() {
        let folder = Folder::new();
        fs_err::create_dir(folder.path().join("0f")).unwrap();
        let left = temporary_beside(&folder.path().join("0f/x")).unwrap();
        let left = Utf8Path::from_path(left.path()).unwrap();
        let path = left.strip_prefix(folder.path()).unwrap();
        // The go command removes what ends in one of these, and nothing else.
        assert!(path.as_str().ends_with("-d") || path.as_str().ends_with("-a"));
        assert_eq!(FileKind::of(path), FileKind::Other);
        assert!(!FileKind::poses_as_entry(path));
        for posing in ["0f/.x-d", "0f/x.tmp-d", "0f/x-d/.y.tmp-d"] {
            assert!(FileKind::poses_as_entry(Utf8Path::new(posing)), "{posing}");
        }
    }

    #[test]
    fn concurrent_puts_of_one_action_all_succeed() {
        let folder = Folder::new();
        let store = Store::at(folder.path());
        let bytes = vec![3; 1 << 20];
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..8 {
                        let entry = put(&store, "x", &bytes);
                        assert_eq!(store.get(&action("x")).unwrap(), Some(entry));
                    }
                });
            }
        });
        assert_eq!(store.files().unwrap().len(), 2);
    }

    proptest! {
        #[test]
        fn any_name_has_a_kind(path in "([0-9a-f]{2}/)?[0-9a-fé]{60,66}-?[ad]?") {
            let kind = FileKind::of(Utf8Path::new(&path));
            if let FileKind::Action(hash) | FileKind::Output(hash) = kind {
                let store = Store::at(Utf8Path::new(""));
                prop_assert!([store.action_path(&hash), store.output_path(&hash)].contains(&path.into()));
            }
        }
    }
}
