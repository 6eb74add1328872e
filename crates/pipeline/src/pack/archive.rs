//! Packs as files: an OCI layout in a folder, or in one tar archive, as CI systems pass between jobs.
//!
//! The archive is not compressed, for the layers in it are. A layout has as many packs as its index names.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::image::ImageIndex;

use failure::{corrupt, usage};
use oci::blob::MAX_DOCUMENT_BYTES;
use oci::unpack;
use oci::unpack::limits::Limits;

/// Ends the name of an archive.
const ARCHIVE: &str = "tar";
/// What names the packs of a layout.
const INDEX: &str = "index.json";

/// Whether `path` names an archive.
pub fn is_archive(path: &Utf8Path) -> bool {
    path.extension() == Some(ARCHIVE)
}

/// What a pack for a platform is called beside those for others: `civo-linux-arm64`.
pub fn name(pack: &str, platform: &str) -> String {
    format!("{pack}-{}", platform.replace('/', "-"))
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
        return oci::blob::read(&file.join(INDEX), "index of packs");
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
            entry
                .by_ref()
                .take(MAX_DOCUMENT_BYTES)
                .read_to_end(&mut json)?;
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
    check_entries(file)?;
    let bytes = fs_err::metadata(file)?.len();
    unpack::unpack(file, None, scratch, Limits::exactly(bytes))?;
    Ok(scratch.to_owned())
}

/// Fails if an archive holds anything but folders and regular files, as none of ours does.
fn check_entries(file: &Utf8Path) -> Result<()> {
    let damaged = |reason: String| {
        corrupt(
            format!("{file} is no archive of packs: {reason}"),
            "make it anew with `cargo xtask warm`",
        )
    };
    let mut archive = tar::Archive::new(fs_err::File::open(file)?);
    let entries = archive.entries_with_seek();
    for entry in entries.map_err(|error| damaged(error.to_string()))? {
        let entry = entry.map_err(|error| damaged(error.to_string()))?;
        let kind = entry.header().entry_type();
        if !kind.is_file() && !kind.is_dir() {
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            return Err(damaged(format!("{name} is neither a file nor a folder")));
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use oci::blob::Blobs as _;
    use oci::layout::reader::Layout;
    use oci::layout::writer::LayoutWriter;
    use oci_spec::image::{Descriptor, MediaType};
    use tar::{EntryType, Header};

    use super::*;

    /// A layout with one blob.
    fn layout(folder: &Utf8Path) -> Descriptor {
        let mut writer = LayoutWriter::create(folder).unwrap();
        let blob = writer.bytes(MediaType::ImageConfig, b"{}").unwrap();
        writer.finish().unwrap();
        blob
    }

    #[test]
    fn an_archive_holds_files_and_folders_alone() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let blob = layout(&folder.join("layout"));
        let file = folder.join("pack.tar");
        archive(&folder.join("layout"), &file).unwrap();
        let scratch = folder.join("scratch");
        fs_err::create_dir(&scratch).unwrap();
        let there = Layout::open(&unpacked(&file, &scratch).unwrap()).unwrap();
        there.fetch(&blob).unwrap();

        let whole = fs_err::read(&file).unwrap();
        for (kind, target) in [
            (EntryType::Symlink, "/etc/passwd"),
            (EntryType::Link, "index.json"),
            (EntryType::Fifo, "x"),
            (EntryType::Char, "x"),
            (EntryType::GNUSparse, "x"),
        ] {
            let mut tar = tar::Builder::new(Vec::new());
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(0);
            header.set_path("blobs/sha256/x").unwrap();
            header.set_link_name(target).unwrap();
            header.set_cksum();
            tar.append(&header, &[][..]).unwrap();
            let mut hostile = tar.into_inner().unwrap();
            // Without the end of the archive.
            hostile.truncate(512);
            hostile.extend_from_slice(&whole);
            fs_err::write(&file, hostile).unwrap();
            let scratch = folder.join(format!("{kind:?}"));
            fs_err::create_dir(&scratch).unwrap();
            let error = unpacked(&file, &scratch).unwrap_err();
            let said = failure::text(&error);
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt, "{said}");
            assert_eq!(fs_err::read_dir(&scratch).unwrap().count(), 0, "{said}");
        }
    }

    #[test]
    fn a_layout_is_read_without_following_links() {
        for link in ["index.json", "blobs", "blobs/sha256", "blob"] {
            let folder = tempfile::tempdir().unwrap();
            let folder = Utf8Path::from_path(folder.path()).unwrap();
            let (layout_folder, outside) = (folder.join("layout"), folder.join("outside"));
            let blob = layout(&layout_folder);
            let digest = blob.as_digest_sha256().unwrap().to_owned();
            let path = match link {
                "blob" => layout_folder.join("blobs/sha256").join(digest),
                other => layout_folder.join(other),
            };
            fs_err::rename(&path, &outside).unwrap();
            std::os::unix::fs::symlink(&outside, &path).unwrap();
            let read = Layout::open(&layout_folder).and_then(|layout| layout.fetch(&blob));
            let error = read.unwrap_err();
            assert_eq!(
                failure::kind(&error, &[]),
                failure::Kind::Corrupt,
                "{error:#}"
            );
        }
    }
}
