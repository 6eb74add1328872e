//! What the folder of kept work holds, and the removal of what nothing needs any more.
//!
//! Every result can be made again and every blob pulled again, so to need one means to have used it lately: each use is
//! noted in its modification time. What a run uses now is locked, and is never removed. Each result leaves its place in
//! one step, so a run sees it whole or not at all, also when the removal is interrupted.
//!
//! Results share files by hard links (a cache starts from another one), so bytes are counted once for each file, and
//! what is removed frees those of which it has all links.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};

use super::files::remove_tree;
use super::lock::{self, Mode, Tried};
use super::{Key, LOCKS, PARTIAL, RunFolder, is_hex, is_retired};

/// Pulled blobs, each a file.
const BLOBS: &str = "blobs";
/// Shared folders that are used and removed as a whole.
const WHOLE: [&str; 2] = ["go-mod", "go-mod-unchecked"];
/// Shared folders whose own folders are used and removed, each as a whole.
const SHARED: [&str; 1] = ["index"];

/// How long keys were once.
const OLD_KEY_CHARACTERS: usize = 24;

/// Something that is used, and removed, as a whole.
#[derive(Debug)]
struct Item {
    kind: String,
    path: Utf8PathBuf,
    /// What is locked by whoever uses it.
    locked: Utf8PathBuf,
}

/// What one kind of kept work comes to.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Stock {
    /// Results, blobs or folders.
    pub items: u64,
    /// What they take on the disk, without what an earlier kind was counted for.
    pub size_bytes: u64,
}

/// What became of one kind of kept work.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// Items that were removed, or would be.
    pub removed: u64,
    /// What the disk gets back.
    pub freed_bytes: u64,
    /// Items that were used lately.
    pub left: u64,
    /// Items that a run uses now.
    pub in_use: u64,
}

/// What is kept in `root`, by kind; nothing where it is not there.
pub fn list(root: &Utf8Path) -> Result<BTreeMap<String, Stock>> {
    let mut stock: BTreeMap<String, Stock> = BTreeMap::new();
    let mut seen = Links::default();
    for item in items(root)? {
        let kind = stock.entry(item.kind).or_default();
        kind.items += 1;
        kind.size_bytes += seen.add(&item.path)?.first_seen_bytes;
    }
    Ok(stock)
}

/// Removes from `root` what was not used for the time `keep`, except what is in use; a dry run only says what it would
/// remove.
pub fn clean(root: &Utf8Path, keep: Duration, dry_run: bool) -> Result<BTreeMap<String, Cleaned>> {
    let mut cleaned: BTreeMap<String, Cleaned> = BTreeMap::new();
    let mut links = Links::default();
    let items = items(root)?;
    let trash = (!dry_run && !items.is_empty()).then(|| RunFolder::create(root));
    let trash = trash.transpose().with_context(|| {
        format!("failed to clean {root}; run this as the user whose kept work it is")
    })?;
    for (number, item) in items.iter().enumerate() {
        let kind = cleaned.entry(item.kind.clone()).or_default();
        let alone = match lock::try_lock(&item.locked, Mode::Exclusive)? {
            Tried::Locked(alone) => alone,
            Tried::Busy => {
                kind.in_use += 1;
                continue;
            }
            Tried::Absent => continue,
        };
        if item.kind != PARTIAL && !is_retired(&item.path) && is_recent(&item.path, keep)? {
            kind.left += 1;
            continue;
        }
        kind.removed += 1;
        kind.freed_bytes += links.add(&item.path)?.freed_bytes;
        let Some(trash) = &trash else { continue };
        let removed = trash.path.join(number.to_string());
        fs_err::rename(&item.path, &removed)?;
        drop(alone);
        remove_tree(&removed)?;
    }
    if !dry_run {
        forget_locks(root)?;
    }
    Ok(cleaned)
}

/// Removes the files of locks that a run which died has left.
fn forget_locks(root: &Utf8Path) -> Result<()> {
    for file in entries(&root.join(LOCKS))? {
        if let Tried::Locked(_alone) = lock::try_lock(&file, Mode::Exclusive)? {
            fs_err::remove_file(&file)?;
        }
    }
    Ok(())
}

fn is_recent(path: &Utf8Path, keep: Duration) -> Result<bool> {
    let used = fs_err::metadata(path)?.modified()?;
    let unused = SystemTime::now().duration_since(used).unwrap_or_default();
    Ok(unused < keep)
}

/// All that is kept in `root`, sorted; what is not known there is not ours.
fn items(root: &Utf8Path) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for folder in entries(root)? {
        let Some(kind) = folder.file_name() else {
            continue;
        };
        let item = |path: Utf8PathBuf| Item {
            kind: kind.to_owned(),
            locked: if kind == BLOBS {
                folder.clone()
            } else {
                path.clone()
            },
            path,
        };
        if WHOLE.contains(&kind) {
            items.push(item(folder.clone()));
        } else if folder.is_dir() && kind != LOCKS {
            let is_known = |path: &Utf8PathBuf| {
                let is_result = || path.file_name().is_some_and(is_result);
                [PARTIAL, BLOBS].contains(&kind) || SHARED.contains(&kind) || is_result()
            };
            items.extend(entries(&folder)?.into_iter().filter(is_known).map(item));
        }
    }
    Ok(items)
}

/// Whether a folder of this name is a step's result, maybe one of an earlier version, which nothing uses any more.
fn is_result(name: &str) -> bool {
    Key::is_key(name) || (name.len() == OLD_KEY_CHARACTERS && is_hex(name))
}

/// Paths in `folder`, sorted; none where it is not there.
fn entries(folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let listed = match folder.read_dir_utf8() {
        Ok(listed) => listed,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("failed to list {folder}")),
    };
    let mut paths = listed
        .map(|entry| Ok(entry?.into_path()))
        .collect::<std::io::Result<Vec<_>>>()
        .with_context(|| format!("failed to list {folder}"))?;
    paths.sort();
    Ok(paths)
}

/// Links to files that have more than one, by device and inode.
#[derive(Debug, Default)]
struct Links(HashMap<(u64, u64), u64>);

#[derive(Debug, Default)]
struct Size {
    /// Files of which no other link was seen before.
    first_seen_bytes: u64,
    /// Files of which all links were seen.
    freed_bytes: u64,
}

impl Links {
    fn add(&mut self, tree: &Utf8Path) -> Result<Size> {
        let mut size = Size::default();
        for entry in walkdir::WalkDir::new(tree).follow_root_links(false) {
            let metadata = match entry.and_then(|entry| entry.metadata()) {
                Ok(metadata) => metadata,
                Err(error) if is_out_of_sight(&error) => continue,
                Err(error) => return Err(error).with_context(|| format!("failed to list {tree}")),
            };
            let bytes = metadata.blocks() * 512;
            if metadata.is_dir() || metadata.nlink() == 1 {
                size.first_seen_bytes += bytes;
                size.freed_bytes += bytes;
                continue;
            }
            let seen = self.0.entry((metadata.dev(), metadata.ino())).or_default();
            *seen += 1;
            if *seen == 1 {
                size.first_seen_bytes += bytes;
            }
            if *seen == metadata.nlink() {
                size.freed_bytes += bytes;
            }
        }
        Ok(size)
    }
}

/// What a run that goes on has removed meanwhile, and folders that only their owner may list.
fn is_out_of_sight(error: &walkdir::Error) -> bool {
    let kind = error.io_error().map(std::io::Error::kind);
    matches!(
        kind,
        Some(ErrorKind::NotFound | ErrorKind::PermissionDenied)
    )
}
