//! Folders of files: listed, linked and removed as a whole.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use oci::blob::link_or_copy;
use rayon::prelude::*;

/// Removes `path` and all below it, also what is read-only; it may be absent, or a file.
pub fn remove_tree(path: &Utf8Path) -> Result<()> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Ok(fs_err::remove_file(path)?),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("failed to look at {path}")),
    }
    if fs_err::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    // Not root, and some folder (one of the module cache, say) may not be written to.
    for entry in walkdir::WalkDir::new(path) {
        let entry = entry.with_context(|| format!("failed to list {path}"))?;
        if entry.file_type().is_dir() {
            let mut permissions = fs_err::metadata(entry.path())?.permissions();
            std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
            fs_err::set_permissions(entry.path(), permissions)?;
        }
    }
    fs_err::remove_dir_all(path).map_err(Into::into)
}

/// Writes `text` to `file`, which is whole or as it was.
pub fn write_whole(file: &Utf8Path, text: &str) -> Result<()> {
    let folder = file.parent().unwrap_or(Utf8Path::new("."));
    let mut partial = tempfile::Builder::new();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let mut partial = partial.permissions(permissions).tempfile_in(folder)?;
    std::io::Write::write_all(&mut partial, text.as_bytes())?;
    partial.persist(file)?;
    Ok(())
}

/// Links `files` of the folder `from` below `to`, where those that are there stay.
pub fn link_files(from: &Utf8Path, files: &[Utf8PathBuf], to: &Utf8Path) -> Result<()> {
    fs_err::create_dir_all(to)?;
    let folders: BTreeSet<&Utf8Path> = files.iter().filter_map(|file| file.parent()).collect();
    for folder in folders {
        fs_err::create_dir_all(to.join(folder))?;
    }
    files.par_iter().try_for_each(|file| {
        let target = to.join(file);
        if target.exists() {
            Ok(())
        } else {
            link_or_copy(&from.join(file), &target)
        }
    })
}

/// Links the files of `from` into `to`, where those that are there stay.
pub fn link_tree(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    link_files(from, &files_below(from)?, to)
}

/// The files below `folder`, relative to it, sorted.
pub fn files_below(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.with_context(|| format!("failed to list {folder}"))?;
        if !entry.file_type().is_dir() {
            let path = Utf8Path::from_path(entry.path())
                .with_context(|| format!("{} is not UTF-8", entry.path().display()))?;
            let below = path.strip_prefix(folder);
            let below = below.expect("walkdir yields what is below its root");
            files.push(below.to_owned());
        }
    }
    files.sort();
    Ok(files)
}
