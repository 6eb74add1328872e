//! Where the object code of each archive of a pack is: the pack's `.json` beside its `.zst`.

use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use crate::frames;

/// The index of a pack's object code.
pub type Index = frames::Index<Frame>;

/// Object code that was compressed together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Length in the file.
    pub bytes: u64,
    /// What it unpacks to, one after the other, without gaps.
    pub archives: Vec<ObjectCode>,
}

impl frames::Frame for Frame {
    fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The object code of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectCode {
    /// Digest of the archive without it.
    pub export_only: Sha256Hash,
    /// Digest of the archive with it.
    pub whole: Sha256Hash,
    /// Length, unpacked.
    pub bytes: u64,
}
