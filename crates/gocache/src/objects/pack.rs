//! Compresses object code, in frames that can be read by themselves.

use std::io::{Read as _, Seek as _, SeekFrom, Write};

use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use zstd::bulk::Compressor;

use super::index::{Frame, Index};
use super::store::ExportOnly;
use crate::Error;
use crate::frames;

/// Unpacked length at which a frame ends: large enough to find in it what one API's versions have in common, small
/// enough for a link to unpack little that it does not need.
const FRAME_BYTES: u64 = 32 << 20;

/// log2 of the largest window.
const MAX_WINDOW_LOG: u32 = 26;

/// Writes the object code of `archives`, whose whole ones are where `whole` says, to `data`. The order decides how well
/// it compresses; the bytes do not depend on the number of processors.
pub fn pack(
    archives: &[ExportOnly],
    whole: impl Fn(&ExportOnly) -> Utf8PathBuf + Sync,
    level: i32,
    data: &Utf8Path,
) -> Result<Index, Error> {
    let mut out = fs_err::File::create_new(data)?;
    let mut index = Vec::new();
    let frames = frames(archives);
    for some in frames.chunks(rayon::current_num_threads()) {
        let compressed: Vec<Result<Vec<u8>, Error>> = some
            .par_iter()
            .map(|archives| compress(archives, &whole, level))
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
    level: i32,
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
    let mut compressor = Compressor::new(level)?;
    for parameter in frames::parameters(level, content.len() as u64, MAX_WINDOW_LOG) {
        compressor.set_parameter(parameter)?;
    }
    Ok(compressor.compress(&content)?)
}
