//! Markdown for `$GITHUB_STEP_SUMMARY`, a comment, or a page: what a reviewer wants to know, the bad news first.
//!
//! The results of writing are dropped everywhere here: writing to a string cannot fail.

use std::fmt::Write as _;

use gocache::Ratio;
use maud::html;

use super::measured::missed_modules;
use super::text::{percent, size};
use crate::{PhaseName, Report};
use failure::printable;

pub fn render(report: &Report) -> String {
    let mut text = format!("### First builds\n\n{}\n", summary(report));
    failures(&mut text, report);
    missed(&mut text, report);
    skipped(&mut text, report);
    modules(&mut text, report);
    packs(&mut text, report);
    text
}

fn summary(report: &Report) -> String {
    let summary = &report.summary;
    let mut text = match summary.first_ms {
        Some(first) => format!(
            "**{} {}**: p50 **{:.0} ms**, p95 {:.0} ms, max {:.0} ms; from the cache: {} of packages, {} of links.",
            report.modules.len(),
            if report.modules.len() == 1 {
                "module"
            } else {
                "modules"
            },
            first.p50,
            first.p95,
            first.max,
            percent(summary.packages),
            percent(summary.links),
        ),
        None => "No first build was measured.".to_owned(),
    };
    if report.emulated {
        text += " The programs were emulated, so the times mean nothing.";
    }
    if !report.failures.is_empty() {
        let _ = write!(text, " **{} failed.**", report.failures.len());
    }
    if let Some(image) = &report.image {
        let _ = write!(
            text,
            " Image {} ({}), {} compressed.",
            escaped(&image.name),
            escaped(&image.digest),
            size(image.compressed_bytes)
        );
    }
    text
}

fn failures(text: &mut String, report: &Report) {
    heading(text, "Failed", report.failures.is_empty());
    for failure in &report.failures {
        // A `<pre>` ends only where it is closed, so that the message may hold anything.
        let message = html! { pre { (printable(&failure.message)) } }.into_string();
        let _ = writeln!(text, "{}\n\n{message}\n", escaped(&failure.name()));
    }
}

fn missed(text: &mut String, report: &Report) {
    let missed = missed_modules(report);
    heading(text, "Not from the cache", missed.is_empty());
    for (name, misses) in missed {
        let _ = writeln!(text, "- {}: {}", escaped(&name), escaped(&misses));
    }
}

fn skipped(text: &mut String, report: &Report) {
    heading(text, "Not measured", report.skipped.is_empty());
    for skipped in &report.skipped {
        let _ = writeln!(
            text,
            "- {}: {}",
            skipped.phase,
            escaped(&printable(&skipped.reason))
        );
    }
}

fn modules(text: &mut String, report: &Report) {
    heading(text, "Modules", report.modules.is_empty());
    let rows = report.modules.iter().map(|module| {
        let ms = |phase: PhaseName| {
            let phase = module.phases.get(&phase);
            phase.map_or_else(
                || "–".to_owned(),
                |phase| format!("{:.0}", phase.median_ms()),
            )
        };
        let first = module.first();
        vec![
            escaped(&module.provider),
            escaped(&module.component),
            ms(PhaseName::First),
            ms(PhaseName::Cold),
            count(first.and_then(|first| first.packages)),
            count(first.and_then(|first| first.links)),
        ]
    });
    table(
        text,
        &[
            "provider",
            "component",
            "first ms",
            "cold ms",
            "packages",
            "links",
        ],
        2,
        rows,
    );
}

fn packs(text: &mut String, report: &Report) {
    heading(text, "Packs, unpacked", report.packs.is_empty());
    let rows = report.packs.iter().map(|pack| {
        vec![
            escaped(&pack.name),
            size(pack.go_mod_bytes),
            size(pack.go_build_bytes),
            size(pack.executables_bytes),
            size(pack.total_bytes()),
        ]
    });
    table(
        text,
        &["pack", "GOMODCACHE", "GOCACHE", "executables", "total"],
        1,
        rows,
    );
}

fn heading(text: &mut String, heading: &str, nothing_below: bool) {
    if !nothing_below {
        let _ = writeln!(text, "\n#### {heading}\n");
    }
}

/// A table of which the columns after the first `names` hold numbers.
fn table(
    text: &mut String,
    header: &[&str],
    names: usize,
    rows: impl Iterator<Item = Vec<String>>,
) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let rules = (0..header.len()).map(|column| if column < names { "---" } else { "---:" });
    let _ = writeln!(text, "| {} |", header.join(" | "));
    let _ = writeln!(text, "| {} |", rules.collect::<Vec<_>>().join(" | "));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
}

fn count(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(
        || "–".to_owned(),
        |ratio| format!("{}/{}", ratio.hits, ratio.total),
    )
}

/// Text of the source without meaning in Markdown or HTML, on one line.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => escaped.push(' '),
            c => {
                if "\\`*_[]|~#$>".contains(c) {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn what_a_reviewer_wants_to_know() {
        let mut report = sample::report(2);
        report.modules[1].component = "a|b_<c>\n*".into();
        report.packs.truncate(1);
        report.packs[0].go_mod_bytes = 34_100_000;
        insta::assert_snapshot!(render(&report));
    }
}
