//! What a merged tree is made of, as the file beside its caches tells it.

use camino::Utf8PathBuf;
use gocache::Identity;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

/// The file that makes a folder a merged tree, complete.
pub const MARKER: &str = ".iac-runner-merge.json";
/// The module cache in a merged tree.
pub const GO_MOD: &str = "go-mod";
/// The build cache in a merged tree.
pub const GO_BUILD: &str = "go-build";
/// Object code, and below it executables, while a tree is made.
pub const GO_OBJECTS: &str = "go-objects";
/// The program of `-toolexec` for caches that were made with one.
pub const TOOLEXEC: &str = "toolexec";

/// Raised when what a merge makes of the same packs changes.
pub const SCHEMA: u32 = 2;

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

impl Record {
    /// Whether both are of the same packs, merged alike.
    pub fn is_of_same_packs(&self, other: &Self) -> bool {
        let parts = |it: &Self| (it.schema, it.identity.clone(), it.packs.clone());
        parts(self) == parts(other)
    }
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
