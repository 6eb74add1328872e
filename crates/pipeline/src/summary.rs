//! The account of a `base-image` run: what was built, how large and how fast it is, and where the time went.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use gocache::Ratio;
use gocache::image_info::SCHEMA;
use report::stats::Percentiles;
use report::{MeasuredModule, PhaseName, Report};
use serde::Serialize;

use crate::assemble::images::WrittenImage;
use crate::assemble::platforms::Named;
use crate::flow::Packs;
use crate::pack::KeptPack;
use crate::pack::manifest::Timings;
use engine::progress::{Kind, Stage, human_bytes};
use oci::platform::Platform;

/// The whole account.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// Version of this format.
    pub schema: u32,
    /// For which the images are.
    pub platform: String,
    /// Packs, `common` first and `rest` last.
    pub packs: Vec<PackLine>,
    /// All modules together.
    pub total: FirstBuilds,
    /// Images in the layout.
    pub variants: Vec<WrittenImage>,
    /// Steps of this run.
    pub stages: Vec<Stage>,
    /// Wall time of this run outside of the go command's compiling and linking, against that inside.
    pub overhead: Option<f64>,
    /// Peak resident memory of this process in bytes.
    pub peak_memory_bytes: u64,
    /// Modules that are missing because they do not build, and those that do not build in the image.
    pub broken: Vec<String>,
    /// Programs that a preview did not run, with what Pulumi said.
    pub not_run: Vec<String>,
    /// What each name means where there are several platforms: an index of their images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<Named>,
    /// The other platforms of this run, whose steps are among those above.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Summary>,
}

/// A pack.
#[derive(Debug, Serialize)]
pub struct PackLine {
    /// The provider, or `common`.
    pub name: String,
    /// Modules in it.
    pub modules: usize,
    /// How long each module's own build took, by path, in milliseconds.
    pub modules_ms: BTreeMap<Utf8PathBuf, u64>,
    /// Layers as tar, in bytes.
    pub uncompressed_bytes: u64,
    /// Layers as shipped, in bytes.
    pub compressed_bytes: u64,
    /// How long it took when it was made.
    pub timings: Timings,
    /// Links that the go command did not take from the cache.
    pub links_not_cached: usize,
    /// What the verifier measured.
    pub first: Option<FirstBuilds>,
}

/// First builds of some modules.
#[derive(Debug, Serialize)]
pub struct FirstBuilds {
    /// Median in milliseconds.
    pub p50_ms: f64,
    /// 95th percentile (nearest rank) in milliseconds.
    pub p95_ms: f64,
    /// Slowest in milliseconds.
    pub max_ms: f64,
    /// Packages from the cache.
    pub packages: Ratio,
    /// Links from the cache.
    pub links: Ratio,
}

impl Summary {
    /// Of one platform, without the steps.
    pub fn new(
        platform: &Platform,
        packs: &Packs,
        variants: Vec<WrittenImage>,
        report: &Report,
    ) -> Self {
        let Packs {
            common,
            providers,
            rest,
        } = packs;
        let mut lines = vec![PackLine::new(&common.pack, None)];
        lines.extend(providers.iter().map(|pack| {
            let first = FirstBuilds::new(report, Some(&pack.part.provider));
            PackLine::new(&pack.pack, Some(first))
        }));
        lines.extend(rest.iter().map(|rest| PackLine::new(&rest.pack, None)));
        Self {
            schema: SCHEMA,
            platform: platform.to_string(),
            packs: lines,
            total: FirstBuilds::new(report, None),
            variants,
            overhead: None,
            stages: Vec::new(),
            peak_memory_bytes: peak_memory_bytes(),
            broken: providers
                .iter()
                .flat_map(|pack| pack.broken.iter().cloned())
                .chain(report.failures.iter().map(|failure| {
                    format!("{} fails in the image: {}", failure.path, failure.message)
                }))
                .collect(),
            not_run: report.modules.iter().filter_map(not_run).collect(),
            indexes: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Makes it that of the whole run, with the `others` of its platforms and its steps.
    pub fn complete(&mut self, others: Vec<Self>, indexes: Vec<Named>, stages: &[Stage]) {
        self.others = others;
        self.indexes = indexes;
        self.overhead = overhead(stages);
        self.stages = stages.to_vec();
    }

    /// This one, and those of the other platforms.
    fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    /// Whether all packages came from the caches, on all platforms.
    pub fn is_full(&self) -> bool {
        self.all().all(|it| it.total.packages.is_full())
    }

    /// What is missing on any platform.
    pub fn all_broken(&self) -> impl Iterator<Item = &String> {
        self.all().flat_map(|it| &it.broken)
    }

    /// Packs and images of this platform, as tables.
    fn tables(&self) -> String {
        let mut packs = table(&[
            "pack",
            "modules",
            "size",
            "compressed",
            "warm",
            "memory",
            "first p50",
            "p95",
            "max",
            "packages",
            "links",
        ]);
        for line in &self.packs {
            let mut row = vec![
                line.name.clone(),
                line.modules.to_string(),
                human_bytes(line.uncompressed_bytes),
                human_bytes(line.compressed_bytes),
                seconds(line.timings.build_ms as f64),
                line.timings
                    .peak_memory_bytes
                    .map_or_else(String::new, human_bytes),
            ];
            row.extend(first_cells(line.first.as_ref()));
            packs.add_row(row);
        }
        let modules: usize = self.packs.iter().map(|line| line.modules).sum();
        let largest = self
            .packs
            .iter()
            .filter_map(|line| line.timings.peak_memory_bytes)
            .max();
        let mut total = vec![
            "total".to_owned(),
            modules.to_string(),
            String::new(),
            String::new(),
            String::new(),
            largest.map_or_else(String::new, human_bytes),
        ];
        total.extend(first_cells(Some(&self.total)));
        packs.add_row(total);
        format!("{packs}\n\n{}", variants(&self.variants))
    }

    /// As a person reads it.
    pub fn text(&self) -> String {
        let others = self.others.iter();
        let others = others.map(|it| format!("\n\n{}:\n{}", it.platform, it.tables()));
        let tables = self.tables() + &others.collect::<String>();
        let mut stages = table(&["step", "wall", "of that go", "cpu", "written"]);
        for stage in &self.stages {
            let written = if stage.written_bytes == 0 {
                String::new()
            } else {
                human_bytes(stage.written_bytes)
            };
            stages.add_row([
                stage.name.clone(),
                seconds(stage.wall_ms as f64),
                if stage.go_ms == 0 {
                    String::new()
                } else {
                    seconds(stage.go_ms as f64)
                },
                seconds(stage.cpu_ms as f64),
                written,
            ]);
        }
        let memory = human_bytes(self.peak_memory_bytes);
        let overhead = self.overhead.map_or_else(String::new, |overhead| {
            format!(
                ", {:.0} % of time on top of the go command's own work",
                overhead * 100.0
            )
        });
        let broken = self.all_broken().map(|it| format!("\nmissing: {it}"));
        let not_run = self.all().flat_map(|it| &it.not_run);
        let not_run = not_run.map(|it| format!("\nwarning: {it}"));
        let remarks: String = broken.chain(not_run).collect();
        format!("{tables}\n\n{stages}\n\npeak memory {memory}{overhead}{remarks}")
    }
}

/// That a preview did not run the program, and what was said.
fn not_run(module: &MeasuredModule) -> Option<String> {
    let preview = module.phases.get(&PhaseName::Preview)?;
    let said = &preview.not_run;
    (!said.is_empty()).then(|| {
        format!(
            "`pulumi preview` of {} did not get as far as registering its stack:\n  {}",
            module.path,
            said.join("\n  ")
        )
    })
}

impl PackLine {
    fn new(pack: &KeptPack, first: Option<FirstBuilds>) -> Self {
        let layers = pack.layers();
        Self {
            name: pack.manifest.name.clone(),
            modules: pack.manifest.modules.len(),
            modules_ms: pack
                .manifest
                .modules
                .iter()
                .map(|module| (module.path.clone(), module.build_ms))
                .collect(),
            uncompressed_bytes: layers
                .iter()
                .map(|layer| layer.layer.uncompressed_bytes)
                .sum(),
            compressed_bytes: layers.iter().map(|layer| layer.layer.size_bytes).sum(),
            timings: pack.manifest.timings,
            links_not_cached: pack.manifest.links_not_cached.len(),
            first,
        }
    }
}

impl FirstBuilds {
    /// Those of `provider`, or of all modules for `None`.
    pub fn new(report: &Report, provider: Option<&str>) -> Self {
        let modules = report.modules.iter();
        let builds: Vec<_> = modules
            .filter(|module| provider.is_none_or(|name| module.provider == name))
            .filter_map(MeasuredModule::first)
            .collect();
        let times: Vec<f64> = builds
            .iter()
            .flat_map(|build| build.wall_ms.iter().copied())
            .collect();
        let Percentiles { p50, p95, max } = Percentiles::of(&times).unwrap_or(Percentiles {
            p50: 0.0,
            p95: 0.0,
            max: 0.0,
        });
        let (mut packages, mut links) = (Ratio::default(), Ratio::default());
        for build in builds {
            packages += build.packages.unwrap_or_default();
            links += build.links.unwrap_or_default();
        }
        Self {
            p50_ms: p50,
            p95_ms: p95,
            max_ms: max,
            packages,
            links,
        }
    }
}

/// Time on this machine outside of the go command's compiling and linking, against that inside; `None` where this run
/// compiled nothing.
fn overhead(stages: &[Stage]) -> Option<f64> {
    let go_ms: u64 = stages.iter().map(|stage| stage.go_ms).sum();
    let local = stages.iter().filter(|stage| stage.kind == Kind::Local);
    let other_ms: u64 = local
        .map(|stage| stage.wall_ms.saturating_sub(stage.go_ms))
        .sum();
    (go_ms > 0).then(|| other_ms as f64 / go_ms as f64)
}

fn peak_memory_bytes() -> u64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF);
    usage.map_or(0, |usage| {
        u64::try_from(usage.max_rss()).unwrap_or(0) * 1024
    })
}

fn first_cells(first: Option<&FirstBuilds>) -> Vec<String> {
    let Some(first) = first else {
        return vec![String::new(); 5];
    };
    let ratio = |ratio: Ratio| format!("{}/{}", ratio.hits, ratio.total);
    let times = [first.p50_ms, first.p95_ms, first.max_ms].map(seconds);
    times
        .into_iter()
        .chain([ratio(first.packages), ratio(first.links)])
        .collect()
}

/// Milliseconds as seconds.
pub fn seconds(ms: f64) -> String {
    format!("{:.2} s", ms / 1000.0)
}

/// Images with their sizes.
pub fn variants(variants: &[WrittenImage]) -> Table {
    let mut text = table(&["image", "size", "compressed", "digest"]);
    for variant in variants {
        text.add_row([
            variant.name.clone(),
            human_bytes(variant.uncompressed_bytes),
            human_bytes(variant.compressed_bytes),
            variant.digest.chars().take(19).collect(),
        ]);
    }
    text
}

/// An empty table whose columns but the first are numbers.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::kept;

    #[test]
    fn overhead_is_local_time_outside_of_go() {
        let stage = |kind, wall_ms, go_ms| Stage {
            name: String::new(),
            kind,
            wall_ms,
            go_ms,
            cpu_ms: 0,
            written_bytes: 0,
        };
        let stages = [
            stage(Kind::Network, 100, 60),
            stage(Kind::Local, 50, 40),
            stage(Kind::Local, 10, 0),
        ];
        assert_eq!(overhead(&stages), Some(0.2));
        assert_eq!(overhead(&stages[2..]), None);
    }

    #[test]
    fn the_account_tells_packs_images_and_steps() {
        let first = |p50_ms| FirstBuilds {
            p50_ms,
            p95_ms: 900.0,
            max_ms: 1234.5,
            packages: Ratio { hits: 3, total: 4 },
            links: Ratio { hits: 1, total: 1 },
        };
        let stage = |name: &str, wall_ms, go_ms, written_bytes| Stage {
            name: name.to_owned(),
            kind: Kind::Local,
            wall_ms,
            go_ms,
            cpu_ms: 1000,
            written_bytes,
        };
        let stages = vec![
            stage("base system", 1500, 0, 0),
            stage("warm civo", 20_000, 18_000, 12_000_000),
        ];
        let variant = |name: &str| WrittenImage {
            name: name.to_owned(),
            digest: "sha256:0123456789abcdef0123".to_owned(),
            compressed_bytes: 154_000_000,
            uncompressed_bytes: 1_200_000_000,
        };
        let summary = Summary {
            schema: SCHEMA,
            platform: "linux/amd64".to_owned(),
            indexes: Vec::new(),
            others: Vec::new(),
            packs: vec![
                PackLine::new(&kept("common"), None),
                PackLine::new(&kept("civo"), Some(first(512.3))),
            ],
            total: first(600.0),
            variants: vec![variant("latest"), variant("latest-civo")],
            overhead: overhead(&stages),
            stages,
            peak_memory_bytes: 800_000_000,
            broken: vec!["apis/x does not build: a reason".to_owned()],
            not_run: vec!["`pulumi preview` of apis/y: a reason".to_owned()],
        };
        insta::assert_snapshot!(summary.text());
        insta::assert_json_snapshot!("summary_json", summary);
    }
}
