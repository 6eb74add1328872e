//! The report as a table for people, with a summary line below and warnings apart.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, Table, presets};
use gocache::Ratio;

use super::report::{Report, median};

/// Names in one warning; the JSON has more.
const NAMES: usize = 5;

/// The table and the summary line.
pub fn render(report: &Report) -> String {
    let with_preview = report
        .modules
        .iter()
        .any(|module| module.phases.preview.is_some());
    let mut header = vec![
        "provider",
        "component",
        "first ms",
        "relink ms",
        "noop ms",
        "packages",
        "links",
    ];
    if with_preview {
        header.push("preview ms");
    }
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_FULL_CONDENSED)
        .set_header(header);
    for module in &report.modules {
        let phases = &module.phases;
        let ms = |values: &[f64]| format!("{:.0}", median(values));
        let mut row = vec![
            module.provider.clone(),
            module.component.clone(),
            ms(&phases.first.wall_ms),
            ms(&phases.relink.wall_ms),
            ms(&phases.noop.wall_ms),
            count(phases.first.packages),
            count(phases.first.links),
        ];
        row.extend(phases.preview.as_ref().map(|preview| ms(&preview.wall_ms)));
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

fn summary(report: &Report) -> String {
    let mut text = match report.summary.first_ms {
        Some(first) => format!(
            "first build of {} modules: p50 {:.0} ms, p95 {:.0} ms, max {:.0} ms; from the cache: {} of packages, {} of links",
            report.modules.len(),
            first.p50,
            first.p95,
            first.max,
            percent(report.summary.packages),
            percent(report.summary.links),
        ),
        None => "no module was built".into(),
    };
    if !report.failures.is_empty() {
        let names: Vec<_> = report
            .failures
            .iter()
            .map(|failure| super::report::name(&failure.provider, &failure.component))
            .collect();
        let _ = write!(text, "; failed: {}", names.join(", "));
    }
    text
}

/// A line for each module of which something did not come from the cache, or whose preview was not as it should be.
pub fn warnings(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for module in &report.modules {
        let name = module.name();
        let first = &module.phases.first;
        let misses = first.packages.total - first.packages.hits;
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
        if !first.links.is_full() {
            lines.push(format!(
                "warning: {name}: the executable was linked, it is not in the cache"
            ));
        }
        if let Some(preview) = &module.phases.preview {
            let errors = preview.network_errors.iter();
            lines
                .extend(errors.map(|line| {
                    format!("warning: {name}: the preview needed the network: {line}")
                }));
        }
    }
    lines
}

fn count(ratio: Ratio) -> String {
    format!("{}/{}", ratio.hits, ratio.total)
}

/// Rounded down, so that only all of them are 100 %.
fn percent(ratio: Ratio) -> String {
    format!("{:.1} %", (ratio.rate() * 1_000.0).floor() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{build, report};
    use super::super::report::{Failure, PreviewPhase};
    use super::*;

    #[test]
    fn shows_every_module_and_the_summary() {
        let mut report = report(&[
            ("volume", build(312.4, 9_999, 10_000, true)),
            ("dns", build(298.0, 10, 10, false)),
        ]);
        report.failures.push(Failure {
            provider: "civo".into(),
            component: "broken".into(),
            path: "p".into(),
            message: "m".into(),
        });
        let text = render(&report);
        let expected = "\
┌──────────┬───────────┬──────────┬───────────┬─────────┬────────────┬───────┐
│ provider ┆ component ┆ first ms ┆ relink ms ┆ noop ms ┆   packages ┆ links │
╞══════════╪═══════════╪══════════╪═══════════╪═════════╪════════════╪═══════╡
│ civo     ┆ volume    ┆      312 ┆        20 ┆       5 ┆ 9999/10000 ┆   0/1 │
│ civo     ┆ dns       ┆      298 ┆        20 ┆       5 ┆      10/10 ┆   1/1 │
│ civo     ┆ broken    ┆   failed ┆           ┆         ┆            ┆       │
└──────────┴───────────┴──────────┴───────────┴─────────┴────────────┴───────┘
first build of 2 modules: p50 298 ms, p95 312 ms, max 312 ms; from the cache: 99.9 % of packages, 50.0 % of links; failed: civo/broken
";
        assert_eq!(text, expected);
    }

    #[test]
    fn misses_are_named() {
        let mut report = report(&[
            ("a", build(1.0, 3, 10, true)),
            ("b", build(1.0, 10, 10, false)),
        ]);
        report.modules[1].phases.preview = Some(PreviewPhase {
            network_errors: vec!["go: dial tcp".into()],
            ..PreviewPhase::default()
        });
        let expected = [
            "warning: civo/a: 7 packages were compiled: p00, p01, p02, p03, p04, …",
            "warning: civo/a: the executable was linked, it is not in the cache",
            "warning: civo/b: the preview needed the network: go: dial tcp",
        ];
        assert_eq!(warnings(&report), expected);
        assert!(render(&report).contains("preview ms"));
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
