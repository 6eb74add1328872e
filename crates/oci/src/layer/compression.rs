//! How layers are compressed, and how hard.

use serde::{Deserialize, Serialize};

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Small and fast; read by containerd, Docker from 23, podman and skopeo.
    Zstd,
    /// For older readers.
    Gzip,
}

/// How blobs are compressed. Whoever derives keys from its JSON relies on the names and the order of its fields.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CompressionSettings {
    /// Level of zstd.
    pub zstd_level: i32,
    /// log2 of zstd's window in bytes.
    pub zstd_window_log: u32,
    /// log2 of the entries of the tables in which zstd looks for repetitions.
    pub zstd_table_log: u32,
    /// Level of gzip.
    pub gzip_level: u32,
}
