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
use rayon::prelude::*;

use self::plan::Plan;
use self::target::MergeTarget;
use crate::pack::KeptPack;

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
    let record = plan.record();
    let mut damage = None;
    if target.record().is_some_and(|there| there == record) {
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
    let partial = target.begin()?;
    extract::extract(&plan, partial)?;
    let sync = target.complete(&record)?;
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
