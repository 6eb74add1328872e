//! Packs as files: an OCI layout in a folder, or in one tar archive, as CI systems pass between jobs.
//!
//! The archive is not compressed, for the layers in it are. A layout has as many packs as its index names.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::image::ImageIndex;

use failure::{corrupt, usage};
use oci::unpack;

/// Ends the name of an archive.
const ARCHIVE: &str = "tar";
/// What names the packs of a layout.
const INDEX: &str = "index.json";

/// Whether `path` names an archive.
pub fn is_archive(path: &Utf8Path) -> bool {
    path.extension() == Some(ARCHIVE)
}

/// Layouts and archives in `folder`, or the folder itself, sorted.
pub fn all_in(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let is_layout = |folder: &Utf8Path| folder.join("oci-layout").is_file();
    if is_layout(folder) {
        return Ok(vec![folder.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = Utf8PathBuf::try_from(entry?.path()).context("a pack has an odd name")?;
        if is_layout(&path) || (is_archive(&path) && path.is_file()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The index of `file`, without unpacking an archive.
pub fn index(file: &Utf8Path) -> Result<ImageIndex> {
    let parse = |json: &[u8]| {
        serde_json::from_slice(json).map_err(|error| {
            corrupt(
                format!("{file} has a damaged index.json: {error}"),
                "make it anew",
            )
        })
    };
    if file.is_dir() {
        return parse(&fs_err::read(file.join(INDEX))?);
    }
    let json = index_of_archive(fs_err::File::open(file)?);
    // The index stands behind the blobs, so an archive that was cut off has none.
    json.ok().flatten().map_or_else(
        || {
            Err(corrupt(
                format!("{file} is no archive of packs, or not whole"),
                "make it anew with `cargo xtask warm`",
            ))
        },
        |json| parse(&json),
    )
}

fn index_of_archive(file: fs_err::File) -> std::io::Result<Option<Vec<u8>>> {
    for entry in tar::Archive::new(file).entries_with_seek()? {
        let mut entry = entry?;
        if entry.path()? == Path::new(INDEX) {
            let mut json = Vec::new();
            entry.read_to_end(&mut json)?;
            return Ok(Some(json));
        }
    }
    Ok(None)
}

/// The layout of `file`: the folder itself, or what is in the archive, unpacked into the empty folder `scratch`.
pub fn unpacked(file: &Utf8Path, scratch: &Utf8Path) -> Result<Utf8PathBuf> {
    if file.is_dir() {
        return Ok(file.to_owned());
    }
    if !file.is_file() {
        return Err(usage(
            format!("there is no pack {file}"),
            "name a folder or an archive that `cargo xtask warm --out` wrote",
        ));
    }
    index(file)?;
    unpack::unpack(file, None, scratch)?;
    Ok(scratch.to_owned())
}

/// Packs the layout in `folder` into `archive`. Entries are sorted, and have no owner and no time.
pub fn archive(folder: &Utf8Path, archive: &Utf8Path) -> Result<()> {
    let file = fs_err::File::create(archive)?;
    let mut tar = tar::Builder::new(std::io::BufWriter::with_capacity(1 << 20, file));
    tar.mode(tar::HeaderMode::Deterministic);
    tar.follow_symlinks(false);
    for entry in walkdir::WalkDir::new(folder)
        .min_depth(1)
        .sort_by_file_name()
    {
        let entry = entry.with_context(|| format!("failed to list {folder}"))?;
        let path = entry.path();
        let name = path
            .strip_prefix(folder)
            .context("walkdir leaves its root")?;
        tar.append_path_with_name(path, name)
            .with_context(|| format!("failed to write {archive}"))?;
    }
    let file = tar
        .into_inner()
        .and_then(|buffer| buffer.into_inner().map_err(Into::into))
        .with_context(|| format!("failed to write {archive}"))?;
    file.sync_all()?;
    Ok(())
}
