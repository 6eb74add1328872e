//! A fixed amount of work for CPU and file system: how fast this machine is at this moment, whatever Go is like.
//!
//! Nearly all of it is one thread hashing: of the candidates measured beside the go command on a busy machine (hashing
//! with one thread and with two, reading a thousand small files, starting processes, touching new memory, filling
//! a map, and sums of these) its time went most closely with that of `go list` and `go build`, and on a quiet one it
//! varies by one per cent. Starting processes and touching memory vary several times as much as the go command does.
//! The small files are there for a file system that has become slow; they are written before the clock starts, because
//! what a write costs depends on what else is still to be written.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Context as _;
use gocache::Sha256Hash;

use crate::process::rounded;

/// What is hashed, over and over.
const BLOCK: usize = 1 << 20;
/// How often: some 60 ms, so that a few milliseconds more or less, as any process waits for the CPU, are lost in it.
const BLOCKS: usize = 96;
/// Files that are read, of 4 KiB each, about as many as a build opens.
const FILES: usize = 500;

/// Does the work, and returns how long it took in milliseconds.
pub fn run() -> anyhow::Result<f64> {
    let folder = tempfile::Builder::new().prefix("verifier-probe-").tempdir();
    let folder = folder.context("failed to make a temporary folder for the probe")?;
    let block = vec![0x5a_u8; BLOCK];
    let files: Vec<_> = (0..FILES)
        .map(|number| folder.path().join(number.to_string()))
        .collect();
    for file in &files {
        fs_err::write(file, &block[..4096])?;
    }
    let started = Instant::now();
    for _ in 0..BLOCKS {
        // Used, so that none of it is optimised away.
        black_box(Sha256Hash::of(black_box(&block)));
    }
    for file in &files {
        black_box(fs_err::read(file)?);
    }
    Ok(rounded(started.elapsed().as_secs_f64() * 1_000.0))
}
