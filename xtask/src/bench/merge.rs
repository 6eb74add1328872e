//! `cargo xtask bench merge`: our merge of packs against `cp -rn`, as the usual recipe merges the caches of providers.
//!
//! `cp` gets the caches unpacked, which is not counted; ours starts from the compressed packs. Both end when all is on
//! the disk, and both start with a disk that has nothing else to do. Who is first changes from round to round, and
//! nothing is removed before the end: ext4 searches long for a place among what was just deleted.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use xshell::{Shell, cmd};

use engine::host;
use engine::progress::{Kind, Progress, Step, cpu_ms, human_bytes, millis};
use oci::unpack::unpack_layers;
use pipeline::merge;
use pipeline::merge::{GO_BUILD, GO_MOD, Record};
use pipeline::owners::relative;
use pipeline::pack::KeptPack;
use pipeline::pack::sources::PackSources;
use pipeline::work::Work;
use pipeline::work::files::remove_tree;

/// One merge, measured; all in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Round {
    /// Until every file was written.
    written: u64,
    /// Until it was on the disk, too.
    on_disk: u64,
    /// CPU time of all threads and processes.
    cpu: u64,
}

/// One of the times of a round.
type Field = fn(&Round) -> u64;

type Rounds = Vec<Round>;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Packs, as `merge` takes them
    #[arg(value_name = "PACK", required = true)]
    packs: Vec<String>,
    /// How often each of the two is measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
}

/// Unpacks the packs, merges them both ways and prints the times.
pub fn run(args: &Args) -> Result<()> {
    let work = Work::open()?;
    let mut progress = Progress::default();
    let table = progress.step("merge", Kind::Local, |step| {
        let mut sources = PackSources::new(&work, false, step);
        measure(&work, &sources.caches(&args.packs)?, args.rounds, step)
    })?;
    println!("{table}");
    Ok(())
}

fn measure(
    work: &Work,
    packs: &[KeptPack],
    rounds: u16,
    step: &Step,
) -> Result<comfy_table::Table> {
    let scratch = work.scratch("merge")?;
    let mut trees = Vec::new();
    for pack in packs {
        trees.push(unpacked(pack, scratch.path())?);
    }
    let place = |way: &str, round| scratch.path().join(format!("{way}-{round}"));
    let (mut cp, mut ours) = (Rounds::new(), Rounds::new());
    let mut record = None;
    for round in 0..rounds {
        step.detail(format!("{} of {rounds}", round + 1));
        for is_ours in [round % 2 == 1, round % 2 == 0] {
            if is_ours {
                let (made, time) = timed(|| merge_packs(packs, &place("merged", round)))?;
                ours.push(time);
                record = Some(made);
            } else {
                cp.push(timed(|| copy(&trees, &place("copied", round)))?.1);
            }
        }
        let (copied, merged) = (
            count(&place("copied", round))?,
            count(&place("merged", round))?,
        );
        if copied != merged {
            bail!("`cp -rn` made {copied:?} files and bytes, the merge {merged:?}");
        }
    }
    let record = record.context("there was no round")?;
    Ok(table(&cp, &ours, &record))
}

/// The caches of `pack` as a provider's build would have left them.
fn unpacked(pack: &KeptPack, scratch: &Utf8Path) -> Result<Utf8PathBuf> {
    let root = scratch.join("root");
    fs_err::create_dir(&root)?;
    unpack_layers(&pack.layers(), &root)?;
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

/// Measures `work`, which says how much of its time was the disk's, after the disk has come to rest.
fn timed<T>(work: impl FnOnce() -> Result<(T, Duration)>) -> Result<(T, Round)> {
    rustix::fs::sync();
    let (started, cpu) = (Instant::now(), cpu_ms());
    let (done, sync) = work()?;
    let on_disk = millis(started);
    let sync = u64::try_from(sync.as_millis()).unwrap_or(u64::MAX);
    let round = Round {
        written: on_disk.saturating_sub(sync),
        on_disk,
        cpu: cpu_ms().saturating_sub(cpu),
    };
    Ok((done, round))
}

fn copy(trees: &[Utf8PathBuf], to: &Utf8Path) -> Result<((), Duration)> {
    fs_err::create_dir(to)?;
    let sh = Shell::new()?;
    for tree in trees {
        host::run(cmd!(sh, "cp -rn {tree}/. {to}"))?;
    }
    let started = Instant::now();
    rustix::fs::syncfs(fs_err::File::open(to)?).with_context(|| format!("failed to sync {to}"))?;
    Ok(((), started.elapsed()))
}

fn merge_packs(packs: &[KeptPack], to: &Utf8Path) -> Result<(Record, Duration)> {
    let merged = merge::merge(packs, to)?;
    Ok((merged.record, merged.sync))
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

/// The median of what `of` takes from each round.
fn median(rounds: &Rounds, of: impl Fn(&Round) -> u64) -> u64 {
    let mut sorted: Vec<u64> = rounds.iter().map(of).collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn table(cp: &Rounds, ours: &Rounds, record: &Record) -> comfy_table::Table {
    let seconds = |ms: u64| format!("{:.2} s", ms as f64 / 1000.0);
    let header = [
        "",
        "cp -rn, from unpacked caches",
        "merge, from packs",
        "cp / merge",
    ];
    let mut table = pipeline::summary::table(&header);
    let rows: [(&str, Field); 3] = [
        ("until written", |round| round.written),
        ("until on the disk", |round| round.on_disk),
        ("CPU time", |round| round.cpu),
    ];
    for (name, of) in rows {
        let (one, other) = (median(cp, of), median(ours, of));
        let shown = |rounds: &Rounds, median| {
            let rounds: Vec<String> = rounds.iter().map(|round| seconds(of(round))).collect();
            format!("{} ({})", seconds(median), rounds.join(", "))
        };
        table.add_row([
            name.to_owned(),
            shown(cp, one),
            shown(ours, other),
            format!("{:.2}", one as f64 / other.max(1) as f64),
        ]);
    }
    table.add_row([
        "verified".to_owned(),
        "nothing".to_owned(),
        format!(
            "every layer and {} files ({})",
            record.files,
            human_bytes(record.size_bytes)
        ),
        String::new(),
    ]);
    table
}
