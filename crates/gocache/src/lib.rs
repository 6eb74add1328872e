//! Go's build cache as data: what an entry is, what a cache folder holds, what a build took from it.
//!
//! The layout and the formats are those of `cmd/go/internal/cache`; Go keeps them stable in practice but
//! documents none of them, so everything that depends on them lives in this crate and nowhere else.
//! No processes, no network, no async: functions from bytes and files to values.
//!
//! One rule above all: a wrong hit is worse than a miss. Nothing here believes a file by its name or size
//! where it can hash it, and every write goes through a temporary name, data before the entry that points at it.
//!
//! | Where | What for |
//! |---|---|
//! | `entry`, `store`, `seal` | GOCACHE: an entry, the folder, and one that is proven whole and made alike each time |
//! | `objects/` | archives without their object code, and the object code beside them |
//! | `executables/` | executables of a pack, compressed, for links that need not run |
//! | `frames` | the form in which object code and executables are compressed |
//! | `damage`, `bit_flip` | entries that are not whole, and damage on purpose, for tests |
//! | `module_cache` | GOMODCACHE: where a Go module lies, and the hash of go.sum |
//! | `checksums` | lists of files with their digests |
//! | `action_graph`, `hash_log`, `hash_inputs` | what a build took from the cache, and what action IDs are made of |
//! | `explanation/` | why a build missed what an image holds |
//! | `identity` | the settings that decide action IDs |
//! | `image_info` | what an image says of itself |

#![warn(missing_docs)]

mod action_graph;
pub mod bit_flip;
mod checksums;
mod damage;
mod entry;
mod error;
pub mod executables;
mod explanation;
pub mod frames;
mod hash_inputs;
mod hash_log;
mod identity;
pub mod image_info;
mod module_cache;
pub mod objects;
mod seal;
mod store;

pub use action_graph::{ActionGraph, Hits, Ratio, in_build_id};
pub use checksums::Checksums;
pub use damage::Damage;
pub use entry::{ACTION_ENTRY_BYTES, ActionEntry};
pub use error::Error;
pub use explanation::{Cause, Change, Drift, Explanation, Observed, RELEASE_PAYS_SHARE, explain};
pub use hash_inputs::{
    ActionInputs, Dependency, Files, HashInputs, InputsRecord, RECORD_SCHEMA, RecordedModule,
};
pub use hash_log::HashLog;
pub use identity::{Difference, Identity};
pub use module_cache::{GoModule, h1, is_source, is_test_data};
pub use seal::{SealedFile, SealedStore};
pub use sha256::{Sha256Hash, hash_file};
pub use store::{FileKind, Store, StoreFile};
