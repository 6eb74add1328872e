//! `cargo xtask bench naive`: the usual recipe against ours, on the same modules, in one run.
//!
//! The usual recipe: each provider is built on the build machine, module by module, with that machine's own settings
//! and with caches of its own; `cp -rn` merges the caches; an image has them at the places where Go looks by default.
//! Its "build machine" is this one, its image is the same base system with the same Go. Both images are then measured
//! by the same verifier, at the same checkout path, without network, with each module's first build a first. Or the
//! image of the usual recipe is written as a layout, and nothing is measured here.

use crate::source::Selection;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::time::Instant;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use modules::Module;
use serde::Serialize;
use xshell::{Cmd, Shell, cmd};

use engine::host;
use engine::progress::{Kind, Progress, human_bytes, millis};
use engine::sandbox::Sandbox;
use oci::layer::{Compression, Layer, LayerWriter, Meta};
use oci::layout::writer::LayoutWriter;
use oci::unpack::unpack_layers;
use pipeline::assemble::target::Target as _;
use pipeline::assemble::variants::Variant;
use pipeline::assemble::{image_config, images};
use pipeline::flow;
use pipeline::flow::{Foundation, Settings};
use pipeline::foundation::tree::{ELSEWHERE, Tree};
use pipeline::measure;
use pipeline::measure::Report;
use pipeline::names::LATEST;
use pipeline::names::VERIFIER;
use pipeline::pack::{BlobSource, KeptPack, Pack, PackLayer};
use pipeline::summary::FirstBuilds;
use pipeline::work::Scratch;
use pipeline::work::files::{files_below, remove_tree};
use pipeline::work::out::Out;

#[derive(Debug, Serialize)]
struct Measured {
    /// Building everything that the caches hold, in milliseconds.
    warm_ms: u64,
    /// Both caches, executables included.
    cache_bytes: u64,
    /// First builds in a fresh container.
    first: FirstBuilds,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub selection: Selection,
    /// Only write the usual recipe's image as an OCI image layout, for `bench ready --beside`
    #[arg(long, value_name = "DIR", conflicts_with = "json")]
    pub out: Option<Utf8PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Builds both and prints them side by side, or writes the image of the usual recipe.
pub fn run(flags: &Args) -> Result<()> {
    let out = flags.out.as_deref().map(Out::layout).transpose()?;
    let (source, all, providers) = flags.selection.read(None)?;
    let mut progress = Progress::default();
    let settings = Settings {
        // What is kept was not warmed in this run.
        again: out.is_none(),
        ..Settings::new(source.clone())
    };
    let foundation = flow::foundation(settings, &mut progress)?;
    let bench = Bench {
        below: [
            foundation.base(&mut progress)?,
            foundation.tools(&mut progress)?,
        ],
        foundation,
        source,
        all,
        providers,
    };
    if let Some(out) = &out {
        return bench.write_image(out, &mut progress);
    }
    let ours = bench.ours(&mut progress)?;
    let naive = bench.naive(&mut progress)?;
    if flags.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&serde_json::json!({ "naive": naive, "ours": ours }))?
        );
    } else {
        println!("{}", table(&naive, &ours));
    }
    Ok(())
}

/// What both recipes start from.
struct Bench {
    foundation: Foundation,
    /// The layers that both images have.
    below: [Pack; 2],
    source: Utf8PathBuf,
    all: Vec<Module>,
    providers: Vec<String>,
}

/// The caches of the usual recipe.
struct Caches {
    scratch: Scratch,
    /// Building every module, in milliseconds.
    warm_ms: u64,
}

impl Caches {
    fn of(&self, provider: &str) -> Utf8PathBuf {
        self.scratch.path().join("of").join(provider)
    }

    /// `go-mod` and `go-build` of all providers.
    fn merged(&self) -> Utf8PathBuf {
        self.scratch.path().join("merged-cache")
    }
}

impl Bench {
    /// Makes our packs and measures them.
    fn ours(&self, progress: &mut Progress) -> Result<Measured> {
        let foundation = &self.foundation;
        let packs = foundation.packs(&self.all, &self.providers, progress)?;
        progress.step("measure ours", Kind::Local, |_| {
            let scratch = foundation.work.scratch("ours")?;
            let mut layers = Vec::new();
            for below in &self.below {
                layers.extend(below.on_this_machine()?);
            }
            layers.extend(packs.kept().flat_map(KeptPack::layers));
            unpack_layers(&layers, scratch.path())?;
            let tree = &foundation.tree;
            let sandbox = Sandbox::new(scratch.path())
                .env(image_config::env(&tree.image, &tree.platform, false))
                .writable(
                    &scratch
                        .path()
                        .join(pipeline::owners::relative(&tree.image.go.gocache)),
                    &tree.image.go.gocache,
                );
            Ok(Measured {
                warm_ms: packs
                    .kept()
                    .map(|pack| pack.manifest.timings.build_ms)
                    .sum(),
                cache_bytes: packs
                    .kept()
                    .flat_map(|pack| &pack.manifest.files)
                    .map(|file| file.size_bytes)
                    .sum(),
                first: self.measure(sandbox)?,
            })
        })
    }

    /// Makes the caches of the usual recipe and measures them.
    fn naive(&self, progress: &mut Progress) -> Result<Measured> {
        let caches = self.build_naively(progress)?;
        progress.step("measure the usual way", Kind::Local, |_| {
            Ok(Measured {
                warm_ms: caches.warm_ms,
                cache_bytes: size_of(&caches.merged())?,
                first: self.measure(self.naive_image(&caches.merged()))?,
            })
        })
    }

    /// Builds each module on this machine as the usual recipe does, and merges the caches of the providers.
    fn build_naively(&self, progress: &mut Progress) -> Result<Caches> {
        let modules: Vec<Module> = self
            .all
            .iter()
            .filter(|module| self.providers.contains(&module.provider))
            .cloned()
            .collect();
        self.foundation.fetch(&modules, progress)?;
        progress.step("warm the usual way", Kind::Local, |step| {
            let scratch = self.foundation.work.scratch("naive")?;
            let mut caches = Caches {
                scratch,
                warm_ms: 0,
            };
            for module in &modules {
                step.detail(module.path.as_str());
                caches.warm_ms += self.build_one(module, &caches)?;
            }
            let merged = caches.merged();
            fs_err::create_dir_all(&merged)?;
            let sh = Shell::new()?;
            for provider in &self.providers {
                let own = caches.of(provider);
                host::run(cmd!(sh, "cp -rn {own}/. {merged}"))?;
                remove_tree(&own)?;
            }
            Ok(caches)
        })
    }

    /// Builds `module` with the caches of its provider; milliseconds.
    fn build_one(&self, module: &Module, caches: &Caches) -> Result<u64> {
        let go = self.foundation.tree.go.join("bin/go");
        let own = caches.of(&module.provider);
        let proxy = format!("file://{}/cache/download", self.foundation.go_mod);
        let sh = Shell::new()?;
        sh.change_dir(self.source.join(module.program()));
        sh.set_var("GOENV", "off");
        sh.set_var("GOTOOLCHAIN", "local");
        sh.set_var("GOMODCACHE", own.join("go-mod"));
        sh.set_var("GOCACHE", own.join("go-build"));
        sh.set_var("GOSUMDB", "off");
        sh.set_var("GOPROXY", proxy);
        let run = |go: Cmd<'_>| {
            host::run(go.env_remove("GOFLAGS").env_remove("CGO_ENABLED"))
                .with_context(|| format!("{} does not build", module.path))
        };
        run(cmd!(sh, "{go} mod download"))?;
        let started = Instant::now();
        let executable = caches.scratch.path().join("executable");
        run(cmd!(sh, "{go} build -o {executable} ."))?;
        Ok(millis(started))
    }

    /// The merged caches where Go looks by default, in the base system with Go; no setting of ours.
    fn naive_image(&self, merged: &Utf8Path) -> Sandbox {
        let foundation = &self.foundation;
        let goroot = &foundation.tree.image.go.goroot;
        Sandbox::new(&foundation.tree.root)
            .read_only(&foundation.tree.go, goroot)
            .read_only(&foundation.verifier, VERIFIER)
            .writable(&merged.join("go-mod"), "/root/go/pkg/mod")
            .writable(&merged.join("go-build"), "/root/.cache/go-build")
            .env(naive_env(&foundation.tree))
            .env([
                ("GOCACHE", "/root/.cache/go-build"),
                ("GOMODCACHE", "/root/go/pkg/mod"),
            ])
    }

    /// Writes the image of the usual recipe as a layout: ours without packs, and one layer more, as `COPY` makes it,
    /// with Go's default settings.
    fn write_image(self, out: &Out, progress: &mut Progress) -> Result<()> {
        let caches = self.build_naively(progress)?;
        progress.step("write the image of the usual recipe", Kind::Local, |_| {
            let tree = &self.foundation.tree;
            let scratch = self.foundation.work.scratch("naive-layer")?;
            let blob = scratch.path().join("caches");
            let mut layers: Vec<PackLayer> = self.below.iter().flat_map(Pack::layers).collect();
            layers.push(PackLayer {
                title: "caches".to_owned(),
                layer: naive_layer(tree, &caches.merged(), &blob)?,
                blob: BlobSource::File(blob),
                inventory: None,
            });
            let image = Variant {
                name: LATEST.to_owned(),
                layers,
                tools: BTreeMap::new(),
                has_all_plugins: false,
                has_go: true,
                providers: BTreeSet::new(),
            };
            let mut config = image_config::config(&tree.image, &tree.platform, &image, false)?;
            let env = naive_env(tree).map(|(name, value)| format!("{name}={value}"));
            config["config"]["Env"] = serde_json::json!(env);
            let mut layout = LayoutWriter::create(out.begin()?)?;
            let descriptors = image
                .layers
                .iter()
                .map(|layer| layout.layer(layer))
                .collect::<Result<_>>()?;
            let parts = (descriptors, &BTreeMap::new());
            images::add(&mut layout, &image.name, &config, parts, &tree.platform)?;
            layout.finish()?;
            out.complete()
        })
    }

    /// First builds, by the verifier in the image behind `sandbox`.
    fn measure(&self, sandbox: Sandbox) -> Result<FirstBuilds> {
        let mut flags = Vec::new();
        for provider in &self.providers {
            flags.extend(["--provider", provider]);
        }
        let sandbox = sandbox.read_only(&self.source, ELSEWHERE);
        let json = measure::measure(&sandbox, &flags)?;
        Ok(FirstBuilds::new(&Report::parse(&json)?.data, None))
    }
}

/// What the usual image sets: where Go is, and the home below which Go keeps its caches by default.
fn naive_env(tree: &Tree) -> [(&'static str, String); 2] {
    let goroot = &tree.image.go.goroot;
    [
        ("PATH", format!("{goroot}/bin:/usr/local/bin:/usr/bin:/bin")),
        ("HOME", "/root".to_owned()),
    ]
}

/// The caches in `merged` as the layer of the usual recipe, in the file `blob`.
fn naive_layer(tree: &Tree, merged: &Utf8Path, blob: &Utf8Path) -> Result<Layer> {
    let meta = |metadata: Option<&std::fs::Metadata>| Meta {
        mode: metadata.map_or(0o755, |metadata| metadata.mode() & 0o7777),
        uid: 0,
        gid: 0,
        mtime: metadata.map_or(tree.image.image.epoch, |it| {
            u64::try_from(it.mtime()).unwrap_or(0)
        }),
    };
    let mut layer =
        LayerWriter::create(blob, Compression::Zstd, tree.image.layers, |_| meta(None))?;
    for (cache, place) in [
        ("go-mod", "root/go/pkg/mod"),
        ("go-build", "root/.cache/go-build"),
    ] {
        let cache = merged.join(cache);
        for file in files_below(&cache)? {
            let (source, path) = (cache.join(&file), Utf8Path::new(place).join(&file));
            let metadata = fs_err::metadata(&source)?;
            layer.file(&path, &source, meta(Some(&metadata)))?;
        }
    }
    layer.finish()
}

fn size_of(folder: &Utf8Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in walkdir::WalkDir::new(folder) {
        let metadata = entry
            .and_then(|entry| entry.metadata())
            .with_context(|| format!("failed to list {folder}"))?;
        bytes += if metadata.is_file() {
            metadata.len()
        } else {
            0
        };
    }
    Ok(bytes)
}

fn table(naive: &Measured, ours: &Measured) -> comfy_table::Table {
    let ratio = |naive: f64, ours: f64| format!("{:.1}", naive / ours);
    let hits = |first: &FirstBuilds| {
        format!(
            "{:.1} % of packages, {:.0} % of links",
            first.packages.rate() * 100.0,
            first.links.rate() * 100.0
        )
    };
    let seconds = |ms: f64| format!("{:.2} s", ms / 1000.0);
    let mut table = pipeline::summary::table(&["", "usual recipe", "this image", "usual / this"]);
    table.add_row([
        "hits of the first build".to_owned(),
        hits(&naive.first),
        hits(&ours.first),
        String::new(),
    ]);
    let lines = [
        ("first build, median", naive.first.p50_ms, ours.first.p50_ms),
        (
            "first build, slowest",
            naive.first.max_ms,
            ours.first.max_ms,
        ),
        ("warming", naive.warm_ms as f64, ours.warm_ms as f64),
    ];
    for (what, naive, ours) in lines {
        table.add_row([
            what.to_owned(),
            seconds(naive),
            seconds(ours),
            ratio(naive, ours),
        ]);
    }
    let (one, other) = (naive.cache_bytes, ours.cache_bytes);
    table.add_row([
        "caches".to_owned(),
        human_bytes(one),
        human_bytes(other),
        ratio(one as f64, other as f64),
    ]);
    table
}
