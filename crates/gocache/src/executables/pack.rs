//! Compresses executables, each so that it can be unpacked without the others, or with the first one alone.
//!
//! Programs of one provider share nearly all of their code. One stream would find all of it, and unpacking an
//! executable would take all before it. So each refers to the first one, where that makes it smaller.

use std::io::Write;

use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use zstd::stream::write::Encoder;

use super::index::{Executable, Index};
use crate::frames;
use crate::{ActionEntry, Error, Store};

/// log2 of the largest window that every reader accepts.
pub(super) const MAX_WINDOW_LOG: u32 = 27;

/// An executable in a build cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linked {
    /// Where `go build` is run for it, relative to the source.
    pub program: Utf8PathBuf,
    /// Its entry.
    pub entry: ActionEntry,
}

/// Writes `executables` of the cache `store` to `data`. The bytes do not depend on the number of processors.
pub fn pack(
    store: &Store,
    executables: &[Linked],
    level: i32,
    data: &Utf8Path,
) -> Result<Index, Error> {
    let read = |linked: &Linked| -> Result<Vec<u8>, Error> {
        let path = store.output_path(&linked.entry.output);
        let content = fs_err::read(&path)?;
        if content.len() as u64 != linked.entry.size_bytes {
            return Err(Error::corrupt(path, "it changed while it was packed"));
        }
        Ok(content)
    };
    let mut out = fs_err::File::create_new(data)?;
    let mut frames = Vec::new();
    let first = executables.first().map(&read).transpose()?;
    // Two at a time: each takes the memory of its tables, and of two executables.
    for some in executables.chunks(rayon::current_num_threads().min(2)) {
        let compressed: Vec<Result<_, Error>> = some
            .par_iter()
            .map(|linked| {
                let content = read(linked)?;
                let is_first = executables.first() == Some(linked);
                let first = first.as_deref().filter(|_| !is_first);
                Ok(smallest(&content, first, level)?)
            })
            .collect();
        for (linked, frame) in some.iter().zip(compressed) {
            let (frame, after_first) = frame?;
            out.write_all(&frame)?;
            let ActionEntry {
                action,
                output,
                size_bytes,
                time_unix_ns,
            } = linked.entry;
            frames.push(Executable {
                bytes: frame.len() as u64,
                program: linked.program.clone(),
                action,
                output,
                size_bytes,
                time_unix_ns,
                after_first,
            });
        }
    }
    Ok(Index::new(frames))
}

/// `content` compressed, and whether it refers to `first`.
fn smallest(content: &[u8], first: Option<&[u8]>, level: i32) -> std::io::Result<(Vec<u8>, bool)> {
    let alone = compress(content, &[], level)?;
    let both = |first: &[u8]| (first.len() + content.len()) as u64;
    let Some(first) = first.filter(|first| both(first) <= 1 << MAX_WINDOW_LOG) else {
        return Ok((alone, false));
    };
    let after_first = compress(content, first, level)?;
    // To unpack the first one beforehand takes time.
    let pays = after_first.len() < alone.len() / 4 * 3;
    Ok(if pays {
        (after_first, true)
    } else {
        (alone, false)
    })
}

fn compress(content: &[u8], first: &[u8], level: i32) -> std::io::Result<Vec<u8>> {
    let mut encoder = Encoder::with_ref_prefix(Vec::new(), level, first)?;
    let bytes = (first.len() + content.len()) as u64;
    for parameter in frames::parameters(level, bytes, MAX_WINDOW_LOG) {
        encoder.set_parameter(parameter)?;
    }
    encoder.set_pledged_src_size(Some(content.len() as u64))?;
    encoder.include_contentsize(true)?;
    encoder.write_all(content)?;
    encoder.finish()
}
