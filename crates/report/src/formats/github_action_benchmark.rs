//! The two files that github-action-benchmark reads, as `customSmallerIsBetter` and `customBiggerIsBetter`. It draws a
//! line for each name and raises an alarm when a value gets worse; so names stay the same from report to report.

use gocache::Ratio;
use serde::Serialize;

use super::measured::measured;
use crate::Report;
use crate::history::HistoryLine;
use crate::stats::standard_deviation;

#[derive(Serialize)]
struct Entry {
    name: String,
    unit: &'static str,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra: Option<String>,
}

impl Entry {
    fn new(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self {
            name: name.into(),
            unit,
            value,
            range: None,
            extra: None,
        }
    }

    fn bytes(name: impl Into<String>, bytes: u64) -> Self {
        Self::new(name, "bytes", bytes as f64)
    }

    fn hits(name: String, hits: Ratio) -> Self {
        Self {
            extra: Some(format!("{} of {}", hits.hits, hits.total)),
            ..Self::new(name, "hit ratio", hits.rate())
        }
    }
}

/// Times and sizes: those of all modules together, then each module's, then the packs'.
pub fn smaller_is_better(report: &Report) -> String {
    let mut entries = Vec::new();
    if let Some(first) = report.summary.first_ms {
        for (name, ms) in [("p50", first.p50), ("p95", first.p95), ("max", first.max)] {
            entries.push(Entry::new(format!("all modules first {name}"), "ms", ms));
        }
    }
    let ratio = HistoryLine::of(report).first_to_list;
    entries.extend(ratio.map(|ratio| Entry::new("all modules first to go list", "ratio", ratio)));
    entries.extend(measured(report).map(|measured| {
        let wall_ms = &measured.phase.wall_ms;
        let runs = wall_ms.len();
        Entry {
            range: standard_deviation(wall_ms).map(|ms| format!("± {ms:.3}")),
            extra: Some(format!(
                "median of {runs} {}",
                if runs == 1 { "run" } else { "runs" }
            )),
            ..Entry::new(
                format!("{} {}", measured.module_name(), measured.phase_name),
                "ms",
                measured.phase.median_ms(),
            )
        }
    }));
    entries.extend(
        report
            .image
            .iter()
            .map(|image| Entry::bytes("image compressed", image.compressed_bytes)),
    );
    entries.extend(
        report
            .packs
            .iter()
            .map(|pack| Entry::bytes(format!("pack {}", pack.name), pack.total_bytes())),
    );
    super::text::json(&entries)
}

/// Hit ratios: those of all modules together, then each module's.
pub fn bigger_is_better(report: &Report) -> String {
    let summary = &report.summary;
    let all = [("packages", summary.packages), ("links", summary.links)];
    let all = all.map(|(name, hits)| Entry::hits(format!("all modules first {name}"), hits));
    let modules = measured(report).filter_map(|measured| {
        let name = format!("{} {}", measured.module_name(), measured.phase_name);
        Some(Entry::hits(name, measured.hits()?))
    });
    super::text::json(&all.into_iter().chain(modules).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{PhaseName, sample};

    fn report() -> Report {
        let mut report = sample::report(2);
        for module in &mut report.modules {
            module.list_ms.clear();
            module
                .phases
                .retain(|name, _| matches!(name, PhaseName::Cold | PhaseName::First));
            for phase in module.phases.values_mut() {
                phase.wall_ms = vec![300.0, 500.0, 700.0];
            }
        }
        report.packs.truncate(1);
        report.summary = crate::Summary::of(&report.modules);
        report
    }

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn times_and_sizes() {
        let report = report();
        let time = |name: &str| {
            let extra = "median of 3 runs";
            json!({"name": name, "unit": "ms", "value": 500.0, "range": "± 200.000", "extra": extra})
        };
        let of_all = |name: &str| json!({"name": name, "unit": "ms", "value": 500.0});
        let expected = json!([
            of_all("all modules first p50"),
            of_all("all modules first p95"),
            of_all("all modules first max"),
            time("atlas/bucket cold"),
            time("atlas/bucket first"),
            time("auth0/bucket cold"),
            time("auth0/bucket first"),
            {"name": "image compressed", "unit": "bytes", "value": 1_434_000_000.0},
            {"name": "pack atlas", "unit": "bytes", "value": report.packs[0].total_bytes() as f64},
        ]);
        assert_eq!(parsed(&smaller_is_better(&report)), expected);
    }

    #[test]
    fn hits_of_phases_that_start_with_a_cache() {
        let ratio = |name: &str, hits: f64, total: f64| {
            let extra = format!("{hits} of {total}");
            json!({"name": name, "unit": "hit ratio", "value": hits / total, "extra": extra})
        };
        let expected = json!([
            ratio("all modules first packages", 1196.0, 1203.0),
            ratio("all modules first links", 1.0, 2.0),
            ratio("atlas/bucket first", 601.0, 601.0),
            ratio("auth0/bucket first", 596.0, 604.0),
        ]);
        assert_eq!(parsed(&bigger_is_better(&report())), expected);
    }
}
