//! `cargo xtask bench sizes`: what an image is made of, and what would make it larger or smaller.
//!
//! Each line of the second table changes one thing of the image as it is and counts the bytes anew; nothing of the image
//! changes. Settings of the compiler take other packs: they are made of the same source, and kept like any others.

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use serde::Serialize;

use crate::cli;
use crate::given;
use crate::image::layout::Layout;
use crate::image::{Image, Layer};
use crate::image_toml::{ImageToml, Platform};
use crate::layer_names::{self, Holds};
use crate::progress::{Kind, Progress, Step, human_bytes};
use crate::recompress::{Entry, Tar, Zstd, compressed};
use crate::summary;
use crate::warm::COMMON;
use crate::work::Work;

/// The whole image of a layout.
const WHOLE: &str = "latest";

/// Counts and prints.
pub fn run(flags: &cli::BenchSizes) -> Result<()> {
    let image_toml = ImageToml::read(&given::image_toml())?;
    let (layout, platform) = (Layout::open(&flags.image)?, Platform::host());
    let image = Image::fetch(&layout, layout.find(Some(WHOLE), &platform)?, &platform)?;
    let work = Work::open()?;
    let scratch = work.scratch("sizes")?;
    let mut progress = Progress::default();
    let parts = progress.step("unpack", Kind::Local, |_| {
        Parts::unpack(&image, &image_toml, scratch.path())
    })?;
    let shipped = Zstd {
        level: image_toml.layers.zstd_level,
        window_log: image_toml.layers.zstd_window_log,
        long: true,
    };
    let lines = progress.step("what it is made of", Kind::Local, |step| {
        parts.lines(shipped, step)
    })?;
    let tried = progress.step("what was tried", Kind::Local, |step| {
        parts.tried(&flags.providers, shipped, step)
    })?;
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&Sizes { lines, tried })?);
        return Ok(());
    }
    println!("{}\n\n{}", table_of_lines(&lines), table_of_tried(&tried));
    Ok(())
}

/// The whole account, for scripts.
#[derive(Debug, Serialize)]
struct Sizes {
    lines: Vec<Line>,
    tried: Vec<Tried>,
}

/// What a part of the image takes.
#[derive(Debug, Serialize)]
struct Line {
    /// The base system, the tools, or a pack.
    part: String,
    /// What of it.
    content: String,
    files: usize,
    uncompressed_bytes: u64,
    /// Compressed by itself; parts of one layer that are alike take less together.
    compressed_bytes: u64,
}

/// A change, and what the packs that it concerns take with it.
#[derive(Debug, Serialize)]
struct Tried {
    change: String,
    /// As they are.
    shipped_bytes: u64,
    /// With the change.
    compressed_bytes: u64,
}

/// The layers of an image.
struct Parts {
    layers: Vec<(Holds, Tar)>,
    go_mod: Utf8PathBuf,
}

/// What a file of a pack is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    ModuleCache,
    BuildCache,
    Executables,
}

impl Content {
    const ALL: [(Self, &str); 3] = [
        (Self::ModuleCache, "module cache"),
        (Self::BuildCache, "build cache"),
        (Self::Executables, "executables"),
    ];
}

type Files<'a> = Vec<(&'a Tar, &'a Entry)>;

impl Parts {
    fn unpack(image: &Image, toml: &ImageToml, scratch: &Utf8Path) -> Result<Self> {
        let holds = layer_names::of(&image.config)?;
        let unpack = |(number, (holds, layer)): (usize, (Holds, &Layer))| {
            let tar = Tar::unpack(layer, &scratch.join(number.to_string()))?;
            Ok((holds, tar))
        };
        let layers: Vec<_> = holds.into_iter().zip(&image.layers).enumerate().collect();
        Ok(Self {
            layers: layers.into_par_iter().map(unpack).collect::<Result<_>>()?,
            go_mod: crate::owners::relative(Utf8Path::new(&toml.go.gomodcache)).to_owned(),
        })
    }

    /// Files of a pack that are `content`.
    fn files(&self, pack: &str, content: Content) -> Files<'_> {
        let of_layer = |holds: &Holds| match holds {
            Holds::Caches(name) => name == pack && content != Content::Executables,
            Holds::Executables(name) => name == pack && content == Content::Executables,
            _ => false,
        };
        let layers = self.layers.iter().filter(|(holds, _)| of_layer(holds));
        layers
            .flat_map(|(_, tar)| tar.entries().iter().map(move |entry| (tar, entry)))
            .filter(|(_, entry)| {
                let is_module = entry.path.starts_with(&self.go_mod);
                content == Content::Executables || is_module == (content == Content::ModuleCache)
            })
            .collect()
    }

    fn packs(&self) -> Vec<&str> {
        let packs = self.layers.iter().filter_map(|(holds, _)| match holds {
            Holds::Caches(pack) => Some(pack.as_str()),
            _ => None,
        });
        packs.collect()
    }

    fn lines(&self, zstd: Zstd, step: &Step) -> Result<Vec<Line>> {
        let mut parts: Vec<(String, &str, Files<'_>)> = Vec::new();
        for (holds, tar) in &self.layers {
            if matches!(holds, Holds::Base | Holds::Tools) {
                let files = tar.entries().iter().map(|entry| (tar, entry)).collect();
                parts.push((holds.to_string(), "", files));
            }
        }
        for pack in self.packs() {
            for (content, name) in Content::ALL {
                let files = self.files(pack, content);
                if !files.is_empty() {
                    parts.push((pack.to_owned(), name, files));
                }
            }
        }
        step.detail(format!("{} parts", parts.len()));
        let line = |(part, content, files): (String, &str, Files<'_>)| {
            Ok(Line {
                part,
                content: content.to_owned(),
                files: files.len(),
                uncompressed_bytes: files.iter().map(|(_, entry)| entry.size_bytes).sum(),
                compressed_bytes: compressed(&files, zstd)?,
            })
        };
        parts.into_par_iter().map(line).collect()
    }

    fn tried(&self, providers: &[String], shipped: Zstd, step: &Step) -> Result<Vec<Tried>> {
        let is_wanted = |pack: &&str| {
            providers.is_empty() || *pack == COMMON || providers.iter().any(|it| it == pack)
        };
        let packs: Vec<&str> = self.packs().into_iter().filter(is_wanted).collect();
        // As in the image: caches are one layer, executables another one.
        let (mut caches, mut executables) = (Vec::new(), Vec::new());
        for pack in packs {
            let go_build = self.files(pack, Content::BuildCache);
            caches.push([self.files(pack, Content::ModuleCache), go_build].concat());
            executables.push(self.files(pack, Content::Executables));
        }
        let of_a_pack = caches.iter().zip(&executables);
        let in_one = of_a_pack.map(|(caches, executables)| [&caches[..], executables].concat());
        let all = [caches.clone(), executables.clone()].concat();

        let sum = |layers: &[Files<'_>], zstd| -> Result<u64> {
            layers.par_iter().map(|files| compressed(files, zstd)).sum()
        };
        step.detail("as shipped");
        let of_caches = sum(&caches, shipped)?;
        let of_executables = sum(&executables, shipped)?;
        let of_all = of_caches + of_executables;

        let mut changes: Vec<(String, u64, Vec<Files<'_>>, Zstd)> = Vec::new();
        let levels = [1, 3, 9, 12, 15, 19].into_iter();
        for level in levels.filter(|level| *level != shipped.level) {
            let zstd = Zstd { level, ..shipped };
            changes.push((format!("zstd level {level}"), of_all, all.clone(), zstd));
        }
        for window_log in [23, 25, 30] {
            let name = format!("window of {} MiB", (1_u64 << window_log) >> 20);
            let zstd = Zstd {
                window_log,
                ..shipped
            };
            changes.push((name, of_all, all.clone(), zstd));
        }
        let short = Zstd {
            long: false,
            ..shipped
        };
        let by_kind = |entry: &Entry| {
            let kind = entry.path.as_str().rsplit(['-', '.']).next();
            format!("{} {}", kind.unwrap_or_default(), entry.path)
        };
        let by_size = |entry: &Entry| format!("{:016} {}", entry.size_bytes, entry.path);
        let is_test = |entry: &Entry| entry.path.as_str().ends_with("_test.go");
        let others: [(&str, u64, Vec<Files<'_>>, Zstd); 7] = [
            ("no long-distance matching", of_all, all.clone(), short),
            (
                "caches by kind of file",
                of_caches,
                ordered(&caches, by_kind),
                shipped,
            ),
            (
                "caches by size of file",
                of_caches,
                ordered(&caches, by_size),
                shipped,
            ),
            (
                "executables by size of file",
                of_executables,
                ordered(&executables, by_size),
                shipped,
            ),
            (
                "executables of all providers in one layer",
                of_executables,
                vec![executables.concat()],
                shipped,
            ),
            (
                "caches and executables of a provider in one layer",
                of_all,
                in_one.collect(),
                shipped,
            ),
            (
                "no test files of Go modules",
                of_caches,
                without(&caches, is_test),
                shipped,
            ),
        ];
        changes.extend(others.map(|(name, bytes, to, zstd)| (name.to_owned(), bytes, to, zstd)));

        let mut tried = Vec::new();
        for (change, shipped_bytes, to, zstd) in changes {
            step.detail(&change);
            tried.push(Tried {
                shipped_bytes,
                compressed_bytes: sum(&to, zstd)?,
                change,
            });
        }
        Ok(tried)
    }
}

/// The files of each layer in the order of their keys.
fn ordered<'a>(layers: &[Files<'a>], key: fn(&Entry) -> String) -> Vec<Files<'a>> {
    let mut layers = layers.to_vec();
    for files in &mut layers {
        files.sort_by_cached_key(|(_, entry)| key(entry));
    }
    layers
}

/// The files of each layer but those that are out.
fn without<'a>(layers: &[Files<'a>], is_out: fn(&Entry) -> bool) -> Vec<Files<'a>> {
    let mut layers = layers.to_vec();
    for files in &mut layers {
        files.retain(|(_, entry)| !is_out(entry));
    }
    layers
}

fn table_of_lines(lines: &[Line]) -> comfy_table::Table {
    let mut table = summary::table(&["part", "content", "files", "size", "compressed"]);
    let total = Line {
        part: "total".to_owned(),
        content: String::new(),
        files: lines.iter().map(|line| line.files).sum(),
        uncompressed_bytes: lines.iter().map(|line| line.uncompressed_bytes).sum(),
        compressed_bytes: lines.iter().map(|line| line.compressed_bytes).sum(),
    };
    for line in lines.iter().chain([&total]) {
        table.add_row([
            line.part.clone(),
            line.content.clone(),
            line.files.to_string(),
            human_bytes(line.uncompressed_bytes),
            human_bytes(line.compressed_bytes),
        ]);
    }
    table
}

fn table_of_tried(tried: &[Tried]) -> comfy_table::Table {
    let mut table = summary::table(&["change", "as shipped", "with it", "difference"]);
    for line in tried {
        let share = line.compressed_bytes as f64 / line.shipped_bytes.max(1) as f64 - 1.0;
        table.add_row([
            line.change.clone(),
            human_bytes(line.shipped_bytes),
            human_bytes(line.compressed_bytes),
            format!("{:+.1} %", share * 100.0),
        ]);
    }
    table
}
