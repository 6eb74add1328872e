//! `cargo xtask matrix`: the jobs of a workflow, as JSON for `fromJSON`.

use crate::flags::Platforms;
use crate::source::Selection;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use failure::usage;
use pipeline::names::{COMMON, REST};
use pipeline::pack::manifest::Timings;
use pipeline::pack::matrix;
use pipeline::pack::matrix::{ProviderTime, Times};
use pipeline::work::out;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub platforms: Platforms,
    /// Description of the image, which may say where modules are
    #[arg(long, value_name = "FILE")]
    pub image: Option<Utf8PathBuf>,
    /// Divide providers that would take longer than this
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub minutes: Option<u16>,
    /// Recorded times [default: those of the catalog]
    #[arg(long, value_name = "FILE")]
    pub times: Option<Utf8PathBuf>,
    /// Record the times of this `summary.json` in the file of --times, and print nothing
    #[arg(long, value_name = "SUMMARY", requires = "times")]
    pub record: Option<Utf8PathBuf>,
}

/// Prints the matrix, or records times for later ones.
pub fn run(flags: &Args) -> Result<()> {
    if let Some(summary) = &flags.record {
        let file = flags.times.as_deref();
        let file = file.context("--record writes to the file of --times")?;
        return record(summary, file);
    }
    let (_, modules, providers) = flags.selection.read(flags.image.as_deref())?;
    let times = Times::read(flags.times.as_deref())?;
    let limit = flags
        .minutes
        .map(|it| Duration::from_secs(60 * u64::from(it)));
    let mut include = Vec::new();
    for platform in flags.platforms.or_host() {
        include.extend(matrix::jobs(
            &modules, &providers, &platform, &times, limit,
        )?);
    }
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
        usage(
            format!("{summary} is no summary of `cargo xtask base-image`: {error}"),
            "name the summary.json below its --out",
        )
    })?;
    let of_provider = |pack: RecordedPack| {
        let time = ProviderTime {
            total_ms: pack.timings.total_ms(),
            modules_ms: pack.modules_ms,
            peak_memory_bytes: pack.timings.peak_memory_bytes,
        };
        (pack.name, time)
    };
    let packs = recorded.packs.into_iter();
    let times = Times {
        providers: packs
            .filter(|pack| ![COMMON, REST].contains(&pack.name.as_str()))
            .map(of_provider)
            .collect(),
    };
    let mut json = serde_json::to_string_pretty(&times)?;
    json.push('\n');
    out::write_file(file, json.as_bytes())
}
