//! Damage on purpose: one bit of one file turned over, and back again.
//!
//! For the tests and benchmarks of what finds damage. A disk or a transfer changes content and nothing else, so times
//! and modes stay as they were.

use std::collections::BTreeMap;
use std::fs::{FileTimes, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use sha256::Sha256Hash;
use walkdir::WalkDir;

use crate::{FileKind, GoModule, Store};

/// Files by what they are, sorted; files without content are left out.
pub type FilesByKind = BTreeMap<&'static str, Vec<Utf8PathBuf>>;

/// A bit of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flip {
    /// What the file is.
    pub kind: &'static str,
    /// The file.
    pub path: Utf8PathBuf,
    /// Where its byte is.
    pub offset: u64,
    /// The bit in that byte.
    pub mask: u8,
}

impl Flip {
    /// The `number`th of a series, which is the same for the same files and seed: each kind in its turn, then any file
    /// of that kind, then any bit. None where there are no files.
    pub fn choose(files: &FilesByKind, seed: u64, number: u64) -> io::Result<Option<Self>> {
        let random = Sha256Hash::of(format!("{seed} {number}").as_bytes());
        let random = |from: usize| {
            let bytes = random.as_bytes()[from..from + 8].try_into();
            u64::from_le_bytes(bytes.expect("eight bytes of thirty-two"))
        };
        let kinds: Vec<_> = files
            .iter()
            .filter(|(_, paths)| !paths.is_empty())
            .collect();
        let Some((kind, paths)) = pick(&kinds, number) else {
            return Ok(None);
        };
        let Some(path) = pick(paths, random(0)) else {
            return Ok(None);
        };
        Ok(Some(Self {
            kind,
            path: path.clone(),
            offset: random(8) % fs_err::metadata(path)?.len(),
            mask: 1 << (random(16) % 8),
        }))
    }

    /// Turns the bit over; a second time, back.
    pub fn apply(&self) -> io::Result<()> {
        let before = fs_err::metadata(&self.path)?;
        // Go modules are extracted read-only, also for their owner.
        fs_err::set_permissions(&self.path, Permissions::from_mode(0o600))?;
        let file = fs_err::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&self.path)?;
        let mut byte = [0];
        file.file().read_exact_at(&mut byte, self.offset)?;
        file.file()
            .write_all_at(&[byte[0] ^ self.mask], self.offset)?;
        let times = FileTimes::new()
            .set_accessed(before.accessed()?)
            .set_modified(before.modified()?);
        file.file().set_times(times)?;
        fs_err::set_permissions(&self.path, before.permissions())
    }
}

fn pick<T>(items: &[T], number: u64) -> Option<&T> {
    let count = u64::try_from(items.len()).ok().filter(|count| *count > 0)?;
    items.get(usize::try_from(number % count).ok()?)
}

/// The entries and outputs of GOCACHE, and the files of Go modules in GOMODCACHE.
pub fn files_by_kind(
    gocache: &Utf8Path,
    gomodcache: &Utf8Path,
) -> Result<FilesByKind, crate::Error> {
    let mut files = FilesByKind::new();
    for file in Store::at(gocache).files()? {
        let path = gocache.join(&file.path);
        let kind = match file.kind {
            FileKind::Action(_) => "entry (-a)",
            FileKind::Output(_) => kind_of_output(&path)?,
            FileKind::Other => continue,
        };
        if file.size_bytes > 0 {
            files.entry(kind).or_default().push(path);
        }
    }
    for entry in WalkDir::new(gomodcache).sort_by_file_name() {
        let entry = entry.map_err(io::Error::from)?;
        let Some(path) = Utf8Path::from_path(entry.path()) else {
            continue;
        };
        let below = path.strip_prefix(gomodcache).unwrap_or(path);
        let kind = match path.extension() {
            _ if GoModule::of_extracted(below).is_some() => "file of a Go module",
            Some("info") => ".info",
            Some("mod") => ".mod",
            Some("ziphash") => ".ziphash",
            _ => continue,
        };
        let metadata = entry.metadata().map_err(io::Error::from)?;
        if metadata.is_file() && metadata.len() > 0 {
            files.entry(kind).or_default().push(path.to_owned());
        }
    }
    Ok(files)
}

fn kind_of_output(path: &Utf8Path) -> io::Result<&'static str> {
    let mut start = Vec::new();
    fs_err::File::open(path)?.take(8).read_to_end(&mut start)?;
    Ok(match start.as_slice() {
        b"go index" => "package index (-d)",
        b"!<arch>\n" => "archive (-d)",
        [0x7f, b'E', b'L', b'F', ..] => "executable (-d)",
        _ => "other output (-d)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_turns_over_and_back_and_nothing_else_changes() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let module = root.join("m/x@v1");
        fs_err::create_dir_all(&module).unwrap();
        let path = module.join("x.go");
        fs_err::write(&path, "package x\n").unwrap();
        fs_err::set_permissions(&path, Permissions::from_mode(0o444)).unwrap();
        fs_err::write(module.join("empty"), "").unwrap();
        let store = Store::create(&root.join("c")).unwrap();
        let index = &b"go index v2\n"[..];
        let action = Sha256Hash::of(b"");
        store.put_reader(&action, None, 12, index, 1).unwrap();

        let files = files_by_kind(store.root(), &root.join("m")).unwrap();
        let counts: Vec<_> = files
            .iter()
            .map(|(kind, paths)| (*kind, paths.len()))
            .collect();
        let kinds = ["entry (-a)", "file of a Go module", "package index (-d)"];
        assert_eq!(counts, kinds.map(|kind| (kind, 1)));

        for (number, kind) in kinds.into_iter().cycle().take(30).enumerate() {
            let flip = Flip::choose(&files, 7, number as u64).unwrap().unwrap();
            assert_eq!(flip.kind, kind);
            let before = fs_err::read(&flip.path).unwrap();
            let metadata = fs_err::metadata(&flip.path).unwrap();
            flip.apply().unwrap();
            let after = fs_err::read(&flip.path).unwrap();
            let differing: u32 = before
                .iter()
                .zip(&after)
                .map(|(one, other)| (one ^ other).count_ones())
                .sum();
            assert_eq!((differing, before.len()), (1, after.len()));
            flip.apply().unwrap();
            assert_eq!(fs_err::read(&flip.path).unwrap(), before);
            let again = fs_err::metadata(&flip.path).unwrap();
            assert_eq!(again.modified().unwrap(), metadata.modified().unwrap());
            assert_eq!(again.permissions(), metadata.permissions());
        }
        assert_eq!(Flip::choose(&FilesByKind::new(), 7, 0).unwrap(), None);
    }
}
