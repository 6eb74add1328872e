//! Executables that a layer has compressed beside its build cache, as [`gocache::executables`] packs them.
//!
//! Such an executable has no file of its own, so it is named as what is in an archive is: by the archive, a colon, and
//! its place there, which is the folder that `go build` is run in for it.

use std::io::{self, Read};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::executables::Executables;
use gocache::image_info::{EXECUTABLES_PATH, is_inside};
use oci::unpack::limits::Count;
use tempfile::TempDir;

use super::{Executable, Linked, MAX_EXECUTABLE_BYTES, linked};
use failure::corrupt;

/// The files of a layer's packed executables, copied out of its tar.
pub struct Packed(TempDir);

impl Packed {
    /// None yet; they are copied to the disk of `scratch`.
    pub fn new(scratch: &Utf8Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(scratch);
        Ok(Self(folder.with_context(|| {
            format!("failed to make a folder in {scratch}")
        })?))
    }

    /// Where a file of the layer belongs, if it is one of these; its `path` is relative to the root of the image.
    pub fn name(path: &Utf8Path) -> Option<&str> {
        let (folder, name) = (path.parent()?, path.file_name()?);
        (Utf8Path::new("/").join(folder) == EXECUTABLES_PATH).then_some(name)
    }

    /// Copies the file `name`.
    pub fn add(&self, name: &str, content: &mut impl Read) -> Result<()> {
        let mut file = fs_err::File::create(self.0.path().join(name))?;
        io::copy(content, &mut file)?;
        Ok(())
    }

    /// What they say of themselves. `count` has what the layer unpacks to, and these are part of that.
    pub fn executables(&self, count: &Count) -> Result<Vec<Executable>> {
        let folder = Utf8Path::from_path(self.0.path()).context("a folder has an odd name")?;
        let (mut found, mut first) = (Vec::new(), Vec::new());
        for packed in Executables::open(folder)?.all() {
            let executable = packed.executable();
            let data = packed.data().strip_prefix(folder)?;
            let path = Utf8PathBuf::from(format!("{data}:{}", executable.program));
            if !is_inside(&path) || executable.size_bytes > MAX_EXECUTABLE_BYTES {
                return Err(corrupt(
                    format!("{path} has {} bytes", executable.size_bytes),
                    "no executable of ours is there, or is so large; make the image anew",
                ));
            }
            count.entry(executable.size_bytes)?;
            let mut content = Vec::new();
            // Unpacking the first one again for each that refers to it would take hours in an image made for that.
            packed.unpack_after(&first, &mut content)?;
            let linked: Option<Linked> =
                linked(&content).with_context(|| format!("failed to read {path}"))?;
            found.extend(linked.map(|linked| Executable {
                paths: vec![Utf8Path::new(&EXECUTABLES_PATH[1..]).join(&path)],
                sha256: executable.output,
                linked,
            }));
            if packed.is_first() {
                first = content;
            }
        }
        Ok(found)
    }
}
