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
    /// Put the times of this `summary.json` into the file of --times beside those of other providers, and print nothing
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

/// Adds the times of a summary to those in `file`, which may be absent: a summary is of the providers of one run, and
/// the others keep what was recorded before.
fn record(summary: &Utf8Path, file: &Utf8Path) -> Result<()> {
    let hint = "name the summary.json below the --out of `cargo xtask base-image`";
    let text = fs_err::read(summary).map_err(|error| usage(error.to_string(), hint))?;
    let recorded: Recorded = serde_json::from_slice(&text).map_err(|error| {
        usage(
            format!("{summary} is no summary of `cargo xtask base-image`: {error}"),
            hint,
        )
    })?;
    let mut times = if file.exists() {
        Times::read(Some(file))?
    } else {
        Times::default()
    };
    let of_provider = |pack: RecordedPack| {
        let time = ProviderTime {
            total_ms: pack.timings.total_ms(),
            modules_ms: pack.modules_ms,
            peak_memory_bytes: pack.timings.peak_memory_bytes,
        };
        (pack.name, time)
    };
    let packs = recorded.packs.into_iter();
    let providers = packs.filter(|pack| ![COMMON, REST].contains(&pack.name.as_str()));
    times.providers.extend(providers.map(of_provider));
    let mut json = serde_json::to_string_pretty(&times)?;
    json.push('\n');
    out::write_file(file, json.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let guard = tempfile::tempdir().unwrap();
        let folder = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
        (guard, folder)
    }

    /// A summary of packs, each built in so many milliseconds.
    fn summary(folder: &Utf8Path, packs: &[(&str, u64)]) -> Utf8PathBuf {
        let pack = |(name, build_ms): &(&str, u64)| {
            serde_json::json!({
                "name": name,
                "timings": {"build_ms": build_ms, "seal_ms": 0, "check_ms": 0, "pack_ms": 0},
            })
        };
        let packs: Vec<_> = packs.iter().map(pack).collect();
        let file = folder.join("summary.json");
        let text = serde_json::json!({ "packs": packs }).to_string();
        fs_err::write(&file, text).unwrap();
        file
    }

    #[test]
    fn what_was_recorded_of_other_providers_stays() {
        let (_guard, folder) = folder();
        let file = folder.join("times.json");
        let recorded = || -> Vec<(String, u64)> {
            let times = Times::read(Some(&file)).unwrap().providers.into_iter();
            times.map(|(name, time)| (name, time.total_ms)).collect()
        };
        let of = |packs: &[(&str, u64)]| {
            let packs = packs.iter();
            packs.map(|(name, ms)| ((*name).to_owned(), *ms)).collect()
        };
        let run = |packs: &[(&str, u64)]| record(&summary(&folder, packs), &file).unwrap();
        run(&[("aws", 7), ("civo", 3), (COMMON, 9)]);
        let all: Vec<_> = of(&[("aws", 7), ("civo", 3)]);
        assert_eq!(recorded(), all);
        run(&[("civo", 4), ("gcp", 5)]);
        let all: Vec<_> = of(&[("aws", 7), ("civo", 4), ("gcp", 5)]);
        assert_eq!(recorded(), all);
    }

    #[test]
    fn a_file_that_holds_no_times_stays_as_it_is() {
        let (_guard, folder) = folder();
        let summary = summary(&folder, &[("aws", 7)]);
        let readme = folder.join("README.md");
        fs_err::write(&readme, "# Read me\n").unwrap();
        let absent = folder.join("absent");
        for (summary, file, sign) in [
            (&summary, &readme, "README.md holds no times"),
            (&summary, &folder, "Is a directory"),
            (&summary, &absent.join("times.json"), "there is no folder"),
            (&absent, &readme, "absent"),
            (&folder, &readme, "Is a directory"),
            (&readme, &absent, "is no summary"),
        ] {
            let error = record(summary, file).unwrap_err();
            let said = failure::text(&error);
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage, "{said}");
            assert!(said.contains(sign) && said.contains("hint: "), "{said}");
        }
        assert_eq!(fs_err::read_to_string(&readme).unwrap(), "# Read me\n");
        assert!(!absent.exists());
    }
}
