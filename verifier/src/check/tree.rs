//! A folder as it lies on disk: what is in it, and how its files are opened, without leaving a trace.
//!
//! A check must leave no trace: entries of the future lie after their time of access, so every ordinary read would
//! set that. `O_NOATIME` is granted to the owner and to root; for others the mount's own rule stays in force.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use rustix::fs::{Dir, Mode, OFlags};

/// What a path leads to, links not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    /// A symbolic link, a socket, a device.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Relative to the folder that was listed, which itself is the empty path.
    pub path: Utf8PathBuf,
    pub kind: Kind,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Modification time: seconds since 1970, and nanoseconds.
    pub mtime: (i64, i64),
    pub size_bytes: u64,
}

/// What could not be listed, relative to the folder, and why.
pub type Unlisted = (Utf8PathBuf, io::Error);

/// The folder and all that is in it, sorted by path; none at all where it does not exist.
pub fn list(folder: &Utf8Path) -> (Vec<Node>, Vec<Unlisted>) {
    let mut nodes = Vec::new();
    let mut unlisted = Vec::new();
    for found in below(folder, Utf8PathBuf::new()) {
        match found {
            Ok(node) => nodes.push(node),
            Err((path, error)) if path == "" && error.kind() == io::ErrorKind::NotFound => {}
            Err(other) => unlisted.push(other),
        }
    }
    nodes.sort_by(|one, other| one.path.cmp(&other.path));
    (nodes, unlisted)
}

fn below(root: &Utf8Path, path: Utf8PathBuf) -> Vec<Result<Node, Unlisted>> {
    let node = match look_at(root, &path) {
        Ok(node) => node,
        Err(error) => return vec![Err((path, error))],
    };
    let mut found = Vec::new();
    if node.kind == Kind::Folder {
        match names_in(&root.join(&path)) {
            Ok(names) => {
                let children = names
                    .into_par_iter()
                    .flat_map_iter(|name| child(root, &path, name));
                found = children.collect();
            }
            Err(error) => found.push(Err((path, error))),
        }
    }
    found.push(Ok(node));
    found
}

fn child(root: &Utf8Path, folder: &Utf8Path, name: OsString) -> Vec<Result<Node, Unlisted>> {
    match name.into_string() {
        Ok(name) => below(root, folder.join(name)),
        Err(name) => {
            let error = io::Error::new(io::ErrorKind::InvalidFilename, "its name is not UTF-8");
            vec![Err((folder.join(&*name.to_string_lossy()), error))]
        }
    }
}

fn look_at(root: &Utf8Path, path: &Utf8Path) -> io::Result<Node> {
    let metadata = fs_err::symlink_metadata(root.join(path))?;
    let kind = match metadata.file_type() {
        kind if kind.is_file() => Kind::File,
        kind if kind.is_dir() => Kind::Folder,
        _ => Kind::Other,
    };
    Ok(Node {
        path: path.to_owned(),
        kind,
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        size_bytes: metadata.len(),
    })
}

fn names_in(folder: &Utf8Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::new(open_with(folder, OFlags::DIRECTORY)?)? {
        let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
        if name != OsStr::new(".") && name != OsStr::new("..") {
            names.push(name);
        }
    }
    Ok(names)
}

pub fn open(file: &Utf8Path) -> io::Result<File> {
    open_with(file, OFlags::empty())
}

fn open_with(path: &Utf8Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let open = |flags| rustix::fs::open(path.as_str(), flags, Mode::empty());
    let opened = match open(flags | OFlags::NOATIME) {
        Err(rustix::io::Errno::PERM) => open(flags),
        opened => opened,
    };
    opened.map(File::from).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{FileTimes, Permissions};
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::{Duration, SystemTime};

    #[test]
    fn everything_is_listed_in_order_and_nothing_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        fs_err::create_dir_all(root.join("b/c")).unwrap();
        fs_err::write(root.join("b/c/file"), "12345").unwrap();
        fs_err::set_permissions(root.join("b/c/file"), Permissions::from_mode(0o604)).unwrap();
        fs_err::os::unix::fs::symlink("b", root.join("a")).unwrap();
        fs_err::write(folder.path().join(OsString::from_vec(vec![b'x', 0xff])), "").unwrap();
        let (nodes, unlisted) = list(root);
        let found: Vec<_> = nodes
            .iter()
            .map(|node| (node.path.as_str(), node.kind))
            .collect();
        assert_eq!(
            found,
            [
                ("", Kind::Folder),
                ("a", Kind::Other),
                ("b", Kind::Folder),
                ("b/c", Kind::Folder),
                ("b/c/file", Kind::File),
            ]
        );
        assert_eq!((nodes[4].size_bytes, nodes[4].mode), (5, 0o604));
        assert_eq!(unlisted.len(), 1);
        assert_eq!(unlisted[0].0, "x\u{fffd}");
        assert!(open(&root.join("a")).is_err(), "a link");
        let (nothing, unlisted) = list(&root.join("absent"));
        assert!(nothing.is_empty() && unlisted.is_empty());
    }

    #[test]
    fn looking_leaves_the_time_of_access() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let file = root.join("file");
        fs_err::write(&file, "content").unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        for path in [&file, root] {
            let opened = fs_err::File::open(path).unwrap();
            let times = FileTimes::new().set_accessed(long_ago);
            opened.file().set_times(times).unwrap();
        }
        list(root);
        sha256::hash_reader(open(&file).unwrap()).unwrap();
        for path in [&file, root] {
            assert_eq!(
                fs_err::metadata(path).unwrap().accessed().unwrap(),
                long_ago,
                "{path}"
            );
        }
    }
}
