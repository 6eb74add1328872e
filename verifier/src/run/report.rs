//! The report: what was measured, as data and as JSON (schema 1).
//!
//! Percentiles are by nearest rank: the smallest value that at least p per cent of the values do not exceed, so each
//! is a value that was really measured. Those of the summary are taken over the modules, each with its median over
//! the runs (by nearest rank, too).

use camino::Utf8PathBuf;
use gocache::{Hits, Identity, Ratio};
use modules::Module;
use serde::Serialize;

use crate::go::Build;

/// Names of compiled packages in the JSON; all of a cold build would be a thousand.
const COMPILED: usize = 20;

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Report {
    schema: u32,
    /// The settings of the go command that was measured.
    pub identity: Identity,
    pub modules: Vec<MeasuredModule>,
    /// Modules that did not build; they are not in `modules`.
    pub failures: Vec<Failure>,
    pub summary: Summary,
    verifier: Verifier,
}

/// What measured.
#[derive(Debug, Serialize)]
struct Verifier {
    version: &'static str,
}

/// A module and its times.
#[derive(Debug, Serialize)]
pub struct MeasuredModule {
    pub provider: String,
    pub component: String,
    pub path: Utf8PathBuf,
    pub phases: Phases,
}

/// A module that failed.
#[derive(Debug, Serialize)]
pub struct Failure {
    pub provider: String,
    pub component: String,
    pub path: Utf8PathBuf,
    pub message: String,
}

/// The phases of a module.
#[derive(Debug, Default, Serialize)]
pub struct Phases {
    /// The state as shipped.
    pub first: Phase,
    /// The executable removed.
    pub relink: Phase,
    /// Nothing changed.
    pub noop: Phase,
    /// `pulumi preview` in the state as shipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<PreviewPhase>,
}

/// Builds in one state. Hits are those of the run that had the fewest.
#[derive(Debug, Default, Serialize)]
pub struct Phase {
    pub wall_ms: Vec<f64>,
    pub packages: Ratio,
    pub links: Ratio,
    /// The first packages that were compiled.
    pub compiled: Vec<String>,
}

/// Previews in the state as shipped.
#[derive(Debug, Default, Serialize)]
pub struct PreviewPhase {
    pub wall_ms: Vec<f64>,
    /// Whether the program got as far as registering its stack, in every run.
    pub ran: bool,
    /// Lines about failed downloads and look-ups of the go command.
    pub network_errors: Vec<String>,
    /// What Pulumi said first, where the program did not run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<String>,
}

/// All modules together.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// First builds; absent if no module was built.
    pub first_ms: Option<Percentiles>,
    /// Of the first builds.
    pub packages: Ratio,
    /// Of the first builds.
    pub links: Ratio,
}

/// Percentiles by nearest rank.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p95: f64,
    pub max: f64,
}

/// A module as it is called on the command line and in messages.
pub fn name(provider: &str, component: &str) -> String {
    format!("{provider}/{component}")
}

impl Report {
    pub fn new(identity: Identity, modules: Vec<MeasuredModule>, failures: Vec<Failure>) -> Self {
        let mut first_ms: Vec<f64> = modules
            .iter()
            .map(MeasuredModule::first_median_ms)
            .collect();
        first_ms.sort_by(f64::total_cmp);
        let (mut packages, mut links) = (Ratio::default(), Ratio::default());
        for module in &modules {
            packages += module.phases.first.packages;
            links += module.phases.first.links;
        }
        let summary = Summary {
            first_ms: Percentiles::of(&first_ms),
            packages,
            links,
        };
        let verifier = Verifier {
            version: env!("CARGO_PKG_VERSION"),
        };
        Self {
            schema: 1,
            identity,
            modules,
            failures,
            summary,
            verifier,
        }
    }
}

impl MeasuredModule {
    /// Nothing measured yet.
    pub fn new(module: &Module) -> Self {
        let Module {
            provider,
            component,
            path,
            ..
        } = module.clone();
        Self {
            provider,
            component,
            path,
            phases: Phases::default(),
        }
    }

    pub fn name(&self) -> String {
        name(&self.provider, &self.component)
    }

    /// The median first build.
    pub fn first_median_ms(&self) -> f64 {
        median(&self.phases.first.wall_ms)
    }
}

impl Failure {
    pub fn new(module: &Module, message: String) -> Self {
        let Module {
            provider,
            component,
            path,
            ..
        } = module.clone();
        Self {
            provider,
            component,
            path,
            message,
        }
    }
}

impl Phase {
    /// Adds a run.
    pub fn add(&mut self, build: &Build) {
        let Hits {
            packages,
            links,
            compiled,
            ..
        } = &build.hits;
        let is_worst = self.wall_ms.is_empty()
            || packages.hits + links.hits < self.packages.hits + self.links.hits;
        if is_worst {
            self.packages = *packages;
            self.links = *links;
            self.compiled = compiled.iter().take(COMPILED).cloned().collect();
        }
        self.wall_ms.push(rounded(build.wall_ms));
    }
}

impl PreviewPhase {
    /// Adds a run.
    pub fn add(&mut self, run: PreviewPhase) {
        self.ran = run.ran && (self.ran || self.wall_ms.is_empty());
        self.wall_ms.extend(run.wall_ms);
        for line in run.network_errors {
            if !self.network_errors.contains(&line) {
                self.network_errors.push(line);
            }
        }
        self.messages.extend(run.messages);
    }
}

impl Percentiles {
    /// Of sorted values; none of none.
    fn of(sorted: &[f64]) -> Option<Self> {
        let max = *sorted.last()?;
        Some(Self {
            p50: percentile(sorted, 50),
            p95: percentile(sorted, 95),
            max,
        })
    }
}

/// The nearest-rank percentile of sorted values; zero of none.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// The median by nearest rank; zero of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 50)
}

/// To a microsecond: more is noise.
pub fn rounded(ms: f64) -> f64 {
    (ms * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn build(wall_ms: f64, hits: u64, total: u64, linked: bool) -> Build {
        let compiled = (0..total - hits)
            .map(|index| format!("p{index:02}"))
            .collect();
        let links = Ratio {
            hits: u64::from(!linked),
            total: 1,
        };
        let linked = linked.then(|| "m".to_owned()).into_iter().collect();
        Build {
            wall_ms,
            hits: Hits {
                packages: Ratio { hits, total },
                links,
                compiled,
                linked,
            },
        }
    }

    /// A report on modules that were built once, with the time of their first build.
    pub fn report(first: &[(&str, Build)]) -> Report {
        let modules = first.iter().map(|(component, build)| {
            let mut module = MeasuredModule {
                provider: "civo".into(),
                component: (*component).into(),
                path: format!("apis/provider/civo/{component}/iac/pulumi").into(),
                phases: Phases::default(),
            };
            module.phases.first.add(build);
            module
                .phases
                .relink
                .add(&super::tests::build(20.0, 10, 10, true));
            module
                .phases
                .noop
                .add(&super::tests::build(5.0, 10, 10, false));
            module
        });
        let env = include_str!("../../../gocache/tests/fixtures/go-env.json");
        let identity = Identity::from_go_env(&serde_json::from_str(env).unwrap()).unwrap();
        Report::new(identity, modules.collect(), vec![])
    }

    #[test]
    fn the_json_is_as_agreed() {
        let report = report(&[("volume", build(312.456_78, 9, 10, true))]);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["schema"], 1);
        assert_eq!(json["identity"]["go_version"], "go1.26.8");
        let expected = serde_json::json!({
            "provider": "civo",
            "component": "volume",
            "path": "apis/provider/civo/volume/iac/pulumi",
            "phases": {
                "first": {
                    "wall_ms": [312.457],
                    "packages": {"hits": 9, "total": 10},
                    "links": {"hits": 0, "total": 1},
                    "compiled": ["p00"],
                },
                "relink": {
                    "wall_ms": [20.0],
                    "packages": {"hits": 10, "total": 10},
                    "links": {"hits": 0, "total": 1},
                    "compiled": [],
                },
                "noop": {
                    "wall_ms": [5.0],
                    "packages": {"hits": 10, "total": 10},
                    "links": {"hits": 1, "total": 1},
                    "compiled": [],
                },
            },
        });
        assert_eq!(json["modules"], serde_json::json!([expected]));
        let expected = serde_json::json!({
            "first_ms": {"p50": 312.457, "p95": 312.457, "max": 312.457},
            "packages": {"hits": 9, "total": 10},
            "links": {"hits": 0, "total": 1},
        });
        assert_eq!(json["summary"], expected);
        assert_eq!(json["verifier"]["version"], env!("CARGO_PKG_VERSION"));
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "the values are chosen, not computed")]
    fn percentiles_are_measured_values() {
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        assert_eq!(
            Percentiles::of(&values),
            Some(Percentiles {
                p50: 10.0,
                p95: 19.0,
                max: 20.0
            })
        );
        assert_eq!(Percentiles::of(&values[..19]).unwrap().p95, 19.0);
        assert_eq!(
            Percentiles::of(&[7.0]),
            Some(Percentiles {
                p50: 7.0,
                p95: 7.0,
                max: 7.0
            })
        );
        assert_eq!(Percentiles::of(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 3.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn the_worst_run_counts_and_names_are_bounded() {
        let mut phase = Phase::default();
        for (hits, total) in [(8, 10), (10, 40), (9, 10)] {
            phase.add(&build(1.0, hits, total, false));
        }
        assert_eq!(phase.packages, Ratio { hits: 8, total: 10 });
        assert_eq!(phase.compiled, ["p00", "p01"]);
        phase.add(&build(1.0, 0, 30, true));
        assert_eq!(phase.packages, Ratio { hits: 0, total: 30 });
        assert_eq!(phase.compiled.len(), COMPILED);
        assert_eq!(phase.wall_ms.len(), 4);
    }

    #[test]
    fn a_preview_ran_if_every_one_did() {
        let run = |ran| PreviewPhase {
            wall_ms: vec![1.0],
            ran,
            network_errors: vec!["x".into()],
            messages: vec![],
        };
        let mut phase = PreviewPhase::default();
        phase.add(run(true));
        assert!(phase.ran);
        phase.add(run(false));
        phase.add(run(true));
        assert!(!phase.ran);
        assert_eq!((phase.wall_ms.len(), phase.network_errors.len()), (3, 1));
    }
}
