//! `cargo xtask matrix`: the jobs of a workflow, as JSON for `fromJSON`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use crate::cli;
use crate::failure::usage;
use crate::given;
use crate::matrix::{self, ProviderTime, Times};
use crate::out;
use crate::pack::Timings;
use crate::warm::COMMON;

/// Prints the matrix, or records times for later ones.
pub fn run(flags: &cli::Matrix) -> Result<()> {
    if let Some(summary) = &flags.record {
        let file = flags.times.as_deref();
        let file = file.context("--record writes to the file of --times")?;
        return record(summary, file);
    }
    let source = given::source(&flags.source)?;
    let modules = given::discover(&source)?.modules;
    let providers = given::select(&modules, &flags.providers)?;
    let times = Times::read(flags.times.as_deref())?;
    let limit = flags
        .minutes
        .map(|it| Duration::from_secs(60 * u64::from(it)));
    let include = matrix::jobs(&modules, &providers, &times, limit)?;
    println!("{}", serde_json::json!({ "include": include }));
    Ok(())
}

/// What of a `summary.json` tells how long packs took.
#[derive(Deserialize)]
struct Recorded {
    packs: Vec<RecordedPack>,
}

#[derive(Deserialize)]
struct RecordedPack {
    name: String,
    timings: Timings,
    #[serde(default)]
    modules_ms: BTreeMap<Utf8PathBuf, u64>,
}

fn record(summary: &Utf8Path, file: &Utf8Path) -> Result<()> {
    let recorded: Recorded = serde_json::from_slice(&fs_err::read(summary)?).map_err(|error| {
        usage(format!(
            "{summary} is no summary of `cargo xtask base-image`: {error}"
        ))
    })?;
    let of_provider = |pack: RecordedPack| {
        let time = ProviderTime {
            total_ms: pack.timings.total_ms(),
            modules_ms: pack.modules_ms,
        };
        (pack.name, time)
    };
    let packs = recorded.packs.into_iter();
    let times = Times {
        providers: packs
            .filter(|pack| pack.name != COMMON)
            .map(of_provider)
            .collect(),
    };
    let mut json = serde_json::to_string_pretty(&times)?;
    json.push('\n');
    out::write_file(file, json.as_bytes())
}
