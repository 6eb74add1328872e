//! Where the object code of each archive of a pack is: the pack's `.json` beside its `.zst`.
//!
//! Nothing in it is an offset: frames follow each other without gaps, and so does the object code in each. So an index
//! that fits its file cannot lead out of it, or to the same bytes twice.

use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use crate::Error;

/// Raised when a field changes its meaning.
const SCHEMA: u32 = 1;

/// Far more than the index of the largest pack has.
const MAX_BYTES: u64 = 256 << 20;

/// The index of a pack's object code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    schema: u32,
    /// In the order of the file.
    pub frames: Vec<Frame>,
}

/// Object code that was compressed together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Length in the file.
    pub bytes: u64,
    /// What it unpacks to, one after the other.
    pub archives: Vec<ObjectCode>,
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

impl Index {
    /// Of these frames.
    pub fn new(frames: Vec<Frame>) -> Self {
        Self {
            schema: SCHEMA,
            frames,
        }
    }

    /// Reads the index `file` of object code that has `data_bytes` in its file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is none, or does not fit.
    pub fn read(file: &Utf8Path, data_bytes: u64) -> Result<Self, Error> {
        let corrupt = |reason: String| Error::corrupt(file, reason);
        let json = regular_file::read(file.as_std_path(), MAX_BYTES)?;
        let index: Self =
            serde_json::from_slice(&json).map_err(|error| corrupt(error.to_string()))?;
        if index.schema != SCHEMA {
            let reason = format!("its format is {}, and only {SCHEMA} is known", index.schema);
            return Err(corrupt(reason));
        }
        let mut frames = index.frames.iter();
        let bytes = frames.try_fold(0_u64, |sum, frame| sum.checked_add(frame.bytes));
        if bytes != Some(data_bytes) {
            let reason = format!("it is not that of a file of {data_bytes} bytes");
            return Err(corrupt(reason));
        }
        Ok(index)
    }

    /// Its text.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("digests and numbers are JSON")
    }

    /// All of its object code.
    pub fn archives(&self) -> impl Iterator<Item = &ObjectCode> {
        self.frames.iter().flat_map(|frame| &frame.archives)
    }
}
