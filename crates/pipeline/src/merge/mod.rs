//! Merging: from packs to one tree, `DIR/{go-mod,go-build}`, for images that are built from a Dockerfile.
//!
//! The manifests decide before anything is read: which pack each file comes from, what two packs share, and what they
//! disagree on ([`plan`]). Then every pack is extracted straight from its compressed stream, all at the same time, each
//! file once and by one pack, hashed on its way to the disk ([`extract`]). The tree grows beside its place and is put
//! there when it is complete and on the disk ([`target`]).
//!
//! Nothing is linked or cloned from another tree. Hard links are not safe here: Go and people change times and modes
//! of a merged cache in place, and would change them in the cache that it was linked from, too. Clones would be safe,
//! but packs are compressed, so there is nothing to clone from; and what is cloned is not verified.
//!
//! Archives are whole in the tree and executables are entries of its build cache, whatever they are in the packs: it is
//! for images that have no program of ours.
//!
//! Files belong to whoever merges, whatever the layers say: `COPY` sets owners anyway, and so the result does not
//! depend on who made it.

mod extract;
mod plan;
mod record;
mod target;
#[cfg(test)]
mod tests;
pub use record::{Conflict, GO_BUILD, GO_MOD, MARKER, MergedPack, Record};

use std::time::Duration;

use anyhow::Result;
use camino::Utf8Path;
use gocache::executables::Executables;
use gocache::image_info::{EXECUTABLES_PATH, OBJECTS_PATH};
use gocache::objects::{self, Objects};
use gocache::{FileKind, Store};
use rayon::prelude::*;
use sha256::Sha256Hash;

use self::plan::Plan;
use self::target::MergeTarget;
use crate::merge::record::{GO_OBJECTS, TOOLEXEC};
use crate::pack::KeptPack;
use crate::work::files::files_below;

/// A merged tree, and how it came about.
#[derive(Debug)]
pub struct Merged {
    /// What is in it.
    pub record: Record,
    /// Whether it had to be made.
    pub was_made: bool,
    /// Why the tree that was there, made of the same packs, was made anew.
    pub damage: Option<String>,
    /// How long it took the file system to have all on the disk.
    pub sync: Duration,
}

/// Makes `folder` the tree of `packs`, unless it is that already. Any other merge into it waits.
pub fn merge(packs: &[KeptPack], folder: &Utf8Path) -> Result<Merged> {
    let plan = Plan::of(packs)?;
    let target = MergeTarget::lock(folder)?;
    let mut record = plan.record();
    let mut damage = None;
    if let Some(there) = target.record().filter(|it| it.is_of_same_packs(&record)) {
        damage = first_damage(&plan, folder);
        if damage.is_none() {
            return Ok(Merged {
                record: there,
                was_made: false,
                damage,
                sync: Duration::ZERO,
            });
        }
    }
    let partial = target.begin()?;
    extract::extract(&plan, partial)?;
    if plan.is_lean() {
        (record.files, record.size_bytes) = complete(partial)?;
    }
    let sync = target.complete(&record)?;
    Ok(Merged {
        record,
        was_made: true,
        damage,
        sync,
    })
}

/// Puts the archives of the extracted tree `folder` together, and beside them what the go command starts tools with in
/// place of the image's own program, for the action IDs of both are the same. Number and size of all files then.
fn complete(folder: &Utf8Path) -> Result<(u64, u64)> {
    let (lean, objects) = (folder.join("go-build-lean"), folder.join(GO_OBJECTS));
    let go_build = folder.join(GO_BUILD);
    fs_err::rename(&go_build, &lean)?;
    let store = Store::create(&go_build)?;
    objects::whole(&Store::at(&lean), &Objects::open(&objects)?, &store)?;
    let executables = Utf8Path::new(EXECUTABLES_PATH).strip_prefix(OBJECTS_PATH)?;
    let executables = Executables::open(&objects.join(executables))?;
    executables
        .all()
        .try_for_each(|packed| packed.put_as_shipped(&store))?;
    fs_err::remove_dir_all(lean)?;
    fs_err::remove_dir_all(objects)?;
    objects::write_script(&folder.join(TOOLEXEC))?;
    let (mut files, mut size_bytes) = (0, 0);
    for cache in [GO_MOD, GO_BUILD] {
        for file in files_below(&folder.join(cache))? {
            files += 1;
            size_bytes += fs_err::symlink_metadata(folder.join(cache).join(file))?.len();
        }
    }
    Ok((files, size_bytes))
}

/// What shows without reading any file: the first that is missing or has another size. Where archives were put
/// together, the packs do not tell what entries say and which outputs there are, but each entry does of its own.
fn first_damage(plan: &Plan<'_>, folder: &Utf8Path) -> Option<String> {
    let is_lean = plan.is_lean();
    let store = Store::at(&folder.join(GO_BUILD));
    let missing_entry = |action: &Sha256Hash| match store.get(action) {
        Ok(Some(_)) => None,
        Ok(None) => Some("is missing, or its output is".to_owned()),
        Err(error) => Some(error.to_string()),
    };
    let damaged = plan.written().par_bridge().filter_map(|(path, file)| {
        if is_lean && path.starts_with(GO_OBJECTS) {
            return None;
        }
        if let (true, Ok(entry)) = (is_lean, path.strip_prefix(GO_BUILD)) {
            let FileKind::Action(action) = FileKind::of(entry) else {
                return None;
            };
            return Some(format!("{path} {}", missing_entry(&action)?));
        }
        let found = fs_err::symlink_metadata(folder.join(path));
        let reason = match found {
            Ok(found) if found.is_file() && found.len() == file.size_bytes => return None,
            Ok(found) => format!("has {} bytes instead of {}", found.len(), file.size_bytes),
            Err(_) => "is missing".to_owned(),
        };
        Some(format!("{path} {reason}"))
    });
    // Executables may be in the packs without an entry.
    let links = plan.packs.iter().filter(|_| is_lean);
    let links = links.flat_map(|it| &it.pack.manifest.modules);
    let links = links.filter_map(|module| module.link_action);
    let unlinked = links.filter_map(|action| {
        let path = store.action_path(&action);
        let path = path.strip_prefix(folder).unwrap_or(&path);
        Some(format!("{path} {}", missing_entry(&action)?))
    });
    damaged.min().into_iter().chain(unlinked.min()).min()
}
