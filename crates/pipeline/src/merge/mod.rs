//! Merging: from packs to one tree, `DIR/{go-mod,go-build}`, for images that are built from a Dockerfile.
//!
//! The manifests decide before anything is read: which pack each file comes from, what two packs share, and what they
//! disagree on ([`plan`]). Then every pack is extracted straight from its compressed stream, all at the same time, each
//! file once and by one pack, hashed on its way to the disk ([`extract`]). The tree grows beside its place and is put
//! there when it is complete and on the disk ([`place`]).
//!
//! Nothing is linked or cloned from another tree. Hard links are not safe here: Go and people change times and modes
//! of a merged cache in place, and would change them in the cache that it was linked from, too. Clones would be safe,
//! but packs are compressed, so there is nothing to clone from; and what is cloned is not verified.
//!
//! Files belong to whoever merges, whatever the layers say: `COPY` sets owners anyway, and so the result does not
//! depend on who made it.

mod extract;
mod place;
mod plan;

pub use place::MARKER;

use std::time::Duration;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use gocache::Identity;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use crate::pack::Pack;
use place::Place;
use plan::Plan;

/// The module cache in a merged tree.
pub const GO_MOD: &str = "go-mod";
/// The build cache in a merged tree.
pub const GO_BUILD: &str = "go-build";

/// Raised when what a merge makes of the same packs changes.
const SCHEMA: u32 = 1;

/// What a merged tree is made of; the file beside its caches holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Version of this format and of what a merge does.
    pub schema: u32,
    /// What the go command must be set to for the caches to be of use.
    pub identity: Identity,
    /// The packs: `common` first, the others by name.
    pub packs: Vec<MergedPack>,
    /// Files in the tree.
    pub files: u64,
    /// Their size in bytes.
    pub size_bytes: u64,
    /// Files that are in more than one pack, with the same content.
    pub shared: u64,
    /// Files on which packs disagree, and which pack's is in the tree.
    pub conflicts: Vec<Conflict>,
}

/// A pack in a [`Record`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedPack {
    /// The provider, or `common`.
    pub name: String,
    /// SHA-256 of each layer's tar, which no other compression changes.
    pub diff_ids: Vec<Sha256Hash>,
    /// Its files.
    pub files: u64,
    /// Their size in bytes.
    pub size_bytes: u64,
    /// Those that another pack has with the same content.
    pub shared: u64,
    /// Those that another pack has with other content.
    pub conflicts: u64,
}

/// A file that packs have with different content, each of which is right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// Relative to the tree.
    pub path: Utf8PathBuf,
    /// Packs that have it; the first one's is in the tree.
    pub packs: Vec<String>,
}

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
pub fn merge(packs: &[Pack], folder: &Utf8Path) -> Result<Merged> {
    let plan = Plan::of(packs)?;
    let place = Place::lock(folder)?;
    let record = plan.record();
    let mut damage = None;
    if place.record().is_some_and(|there| there == record) {
        damage = first_damage(&plan, folder);
        if damage.is_none() {
            return Ok(Merged {
                record,
                was_made: false,
                damage,
                sync: Duration::ZERO,
            });
        }
    }
    let partial = place.begin()?;
    extract::extract(&plan, partial)?;
    let sync = place.complete(&record)?;
    Ok(Merged {
        record,
        was_made: true,
        damage,
        sync,
    })
}

/// What shows without reading any file: the first that is missing or has another size.
fn first_damage(plan: &Plan<'_>, folder: &Utf8Path) -> Option<String> {
    let damaged = plan.written().par_bridge().filter_map(|(path, file)| {
        let found = fs_err::symlink_metadata(folder.join(path));
        let reason = match found {
            Ok(found) if found.is_file() && found.len() == file.size_bytes => return None,
            Ok(found) => format!("has {} bytes instead of {}", found.len(), file.size_bytes),
            Err(_) => "is missing".to_owned(),
        };
        Some(format!("{path} {reason}"))
    });
    damaged.min()
}

#[cfg(test)]
mod tests;
