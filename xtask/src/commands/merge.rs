//! `cargo xtask merge`: packs into one tree of caches.

use anyhow::Result;

use crate::cli;
use crate::given_packs::GivenPacks;
use crate::merge::{self, GO_BUILD, GO_MOD, Record};
use crate::progress::{Kind, Progress, human_bytes};
use crate::warm::COMMON;
use crate::work::Work;

/// Conflicts that are shown; the file beside the caches has them all.
const SHOWN: usize = 20;

/// Reads and merges the packs, and prints what came of it.
pub fn run(flags: &cli::Merge) -> Result<()> {
    let work = Work::open()?;
    let mut progress = Progress::default();
    let merged = progress.step("merge", Kind::Local, |step| {
        let mut given = GivenPacks::new(&work, flags.insecure, step);
        merge::merge(&given.caches(&flags.packs)?, &flags.out)
    })?;
    let record = &merged.record;
    println!("{}", table(record));
    for conflict in record.conflicts.iter().take(SHOWN) {
        let (taken, others) = conflict
            .packs
            .split_first()
            .map_or(("", &[][..]), |(taken, others)| (taken.as_str(), others));
        println!(
            "conflict: {} is {taken}'s, not that of {}",
            conflict.path,
            others.join(", ")
        );
    }
    if record.conflicts.len() > SHOWN {
        println!(
            "and {} more conflicts; {} lists them all",
            record.conflicts.len() - SHOWN,
            flags.out.join(merge::MARKER)
        );
    }
    if record.packs.iter().all(|pack| pack.name != COMMON) {
        eprintln!(
            "warning: {COMMON} is not among the packs; without it most of what they were built on is missing"
        );
    }
    let out = &flags.out;
    if let Some(damage) = &merged.damage {
        println!("{out} was made anew: {damage}");
    } else if merged.was_made {
        println!("{out}/{GO_MOD} and {out}/{GO_BUILD} are complete");
    } else {
        println!("{out} holds exactly these packs already; nothing to do");
    }
    Ok(())
}

fn table(record: &Record) -> comfy_table::Table {
    let header = ["pack", "files", "bytes", "shared with others", "conflicts"];
    let mut table = crate::summary::table(&header);
    for pack in &record.packs {
        table.add_row([
            pack.name.clone(),
            pack.files.to_string(),
            human_bytes(pack.size_bytes),
            pack.shared.to_string(),
            pack.conflicts.to_string(),
        ]);
    }
    table.add_row([
        "merged".to_owned(),
        record.files.to_string(),
        human_bytes(record.size_bytes),
        record.shared.to_string(),
        record.conflicts.len().to_string(),
    ]);
    table
}
