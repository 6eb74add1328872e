//! The formats that a report is written in, one file each (both files of one tool in one). Each is a function of data
//! to text; which file the text goes to is the caller's business.

mod benchstat;
mod github_action_benchmark;
mod html;
mod hyperfine;
mod junit;
mod markdown;

use std::fmt;
use std::str::FromStr;

use gocache::Ratio;

use crate::history::HistoryLine;
use crate::{MeasuredModule, Phase, PhaseName, Report};

/// What a format is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Input<'a> {
    /// The report.
    pub report: &'a Report,
    /// It and earlier ones, oldest first; none where nobody keeps a history.
    pub history: &'a [HistoryLine],
    /// The longest that a first build should take.
    pub target_ms: Option<f64>,
}

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text of Go benchmarks, for benchstat.
    Benchstat,
    /// JSON of hyperfine's `--export-json`.
    Hyperfine,
    /// JSON for github-action-benchmark's `customSmallerIsBetter`: times and sizes.
    SmallerIsBetter,
    /// JSON for github-action-benchmark's `customBiggerIsBetter`: hit ratios.
    BiggerIsBetter,
    /// Markdown, for the summary of a job.
    Markdown,
    /// `JUnit` XML.
    Junit,
    /// A page with plots.
    Html,
}

impl Format {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::Benchstat,
        Self::Hyperfine,
        Self::SmallerIsBetter,
        Self::BiggerIsBetter,
        Self::Markdown,
        Self::Junit,
        Self::Html,
    ];

    /// As it is called on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Benchstat => "benchstat",
            Self::Hyperfine => "hyperfine",
            Self::SmallerIsBetter => "smaller-is-better",
            Self::BiggerIsBetter => "bigger-is-better",
            Self::Markdown => "markdown",
            Self::Junit => "junit",
            Self::Html => "html",
        }
    }

    pub(crate) fn render(self, input: &Input) -> String {
        let report = input.report;
        match self {
            Self::Benchstat => benchstat::render(report),
            Self::Hyperfine => hyperfine::render(report),
            Self::SmallerIsBetter => github_action_benchmark::smaller_is_better(report),
            Self::BiggerIsBetter => github_action_benchmark::bigger_is_better(report),
            Self::Markdown => markdown::render(report),
            Self::Junit => junit::render(report, input.target_ms),
            Self::Html => html::render(input),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == name)
            .ok_or_else(|| {
                format!(
                    "no format; the formats are {}",
                    Self::ALL.map(Self::as_str).join(", ")
                )
            })
    }
}

/// A phase of a module that was measured.
#[derive(Debug, Clone, Copy)]
struct Measured<'a> {
    module: &'a MeasuredModule,
    /// The component, or the path where that is not enough to tell the module from others.
    component: &'a str,
    phase_name: PhaseName,
    phase: &'a Phase,
}

impl Measured<'_> {
    /// As the module is called.
    fn module_name(&self) -> String {
        crate::name(&self.module.provider, self.component)
    }

    /// Packages and links from the cache; none where nothing tells, or where the cache is empty on purpose.
    fn hits(&self) -> Option<Ratio> {
        let cold = matches!(self.phase_name, PhaseName::Cold | PhaseName::ColdModules);
        let packages = self.phase.packages.filter(|_| !cold)?;
        Some(packages + self.phase.links.unwrap_or_default())
    }
}

/// All that was measured, by module and phase.
fn measured(report: &Report) -> impl Iterator<Item = Measured<'_>> {
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
fn distinct_component<'a>(module: &'a MeasuredModule, report: &Report) -> &'a str {
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
fn misses(first: &Phase) -> Vec<String> {
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
fn missed_modules(report: &Report) -> Vec<(String, String)> {
    let missed = |module: &MeasuredModule| {
        let misses = misses(module.first()?);
        (!misses.is_empty()).then(|| (module.name(), misses.join("; ")))
    };
    report.modules.iter().filter_map(missed).collect()
}

/// Rounded down, so that only all of them are 100 %.
fn percent(ratio: Ratio) -> String {
    format!("{:.1} %", (ratio.rate() * 1_000.0).floor() / 10.0)
}

/// In decimal units, as registries and disks count.
fn size(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", value / 1e6),
        _ => format!("{:.2} GB", value / 1e9),
    }
}

/// Indented, for people read it, too.
fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("its keys are strings");
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn formats_are_found_by_their_names() {
        for format in Format::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        let said = "yaml".parse::<Format>().unwrap_err();
        assert!(said.contains("benchstat, hyperfine"), "{said}");
    }

    #[test]
    fn every_format_is_the_same_each_time_and_takes_an_empty_report() {
        let mut report = sample::report(12);
        for _ in 0..2 {
            for format in Format::ALL {
                let input = Input {
                    report: &report,
                    history: &[],
                    target_ms: None,
                };
                let text = format.render(&input);
                assert!(text.ends_with('\n'), "{format}");
                assert_eq!(text, format.render(&input), "{format}");
            }
            report.modules.clear();
            report.packs.clear();
            report.image = None;
            report.summary = crate::Summary::of(&[]);
        }
    }

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

    #[test]
    fn sizes_have_the_unit_that_fits() {
        let sizes = [0, 999, 4_096, 999_900, 1_434_000_000].map(size);
        assert_eq!(sizes, ["0 B", "999 B", "4.1 kB", "999.9 kB", "1.43 GB"]);
    }

    #[test]
    fn only_everything_is_a_hundred_per_cent() {
        let percent = |hits, total| percent(Ratio { hits, total });
        assert_eq!(percent(99_999, 100_000), "99.9 %");
        assert_eq!(percent(3, 3), "100.0 %");
    }
}
