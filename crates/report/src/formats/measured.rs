//! What formats are made from: the report, phase by phase, and what its first builds missed.

use gocache::Ratio;

use crate::history::HistoryLine;
use crate::{MeasuredModule, Phase, PhaseName, Report};

/// What a format is made from.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The report.
    pub report: &'a Report,
    /// It and earlier ones, oldest first; none where nobody keeps a history.
    pub history: &'a [HistoryLine],
    /// The longest that a first build should take.
    pub target_ms: Option<f64>,
}

/// A phase of a module that was measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured<'a> {
    pub module: &'a MeasuredModule,
    /// The component, or the path where that is not enough to tell the module from others.
    pub component: &'a str,
    pub phase_name: PhaseName,
    pub phase: &'a Phase,
}

impl Measured<'_> {
    /// As the module is called.
    pub fn module_name(&self) -> String {
        crate::name(&self.module.provider, self.component)
    }

    /// Packages and links from the cache; none where nothing tells, or where the cache is empty on purpose.
    pub fn hits(&self) -> Option<Ratio> {
        let cold = matches!(self.phase_name, PhaseName::Cold | PhaseName::ColdModules);
        let packages = self.phase.packages.filter(|_| !cold)?;
        Some(packages + self.phase.links.unwrap_or_default())
    }
}

/// All that was measured, by module and phase.
pub fn measured(report: &Report) -> impl Iterator<Item = Measured<'_>> {
    report.modules.iter().flat_map(|module| {
        let component = distinct_component(module, report);
        let phases = module.phases.iter();
        phases
            .filter(|(_, phase)| !phase.wall_ms.is_empty())
            .map(move |(phase_name, phase)| Measured {
                module,
                component,
                phase_name: *phase_name,
                phase,
            })
    })
}

/// Two versions of one component have the same name; readers would take them for two runs of one module.
pub fn distinct_component<'a>(module: &'a MeasuredModule, report: &Report) -> &'a str {
    let same_name = |other: &&MeasuredModule| {
        other.provider == module.provider && other.component == module.component
    };
    if report.modules.iter().filter(same_name).count() > 1 {
        module.path.as_str()
    } else {
        &module.component
    }
}

/// Names of compiled packages in a sentence; the report has more.
const NAMES: usize = 5;

/// What a first build had to do that the cache should have saved it.
pub fn misses(first: &Phase) -> Vec<String> {
    let lacking = |ratio: Option<Ratio>| ratio.map_or(0, |ratio| ratio.total - ratio.hits);
    let mut misses = Vec::new();
    let packages = lacking(first.packages);
    if packages > 0 {
        let mut names: Vec<_> = first
            .compiled
            .iter()
            .take(NAMES)
            .map(String::as_str)
            .collect();
        if packages > names.len() as u64 {
            names.push("…");
        }
        let noun = if packages == 1 {
            "package was"
        } else {
            "packages were"
        };
        misses.push(format!("{packages} {noun} compiled: {}", names.join(", ")));
    }
    if lacking(first.links) > 0 {
        misses.push("the executable was linked".to_owned());
    }
    misses
}

/// The modules whose first build had to do something, and what.
pub fn missed_modules(report: &Report) -> Vec<(String, String)> {
    let missed = |module: &MeasuredModule| {
        let misses = misses(module.first()?);
        (!misses.is_empty()).then(|| (module.name(), misses.join("; ")))
    };
    report.modules.iter().filter_map(missed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn versions_of_a_component_are_told_apart() {
        let mut report = sample::report(2);
        report.modules.push(report.modules[0].clone());
        report.modules[2].path = "apis/provider/atlas/bucket/v2/iac/pulumi".into();
        let mut names: Vec<_> = measured(&report)
            .map(|measured| measured.module_name())
            .collect();
        names.dedup();
        let expected = [
            "atlas/apis/provider/atlas/bucket/v1/iac/pulumi",
            "auth0/bucket",
            "atlas/apis/provider/atlas/bucket/v2/iac/pulumi",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn misses_are_named() {
        let report = sample::report(2);
        let firsts = report.modules.iter().filter_map(MeasuredModule::first);
        let misses: Vec<_> = firsts.map(misses).collect();
        assert!(misses[0].is_empty());
        assert_eq!(misses[1].len(), 2);
        assert!(
            misses[1][0].starts_with("7 packages were compiled: example.com/sdk/v0/go/package_0, ")
        );
        assert!(misses[1][0].ends_with("package_4, …"));
        assert_eq!(misses[1][1], "the executable was linked");
    }
}
