//! The report's shape. It changes by adding fields; [`SCHEMA`] is raised only when one changes its meaning.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use gocache::{Hits, Identity, Ratio};
use modules::Module;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::stats::{Percentiles, median};

/// Version of the report's shape.
pub const SCHEMA: u32 = 1;

/// Names kept of compiled packages and of network requests; all of a cold build would be a thousand.
const NAMES: usize = 20;

/// What the verifier measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When the measuring began, in seconds since 1970-01-01T00:00:00Z; absent where there was no clock to ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured_at_s: Option<u64>,
    /// Whether an emulator ran the image's programs, as on a machine with another processor: what was found in the
    /// caches holds, and times mean nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emulated: bool,
    /// The settings of the go command that was measured.
    pub identity: Identity,
    /// The image, where whoever started the verifier knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// The packs in the image, sorted by name; none on a machine that is not made from ours.
    #[serde(default)]
    pub packs: Vec<PackSize>,
    /// What was measured, sorted by path.
    pub modules: Vec<MeasuredModule>,
    /// Modules that did not build; they are not in `modules`.
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// Phases that were asked for and could not be measured.
    #[serde(default)]
    pub skipped: Vec<SkippedPhase>,
    /// All modules together.
    pub summary: Summary,
    /// What measured.
    pub verifier: Verifier,
}

/// The image that was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Image {
    /// Its name: a tag or a reference.
    pub name: String,
    /// Digest of its manifest, `sha256:…`.
    pub digest: String,
    /// Its layers as they are pulled, in bytes.
    pub compressed_bytes: u64,
    /// Its layers unpacked, in bytes.
    pub uncompressed_bytes: u64,
}

/// A pack in the image, unpacked, in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PackSize {
    /// The provider, or `common`.
    pub name: String,
    /// Its share of GOMODCACHE.
    pub go_mod_bytes: u64,
    /// Its share of GOCACHE with the object code beside it, executables left out.
    pub go_build_bytes: u64,
    /// Its executables in GOCACHE.
    pub executables_bytes: u64,
}

impl PackSize {
    /// All of it.
    pub fn total_bytes(&self) -> u64 {
        self.go_mod_bytes + self.go_build_bytes + self.executables_bytes
    }
}

/// What measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verifier {
    /// Its version.
    pub version: String,
}

/// A module and its times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasuredModule {
    /// Its provider.
    pub provider: String,
    /// Its component.
    pub component: String,
    /// Its folder, relative to the source.
    #[schemars(with = "String")]
    pub path: Utf8PathBuf,
    /// What was measured, by phase.
    pub phases: BTreeMap<PhaseName, Phase>,
    /// The yardstick: `go list -deps` of the module after each run of `first`, in the state as shipped, in
    /// milliseconds.
    #[serde(default)]
    pub list_ms: Vec<f64>,
    /// The other yardstick: gofmt on the same sources everywhere, a fixed amount of work for CPU, memory and disk; the
    /// geometric mean of before and after each run of `first`, in milliseconds.
    #[serde(default)]
    pub probe_ms: Vec<f64>,
}

/// A module that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// Its provider.
    pub provider: String,
    /// Its component.
    pub component: String,
    /// Its folder, relative to the source.
    #[schemars(with = "String")]
    pub path: Utf8PathBuf,
    /// Why.
    pub message: String,
}

/// A phase that could not be measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SkippedPhase {
    /// Which.
    pub phase: PhaseName,
    /// Why.
    pub reason: String,
}

/// The state in which a module is built. Each is measured in the state as shipped, or right after the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseName {
    /// GOCACHE and GOMODCACHE are empty; the time has the download of the Go modules in it.
    ColdModules,
    /// GOCACHE is empty.
    Cold,
    /// The state as shipped.
    First,
    /// The state as shipped, with nothing in the page cache.
    FirstColdDisk,
    /// The state as shipped, with one change in the module's own package.
    Edited,
    /// After `first`, the executable removed.
    Relink,
    /// After `relink`, nothing changed.
    Noop,
    /// `pulumi preview` in the state as shipped; [`Phase::not_run`] tells of a program that does not register its stack.
    Preview,
    /// The same with the executable that the image has of the program, so that nothing is built.
    Prebuilt,
    /// `pulumi up` in the state as shipped, with the plugins of the image; what it made is destroyed again.
    Up,
}

impl PhaseName {
    /// All, in their order.
    pub const ALL: [Self; 10] = [
        Self::ColdModules,
        Self::Cold,
        Self::First,
        Self::FirstColdDisk,
        Self::Edited,
        Self::Relink,
        Self::Noop,
        Self::Preview,
        Self::Prebuilt,
        Self::Up,
    ];

    /// As it is called in the JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ColdModules => "cold-modules",
            Self::Cold => "cold",
            Self::First => "first",
            Self::FirstColdDisk => "first-cold-disk",
            Self::Edited => "edited",
            Self::Relink => "relink",
            Self::Noop => "noop",
            Self::Preview => "preview",
            Self::Prebuilt => "prebuilt",
            Self::Up => "up",
        }
    }
}

/// From a string, which an error in what stands below a phase is named by; of an enum nobody would know the name.
impl<'de> Deserialize<'de> for PhaseName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut all = Self::ALL.into_iter();
        let phase = all.find(|phase| phase.as_str() == text);
        phase.ok_or_else(|| D::Error::custom(format!("{text:?} is no phase")))
    }
}

impl std::fmt::Display for PhaseName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Runs of one phase. Hits are those of the run that missed most; everything else is the most of any run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// Wall time of each run in milliseconds.
    pub wall_ms: Vec<f64>,
    /// Packages from the cache; absent where nothing tells, as in a preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<Ratio>,
    /// Links from the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<Ratio>,
    /// Look-ups of the package index that were answered from the cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Ratio>,
    /// The first packages that were compiled.
    #[serde(default)]
    pub compiled: Vec<String>,
    /// Requests to the network.
    #[serde(default)]
    pub network_attempts: u64,
    /// The first of those, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub network_requests: Vec<String>,
    /// What Pulumi said in a preview in which the program did not register its stack, because it ended before, or never
    /// began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_run: Vec<String>,
    /// Files that were added to GOCACHE, or to the folder that stands in for it where it cannot be written.
    #[serde(default)]
    pub added_files: u64,
    /// Their size in bytes.
    #[serde(default)]
    pub added_bytes: u64,
    /// What the commands wrote to disks, in bytes; absent where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_bytes: Option<u64>,
    /// Resident memory of the largest process, in bytes; absent where the system does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
}

/// All modules together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// First builds, each module with its median; absent if no module was built.
    pub first_ms: Option<Percentiles>,
    /// Of the first builds.
    pub packages: Ratio,
    /// Of the first builds.
    pub links: Ratio,
    /// Of the first builds.
    #[serde(default)]
    pub index: Ratio,
    /// Of all phases but `cold-modules`.
    #[serde(default)]
    pub network_attempts: u64,
}

/// A module as it is called on the command line and in messages.
pub fn name(provider: &str, component: &str) -> String {
    format!("{provider}/{component}")
}

impl Summary {
    /// Of these modules.
    pub fn of(modules: &[MeasuredModule]) -> Self {
        let first_ms: Vec<f64> = modules
            .iter()
            .filter_map(MeasuredModule::first_median_ms)
            .collect();
        let mut summary = Self {
            first_ms: Percentiles::of(&first_ms),
            packages: Ratio::default(),
            links: Ratio::default(),
            index: Ratio::default(),
            network_attempts: 0,
        };
        for module in modules {
            if let Some(first) = module.first() {
                summary.packages += first.packages.unwrap_or_default();
                summary.links += first.links.unwrap_or_default();
                summary.index += first.index.unwrap_or_default();
            }
            summary.network_attempts += module
                .phases
                .iter()
                .filter(|(name, _)| **name != PhaseName::ColdModules)
                .map(|(_, phase)| phase.network_attempts)
                .sum::<u64>();
        }
        summary
    }
}

impl MeasuredModule {
    /// Adds a run of `phase`.
    pub fn add(&mut self, phase: PhaseName, run: Phase) {
        self.phases.entry(phase).or_default().add(run);
    }

    /// Nothing measured yet.
    pub fn new(module: &Module) -> Self {
        Self {
            provider: module.provider.clone(),
            component: module.component.clone(),
            path: module.path.clone(),
            phases: BTreeMap::new(),
            list_ms: Vec::new(),
            probe_ms: Vec::new(),
        }
    }

    /// As it is called in messages.
    pub fn name(&self) -> String {
        name(&self.provider, &self.component)
    }

    /// The first builds, if they were measured.
    pub fn first(&self) -> Option<&Phase> {
        self.phases.get(&PhaseName::First)
    }

    /// The median first build, if one was measured.
    pub fn first_median_ms(&self) -> Option<f64> {
        self.first().map(Phase::median_ms)
    }
}

impl Failure {
    /// Of `module`.
    pub fn new(module: &Module, message: String) -> Self {
        Self {
            provider: module.provider.clone(),
            component: module.component.clone(),
            path: module.path.clone(),
            message,
        }
    }

    /// As it is called in messages.
    pub fn name(&self) -> String {
        name(&self.provider, &self.component)
    }
}

impl Phase {
    /// One run: its time and what came from the cache.
    pub fn of_build(wall_ms: f64, hits: &Hits) -> Self {
        Self {
            wall_ms: vec![wall_ms],
            packages: Some(hits.packages),
            links: Some(hits.links),
            compiled: hits.compiled.iter().take(NAMES).cloned().collect(),
            ..Self::default()
        }
    }

    /// The run, with what it asked of the network.
    #[must_use]
    pub fn with_requests(mut self, requests: Vec<String>) -> Self {
        self.network_attempts = requests.len() as u64;
        for request in requests {
            self.note_request(request);
        }
        self
    }

    fn note_request(&mut self, request: String) {
        if self.network_requests.len() < NAMES && !self.network_requests.contains(&request) {
            self.network_requests.push(request);
        }
    }

    /// The median time in milliseconds.
    pub fn median_ms(&self) -> f64 {
        median(&self.wall_ms)
    }

    /// Adds other runs of the same phase.
    pub fn add(&mut self, other: Self) {
        if self.wall_ms.is_empty() {
            *self = other;
            return;
        }
        let misses = |phase: &Self| {
            let ratios = [phase.packages, phase.links, phase.index];
            let misses = ratios.into_iter().flatten();
            misses.map(|ratio| ratio.total - ratio.hits).sum::<u64>()
        };
        if misses(&other) > misses(self) {
            self.packages = other.packages;
            self.links = other.links;
            self.index = other.index;
            self.compiled = other.compiled;
        }
        self.wall_ms.extend(other.wall_ms);
        self.network_attempts = self.network_attempts.max(other.network_attempts);
        for request in other.network_requests {
            self.note_request(request);
        }
        if self.not_run.is_empty() {
            self.not_run = other.not_run;
        }
        self.added_files = self.added_files.max(other.added_files);
        self.added_bytes = self.added_bytes.max(other.added_bytes);
        self.written_bytes = self.written_bytes.max(other.written_bytes);
        self.peak_memory_bytes = self.peak_memory_bytes.max(other.peak_memory_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(wall_ms: f64, hits: u64, total: u64) -> Phase {
        let compiled = (0..total - hits).map(|number| format!("p{number:02}"));
        Phase::of_build(
            wall_ms,
            &Hits {
                packages: Ratio { hits, total },
                links: Ratio { hits: 1, total: 1 },
                compiled: compiled.collect(),
                linked: Vec::new(),
            },
        )
    }

    #[test]
    fn phase_names_are_those_of_the_json() {
        for name in PhaseName::ALL {
            let json = serde_json::to_value(name).unwrap();
            assert_eq!(json, name.as_str());
            assert_eq!(serde_json::from_value::<PhaseName>(json).unwrap(), name);
        }
        assert!(PhaseName::ALL.is_sorted());
    }

    #[test]
    fn the_worst_run_counts_and_names_are_bounded() {
        let mut phase = Phase::default();
        for (hits, total) in [(8, 10), (7, 10), (9, 10)] {
            phase.add(build(1.0, hits, total));
        }
        assert_eq!(phase.packages, Some(Ratio { hits: 7, total: 10 }));
        assert_eq!(phase.compiled, ["p00", "p01", "p02"]);
        phase.add(build(1.0, 0, 30));
        assert_eq!(phase.packages, Some(Ratio { hits: 0, total: 30 }));
        assert_eq!(phase.compiled.len(), NAMES);
        assert_eq!(phase.wall_ms.len(), 4);
    }

    #[test]
    fn an_older_report_is_read() {
        let phase: Phase = serde_json::from_str(
            r#"{"wall_ms":[1.5],"packages":{"hits":1,"total":2},"links":{"hits":0,"total":1},"new":1}"#,
        )
        .unwrap();
        assert_eq!(phase.packages, Some(Ratio { hits: 1, total: 2 }));
        assert_eq!(phase.index, None);
    }
}
