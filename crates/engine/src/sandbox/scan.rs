//! Standard error that is too long to be kept, read as it comes.

use std::io::{BufRead, BufReader, Read};

use anyhow::Result;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 1 << 16;

/// Gives `stderr` to `scan`, and reads what that left: a full pipe must not block the command.
pub fn scan_all<T>(
    stderr: impl Read,
    scan: impl FnOnce(&mut dyn BufRead) -> Result<T>,
) -> Result<T> {
    let mut stderr = BufReader::with_capacity(BUFFER_BYTES, stderr);
    let scanned = scan(&mut stderr);
    std::io::copy(&mut stderr, &mut std::io::sink())?;
    scanned
}
