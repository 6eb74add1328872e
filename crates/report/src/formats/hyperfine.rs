//! JSON as hyperfine 1.x writes it with `--export-json`, in seconds: its scripts, bencher and many others read it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::measured::{Measured, measured};
use crate::Report;
use crate::stats::{mean, median, standard_deviation};

#[derive(Serialize)]
struct Export<'a> {
    results: Vec<Result<'a>>,
}

/// hyperfine's `BenchmarkResult`.
#[derive(Serialize)]
struct Result<'a> {
    command: String,
    mean: f64,
    stddev: Option<f64>,
    median: f64,
    /// CPU times are not in the report, and readers take no `null` here.
    user: f64,
    system: f64,
    min: f64,
    max: f64,
    times: Vec<f64>,
    exit_codes: Vec<i32>,
    parameters: BTreeMap<&'static str, &'a str>,
}

pub fn render(report: &Report) -> String {
    super::text::json(&Export {
        results: measured(report).map(result).collect(),
    })
}

fn result(measured: Measured<'_>) -> Result<'_> {
    let times_s: Vec<f64> = measured.phase.wall_ms.iter().map(|ms| ms / 1e3).collect();
    Result {
        command: format!("{} {}", measured.module_name(), measured.phase_name),
        mean: mean(&times_s),
        stddev: standard_deviation(&times_s),
        median: median(&times_s),
        user: 0.0,
        system: 0.0,
        min: times_s.iter().copied().fold(f64::INFINITY, f64::min),
        max: times_s.iter().copied().fold(0.0, f64::max),
        // What did not build is in no phase.
        exit_codes: vec![0; times_s.len()],
        times: times_s,
        parameters: BTreeMap::from([
            ("component", measured.component),
            ("phase", measured.phase_name.as_str()),
            ("provider", &measured.module.provider),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{PhaseName, sample};

    #[test]
    fn a_result_for_each_module_and_phase() {
        let mut report = sample::report(2);
        for (module, wall_ms) in report
            .modules
            .iter_mut()
            .zip([vec![250.0, 500.0, 750.0], vec![500.0]])
        {
            module.phases.retain(|name, _| *name == PhaseName::First);
            module.phases.get_mut(&PhaseName::First).unwrap().wall_ms = wall_ms;
        }
        let export: Value = serde_json::from_str(&render(&report)).unwrap();
        let expected = json!({"results": [
            {
                "command": "atlas/bucket first",
                "mean": 0.5, "stddev": 0.25, "median": 0.5, "user": 0.0, "system": 0.0, "min": 0.25, "max": 0.75,
                "times": [0.25, 0.5, 0.75],
                "exit_codes": [0, 0, 0],
                "parameters": {"component": "bucket", "phase": "first", "provider": "atlas"},
            },
            {
                "command": "auth0/bucket first",
                "mean": 0.5, "stddev": null, "median": 0.5, "user": 0.0, "system": 0.0, "min": 0.5, "max": 0.5,
                "times": [0.5],
                "exit_codes": [0],
                "parameters": {"component": "bucket", "phase": "first", "provider": "auth0"},
            },
        ]});
        assert_eq!(export, expected);
    }
}
