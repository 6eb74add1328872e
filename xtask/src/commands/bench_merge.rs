//! `cargo xtask bench merge`: our merge of packs against `cp -rn`, as the usual recipe merges the caches of providers.
//!
//! `cp` gets the caches unpacked, which is not counted; ours starts from the compressed packs. Both end when all is on
//! the disk, and both start with a disk that has nothing else to do. Who is first changes from round to round.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

use crate::host;
use crate::merge::{self, GO_BUILD, GO_MOD, Record};
use crate::owners::relative;
use crate::pack::Pack;
use crate::progress::{human_bytes, millis};
use crate::root_fs;
use crate::work::{Work, remove_tree};

/// Times of one way, in milliseconds, one for each round.
#[derive(Debug, Default)]
struct Times {
    total_ms: Vec<u64>,
}

/// Unpacks the packs, merges them both ways and prints the times.
pub fn run(folders: &[Utf8PathBuf], rounds: u16) -> Result<()> {
    let work = Work::open()?;
    let scratch = work.scratch("merge")?;
    let mut trees = Vec::new();
    for folder in folders {
        trees.push(unpacked(&Pack::read(folder)?, scratch.path())?);
    }
    let (copied, merged) = (scratch.path().join("copied"), scratch.path().join("merged"));
    let (mut cp, mut ours) = (Times::default(), Times::default());
    let mut record = None;
    for round in 0..rounds {
        for is_ours in [round % 2 == 1, round % 2 == 0] {
            if is_ours {
                remove_tree(&merged)?;
                let (ms, made) = timed(|| merge_packs(folders, &merged))?;
                ours.total_ms.push(ms);
                record = Some(made);
            } else {
                remove_tree(&copied)?;
                let (ms, ()) = timed(|| copy(&trees, &copied))?;
                cp.total_ms.push(ms);
            }
        }
    }
    let record = record.context("there was no round")?;
    let (in_copy, in_merged) = (count(&copied)?, count(&merged)?);
    if in_copy != in_merged {
        bail!("`cp -rn` made {in_copy:?} files and bytes, the merge {in_merged:?}");
    }
    println!("{}", table(&cp, &ours, &record));
    Ok(())
}

/// The caches of `pack` as a provider's build would have left them.
fn unpacked(pack: &Pack, scratch: &Utf8Path) -> Result<Utf8PathBuf> {
    let root = scratch.join("root");
    fs_err::create_dir(&root)?;
    root_fs::unpack(&pack.layers(), &root)?;
    let tree = scratch.join("trees").join(&pack.manifest.name);
    fs_err::create_dir_all(&tree)?;
    let identity = &pack.manifest.identity;
    for (cache, name) in [
        (&identity.gomodcache, GO_MOD),
        (&identity.gocache, GO_BUILD),
    ] {
        let cache = root.join(relative(Utf8Path::new(cache)));
        if cache.is_dir() {
            fs_err::rename(cache, tree.join(name))?;
        }
    }
    remove_tree(&root)?;
    Ok(tree)
}

/// How long `work` takes, after the disk has come to rest.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(u64, T)> {
    rustix::fs::sync();
    let started = Instant::now();
    let done = work()?;
    Ok((millis(started), done))
}

fn copy(trees: &[Utf8PathBuf], to: &Utf8Path) -> Result<()> {
    fs_err::create_dir(to)?;
    for tree in trees {
        host::run(host::command("cp").args(["-rn", &format!("{tree}/."), to.as_str()]))?;
    }
    rustix::fs::syncfs(fs_err::File::open(to)?).with_context(|| format!("failed to sync {to}"))
}

fn merge_packs(folders: &[Utf8PathBuf], to: &Utf8Path) -> Result<Record> {
    let packs = folders
        .iter()
        .map(|folder| Pack::read(folder))
        .collect::<Result<Vec<_>>>()?;
    Ok(merge::merge(&packs, to)?.record)
}

/// Files below `folder` and their bytes, without the record of a merge.
fn count(folder: &Utf8Path) -> Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for cache in [GO_MOD, GO_BUILD] {
        for entry in walkdir::WalkDir::new(folder.join(cache)) {
            let metadata = entry
                .and_then(|entry| entry.metadata())
                .with_context(|| format!("failed to list {folder}"))?;
            if metadata.is_file() {
                files += 1;
                bytes += metadata.len();
            }
        }
    }
    Ok((files, bytes))
}

impl Times {
    fn median(&self) -> u64 {
        let mut sorted = self.total_ms.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    fn row(&self, name: &str, verified: String) -> [String; 4] {
        let seconds = |ms: u64| format!("{:.2} s", ms as f64 / 1000.0);
        let rounds: Vec<String> = self.total_ms.iter().map(|ms| seconds(*ms)).collect();
        [
            name.to_owned(),
            seconds(self.median()),
            rounds.join(", "),
            verified,
        ]
    }
}

fn table(cp: &Times, ours: &Times, record: &Record) -> comfy_table::Table {
    let mut table = crate::summary::table(&["", "median", "rounds", "verified"]);
    table.add_row(cp.row("cp -rn, from unpacked caches", "nothing".to_owned()));
    table.add_row(ours.row(
        "merge, from packs",
        format!(
            "every layer, and each of {} files ({}) while it was written",
            record.files,
            human_bytes(record.size_bytes)
        ),
    ));
    table.add_row([
        "cp / merge".to_owned(),
        format!("{:.2}", cp.median() as f64 / ours.median().max(1) as f64),
        String::new(),
        String::new(),
    ]);
    table
}
