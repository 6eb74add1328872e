//! The report as a table for people, with a summary line below and warnings apart.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use gocache::Ratio;

use report::{Failure, Phase, PhaseName, Report};

/// Names in one warning; the JSON has more.
const NAMES: usize = 5;

/// The table and the summary line. A phase that no module has gets no column.
pub fn render(report: &Report) -> String {
    let phases: Vec<PhaseName> = PhaseName::ALL
        .into_iter()
        .filter(|name| {
            report
                .modules
                .iter()
                .any(|module| module.phases.contains_key(name))
        })
        .collect();
    let mut table = Table::new();
    let header = ["provider", "component"].map(str::to_owned).into_iter();
    let header = header.chain(phases.iter().map(|name| format!("{name} ms")));
    let header = header.chain(["packages", "links", "index"].map(str::to_owned));
    table
        .load_preset(presets::UTF8_FULL_CONDENSED)
        .set_header(header);
    for module in &report.modules {
        let mut row = vec![module.provider.clone(), module.component.clone()];
        let times = phases.iter().map(|name| module.phases.get(name));
        row.extend(times.map(|phase| phase.map_or_else(String::new, time)));
        let first = module.first().cloned().unwrap_or_default();
        row.extend([first.packages, first.links, first.index].map(count));
        table.add_row(row);
    }
    for failure in &report.failures {
        table.add_row([failure.provider.as_str(), &failure.component, "failed"]);
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let mut text = format!("{table}\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", summary(report));
    text
}

/// The median, with the fastest and slowest of several runs.
fn time(phase: &Phase) -> String {
    let median = phase.median_ms();
    let (min, max) = phase
        .wall_ms
        .iter()
        .fold((f64::INFINITY, 0.0), |(min, max): (f64, f64), ms| {
            (min.min(*ms), max.max(*ms))
        });
    if phase.wall_ms.len() < 2 {
        format!("{median:.0}")
    } else {
        format!("{median:.0} ({min:.0}–{max:.0})")
    }
}

fn summary(report: &Report) -> String {
    let mut text = match report.summary.first_ms {
        Some(first) => format!(
            "first build of {} modules: p50 {:.0} ms, p95 {:.0} ms, max {:.0} ms; \
             from the cache: {} of packages, {} of links",
            report.modules.len(),
            first.p50,
            first.p95,
            first.max,
            percent(report.summary.packages),
            percent(report.summary.links),
        ),
        None => "no module was built".into(),
    };
    if report.emulated {
        text += "; the programs were emulated, so the times mean nothing";
    }
    if !report.failures.is_empty() {
        let names: Vec<_> = report.failures.iter().map(Failure::name).collect();
        let _ = write!(text, "; failed: {}", names.join(", "));
    }
    text
}

/// A line for each module of which something did not come from the cache in its first build, and for each phase that
/// asked for the network.
pub fn warnings(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for module in &report.modules {
        let name = module.name();
        let first = module.first().cloned().unwrap_or_default();
        let packages = first.packages.unwrap_or_default();
        let misses = packages.total - packages.hits;
        if misses > 0 {
            let mut names: Vec<_> = first
                .compiled
                .iter()
                .take(NAMES)
                .map(String::as_str)
                .collect();
            if misses > names.len() as u64 {
                names.push("…");
            }
            lines.push(format!(
                "warning: {name}: {misses} packages were compiled: {}",
                names.join(", ")
            ));
        }
        if first.links.is_some_and(|links| !links.is_full()) {
            lines.push(format!(
                "warning: {name}: the executable was linked, it is not in the cache"
            ));
        }
        for (phase, measured) in &module.phases {
            if !measured.not_run.is_empty() {
                lines.push(format!(
                    "warning: {name}: {phase} did not get as far as registering the program's stack:\n  {}",
                    measured.not_run.join("\n  ")
                ));
            }
            // Fetching is what it measures.
            if *phase != PhaseName::ColdModules {
                let requests = measured.network_requests.iter();
                lines.extend(requests.map(|request| {
                    format!("warning: {name}: {phase} asked the network: {request}")
                }));
            }
        }
    }
    lines
}

fn count(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(String::new, |ratio| {
        format!("{}/{}", ratio.hits, ratio.total)
    })
}

/// Rounded down, so that only all of them are 100 %.
fn percent(ratio: Ratio) -> String {
    format!("{:.1} %", (ratio.rate() * 1_000.0).floor() / 10.0)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use gocache::{Hits, Identity};
    use report::{MeasuredModule, SCHEMA, Summary, Verifier};

    /// A build of `total` packages, of which `hits` came from the cache.
    pub fn build(wall_ms: f64, hits: u64, total: u64, linked: bool) -> Phase {
        let compiled = (0..total - hits).map(|number| format!("p{number:02}"));
        let hits = Hits {
            packages: Ratio { hits, total },
            links: Ratio {
                hits: u64::from(!linked),
                total: 1,
            },
            compiled: compiled.collect(),
            linked: Vec::new(),
        };
        Phase::of_build(wall_ms, &hits)
    }

    /// A report of modules of civo with these first builds.
    pub fn report(modules: &[(&str, Phase)]) -> Report {
        let modules: Vec<_> = modules
            .iter()
            .map(|(component, first)| MeasuredModule {
                provider: "civo".into(),
                component: (*component).into(),
                path: (*component).into(),
                phases: [(PhaseName::First, first.clone())].into(),
                list_ms: Vec::new(),
                probe_ms: Vec::new(),
            })
            .collect();
        let env = serde_json::from_str(include_str!(
            "../../../crates/gocache/tests/fixtures/go-env.json"
        ));
        Report {
            schema: SCHEMA,
            measured_at_s: None,
            emulated: false,
            identity: Identity::from_go_env(&env.unwrap()).unwrap(),
            image: None,
            packs: Vec::new(),
            summary: Summary::of(&modules),
            modules,
            failures: Vec::new(),
            skipped: Vec::new(),
            verifier: Verifier {
                version: "0".into(),
            },
        }
    }

    #[test]
    fn shows_every_module_and_the_summary() {
        let mut volume = build(312.4, 9_999, 10_000, true);
        volume.index = Some(Ratio { hits: 3, total: 4 });
        volume.add(build(500.0, 10_000, 10_000, false));
        let mut report = report(&[("volume", volume), ("dns", build(298.0, 10, 10, false))]);
        report.modules[1].add(PhaseName::Cold, build(40_000.0, 0, 10, true));
        report.failures.push(Failure {
            provider: "civo".into(),
            component: "broken".into(),
            path: "p".into(),
            message: "m".into(),
        });
        insta::assert_snapshot!(render(&report));
    }

    #[test]
    fn misses_and_requests_are_named() {
        let asked = build(1.0, 10, 10, false).with_requests(vec!["GET /go/x".into()]);
        let mut report = report(&[("a", build(1.0, 3, 10, true)), ("b", asked)]);
        let preview = Phase {
            not_run: vec!["error: an input is missing".into(), "second line".into()],
            ..Phase::default()
        };
        report.modules[0].add(PhaseName::Preview, preview);
        insta::assert_snapshot!(warnings(&report).join("\n"));
    }

    #[test]
    fn a_report_of_every_phase() {
        insta::assert_snapshot!(render(&report::sample::report(12)));
    }

    #[test]
    fn nothing_built_has_a_summary_too() {
        insta::assert_snapshot!(render(&report(&[])));
    }

    #[test]
    fn only_everything_is_a_hundred_per_cent() {
        assert_eq!(
            percent(Ratio {
                hits: 99_999,
                total: 100_000
            }),
            "99.9 %"
        );
        assert_eq!(percent(Ratio { hits: 3, total: 3 }), "100.0 %");
    }
}
