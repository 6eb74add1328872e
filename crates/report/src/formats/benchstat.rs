//! Text of Go benchmarks, for benchstat and all that reads its format (golang.org/x/perf/benchfmt).
//!
//! A line for each run, so that benchstat can tell a change from noise. The configuration above the lines holds only
//! what has to be equal for times to be compared: benchstat makes a table of its own for each combination, and would
//! compare nothing if the image's digest were there.
//!
//! `B` is the memory of the largest process, not what a build added to GOCACHE: that is nothing at all in a good image,
//! and benchstat compares no zeros.

use std::fmt::Write as _;

use super::measured::{Measured, measured};
use crate::{PhaseName, Report};

pub fn render(report: &Report) -> String {
    let mut text = format!(
        "goos: {}\ngoarch: {}\npkg: iac-runner\nUnit hit-ratio better=higher\n",
        report.identity.goos, report.identity.goarch
    );
    for measured in measured(report) {
        let hits = measured.hits();
        let hits = hits.map(|hits| format!(" {:.6} hit-ratio", hits.rate()));
        let memory = measured.phase.peak_memory_bytes;
        let memory = memory.map(|bytes| format!(" {bytes} B"));
        let constant = [hits, memory].map(Option::unwrap_or_default).concat();
        for wall_ms in &measured.phase.wall_ms {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{} 1 {:.0} ns/op{constant}",
                name(&measured),
                wall_ms * 1e6
            );
        }
    }
    text
}

fn name(measured: &Measured) -> String {
    format!(
        "Benchmark{}/provider={}/component={}",
        camel_case(measured.phase_name),
        escaped(&measured.module.provider),
        without_number(&escaped(measured.component)),
    )
}

/// As a Go function would be called.
fn camel_case(phase: PhaseName) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    phase.as_str().split('-').map(capital).collect()
}

/// Spaces end a name, and become underscores as in Go; a slash would begin another part of it.
fn escaped(text: &str) -> String {
    let character = |c: char| match c {
        '/' => '.',
        c if c.is_whitespace() || c.is_control() => '_',
        c => c,
    };
    text.chars().map(character).collect()
}

/// `-2` at the end of a name is GOMAXPROCS.
fn without_number(name: &str) -> String {
    match name.rsplit_once('-') {
        Some((rest, number)) if number.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{rest}_{number}")
        }
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_line_for_each_run() {
        let mut report = sample::report(1);
        let module = &mut report.modules[0];
        module.component = "my network/set-2".into();
        let kept = [PhaseName::ColdModules, PhaseName::First, PhaseName::Preview];
        module.phases.retain(|name, phase| {
            phase.wall_ms = vec![312.457, 300.0];
            kept.contains(name)
        });
        let expected = "\
goos: linux
goarch: amd64
pkg: iac-runner
Unit hit-ratio better=higher
BenchmarkColdModules/provider=atlas/component=my_network.set_2 1 312457000 ns/op 180000000 B
BenchmarkColdModules/provider=atlas/component=my_network.set_2 1 300000000 ns/op 180000000 B
BenchmarkFirst/provider=atlas/component=my_network.set_2 1 312457000 ns/op 1.000000 hit-ratio 180000000 B
BenchmarkFirst/provider=atlas/component=my_network.set_2 1 300000000 ns/op 1.000000 hit-ratio 180000000 B
BenchmarkPreview/provider=atlas/component=my_network.set_2 1 312457000 ns/op 180000000 B
BenchmarkPreview/provider=atlas/component=my_network.set_2 1 300000000 ns/op 180000000 B
";
        assert_eq!(render(&report), expected);
    }
}
