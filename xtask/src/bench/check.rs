//! `cargo xtask bench check`: does `verifier check` find every flipped bit in a real image, and is it silent otherwise?
//!
//! The image is unpacked from its layers, and its own verifier looks at all of it each time, as a user's would. A flip
//! counts as found when the check ends with exit code 4 and names that file, and no other, as corrupt.

use crate::bench::unpacked::ImageOfLayout;
use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use comfy_table::{CellAlignment, Table, presets};
use gocache::bit_flip::{FilesByKind, Flip, files_by_kind};
use gocache::image_info::{EXECUTABLES_PATH, IMAGE_INFO_PATH, ImageInfo, OBJECTS_PATH, PACKS_PATH};
use regular_file::in_root;
use serde::{Deserialize, Serialize};
use xshell::{Shell, cmd};

use engine::excerpt::excerpt;
use engine::host;
use engine::progress::{Kind, Progress, millis};
use failure::{missed, usage};
use pipeline::names::VERIFIER;
use pipeline::owners::relative;
use pipeline::work::Work;

/// Exit code of a check that found corruption.
const CORRUPT: i32 = 4;

#[derive(Debug, Default, Serialize)]
struct Results {
    /// Files and bytes that each check looks at.
    files: u64,
    size_bytes: u64,
    /// Checks of the image as it is.
    clean_runs: u64,
    /// Those that found anything.
    false_alarms: u64,
    /// By what the file is.
    flips: BTreeMap<&'static str, Flips>,
    /// Bits that were not found, or not named alone.
    missed: Vec<Missed>,
    /// Median of all checks.
    check_median_ms: u64,
}

#[derive(Debug, Default, Serialize)]
struct Flips {
    total: u64,
    found: u64,
}

#[derive(Debug, Serialize)]
struct Missed {
    path: Utf8PathBuf,
    offset: u64,
    mask: u8,
    found: Vec<Utf8PathBuf>,
}

/// What `verifier check --json` prints, as far as it is needed.
#[derive(Debug, Deserialize)]
struct Report {
    files: u64,
    size_bytes: u64,
    findings: Vec<Finding>,
    #[serde(skip)]
    exit_code: Option<i32>,
}

#[derive(Debug, Deserialize)]
struct Finding {
    path: Utf8PathBuf,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub image: ImageOfLayout,
    /// Bits that are flipped, one at a time, in every kind of file by turns
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub flips: u64,
    /// Checks of the image as it is
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub clean: u64,
    /// Decides which bits
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(flags: &Args) -> Result<()> {
    if !host::is_root() {
        return Err(usage(
            "only root can unpack an image with its owners",
            "run the same command as root",
        ));
    }
    let mut progress = Progress::default();
    let work = Work::open()?;
    let scratch = work.scratch("check")?;
    let root = scratch.path();
    let check = Check { root };
    flags.image.unpack(root, &mut progress)?;
    let files = check.files()?;
    let mut results = Results::default();
    let mut times_ms = Vec::new();
    progress.step("check the sound image", Kind::Local, |step| {
        for number in 0..flags.clean {
            step.detail(format!("{number} of {}", flags.clean));
            let (is_sound, _) = check.run(&mut times_ms)?;
            results.false_alarms += u64::from(!is_sound);
        }
        results.clean_runs = flags.clean;
        Ok(())
    })?;
    progress.step("flip bits", Kind::Local, |step| {
        for number in 0..flags.flips {
            step.detail(format!("{number} of {}", flags.flips));
            let flip = Flip::choose(&files, flags.seed, number)?.with_context(|| {
                format!(
                    "{} holds no files to flip bits of",
                    flags.image.layout.image
                )
            })?;
            flip.apply()?;
            let outcome = check.run(&mut times_ms);
            flip.apply()?;
            results.add(flip, outcome?.1);
        }
        Ok(())
    })?;
    let (is_sound, report) = check.run(&mut times_ms)?;
    if !is_sound && results.false_alarms == 0 {
        bail!("the image is not as it was after the last bit was flipped back");
    }
    (results.files, results.size_bytes) = (report.files, report.size_bytes);
    times_ms.sort_unstable();
    results.check_median_ms = times_ms[times_ms.len() / 2];
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
    } else {
        println!("{}", results.text());
    }
    if results.false_alarms > 0 || !results.missed.is_empty() {
        return Err(missed(format!(
            "{} flipped bits were missed, {} checks of the sound image raised an alarm",
            results.missed.len(),
            results.false_alarms
        )));
    }
    Ok(())
}

/// An unpacked image and its verifier.
struct Check<'a> {
    root: &'a Utf8Path,
}

impl Check<'_> {
    /// Checks everything; whether all is well, and the report.
    fn run(&self, times_ms: &mut Vec<u64>) -> Result<(bool, Report)> {
        let verifier = self.root.join(relative(VERIFIER.into()));
        let started = Instant::now();
        let (sh, root) = (Shell::new()?, self.root);
        let done = host::output(cmd!(sh, "{verifier} check --json --root {root}"))?;
        times_ms.push(millis(started));
        let mut report: Report = serde_json::from_slice(&done.stdout).with_context(|| {
            format!(
                "{verifier} check printed no report: {}",
                excerpt(&String::from_utf8_lossy(&done.stderr))
            )
        })?;
        report.exit_code = done.status.code();
        Ok((done.status.success() && report.findings.is_empty(), report))
    }

    /// The files of the caches, and the lists that the packs are compared with.
    fn files(&self) -> Result<FilesByKind> {
        let in_root = |path: &str| in_root::resolve_utf8(self.root, path);
        let info = ImageInfo::read(&in_root(IMAGE_INFO_PATH)?)?;
        let (gocache, gomodcache) = (&info.identity.gocache, &info.identity.gomodcache);
        let mut files = files_by_kind(&in_root(gocache.as_str())?, &in_root(gomodcache.as_str())?)?;
        for (kind, folder, extension) in [
            ("list of a pack", PACKS_PATH, "sha256"),
            ("object code", OBJECTS_PATH, "zst"),
            ("index of object code", OBJECTS_PATH, "json"),
            ("executables", EXECUTABLES_PATH, "zst"),
            ("index of executables", EXECUTABLES_PATH, "json"),
        ] {
            let folder = in_root(folder)?;
            let mut found = Vec::new();
            if folder.is_dir() {
                for entry in fs_err::read_dir(folder)? {
                    let path = Utf8PathBuf::from_path_buf(entry?.path());
                    found.extend(path.ok().filter(|path| path.extension() == Some(extension)));
                }
            }
            found.sort();
            files.insert(kind, found);
        }
        Ok(files)
    }
}

impl Results {
    fn add(&mut self, flip: Flip, report: Report) {
        let found = report.findings.into_iter().map(|finding| finding.path);
        let found: Vec<_> = found.collect();
        let flips = self.flips.entry(flip.kind).or_default();
        flips.total += 1;
        if report.exit_code == Some(CORRUPT) && found == [flip.path.clone()] {
            flips.found += 1;
        } else {
            self.missed.push(Missed {
                path: flip.path,
                offset: flip.offset,
                mask: flip.mask,
                found,
            });
        }
    }

    fn text(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN).set_header([
            "file",
            "bits flipped",
            "found and named",
        ]);
        let mut all = Flips::default();
        for (kind, flips) in &self.flips {
            all.total += flips.total;
            all.found += flips.found;
            table.add_row([
                (*kind).to_owned(),
                flips.total.to_string(),
                flips.found.to_string(),
            ]);
        }
        table.add_row([
            "all".to_owned(),
            all.total.to_string(),
            all.found.to_string(),
        ]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let missed = self.missed.iter();
        let missed: Vec<_> = missed.map(|flip| format!("missed: {flip:?}\n")).collect();
        let missed = missed.concat();
        format!(
            "{table}\n{missed}{} of {} checks of the sound image raised an alarm; \
             a check of its {} files ({:.0} MB) takes {} ms (median)",
            self.false_alarms,
            self.clean_runs,
            self.files,
            self.size_bytes as f64 / 1e6,
            self.check_median_ms
        )
    }
}
