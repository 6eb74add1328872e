//! Compresses object code, in frames that can be read by themselves.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write};

use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::index::{Frame, Index};
use super::store::ExportOnly;
use crate::Error;

/// Unpacked length at which a frame ends: large enough to find in it what one API's versions have in common, small enough
/// for a link to unpack little that it does not need.
const FRAME_BYTES: u64 = 32 << 20;

/// log2 of the window, and so of the memory that a reader needs.
const WINDOW_LOGS: std::ops::RangeInclusive<u32> = 20..=26;

/// Levels that find what lies far apart once their tables are large; higher ones weigh their finds, which takes smaller
/// tables and samples of what lies far apart.
const WITH_TABLES: std::ops::RangeInclusive<i32> = 5..=15;

/// log2 of the entries of those tables; 0.13 GB for each frame under way.
const TABLE_LOG: u32 = 24;

/// How object code is compressed.
#[derive(Debug, Clone, Copy)]
pub struct Compression {
    /// zstd's level.
    pub level: i32,
}

/// Writes the object code of `archives`, whose whole ones are where `whole` says, to `data`. The order decides how well it
/// compresses; the bytes do not depend on the number of processors.
pub fn pack(
    archives: &[ExportOnly],
    whole: impl Fn(&ExportOnly) -> Utf8PathBuf + Sync,
    compression: Compression,
    data: &Utf8Path,
) -> Result<Index, Error> {
    let mut out = fs_err::File::create_new(data)?;
    let mut index = Vec::new();
    let frames = frames(archives);
    for some in frames.chunks(rayon::current_num_threads()) {
        let compressed: Vec<Result<Vec<u8>, Error>> = some
            .par_iter()
            .map(|archives| compress(archives, &whole, compression))
            .collect();
        for (archives, frame) in some.iter().zip(compressed) {
            let frame = frame?;
            out.write_all(&frame)?;
            index.push(Frame {
                bytes: frame.len() as u64,
                archives: archives.iter().map(ExportOnly::object_code).collect(),
            });
        }
    }
    Ok(Index::new(index))
}

/// `archives`, in groups that are compressed together.
fn frames(archives: &[ExportOnly]) -> Vec<&[ExportOnly]> {
    let mut frames = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, archive) in archives.iter().enumerate() {
        bytes += archive.object_code().bytes;
        if bytes >= FRAME_BYTES {
            frames.push(&archives[start..=index]);
            (start, bytes) = (index + 1, 0);
        }
    }
    if start < archives.len() {
        frames.push(&archives[start..]);
    }
    frames
}

fn compress(
    archives: &[ExportOnly],
    whole: impl Fn(&ExportOnly) -> Utf8PathBuf,
    compression: Compression,
) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    for archive in archives {
        let mut file = fs_err::File::open(whole(archive))?;
        file.seek(SeekFrom::Start(archive.export_bytes))?;
        let read = file.read_to_end(&mut content)? as u64;
        let expected = archive.object_code().bytes;
        if read != expected {
            let reason = format!("it changed while it was packed: {read} bytes, not {expected}");
            return Err(Error::corrupt(whole(archive), reason));
        }
    }
    Ok(compressor(compression, content.len())?.compress(&content)?)
}

/// A compressor for `bytes`.
fn compressor(compression: Compression, bytes: usize) -> io::Result<Compressor<'static>> {
    let level = compression.level;
    let mut compressor = Compressor::new(level)?;
    let log = bytes.next_power_of_two().ilog2();
    compressor.window_log(log.clamp(*WINDOW_LOGS.start(), *WINDOW_LOGS.end()))?;
    compressor.include_checksum(true)?;
    if WITH_TABLES.contains(&level) {
        compressor.set_parameter(CParameter::HashLog(TABLE_LOG.min(log)))?;
        compressor.set_parameter(CParameter::ChainLog(TABLE_LOG.min(log)))?;
    } else {
        compressor.long_distance_matching(true)?;
    }
    Ok(compressor)
}
