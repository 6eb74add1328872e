//! What executables a pack has: its `.json` beside its `.zst`.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use crate::{ActionEntry, frames};

/// The index of a pack's executables.
pub type Index = frames::Index<Executable>;

/// An executable, a frame of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executable {
    /// Length in the file.
    pub bytes: u64,
    /// Where `go build` is run for it, relative to the source.
    pub program: Utf8PathBuf,
    /// ID of the action that links it.
    pub action: Sha256Hash,
    /// SHA-256 of the executable.
    pub output: Sha256Hash,
    /// Length of the executable.
    pub size_bytes: u64,
    /// The time of its entry in the build cache.
    pub time_unix_ns: i64,
    /// Whether it refers to the first executable of the pack.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub after_first: bool,
}

impl Executable {
    /// Its entry in a build cache.
    pub fn entry(&self) -> ActionEntry {
        ActionEntry {
            action: self.action,
            output: self.output,
            size_bytes: self.size_bytes,
            time_unix_ns: self.time_unix_ns,
        }
    }
}

impl frames::Frame for Executable {
    fn bytes(&self) -> u64 {
        self.bytes
    }
}
