//! Layers of an image, unpacked one over the other.
//!
//! Beside its files a layer holds whiteouts: `.wh.NAME` hides NAME of the layers below, `.wh..wh..opq` all of its
//! folder. Neither hides what the layer itself brings, in whatever order they come. Every path is taken as one inside
//! of the image, so that no layer, whoever made it, reaches out of the root.

pub mod limits;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use camino::Utf8Path;
use regular_file::in_root;
use tar::{Entry, EntryType, Header};
use walkdir::WalkDir;

use self::limits::{Count, Limits, Meter};
use crate::layer::{self, Compression, LayerBlob, SET_ID};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Notes of a storage driver that no image means to hold.
const DRIVER_NOTE: &[u8] = b".wh..wh.";

/// Unpacks a layer over `root`, and returns its uncompressed size in bytes; one that exceeds `limits` is an error, and
/// so is one that is damaged. Owners are kept when this process may set them; device files, setuid and setgid bits are
/// left out.
pub fn unpack(
    blob: &Utf8Path,
    compression: Option<Compression>,
    root: &Utf8Path,
    limits: Limits,
) -> Result<u64> {
    let mut tar = Meter::new(layer::reader(blob, compression)?, limits);
    let count = tar.count();
    apply(&mut tar, &count, root.as_std_path())
        .and_then(|()| {
            count.in_content();
            Ok(io::copy(&mut tar, &mut io::sink()).map(drop)?)
        })
        .map_err(|error| count.explain(error))
        .with_context(|| format!("failed to unpack {blob} to {root}"))?;
    Ok(count.bytes())
}

fn apply(tar: impl Read, count: &Count, root: &Path) -> Result<()> {
    let mut archive = tar::Archive::new(tar);
    archive.set_preserve_permissions(true);
    archive.set_mask(SET_ID);
    archive.set_preserve_mtime(true);
    archive.set_preserve_ownerships(is_root());
    let mut layer = LayerUnpacker {
        root,
        put: HashSet::new(),
        folder: None,
    };
    count.in_headers();
    for entry in archive.entries()? {
        let mut entry = entry?;
        count.entry(entry.size())?;
        count.in_content();
        let path = entry.path()?.into_owned();
        layer
            .entry(&path, &mut entry)
            .with_context(|| format!("failed to unpack {}", path.display()))?;
        io::copy(&mut entry, &mut io::sink())?;
        count.in_headers();
    }
    Ok(())
}

/// A layer that is being unpacked.
struct LayerUnpacker<'a> {
    root: &'a Path,
    /// What it brought.
    put: HashSet<PathBuf>,
    /// The folder of the last entry, as it is called in the layer and where it is.
    folder: Option<(PathBuf, PathBuf)>,
}

impl LayerUnpacker<'_> {
    fn entry(&mut self, path: &Path, entry: &mut Entry<'_, impl Read>) -> Result<()> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        if path.components().any(|part| part == Component::ParentDir) {
            bail!("the name leads out of its folder");
        }
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            // The root itself.
            return Ok(());
        };
        let parent = self.folder(parent)?;
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            return self.whiteout(&parent, name, OsStr::from_bytes(hidden));
        }
        let place = parent.join(name);
        match place.symlink_metadata() {
            Ok(there) if there.is_dir() && kind.is_dir() => {}
            Ok(there) if there.is_dir() => fs_err::remove_dir_all(&place)?,
            Ok(_) => fs_err::remove_file(&place)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        match kind {
            EntryType::Directory => put_folder(&place, entry.header())?,
            EntryType::Link => {
                let target = entry.link_name_bytes().context("a link to nothing")?;
                let target = PathBuf::from(OsStr::from_bytes(&target));
                let folder = target.parent().unwrap_or(Path::new(""));
                let target_name = target.file_name().context("a link to nothing")?;
                let target = in_root::resolve(self.root, folder)?.join(target_name);
                fs_err::hard_link(target, &place)?;
            }
            EntryType::Char | EntryType::Block | EntryType::Fifo => return Ok(()),
            _ => {
                entry.unpack(&place)?;
            }
        }
        self.put.insert(place);
        Ok(())
    }

    /// The folder `path` of the image, made if it is not there.
    ///
    /// The last answer is kept, for the entries of a folder follow each other. What it goes through can only be
    /// changed by an entry of another folder, which replaces it.
    fn folder(&mut self, path: &Path) -> Result<PathBuf> {
        if let Some((last, place)) = &self.folder
            && last == path
        {
            return Ok(place.clone());
        }
        let place = in_root::resolve(self.root, path)?;
        fs_err::create_dir_all(&place)?;
        self.folder = Some((path.to_owned(), place.clone()));
        Ok(place)
    }

    fn whiteout(&self, folder: &Path, name: &OsStr, hidden: &OsStr) -> Result<()> {
        if name.as_bytes() == OPAQUE {
            for below in fs_err::read_dir(folder)? {
                self.hide(&below?.path())?;
            }
        } else if !name.as_bytes().starts_with(DRIVER_NOTE) {
            if hidden.is_empty() || hidden == "." || hidden == ".." {
                bail!("a whiteout of nothing");
            }
            self.hide(&folder.join(hidden))?;
        }
        Ok(())
    }

    /// Removes what layers below have at `place`.
    fn hide(&self, place: &Path) -> Result<()> {
        if place.symlink_metadata().is_err() {
            return Ok(());
        }
        let below = WalkDir::new(place).follow_root_links(false);
        for there in below.contents_first(true) {
            let there = there.with_context(|| format!("failed to list {}", place.display()))?;
            if self.put.contains(there.path()) {
                continue;
            }
            if !there.file_type().is_dir() {
                fs_err::remove_file(there.path())?;
            } else if let Err(error) = fs_err::remove_dir(there.path())
                && error.kind() != ErrorKind::DirectoryNotEmpty
            {
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// Makes the folder `place`, or gives the one that is there the owner and mode of `header`.
fn put_folder(place: &Path, header: &Header) -> Result<()> {
    match fs_err::create_dir(place) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    let mode = header.mode()? & 0o7777 & !SET_ID;
    let mode = if is_root() {
        let (uid, gid) = (header.uid()?, header.gid()?);
        std::os::unix::fs::lchown(place, Some(uid.try_into()?), Some(gid.try_into()?))
            .with_context(|| format!("failed to set the owner of {}", place.display()))?;
        mode
    } else {
        // The next entry, or the next layer, may have to go into it.
        mode | 0o700
    };
    fs_err::set_permissions(place, std::fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Unpacks layers one over the other into the empty folder `root`. Not side by side: two may hold the same file.
pub fn unpack_layers<'a>(
    layers: impl IntoIterator<Item = &'a LayerBlob>,
    root: &Utf8Path,
) -> Result<()> {
    let mut layers = layers.into_iter();
    layers.try_for_each(|kept| {
        let limits = Limits::exactly(kept.layer.uncompressed_bytes);
        unpack(&kept.blob, Some(kept.layer.compression), root, limits).map(drop)
    })
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8PathBuf;
    use std::os::unix::fs::MetadataExt as _;

    /// An entry: its path, and a folder, a file, a symbolic link or a hard link.
    type Made<'a> = (&'a str, EntryType, &'a str);

    const FOLDER: EntryType = EntryType::Directory;
    const FILE: EntryType = EntryType::Regular;
    const SYMLINK: EntryType = EntryType::Symlink;
    const LINK: EntryType = EntryType::Link;

    struct Root {
        _folder: tempfile::TempDir,
        root: Utf8PathBuf,
    }

    impl Root {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let root = Utf8Path::from_path(folder.path()).unwrap().join("root");
            fs_err::create_dir(&root).unwrap();
            Self {
                _folder: folder,
                root,
            }
        }

        fn unpack(&self, entries: &[Made<'_>]) -> Result<u64> {
            let mut tar = tar::Builder::new(Vec::new());
            for (path, kind, content) in entries {
                let mut header = Header::new_gnu();
                header.set_entry_type(*kind);
                header.set_mode(if *kind == FOLDER { 0o755 } else { 0o644 });
                header.set_uid(0);
                header.set_gid(0);
                header.set_mtime(1);
                // Names are set as they are: the builder would refuse some of these.
                let name = path.as_bytes();
                header.as_old_mut().name[..name.len()].copy_from_slice(name);
                let mut data = content.as_bytes();
                if *kind == SYMLINK || *kind == LINK {
                    header.set_link_name_literal(content).unwrap();
                    data = &[];
                }
                header.set_size(data.len() as u64);
                header.set_cksum();
                tar.append(&header, data).unwrap();
            }
            let blob = self.root.with_file_name("layer");
            let tar = tar.into_inner().unwrap();
            fs_err::write(&blob, &tar).unwrap();
            let bytes = unpack(&blob, None, &self.root, Limits::exactly(tar.len() as u64))?;
            assert_eq!(bytes, tar.len() as u64);
            Ok(bytes)
        }

        /// Everything in the root but its folders, sorted.
        fn files(&self) -> Vec<String> {
            let mut files: Vec<String> = WalkDir::new(&self.root)
                .into_iter()
                .map(Result::unwrap)
                .filter(|entry| !entry.file_type().is_dir())
                .map(|entry| {
                    let path = entry.path().strip_prefix(&self.root).unwrap();
                    path.to_str().unwrap().to_owned()
                })
                .collect();
            files.sort();
            files
        }
    }

    #[test]
    fn a_whiteout_hides_what_is_below() {
        let root = Root::new();
        let lower = [
            ("a/x", FILE, ""),
            ("a/y", FILE, ""),
            ("a/folder/deep/z", FILE, ""),
            ("b", SYMLINK, "a"),
            ("c", FILE, ""),
        ];
        root.unpack(&lower).unwrap();
        root.unpack(&[
            ("a/.wh.x", FILE, ""),
            ("a/.wh.folder", FILE, ""),
            (".wh.b", FILE, ""),
            (".wh.absent", FILE, ""),
            (".wh..wh.plnk", FILE, ""),
        ])
        .unwrap();
        assert_eq!(root.files(), ["a/y", "c"]);
    }

    #[test]
    fn an_opaque_folder_keeps_what_its_own_layer_brings_in_any_order() {
        let lower = [
            ("d/old", FILE, ""),
            ("d/both", FILE, "old"),
            ("d/folder/old", FILE, ""),
            ("e", FILE, ""),
        ];
        let mut upper = vec![
            ("d/", FOLDER, ""),
            ("d/new", FILE, ""),
            ("d/both", FILE, "new"),
            ("d/folder/new", FILE, ""),
        ];
        for position in 1..=upper.len() {
            let root = Root::new();
            root.unpack(&lower).unwrap();
            upper.insert(position, ("d/.wh..wh..opq", FILE, ""));
            root.unpack(&upper).unwrap();
            upper.remove(position);
            assert_eq!(
                root.files(),
                ["d/both", "d/folder/new", "d/new", "e"],
                "{position}"
            );
            assert_eq!(
                fs_err::read_to_string(root.root.join("d/both")).unwrap(),
                "new"
            );
        }
    }

    #[test]
    fn one_kind_replaces_another() {
        let root = Root::new();
        root.unpack(&[
            ("folder/file", FILE, ""),
            ("file", FILE, ""),
            ("target/kept", FILE, ""),
            ("link", SYMLINK, "target"),
        ])
        .unwrap();
        root.unpack(&[
            ("folder", FILE, "now a file"),
            ("file/", FOLDER, ""),
            ("file/below", FILE, ""),
            ("link/", FOLDER, ""),
            ("link/below", FILE, ""),
            ("hard", LINK, "folder"),
        ])
        .unwrap();
        assert_eq!(
            root.files(),
            ["file/below", "folder", "hard", "link/below", "target/kept"]
        );
        let inode = |name: &str| fs_err::metadata(root.root.join(name)).unwrap().ino();
        assert_eq!(inode("hard"), inode("folder"));
    }

    #[test]
    fn nothing_reaches_out_of_the_root() {
        let root = Root::new();
        let outside = root.root.with_file_name("outside");
        fs_err::create_dir(&outside).unwrap();
        fs_err::write(outside.join("secret"), "").unwrap();
        root.unpack(&[
            ("away", SYMLINK, outside.as_str()),
            ("away/file", FILE, ""),
            ("up", SYMLINK, "../outside"),
            ("up/file", FILE, ""),
            ("/absolute", FILE, ""),
            ("folder/file", FILE, ""),
            ("folder", SYMLINK, outside.as_str()),
            ("folder/again", FILE, ""),
            ("away/.wh.secret", FILE, ""),
            ("device", EntryType::Char, ""),
        ])
        .unwrap();
        let inside = outside.as_str().trim_start_matches('/');
        let mut expected = vec![
            "absolute".to_owned(),
            "away".to_owned(),
            "folder".to_owned(),
            "outside/file".to_owned(),
            format!("{inside}/again"),
            format!("{inside}/file"),
            "up".to_owned(),
        ];
        expected.sort();
        assert_eq!(root.files(), expected);
        let left: Vec<_> = fs_err::read_dir(&outside).unwrap().collect();
        assert_eq!(left.len(), 1);

        assert!(root.unpack(&[("../file", FILE, "")]).is_err());
        let stolen = outside.join("secret");
        assert!(root.unpack(&[("stolen", LINK, stolen.as_str())]).is_err());
        assert!(root.unpack(&[(".wh...", FILE, "")]).is_err());
    }

    #[test]
    fn nothing_that_is_unpacked_gives_rights() {
        let root = Root::new();
        let mut tar = tar::Builder::new(Vec::new());
        let kinds = [
            ("folder", FOLDER),
            ("file", FILE),
            ("old", EntryType::Continuous),
        ];
        let kinds = kinds.into_iter().chain([
            ("char", EntryType::Char),
            ("block", EntryType::Block),
            ("fifo", EntryType::Fifo),
        ]);
        for (name, kind) in kinds {
            let mut header = Header::new_gnu();
            header.set_path(name).unwrap();
            header.set_entry_type(kind);
            header.set_mode(0o7755);
            header.set_size(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_cksum();
            tar.append(&header, &b""[..]).unwrap();
        }
        let mut header = Header::new_gnu();
        header.set_path("link").unwrap();
        header.set_entry_type(LINK);
        header.set_link_name("file").unwrap();
        header.set_mode(0o7755);
        header.set_size(0);
        header.set_cksum();
        tar.append(&header, &b""[..]).unwrap();
        let blob = root.root.with_file_name("layer");
        fs_err::write(&blob, tar.into_inner().unwrap()).unwrap();
        unpack(
            &blob,
            None,
            &root.root,
            Limits::exactly(fs_err::metadata(&blob).unwrap().len()),
        )
        .unwrap();
        for name in ["folder", "file", "old", "link"] {
            let mode = fs_err::metadata(root.root.join(name)).unwrap().mode();
            assert_eq!(mode & 0o7777, 0o1755, "{name}");
        }
        assert_eq!(root.files(), ["file", "link", "old"]);
    }

    #[test]
    fn modes_and_times_are_those_of_the_layer() {
        let root = Root::new();
        root.unpack(&[("folder/", FOLDER, ""), ("folder/file", FILE, "x")])
            .unwrap();
        let metadata = |path: &str| fs_err::metadata(root.root.join(path)).unwrap();
        assert_eq!(metadata("folder").mode() & 0o7777, 0o755);
        let file = metadata("folder/file");
        assert_eq!((file.mode() & 0o7777, file.mtime()), (0o644, 1));
    }
}
