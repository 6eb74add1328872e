//! `cargo xtask bench throughput`: how fast entries are hashed, sealed and packed, against merely reading them.

use std::io::Read as _;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::Store;
use rayon::prelude::*;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sha256::Sha256Hash;

use oci::layer::{Compression, LayerWriter};
use pipeline::image_toml::ImageToml;
use pipeline::owners::Owners;
use pipeline::work::Work;
use pipeline::workspace::image_toml;

/// Enough entries to measure by.
const MEGABYTES: u64 = 512;
/// Size of one entry: about that of a compiled package.
const ENTRY_BYTES: u64 = 1 << 20;

#[derive(Debug, Serialize)]
struct Line {
    what: &'static str,
    mb_per_s: f64,
    /// Time against that of reading the same files.
    times_reading: f64,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Megabytes of entries
    #[arg(long, default_value_t = MEGABYTES)]
    megabytes: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Makes entries in a scratch folder and measures.
pub fn run(args: &Args) -> Result<()> {
    let Args { megabytes, json } = *args;
    let image = ImageToml::read(&image_toml())?;
    let work = Work::open()?;
    let scratch = work.scratch("throughput")?;
    let store = Store::create(&scratch.path().join("go-build"))?;
    let paths = fill(&store, megabytes)?;
    let bytes = paths.len() as u64 * ENTRY_BYTES;

    let reading = timed(|| paths.par_iter().try_for_each(|path| read(path)))?;
    let hashing = timed(|| {
        paths
            .par_iter()
            .try_for_each(|path| Ok(sha256::hash_file(path).map(drop)?))
    })?;
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(image.image.cache_entry_time);
    let sealing = timed(|| Ok(store.seal(time).map(drop)?))?;
    let packing = timed(|| pack(&image, &paths, &scratch.path().join("layer")))?;

    let lines: Vec<Line> = [
        ("read", reading),
        ("hash", hashing),
        ("seal", sealing),
        ("pack (one layer)", packing),
    ]
    .map(|(what, time)| Line {
        what,
        mb_per_s: bytes as f64 / 1e6 / time.as_secs_f64(),
        times_reading: time.as_secs_f64() / reading.as_secs_f64(),
    })
    .into();
    if json {
        println!("{}", serde_json::to_string_pretty(&lines)?);
        return Ok(());
    }
    for line in lines {
        println!(
            "{:<18} {:>8.0} MB/s  {:>6.1} times as long as reading",
            line.what, line.mb_per_s, line.times_reading
        );
    }
    Ok(())
}

/// Entries that compress about as well as compiled packages: half noise, half repetition.
fn fill(store: &Store, megabytes: u64) -> Result<Vec<Utf8PathBuf>> {
    (0..megabytes)
        .into_par_iter()
        .map(|number| {
            let mut content = Vec::new();
            let mut block = Sha256::digest(number.to_le_bytes());
            while (content.len() as u64) < ENTRY_BYTES {
                block = Sha256::digest(block);
                content.extend_from_slice(&block);
                content.extend_from_slice(&[b'.'; 32]);
            }
            let action = Sha256Hash::of(&number.to_le_bytes());
            let entry = store.put_reader(&action, None, ENTRY_BYTES, content.as_slice(), 0)?;
            Ok(store.output_path(&entry.output))
        })
        .collect()
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed())
}

fn read(path: &Utf8Path) -> Result<()> {
    let mut buffer = vec![0; 1 << 17];
    let mut file = fs_err::File::open(path)?;
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

fn pack(image: &ImageToml, paths: &[Utf8PathBuf], blob: &Utf8Path) -> Result<()> {
    let owners = Owners(image);
    let mut layer =
        LayerWriter::create(blob, Compression::Zstd, image.layers, |path: &Utf8Path| {
            owners.folder(path)
        })?;
    for path in paths {
        let name = Utf8Path::new("var/cache/go-build")
            .join(path.file_name().context("an entry has a name")?);
        layer.file(&name, path, owners.file(&name, false))?;
    }
    layer.finish().map(drop)
}
