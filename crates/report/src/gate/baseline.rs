//! The baseline: what of a report is kept in the repository for later ones to be held against.
//!
//! A reduction of one report, sorted, with nothing in it of when and on which machine it was measured but the noise in
//! the times: the same report always gives the same bytes, and a diff of two shows what changed.
//!
//! Times are kept as ratios to the yardsticks of the same run, for milliseconds mean nothing on another machine.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use gocache::{Identity, Ratio};
use serde::{Deserialize, Serialize};

use crate::check::{self, Fault};
use crate::file::BASELINE_SCHEMA;
use crate::model::{self, MeasuredModule, Phase, PhaseName, Report};
use crate::{Error, file};

/// The phases whose hits are kept: what is built in the state as shipped, and after it.
const PHASES: [PhaseName; 3] = [PhaseName::First, PhaseName::Relink, PhaseName::Noop];

/// What later reports are held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// [`BASELINE_SCHEMA`].
    pub schema: u32,
    /// The settings of the go command that was measured.
    pub identity: Identity,
    /// The image's layers as they are pulled, in bytes; absent where the report did not know its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_compressed_bytes: Option<u64>,
    /// Size of each pack, unpacked, in bytes.
    pub pack_bytes: BTreeMap<String, u64>,
    /// Sorted by path.
    pub modules: Vec<BaselineModule>,
}

/// What is kept of a module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineModule {
    /// Its provider.
    pub provider: String,
    /// Its component.
    pub component: String,
    /// Its folder, relative to the source.
    pub path: Utf8PathBuf,
    /// What came from the cache, by phase.
    pub hits: BTreeMap<PhaseName, PhaseHits>,
    /// Requests to the network during the first builds.
    pub network_attempts: u64,
    /// First builds in units of the yardsticks.
    pub first: Samples,
}

/// What came from the cache in one phase; absent where it was not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseHits {
    /// Packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<Ratio>,
    /// Links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<Ratio>,
    /// Look-ups of the package index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Ratio>,
}

/// First builds in units of their yardsticks, run by run; both lists are of one length, every value positive.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// Wall time of the build divided by that of `go list -deps`.
    pub per_list: Vec<f64>,
    /// Wall time of the build divided by that of the probe.
    pub per_probe: Vec<f64>,
}

impl Baseline {
    /// Of a report.
    pub fn of(report: &Report) -> Self {
        let mut modules: Vec<_> = report.modules.iter().map(BaselineModule::of).collect();
        modules.sort_by(|a, b| a.path.cmp(&b.path));
        let packs = report.packs.iter();
        Self {
            schema: BASELINE_SCHEMA,
            identity: report.identity.clone(),
            image_compressed_bytes: report.image.as_ref().map(|image| image.compressed_bytes),
            pack_bytes: packs
                .map(|pack| (pack.name.clone(), pack.total_bytes()))
                .collect(),
            modules,
        }
    }

    /// Whether every report can be held against it, and something is asked of each.
    pub fn check(&self) -> Result<(), Fault> {
        check::values(self)?;
        if self.modules.is_empty() {
            let reason = "is empty: any report would meet a baseline that asks for nothing";
            return Err(Fault::new("modules", reason));
        }
        check::each_once("modules", "path", self.modules.iter().map(|it| &it.path))?;
        for (number, module) in self.modules.iter().enumerate() {
            let fault = |field, reason: String| {
                Fault::new(field, reason).within(format!("modules[{number}]"))
            };
            let first = PhaseName::First;
            if !module.hits.contains_key(&first) {
                let reason = format!("has no {first}, so nothing would be asked of the module");
                return Err(fault("hits", reason));
            }
            let Samples {
                per_list,
                per_probe,
            } = &module.first;
            let (lists, probes) = (per_list.len(), per_probe.len());
            if lists != probes {
                let reason =
                    format!("has {lists} values, and per_probe {probes}: both of each run");
                return Err(fault("first.per_list", reason));
            }
        }
        Ok(())
    }

    /// Reads one. What cannot be read, is none, is newer than [`BASELINE_SCHEMA`], or holds what cannot be
    /// ([`Baseline::check`]) is bad input.
    pub fn read(file: &Utf8Path) -> Result<Self, Error> {
        if !file.exists() {
            let reason = format!(
                "does not exist; make it with `cargo xtask gate --baseline {file} REPORT --update`"
            );
            return Err(Error::input(file, reason));
        }
        let baseline: Self = file::read_as(file, &file::BASELINE)?;
        baseline
            .check()
            .map_err(|fault| Error::fault(file, &fault))?;
        Ok(baseline)
    }

    /// As it stands in the repository.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.expect("its keys are strings, and its numbers finite") + "\n"
    }
}

impl BaselineModule {
    /// Of a measured module.
    pub fn of(module: &MeasuredModule) -> Self {
        let phases = PHASES
            .into_iter()
            .filter_map(|name| Some((name, PhaseHits::of(module.phases.get(&name)?))));
        Self {
            provider: module.provider.clone(),
            component: module.component.clone(),
            path: module.path.clone(),
            hits: phases.collect(),
            network_attempts: module.first().map_or(0, |first| first.network_attempts),
            first: Samples::of(module),
        }
    }

    /// As it is called in messages.
    pub fn name(&self) -> String {
        model::name(&self.provider, &self.component)
    }
}

impl PhaseHits {
    fn of(phase: &Phase) -> Self {
        Self {
            packages: phase.packages,
            links: phase.links,
            index: phase.index,
        }
    }
}

impl Samples {
    /// The first builds of a module; none where a yardstick is missing.
    fn of(module: &MeasuredModule) -> Self {
        let first = module.first().map_or(&[][..], |first| &first.wall_ms);
        let yardsticks = module.list_ms.iter().zip(&module.probe_ms);
        let mut samples = Self::default();
        for (first_ms, (list_ms, probe_ms)) in first.iter().zip(yardsticks) {
            let ratios = [first_ms / list_ms, first_ms / probe_ms].map(rounded);
            // A time of zero was not measured.
            if ratios.iter().all(|ratio| ratio.is_finite() && *ratio > 0.0) {
                samples.per_list.push(ratios[0]);
                samples.per_probe.push(ratios[1]);
            }
        }
        samples
    }

    /// Runs.
    pub fn len(&self) -> usize {
        self.per_list.len().min(self.per_probe.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// To four decimals: far below the noise, and short to read in a diff.
fn rounded(ratio: f64) -> f64 {
    (ratio * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn the_same_report_gives_the_same_bytes_in_any_order() {
        let mut report = report(&["civo/dns", "aws/s3", "civo/volume"]);
        let baseline = Baseline::of(&report);
        let names: Vec<_> = baseline.modules.iter().map(BaselineModule::name).collect();
        assert_eq!(names, ["aws/s3", "civo/dns", "civo/volume"]);
        let text = baseline.to_json();
        report.modules.reverse();
        report.packs.reverse();
        report.measured_at_s = Some(1);
        assert_eq!(Baseline::of(&report).to_json(), text);
        assert_eq!(serde_json::from_str::<Baseline>(&text).unwrap(), baseline);
    }

    #[test]
    fn runs_without_both_yardsticks_are_no_samples() {
        let mut report = report(&["civo/dns"]);
        let module = &mut report.modules[0];
        let wall_ms = vec![300.0, 310.0, 320.0];
        module.phases.entry(PhaseName::First).or_default().wall_ms = wall_ms;
        module.list_ms = vec![100.0, 0.0, 160.0];
        module.probe_ms = vec![70.0, 70.0];
        let samples = Samples::of(module);
        assert_eq!(samples.per_list, [3.0]);
        assert_eq!(samples.per_probe, [4.2857]);
        module.probe_ms.clear();
        assert!(Samples::of(module).is_empty());
    }

    #[test]
    fn a_baseline_and_a_report_are_not_taken_for_each_other() {
        let guard = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(guard.path()).unwrap().join("x.json");
        let report = report(&["civo/dns"]);
        file::write(&path, &Baseline::of(&report).to_json()).unwrap();
        assert_eq!(Baseline::read(&path).unwrap(), Baseline::of(&report));
        let refused = |error: Error, sign: &str| {
            assert_eq!(error.kind(), Some(failure::Kind::Usage));
            let said = error.to_string();
            assert!(said.contains("x.json") && said.contains(sign), "{said}");
        };
        let sign =
            "is a baseline of the gate, not a report of the verifier; where both are named, swap";
        refused(file::read(&path).unwrap_err(), sign);
        file::write(&path, &serde_json::to_string(&report).unwrap()).unwrap();
        let sign =
            "is a report of the verifier, not a baseline of the gate; where both are named, swap";
        refused(Baseline::read(&path).unwrap_err(), sign);
        file::write(&path, r#"{"schema": 1}"#).unwrap();
        refused(Baseline::read(&path).unwrap_err(), "missing field");
        file::write(&path, r#"{"schema": 2, "anything": []}"#).unwrap();
        refused(Baseline::read(&path).unwrap_err(), "schema 2, newer than 1");
        fs_err::remove_file(&path).unwrap();
        refused(Baseline::read(&path).unwrap_err(), "--update");
    }
}
