//! What is known of a layer without reading it.

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use super::compression::Compression;

/// A layer blob in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// How it is compressed.
    pub compression: Compression,
    /// SHA-256 of the blob.
    pub digest: Sha256Hash,
    /// Size of the blob in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the uncompressed tar.
    pub diff_id: Sha256Hash,
    /// Size of the uncompressed tar in bytes.
    pub uncompressed_bytes: u64,
}

/// A layer, and where its blob is.
#[derive(Debug, Clone)]
pub struct LayerBlob {
    /// The blob.
    pub blob: Utf8PathBuf,
    /// Its digests and sizes.
    pub layer: Layer,
}
