//! `cargo xtask bench sizes`: what an image is made of, and what would make it larger or smaller.
//!
//! Each line of the second table changes one thing of the image as it is and counts the bytes anew; nothing of the
//! image changes. Settings of the compiler take other packs: they are made of the same source, and kept like any
//! others.

mod changes;
mod recompress;

use crate::flags::ImageLayout;
use std::collections::BTreeMap;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use serde::Serialize;

use self::changes::{Composed, changes, part_of, sizes, wanted};
use crate::bench::sizes::recompress::{Files, Tar, compressed};
use engine::progress::{Kind, Progress, Step, human_bytes};
use oci::image::{Image, ImageLayer};
use oci::layer::CompressionSettings;
use oci::layer::zstd_settings::Zstd;
use oci::platform::Platform;
use pipeline::image_toml::ImageToml;
use pipeline::names::LATEST;
use pipeline::names::{BASE, TOOLS};
use pipeline::names::{COMMON, REST};
use pipeline::pack::layer_content;
use pipeline::pack::layer_content::{LayerContent, TOOLS_ALONE};
use pipeline::summary;
use pipeline::work::Work;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub layout: ImageLayout,
    /// Try changes with the packs of this provider, beside `common`; repeat for several [default: all of the image]
    #[arg(long = "provider", value_name = "P")]
    pub providers: Vec<String>,
    /// Try only changes whose name contains this, "level 18" say; repeat for several [default: all]
    #[arg(long = "change", value_name = "TEXT")]
    pub changes: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Counts and prints.
pub fn run(flags: &Args) -> Result<()> {
    let image_toml = ImageToml::read(&pipeline::workspace::image_toml())?;
    let shipped = image_toml.layers;
    wanted(changes(&[], shipped), &flags.changes)?;
    let (layout, platform) = (flags.layout.open()?, Platform::host());
    let image = Image::fetch(&layout, layout.find(Some(LATEST), &platform)?, &platform)?;
    let work = Work::open()?;
    let scratch = work.scratch("sizes")?;
    let mut progress = Progress::default();
    let parts = progress.step("unpack", Kind::Local, |_| {
        Parts::unpack(&image, &image_toml, scratch.path())
    })?;
    let lines = progress.step("what it is made of", Kind::Local, |step| {
        parts.lines(Zstd::of(shipped), step)
    })?;
    let (as_shipped, tried) = progress.step("what was tried", Kind::Local, |step| {
        parts.tried(flags, shipped, step)
    })?;
    if flags.json {
        let sizes = Sizes {
            lines,
            parts: as_shipped,
            tried,
        };
        println!("{}", serde_json::to_string_pretty(&sizes)?);
        return Ok(());
    }
    println!("{}\n\n{}", table_of_lines(&lines), table_of_tried(&tried));
    println!("\n{}", table_of_variants(&as_shipped, &tried));
    Ok(())
}

/// The whole account, for scripts.
#[derive(Debug, Serialize)]
struct Sizes {
    lines: Vec<Line>,
    /// Compressed bytes of the base system, the tools and each pack, as they are.
    parts: ByPart,
    tried: Vec<Tried>,
}

/// What a part of the image takes.
#[derive(Debug, Serialize)]
struct Line {
    /// The base system, the tools, or a pack.
    part: String,
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
    parts: ByPart,
}

/// Compressed bytes of the base system, the tools and each pack.
type ByPart = BTreeMap<String, u64>;

struct Parts {
    layers: Vec<(LayerContent, Tar)>,
    go_mod: Utf8PathBuf,
}

/// What a file of a pack is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    ModuleCache,
    BuildCache,
    Objects,
    Executables,
}

impl Content {
    const ALL: [(Self, &str); 4] = [
        (Self::ModuleCache, "module cache"),
        (Self::BuildCache, "build cache"),
        (Self::Objects, "object code"),
        (Self::Executables, "executables"),
    ];
}

impl Parts {
    fn unpack(image: &Image, toml: &ImageToml, scratch: &Utf8Path) -> Result<Self> {
        let holds = layer_content::of(&image.config)?;
        let unpack = |(number, (holds, layer)): (usize, (LayerContent, &ImageLayer))| {
            let tar = Tar::unpack(layer, &scratch.join(number.to_string()))?;
            Ok((holds, tar))
        };
        let layers: Vec<_> = holds.into_iter().zip(&image.layers).enumerate().collect();
        Ok(Self {
            layers: layers.into_par_iter().map(unpack).collect::<Result<_>>()?,
            go_mod: pipeline::owners::relative(Utf8Path::new(&toml.go.gomodcache)).to_owned(),
        })
    }

    /// Files of a pack that are `content`.
    fn files(&self, pack: &str, content: Content) -> Files<'_> {
        let of_layer = |holds: &LayerContent| match holds {
            LayerContent::Caches(name) => {
                name == pack && matches!(content, Content::ModuleCache | Content::BuildCache)
            }
            LayerContent::Objects(name) => name == pack && content == Content::Objects,
            LayerContent::Executables(name) => name == pack && content == Content::Executables,
            _ => false,
        };
        let layers = self.layers.iter().filter(|(holds, _)| of_layer(holds));
        layers
            .flat_map(|(_, tar)| tar.entries().iter().map(move |entry| (tar, entry)))
            .filter(|(_, entry)| {
                let is_module = entry.path.starts_with(&self.go_mod);
                match content {
                    Content::ModuleCache => is_module,
                    Content::BuildCache => !is_module,
                    Content::Objects | Content::Executables => true,
                }
            })
            .collect()
    }

    fn packs(&self) -> Vec<&str> {
        let packs = self.layers.iter().filter_map(|(holds, _)| match holds {
            LayerContent::Caches(pack) => Some(pack.as_str()),
            _ => None,
        });
        packs.collect()
    }

    fn lines(&self, zstd: Zstd, step: &Step) -> Result<Vec<Line>> {
        let mut parts: Vec<(String, &str, Files<'_>)> = Vec::new();
        for (holds, tar) in &self.layers {
            if TOOLS_ALONE.contains(holds) || matches!(holds, LayerContent::Plugin { .. }) {
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
            LayerContent::Base
            | LayerContent::Pulumi
            | LayerContent::Tools
            | LayerContent::Plugin { .. } => true,
            LayerContent::Caches(pack)
            | LayerContent::Objects(pack)
            | LayerContent::Executables(pack)
            | LayerContent::Programs(pack) => is_wanted(pack),
        });
        let composed = wanted.map(|(holds, tar)| Composed {
            part: part_of(holds),
            holds: holds.clone(),
            files: tar.entries().iter().map(|entry| (tar, entry)).collect(),
        });
        composed.collect()
    }

    fn tried(
        &self,
        flags: &Args,
        shipped: CompressionSettings,
        step: &Step,
    ) -> Result<(ByPart, Vec<Tried>)> {
        let all = self.composed(&flags.providers);
        let changes = wanted(changes(&all, shipped), &flags.changes)?;
        step.detail("as shipped");
        let as_shipped = sizes(&all, Zstd::of(shipped))?;
        let mut tried = Vec::new();
        for change in changes {
            step.detail(&change.name);
            let concerned = all.iter().zip(&as_shipped);
            let concerned = concerned.filter(|(layer, _)| (change.concerns)(&layer.holds));
            let parts = by_part(&change.layers, &sizes(&change.layers, change.zstd)?);
            tried.push(Tried {
                shipped_bytes: concerned.map(|(_, bytes)| bytes).sum(),
                compressed_bytes: parts.values().sum(),
                change: change.name,
                parts,
            });
        }
        Ok((by_part(&all, &as_shipped), tried))
    }
}

/// The sum of the `bytes` of all layers of each part.
fn by_part(layers: &[Composed<'_>], bytes: &[u64]) -> ByPart {
    let mut parts = ByPart::new();
    for (layer, bytes) in layers.iter().zip(bytes) {
        *parts.entry(layer.part.clone()).or_default() += bytes;
    }
    parts
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

/// What the variants take, and would take with the changes that concern all of their layers.
fn table_of_variants(as_shipped: &ByPart, tried: &[Tried]) -> comfy_table::Table {
    let whole = tried.iter().filter(|it| it.parts.contains_key(BASE));
    let whole = whole.map(|it| (it.change.as_str(), &it.parts));
    let columns: Vec<_> = std::iter::once(("as shipped", as_shipped))
        .chain(whole)
        .collect();
    let mut names = vec!["variant"];
    names.extend(columns.iter().map(|(name, _)| name));
    let mut table = summary::table(&names);
    let mut row = |name: &str, parts: &[&str]| {
        let sum = |bytes: &ByPart| parts.iter().filter_map(|part| bytes.get(*part)).sum();
        let sizes = columns.iter().map(|(_, bytes)| human_bytes(sum(bytes)));
        table.add_row(std::iter::once(name.to_owned()).chain(sizes));
    };
    let all: Vec<&str> = as_shipped.keys().map(String::as_str).collect();
    row("all of these", &all);
    row(TOOLS, &[BASE, TOOLS]);
    for provider in all
        .iter()
        .filter(|part| ![BASE, TOOLS, COMMON, REST].contains(part))
    {
        row(provider, &[BASE, TOOLS, COMMON, provider]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_takes_what_its_parts_take() {
        let bytes = [
            (BASE, 1),
            (TOOLS, 10),
            (COMMON, 100),
            ("aws", 2_000),
            ("civo", 5_000),
        ];
        let shipped: ByPart = bytes.map(|(part, mb)| (part.into(), mb * 1_000_000)).into();
        let tried = |change: &str, parts: ByPart| Tried {
            change: change.into(),
            shipped_bytes: 0,
            compressed_bytes: 0,
            parts,
        };
        let half = shipped
            .iter()
            .map(|(part, bytes)| (part.clone(), bytes / 2));
        let of_some = ByPart::from([("aws".into(), 1)]);
        let tried = [tried("half", half.collect()), tried("some", of_some)];
        let table = table_of_variants(&shipped, &tried).to_string();
        assert!(table.contains("half") && !table.contains("some"), "{table}");
        for size in ["7.11 GB", "11 MB", "2.11 GB", "5.11 GB", "3.56 GB"] {
            assert!(table.contains(size), "{size} is not in\n{table}");
        }
    }
}
