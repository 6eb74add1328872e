//! Reproducible layers: a tar, compressed and hashed in one pass. What goes in decides every byte that comes out.

mod blob;
mod compression;
mod description;
mod writer;
pub mod zstd_settings;

pub use self::blob::{reader, transcode};
pub use self::compression::{Compression, CompressionSettings};
pub use self::description::{Layer, LayerBlob};
pub use self::writer::{LayerWriter, Meta};
