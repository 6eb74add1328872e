//! `cargo xtask bench sizes`: what an image is made of, and what would make it larger or smaller.
//!
//! Each line of the second table changes one thing of the image as it is and counts the bytes anew; nothing of the image
//! changes. Settings of the compiler take other packs: they are made of the same source, and kept like any others.

use std::collections::BTreeMap;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use serde::Serialize;

use crate::cli;
use crate::failure::usage;
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
/// The two parts that every variant has.
const BASE: &str = "base";
const TOOLS: &str = "tools";

/// Counts and prints.
pub fn run(flags: &cli::BenchSizes) -> Result<()> {
    let image_toml = ImageToml::read(&given::image_toml())?;
    let shipped = Zstd {
        level: image_toml.layers.zstd_level,
        window_log: image_toml.layers.zstd_window_log,
        long: true,
    };
    wanted(changes(&[], shipped), &flags.changes)?;
    let (layout, platform) = (Layout::open(&flags.image)?, Platform::host());
    let image = Image::fetch(&layout, layout.find(Some(WHOLE), &platform)?, &platform)?;
    let work = Work::open()?;
    let scratch = work.scratch("sizes")?;
    let mut progress = Progress::default();
    let parts = progress.step("unpack", Kind::Local, |_| {
        Parts::unpack(&image, &image_toml, scratch.path())
    })?;
    let lines = progress.step("what it is made of", Kind::Local, |step| {
        parts.lines(shipped, step)
    })?;
    let tried = progress.step("what was tried", Kind::Local, |step| {
        parts.tried(flags, shipped, step)
    })?;
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&Sizes { lines, tried })?);
        return Ok(());
    }
    println!("{}\n\n{}", table_of_lines(&lines), table_of_tried(&tried));
    println!("\n{}", table_of_variants(&tried));
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
    /// The same by the base system, the tools and each pack.
    parts: BTreeMap<String, u64>,
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

    /// The layers of the image that are tried, as they are: those of all packs, or of the wanted ones and `common`.
    fn composed(&self, providers: &[String]) -> Vec<Composed<'_>> {
        let is_wanted = |pack: &String| {
            providers.is_empty() || pack == COMMON || providers.iter().any(|it| it == pack)
        };
        let wanted = self.layers.iter().filter(|(holds, _)| match holds {
            Holds::Base | Holds::Tools => true,
            Holds::Caches(pack) | Holds::Executables(pack) => is_wanted(pack),
        });
        let composed = wanted.map(|(holds, tar)| Composed {
            part: part_of(holds),
            holds: holds.clone(),
            files: tar.entries().iter().map(|entry| (tar, entry)).collect(),
        });
        composed.collect()
    }

    fn tried(&self, flags: &cli::BenchSizes, shipped: Zstd, step: &Step) -> Result<Vec<Tried>> {
        let all = self.composed(&flags.providers);
        let changes = wanted(changes(&all, shipped), &flags.changes)?;
        step.detail("as shipped");
        let as_shipped = sizes(&all, shipped)?;
        let mut tried = Vec::new();
        for change in changes {
            step.detail(&change.name);
            let concerned = all.iter().zip(&as_shipped);
            let concerned = concerned.filter(|(layer, _)| (change.concerns)(&layer.holds));
            let mut parts: BTreeMap<String, u64> = BTreeMap::new();
            for (layer, bytes) in change
                .layers
                .iter()
                .zip(sizes(&change.layers, change.zstd)?)
            {
                *parts.entry(layer.part.clone()).or_default() += bytes;
            }
            tried.push(Tried {
                shipped_bytes: concerned.map(|(_, bytes)| bytes).sum(),
                compressed_bytes: parts.values().sum(),
                change: change.name,
                parts,
            });
        }
        Ok(tried)
    }
}

/// The changes that have one of `names` in theirs, or all.
fn wanted<'a>(mut changes: Vec<Change<'a>>, names: &[String]) -> Result<Vec<Change<'a>>> {
    let is_wanted = |change: &Change<'_>| names.iter().any(|name| change.name.contains(name));
    if !names.is_empty() {
        changes.retain(is_wanted);
    }
    if changes.is_empty() {
        return Err(usage(
            "no change has such a name; without --change all are tried",
        ));
    }
    Ok(changes)
}

/// What a layer belongs to: the base system, the tools, or a pack.
fn part_of(holds: &Holds) -> String {
    match holds {
        Holds::Base => BASE.to_owned(),
        Holds::Tools => TOOLS.to_owned(),
        Holds::Caches(pack) | Holds::Executables(pack) => pack.clone(),
    }
}

/// The size of each of `layers`, compressed.
fn sizes(layers: &[Composed<'_>], zstd: Zstd) -> Result<Vec<u64>> {
    let layers = layers.par_iter();
    layers.map(|layer| compressed(&layer.files, zstd)).collect()
}

/// A layer as it could be put together.
#[derive(Clone)]
struct Composed<'a> {
    part: String,
    holds: Holds,
    files: Files<'a>,
}

/// Something to try: the layers that it concerns, as they would be.
struct Change<'a> {
    name: String,
    concerns: fn(&Holds) -> bool,
    layers: Vec<Composed<'a>>,
    zstd: Zstd,
}

fn changes<'a>(all: &[Composed<'a>], shipped: Zstd) -> Vec<Change<'a>> {
    let everything = |name: String, zstd| Change {
        name,
        concerns: |_| true,
        layers: all.to_vec(),
        zstd,
    };
    let levels = [1, 3, 9, 12, 15, 17, 19].into_iter();
    let levels = levels.filter(|level| *level != shipped.level).map(|level| {
        let zstd = Zstd { level, ..shipped };
        everything(format!("zstd level {level}"), zstd)
    });
    let windows = [23, 25, 30].into_iter().map(|window_log| {
        let zstd = Zstd {
            window_log,
            ..shipped
        };
        let name = format!("window of {} MiB", (1_u64 << window_log) >> 20);
        everything(name, zstd)
    });
    let short = Zstd {
        long: false,
        ..shipped
    };
    let mut changes: Vec<_> = levels.chain(windows).collect();
    changes.push(everything("no long-distance matching".to_owned(), short));

    let caches = |holds: &Holds| matches!(holds, Holds::Caches(_));
    let executables = |holds: &Holds| matches!(holds, Holds::Executables(_));
    let packs = |holds: &Holds| matches!(holds, Holds::Caches(_) | Holds::Executables(_));
    let mut some = |name: &str, concerns: fn(&Holds) -> bool, compose: &Compose<'a>| {
        let concerned = all.iter().filter(|layer| concerns(&layer.holds));
        changes.push(Change {
            name: name.to_owned(),
            concerns,
            layers: compose(concerned.cloned().collect()),
            zstd: shipped,
        });
    };
    some("caches by kind of file", caches, &|layers| {
        ordered(layers, by_kind)
    });
    some("caches by size of file", caches, &|layers| {
        ordered(layers, by_size)
    });
    some("executables by size of file", executables, &|layers| {
        ordered(layers, by_size)
    });
    some(
        "executables of all providers in one layer",
        executables,
        &|layers| in_one(layers, |_| "executables".to_owned()),
    );
    some(
        "caches and executables of a provider in one layer",
        packs,
        &|layers| in_one(layers, |layer| layer.part.clone()),
    );
    some("no test files of Go modules", caches, &|layers| {
        without(layers, is_test)
    });
    changes
}

fn by_kind(entry: &Entry) -> String {
    let kind = entry.path.as_str().rsplit(['-', '.']).next();
    format!("{} {}", kind.unwrap_or_default(), entry.path)
}

fn by_size(entry: &Entry) -> String {
    format!("{:016} {}", entry.size_bytes, entry.path)
}

fn is_test(entry: &Entry) -> bool {
    entry.path.as_str().ends_with("_test.go")
}

/// Puts layers together in another way.
type Compose<'a> = dyn Fn(Vec<Composed<'a>>) -> Vec<Composed<'a>>;

/// The files of each layer in the order of their keys.
fn ordered(mut layers: Vec<Composed<'_>>, key: fn(&Entry) -> String) -> Vec<Composed<'_>> {
    for layer in &mut layers {
        layer.files.sort_by_cached_key(|(_, entry)| key(entry));
    }
    layers
}

/// The files of each layer but those that are out.
fn without(mut layers: Vec<Composed<'_>>, is_out: fn(&Entry) -> bool) -> Vec<Composed<'_>> {
    for layer in &mut layers {
        layer.files.retain(|(_, entry)| !is_out(entry));
    }
    layers
}

/// One layer of all that have the same key, in the order of their first.
fn in_one<'a>(layers: Vec<Composed<'a>>, key: fn(&Composed<'_>) -> String) -> Vec<Composed<'a>> {
    let mut united: Vec<Composed<'a>> = Vec::new();
    for layer in layers {
        let part = key(&layer);
        match united.iter_mut().find(|it| it.part == part) {
            Some(there) => there.files.extend(layer.files),
            None => united.push(Composed { part, ..layer }),
        }
    }
    united
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

/// What the variants would take with the changes that concern all of their layers.
fn table_of_variants(tried: &[Tried]) -> comfy_table::Table {
    let whole: Vec<&Tried> = tried
        .iter()
        .filter(|it| it.parts.contains_key(BASE))
        .collect();
    let mut columns = vec!["variant"];
    columns.extend(whole.iter().map(|it| it.change.as_str()));
    let mut table = summary::table(&columns);
    let packs = whole.first().into_iter().flat_map(|it| it.parts.keys());
    let providers = packs.filter(|part| ![BASE, TOOLS, COMMON].contains(&part.as_str()));
    let providers: Vec<&str> = providers.map(String::as_str).collect();
    let of = |part: &str, it: &Tried| it.parts.get(part).copied().unwrap_or_default();
    let shared = |it: &Tried| of(BASE, it) + of(TOOLS, it);
    let mut row = |name: String, bytes: &dyn Fn(&Tried) -> u64| {
        let sizes = whole.iter().map(|it| human_bytes(bytes(it)));
        table.add_row(std::iter::once(name).chain(sizes));
    };
    row(format!("all of {}", providers.join(", ")), &|it| {
        it.parts.values().sum()
    });
    row(TOOLS.to_owned(), &shared);
    for provider in providers {
        row(provider.to_owned(), &|it| {
            shared(it) + of(COMMON, it) + of(provider, it)
        });
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: Zstd = Zstd {
        level: 9,
        window_log: 27,
        long: true,
    };

    fn layer(holds: Holds) -> Composed<'static> {
        Composed {
            part: part_of(&holds),
            holds,
            files: Vec::new(),
        }
    }

    fn layers() -> Vec<Composed<'static>> {
        let of = |pack: &str| [Holds::Caches(pack.into()), Holds::Executables(pack.into())];
        let packs = ["civo", "aws"].into_iter().flat_map(of);
        let all = [Holds::Base, Holds::Tools, Holds::Caches(COMMON.into())];
        all.into_iter().chain(packs).map(layer).collect()
    }

    #[test]
    fn changes_are_found_by_a_part_of_their_names() {
        let names = |wanted_names: &[&str]| -> Vec<String> {
            let names: Vec<String> = wanted_names.iter().map(ToString::to_string).collect();
            let found = wanted(changes(&layers(), SHIPPED), &names).unwrap();
            found.into_iter().map(|change| change.name).collect()
        };
        assert_eq!(
            names(&["level 17", "window of 1024"]),
            ["zstd level 17", "window of 1024 MiB"]
        );
        assert!(names(&[]).len() > 12);
        assert!(!names(&[]).contains(&"zstd level 9".to_owned()));
        let refused = wanted(changes(&[], SHIPPED), &["levle".to_owned()]);
        assert!(refused.err().unwrap().to_string().contains("no change"));
    }

    #[test]
    fn a_change_concerns_the_layers_it_names() {
        let all = changes(&layers(), SHIPPED);
        let parts = |name: &str| -> Vec<&str> {
            let change = all.iter().find(|change| change.name.starts_with(name));
            let layers = change.unwrap().layers.iter();
            layers.map(|layer| layer.part.as_str()).collect()
        };
        assert_eq!(parts("caches by kind"), ["common", "civo", "aws"]);
        assert_eq!(parts("executables of all"), ["executables"]);
        assert_eq!(parts("caches and executables"), ["common", "civo", "aws"]);
        assert_eq!(parts("zstd level 17").len(), 7);
    }

    #[test]
    fn a_variant_takes_what_its_parts_take() {
        let bytes = [
            (BASE, 1),
            (TOOLS, 10),
            (COMMON, 100),
            ("aws", 2_000),
            ("civo", 5_000),
        ];
        let tried = Tried {
            change: "zstd level 17".into(),
            shipped_bytes: 0,
            compressed_bytes: 0,
            parts: bytes.map(|(part, mb)| (part.into(), mb * 1_000_000)).into(),
        };
        let table = table_of_variants(&[tried]).to_string();
        for size in ["7.11 GB", "11 MB", "2.11 GB", "5.11 GB"] {
            assert!(table.contains(size), "{size} is not in\n{table}");
        }
    }
}
