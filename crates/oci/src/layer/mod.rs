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

/// Bits by which a file gives its owner's or group's rights to whoever runs it. No layer of ours has them, and none is
/// unpacked with them: root unpacks files of root, where other users of the machine may be.
pub(crate) const SET_ID: u32 = 0o6000;
