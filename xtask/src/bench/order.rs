//! `cargo xtask bench order`: does it matter to a first build from a cold disk in which order the files of the caches
//! were written, as an order of the files in a layer would have it?
//!
//! The image is unpacked once. For each order the files of its caches are written anew, and the image's own verifier
//! empties the page cache and builds. The orders take turns, so that a machine that changes its speed treats all alike.

use crate::bench::unpacked::ImageOfLayout;
use crate::source::Source;
use std::os::unix::fs::{MetadataExt as _, fchown};

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use report::stats::median;
use report::{PhaseName, Report};
use serde::Serialize;

use engine::host;
use engine::progress::{Kind, Progress};
use failure::usage;
use pipeline::image_toml::ImageToml;
use pipeline::owners::relative;
use pipeline::work::Work;
use pipeline::{measure, summary};

/// The random order; the same each time.
const SEED: u64 = 20_260_101;

/// An order of the files of both caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// By path.
    Path,
    /// What is small first.
    Size,
    /// Entries of GOCACHE before their outputs, and the module cache by the kind of file.
    Kind,
    Random,
}

impl Order {
    const ALL: [(Self, &str); 4] = [
        (Self::Path, "by path"),
        (Self::Size, "by size"),
        (Self::Kind, "by kind of file"),
        (Self::Random, "random"),
    ];

    fn sort(self, files: &mut [File], random: &mut StdRng) {
        match self {
            Self::Path => files.sort_by(|one, other| one.path.cmp(&other.path)),
            Self::Size => files.sort_by(|one, other| {
                (one.size_bytes, &one.path).cmp(&(other.size_bytes, &other.path))
            }),
            Self::Kind => files
                .sort_by(|one, other| (one.kind(), &one.path).cmp(&(other.kind(), &other.path))),
            Self::Random => {
                files.sort_by(|one, other| one.path.cmp(&other.path));
                files.shuffle(random);
            }
        }
    }
}

#[derive(Debug, Clone)]
struct File {
    path: Utf8PathBuf,
    size_bytes: u64,
}

impl File {
    /// What comes after the last dot or hyphen of its name.
    fn kind(&self) -> &str {
        let name = self.path.file_name().unwrap_or_default();
        name.rsplit(['-', '.']).next().unwrap_or_default()
    }
}

#[derive(Debug, Serialize)]
struct Line {
    order: &'static str,
    /// First builds from a cold disk in milliseconds, the median of the modules for each round.
    cold_disk_ms: Vec<f64>,
    /// Median of what they take, each divided by what the order by path takes in the same round.
    ratio: f64,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub image: ImageOfLayout,
    /// Build the modules of this provider; repeat for several
    #[arg(long = "provider", value_name = "P", required = true)]
    pub providers: Vec<String>,
    /// How often each order is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(flags: &Args) -> Result<()> {
    if !host::is_root() {
        return Err(usage(
            "only root can empty the page cache",
            "run the same command as root",
        ));
    }
    let source = flags.source.folder()?;
    let image_toml = ImageToml::read(&pipeline::workspace::image_toml())?;
    let work = Work::open()?;
    let scratch = work.scratch("order")?;
    let root = scratch.path();
    let mut progress = Progress::default();
    let image = flags.image.unpack(root, &mut progress)?;
    let caches = [&image_toml.go.gomodcache, &image_toml.go.gocache];
    let listed = caches.map(|cache| list(&root.join(relative(cache))));
    let mut files = listed.into_iter().collect::<Result<Vec<_>>>()?.concat();
    let sandbox = measure::root_sandbox(root, &image, &source);
    let mut verifier_flags = vec!["--cold-disk"];
    for provider in &flags.providers {
        verifier_flags.extend(["--provider", provider]);
    }
    let mut random = StdRng::seed_from_u64(SEED);
    let mut lines = Order::ALL.map(|(_, order)| Line {
        order,
        cold_disk_ms: Vec::new(),
        ratio: 1.0,
    });
    progress.step("orders", Kind::Local, |step| {
        for round in 0..flags.rounds {
            let first = random.random_range(0..Order::ALL.len());
            for turn in 0..Order::ALL.len() {
                let number = (first + turn) % Order::ALL.len();
                let (order, name) = Order::ALL[number];
                step.detail(format!("round {} of {}: {name}", round + 1, flags.rounds));
                order.sort(&mut files, &mut random);
                rewrite(&files)?;
                let report = measure::Report::parse(&measure::measure(&sandbox, &verifier_flags)?)?;
                lines[number].cold_disk_ms.push(cold_disk_ms(&report.data)?);
            }
        }
        Ok(())
    })?;
    let by_path = lines[0].cold_disk_ms.clone();
    for line in &mut lines {
        let ratios = line.cold_disk_ms.iter().zip(&by_path);
        line.ratio = median(&ratios.map(|(ms, by_path)| ms / by_path).collect::<Vec<_>>());
    }
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&lines)?);
    } else {
        println!("{}", table(&lines));
    }
    Ok(())
}

/// The files below `folder`.
fn list(folder: &Utf8Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.with_context(|| format!("failed to list {folder}"))?;
        if entry.file_type().is_file() {
            files.push(File {
                size_bytes: entry.metadata()?.len(),
                path: Utf8PathBuf::try_from(entry.into_path())?,
            });
        }
    }
    Ok(files)
}

/// Writes `files` again, one after the other, and waits for the disk.
fn rewrite(files: &[File]) -> Result<()> {
    for File { path, .. } in files {
        let old = fs_err::metadata(path)?;
        let new = Utf8PathBuf::from(format!("{path}.rewritten"));
        fs_err::write(&new, fs_err::read(path)?)?;
        let file = fs_err::File::options()
            .write(true)
            .open(&new)?
            .into_parts()
            .0;
        fchown(&file, Some(old.uid()), Some(old.gid()))?;
        file.set_permissions(old.permissions())?;
        file.set_modified(old.modified()?)?;
        fs_err::rename(&new, path)?;
    }
    rustix::fs::sync();
    Ok(())
}

/// Median of the modules.
fn cold_disk_ms(report: &Report) -> Result<f64> {
    let of_module = |module: &report::MeasuredModule| {
        let phase = module.phases.get(&PhaseName::FirstColdDisk)?;
        Some(phase.median_ms())
    };
    let times: Vec<f64> = report.modules.iter().filter_map(of_module).collect();
    if times.is_empty() {
        bail!("the verifier did not measure any module from a cold disk");
    }
    Ok(median(&times))
}

fn table(lines: &[Line]) -> comfy_table::Table {
    let mut table = summary::table(&["order", "first build, cold disk", "against by path"]);
    for line in lines {
        table.add_row([
            line.order.to_owned(),
            summary::seconds(median(&line.cold_disk_ms)),
            format!("{:.2}", line.ratio),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_what_they_are_called() {
        let file = |path: &str, size_bytes| File {
            path: path.into(),
            size_bytes,
        };
        let mut files = [file("b.go", 1), file("a-d", 3), file("c-a", 2)];
        let mut random = StdRng::seed_from_u64(SEED);
        for (order, expected) in [
            (Order::Path, ["a-d", "b.go", "c-a"]),
            (Order::Size, ["b.go", "c-a", "a-d"]),
            (Order::Kind, ["c-a", "a-d", "b.go"]),
        ] {
            order.sort(&mut files, &mut random);
            assert_eq!(files.each_ref().map(|file| file.path.as_str()), expected);
        }
    }

    #[test]
    fn files_are_written_anew_and_stay_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let path = folder.join("x@v1.0.0");
        fs_err::write(&path, "content").unwrap();
        let mut permissions = fs_err::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs_err::set_permissions(&path, permissions).unwrap();
        let before = fs_err::metadata(&path).unwrap();
        let files = list(folder).unwrap();
        assert_eq!(files.len(), 1);
        rewrite(&files).unwrap();
        let after = fs_err::metadata(&path).unwrap();
        assert_ne!(before.ino(), after.ino());
        assert_eq!(before.permissions(), after.permissions());
        assert_eq!(before.modified().unwrap(), after.modified().unwrap());
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "content");
        assert_eq!(list(folder).unwrap().len(), 1);
    }
}
