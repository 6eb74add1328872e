//! `cargo xtask merge`: packs into one tree of caches.

use anyhow::Result;
use camino::Utf8PathBuf;

use engine::progress::{Kind, Progress, human_bytes};
use pipeline::merge;
use pipeline::merge::{GO_BUILD, GO_MOD, Record};
use pipeline::names::{COMMON, REST};
use pipeline::pack::sources::PackSources;
use pipeline::work::Work;

/// Conflicts that are shown; the file beside the caches has them all.
const SHOWN: usize = 20;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Packs in any order, as `assemble` takes them, all made with the same settings
    #[arg(value_name = "PACK", required = true)]
    pub packs: Vec<String>,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    pub insecure: bool,
    /// Where go-mod and go-build go; a folder that an earlier merge made is replaced
    #[arg(long, value_name = "DIR", default_value = "merged-cache")]
    pub out: Utf8PathBuf,
}

/// Reads and merges the packs, and prints what came of it.
pub fn run(flags: &Args) -> Result<()> {
    let work = Work::open()?;
    let mut progress = Progress::default();
    let (merged, has_rest) = progress.step("merge", Kind::Local, |step| {
        let mut sources = PackSources::new(&work, flags.insecure, step);
        let packs = sources.caches(&flags.packs)?;
        Ok((merge::merge(&packs, &flags.out)?, sources.has_rest()))
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
    let names: Vec<&str> = record.packs.iter().map(|pack| pack.name.as_str()).collect();
    for missing in missing(&names, has_rest) {
        eprintln!("warning: {missing}");
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

/// What a tree of these packs is without, where `has_rest` says that there is a pack `rest` beside them.
fn missing(names: &[&str], has_rest: bool) -> Vec<String> {
    let without_common = "without it most of what they were built on is missing";
    let without_rest = format!(
        "without it Go modules that go.mods require and no provider loads have no packages; make it with \
         `cargo xtask warm --provider {REST}`"
    );
    let needed = [
        (COMMON, true, without_common),
        (REST, has_rest, &without_rest),
    ];
    let missing = needed
        .into_iter()
        .filter(|(name, is_needed, _)| *is_needed && !names.contains(name));
    missing
        .map(|(name, _, without)| format!("{name} is not among the packs; {without}"))
        .collect()
}

fn table(record: &Record) -> comfy_table::Table {
    let header = ["pack", "files", "bytes", "shared with others", "conflicts"];
    let mut table = pipeline::summary::table(&header);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_packs_need_and_was_not_named_is_told() {
        let names = |names: &[&str], has_rest| -> Vec<String> {
            let missing = missing(names, has_rest).into_iter();
            let first = missing.map(|text| text.split(' ').next().unwrap_or_default().to_owned());
            first.collect()
        };
        assert!(names(&["common", "aws"], false).is_empty());
        assert!(names(&["common", "rest"], true).is_empty());
        assert_eq!(names(&["common", "aws"], true), ["rest"]);
        assert_eq!(names(&["aws"], true), ["common", "rest"]);
    }
}
