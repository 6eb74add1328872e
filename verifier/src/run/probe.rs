//! A fixed amount of work for CPU and disk: how fast this machine is at this moment, whatever Go is like.

use std::io::Write as _;
use std::time::Instant;

use anyhow::Context as _;
use gocache::Sha256Hash;

use crate::process::rounded;

/// Bytes that are hashed.
const HASHED: usize = 16 << 20;
/// Files that are written, read and removed, of 4 KiB each.
const FILES: usize = 500;

/// Does the work, and returns how long it took in milliseconds.
pub fn run() -> anyhow::Result<f64> {
    let folder = tempfile::Builder::new().prefix("verifier-probe-").tempdir();
    let folder = folder.context("failed to make a temporary folder for the probe")?;
    let block = vec![0x5a_u8; HASHED];
    let started = Instant::now();
    let mut sum = u64::from(Sha256Hash::of(&block).as_bytes()[0]);
    for number in 0..FILES {
        let path = folder.path().join(number.to_string());
        fs_err::File::create_new(&path)?.write_all(&block[..4096])?;
        sum += fs_err::read(&path)?.len() as u64;
    }
    // Used, so that none of it is optimised away.
    std::hint::black_box(sum);
    Ok(rounded(started.elapsed().as_secs_f64() * 1_000.0))
}
