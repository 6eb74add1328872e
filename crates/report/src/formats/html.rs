//! One page about a report: figures, plots and tables. It needs nothing but itself, no script and no other file, so
//! that it can be kept as an artifact and opened years later. All text goes through maud or plotters, which escape it.

mod palette;
mod plots;

use gocache::Ratio;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::palette::{FIRST, SECOND, THIRD};
use self::plots::{LinePlot, Mark, Row, RowPlot, Scale, Series};
use super::measured::{Input, distinct_component, missed_modules};
use super::text::{percent, size};
use crate::history::HistoryLine;
use crate::stats::Percentiles;
use crate::{MeasuredModule, PackSize, Phase, PhaseName, Report};
use failure::printable;

/// What the first build should not exceed where nobody says otherwise.
const TARGET_MS: f64 = 500.0;
/// A first build that takes longer than so many targets ends at the edge of the plot; it would flatten all others.
const TARGETS_SHOWN: f64 = 3.0;

pub fn render(input: &Input) -> String {
    let report = input.report;
    let target_ms = input.target_ms.unwrap_or(TARGET_MS);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "First builds" }
                style { (PreEscaped(palette::style_sheet())) (PreEscaped(include_str!("html/page.css"))) }
            }
            body {
                (head(report))
                (figures(report, target_ms))
                (bad_news(report))
                (first_builds(report, target_ms))
                (cold_and_first(report))
                (pack_sizes(&report.packs))
                (history(input.history, target_ms))
                (modules(report, target_ms))
            }
        }
    };
    page.into_string() + "\n"
}

fn head(report: &Report) -> Markup {
    let identity = report.identity.fields();
    html! {
        h1 { "First builds" }
        p.muted {
            @if let Some(time) = report.measured_at_s { (time_of(time, "%Y-%m-%d %H:%M UTC")) ", " }
            "verifier " (report.verifier.version)
        }
        @if let Some(image) = &report.image {
            dl {
                dt { "image" } dd { (image.name) }
                dt { "digest" } dd { code { (image.digest) } }
                dt { "size" } dd {
                    (size(image.compressed_bytes)) " compressed, " (size(image.uncompressed_bytes)) " unpacked"
                }
            }
        }
        details {
            summary { "Identity" }
            dl {
                @for (name, value) in identity { dt { (name) } dd { code { (value) } } }
            }
        }
    }
}

fn figures(report: &Report, target_ms: f64) -> Markup {
    let summary = &report.summary;
    let within = report
        .modules
        .iter()
        .filter_map(MeasuredModule::first_median_ms);
    let within = within.filter(|first_ms| *first_ms <= target_ms).count();
    html! {
        ul.figures {
            li { b { (report.modules.len()) } "modules" }
            @if let Some(first) = summary.first_ms {
                li { b { (duration(first.p50)) } "first build, p50" }
                li { b { (duration(first.p95)) } "p95" }
                li { b { (duration(first.max)) } "max" }
                li { b { (within) } "within " (duration(target_ms)) }
            }
            @if let Some(ratio) = HistoryLine::of(report).first_to_list {
                li { b { (format!("{ratio:.2} ×")) } "the time of go list" }
            }
            li { b { (percent(summary.packages)) } "packages from the cache" }
            li { b { (percent(summary.links)) } "links from the cache" }
            li { b { (summary.network_attempts) } "network requests" }
        }
    }
}

fn bad_news(report: &Report) -> Markup {
    let missed = missed_modules(report);
    html! {
        @if !report.failures.is_empty() {
            section.bad {
                h2 { "Failed" }
                @for failure in &report.failures {
                    p { strong { (failure.name()) } " " span.muted { (failure.path) } }
                    pre { (printable(&failure.message)) }
                }
            }
        }
        @if !missed.is_empty() {
            section.bad {
                h2 { "Not from the cache" }
                ul { @for (name, misses) in missed { li { strong { (name) } ": " (misses) } } }
            }
        }
        @if !report.skipped.is_empty() {
            section.bad {
                h2 { "Not measured" }
                ul { @for skipped in &report.skipped {
                    li { strong { (skipped.phase) } ": " (printable(&skipped.reason)) }
                } }
            }
        }
    }
}

/// The modules with both phases and their medians, the slowest first build first.
fn by_first<'a>(report: &'a Report, other: PhaseName) -> Vec<(String, &'a Phase, &'a Phase)> {
    let both = |module: &'a MeasuredModule| {
        let name = crate::name(&module.provider, distinct_component(module, report));
        Some((name, module.first()?, module.phases.get(&other)?))
    };
    let mut modules: Vec<_> = report.modules.iter().filter_map(both).collect();
    modules.sort_by(|a, b| b.1.median_ms().total_cmp(&a.1.median_ms()));
    modules
}

fn first_builds(report: &Report, target_ms: f64) -> Markup {
    let modules = by_first(report, PhaseName::First);
    let longest = modules
        .iter()
        .flat_map(|(_, first, _)| &first.wall_ms)
        .copied();
    let longest = longest.fold(target_ms * 1.2, f64::max);
    let rows = modules.into_iter().map(|(label, first, _)| {
        let median_ms = first.median_ms();
        let over = median_ms > target_ms;
        let bar = Mark::Bar {
            from: 0.0,
            to: median_ms,
            color: if over { SECOND } else { FIRST },
        };
        let spread = first.wall_ms.iter().copied();
        let spread = Mark::Line {
            from: spread.clone().fold(f64::INFINITY, f64::min),
            to: spread.fold(0.0, f64::max),
        };
        Row {
            label,
            figures: duration(median_ms),
            marks: vec![bar, spread],
        }
    });
    let plot = RowPlot {
        rows: rows.collect(),
        range: 0.0..longest.min(target_ms * TARGETS_SHOWN),
        scale: Scale::Linear,
        unit: duration,
        reference: Some((target_ms, format!("target {}", duration(target_ms)))),
    };
    html! {
        @if !plot.rows.is_empty() {
            h2 { "First build by module" }
            (legend([("first", "median within the target"), ("second", "above it")]))
            (figure("First build of each module", &plots::rows(&plot)))
            p.muted {
                "A thin line spans the fastest and the slowest run. "
                "Bars longer than " (duration(plot.range.end)) " are cut."
            }
        }
    }
}

fn cold_and_first(report: &Report) -> Markup {
    let modules = by_first(report, PhaseName::Cold);
    let times = || {
        modules
            .iter()
            .flat_map(|(_, first, cold)| [first.median_ms(), cold.median_ms()])
    };
    // A whole decade, where the axis has its labels.
    let fastest = times().fold(f64::INFINITY, f64::min).max(1.0);
    let fastest = 10_f64.powf(fastest.log10().floor());
    let slowest = times().fold(fastest * 10.0, f64::max) * 1.2;
    let rows = modules.iter().map(|(label, first, cold)| {
        let (first, cold) = (first.median_ms(), cold.median_ms());
        Row {
            label: label.clone(),
            figures: format!("{} → {}", duration(cold), duration(first)),
            marks: vec![
                Mark::Line {
                    from: first,
                    to: cold,
                },
                Mark::Dot {
                    at: first,
                    color: FIRST,
                },
                Mark::Dot {
                    at: cold,
                    color: SECOND,
                },
            ],
        }
    });
    let plot = RowPlot {
        rows: rows.collect(),
        range: fastest..slowest,
        scale: Scale::Logarithmic,
        unit: duration,
        reference: None,
    };
    html! {
        @if !plot.rows.is_empty() {
            h2 { "Cold against first" }
            p.muted { "An empty GOCACHE against the image as shipped; medians, on a logarithmic scale." }
            (legend([("first", "first"), ("second", "cold")]))
            (figure("Cold and first build of each module", &plots::rows(&plot)))
        }
    }
}

fn pack_sizes(packs: &[PackSize]) -> Markup {
    let mut packs: Vec<_> = packs.iter().collect();
    packs.sort_by_key(|pack| std::cmp::Reverse(pack.total_bytes()));
    let largest = packs.first().map_or(0, |pack| pack.total_bytes());
    let rows = packs.iter().map(|pack| {
        let parts = [
            (pack.go_mod_bytes, FIRST),
            (pack.go_build_bytes, SECOND),
            (pack.executables_bytes, THIRD),
        ];
        let mut end = 0;
        let bar = |(bytes, color)| {
            let from = end;
            end += bytes;
            Mark::Bar {
                from: from as f64,
                to: end as f64,
                color,
            }
        };
        Row {
            label: pack.name.clone(),
            figures: size(pack.total_bytes()),
            marks: parts.map(bar).into(),
        }
    });
    let plot = RowPlot {
        rows: rows.collect(),
        range: 0.0..(largest as f64).max(1.0),
        scale: Scale::Linear,
        unit: |bytes| format!("{:.0} MB", bytes / 1e6),
        reference: None,
    };
    html! {
        @if !plot.rows.is_empty() {
            h2 { "Packs, unpacked" }
            (legend([("first", "GOMODCACHE"), ("second", "GOCACHE"), ("third", "executables")]))
            (figure("Size of each pack", &plots::rows(&plot)))
        }
    }
}

fn history(history: &[HistoryLine], target_ms: f64) -> Markup {
    let measured: Vec<_> = history
        .iter()
        .filter_map(|line| Some((line, line.first_ms?)))
        .collect();
    let date = |line: &HistoryLine| {
        let time = line.measured_at_s;
        time.map_or_else(|| "–".to_owned(), |time| time_of(time, "%Y-%m-%d"))
    };
    let series = |color, value: fn(&Percentiles) -> f64| Series {
        color,
        values: measured.iter().map(|(_, first)| value(first)).collect(),
    };
    let plot = LinePlot {
        labels: measured.iter().map(|(line, _)| date(line)).collect(),
        series: vec![
            series(FIRST, |first| first.p50),
            series(THIRD, |first| first.p95),
            series(SECOND, |first| first.max),
        ],
        unit: duration,
        reference: Some((target_ms, format!("target {}", duration(target_ms)))),
    };
    html! {
        @if !measured.is_empty() {
            h2 { "History" }
            (legend([("first", "p50"), ("third", "p95"), ("second", "max")]))
            (figure("First builds in earlier reports", &plots::lines(&plot)))
            details {
                summary { (measured.len()) " reports" }
                .table { table.names-2 {
                    thead { tr {
                        th { "date" } th { "image" } th { "modules" } th { "failed" }
                        th { "p50" } th { "p95" } th { "max" } th { "to go list" }
                        th { "packages" } th { "links" } th { "compressed" }
                    } }
                    tbody { @for (line, first) in measured.iter().rev() { tr {
                        td { (date(line)) } td { (line.image.as_deref().unwrap_or("–")) }
                        td { (line.modules) } td { (line.failures) }
                        @for ms in [first.p50, first.p95, first.max] { td { (duration(ms)) } }
                        td { (or_dash(line.first_to_list, |ratio| format!("{ratio:.2}"))) }
                        td { (percent(line.packages)) } td { (percent(line.links)) }
                        td { (or_dash(line.compressed_bytes, size)) }
                    } } }
                } }
            }
        }
    }
}

fn modules(report: &Report, target_ms: f64) -> Markup {
    let has = |phase: &PhaseName| {
        report
            .modules
            .iter()
            .any(|module| module.phases.contains_key(phase))
    };
    let phases: Vec<_> = PhaseName::ALL.into_iter().filter(has).collect();
    let ratio = |ratio: Ratio| format!("{}/{}", ratio.hits, ratio.total);
    html! {
        @if !report.modules.is_empty() {
            h2 { "All modules" }
            p.muted { "Medians in milliseconds; what follows them is of the first build." }
            .table { table.names-2 {
                thead { tr {
                    th { "provider" } th { "component" }
                    @for phase in &phases { th { (phase) } }
                    th { "packages" } th { "links" } th { "added" } th { "memory" } th { "go list" }
                } }
                tbody { @for module in &report.modules { tr {
                    td { (module.provider) } td title=(module.path) { (module.component) }
                    @for phase in &phases {
                        @let ms = module.phases.get(phase).map(Phase::median_ms);
                        td.over[*phase == PhaseName::First && ms.is_some_and(|ms| ms > target_ms)] {
                            (or_dash(ms, |ms| format!("{ms:.0}")))
                        }
                    }
                    @let first = module.first();
                    td { (or_dash(first.and_then(|first| first.packages), ratio)) }
                    td { (or_dash(first.and_then(|first| first.links), ratio)) }
                    td { (or_dash(first, |first| size(first.added_bytes))) }
                    td { (or_dash(first.and_then(|first| first.peak_memory_bytes), size)) }
                    td { (or_dash(Percentiles::of(&module.list_ms), |ms| format!("{:.0}", ms.p50))) }
                } } }
            } }
        }
    }
}

fn legend<const N: usize>(entries: [(&str, &str); N]) -> Markup {
    html! { ul.legend { @for (class, text) in entries { li { i class=(class) {} (text) } } } }
}

fn figure(label: &str, svg: &str) -> Markup {
    html! { figure role="img" aria-label=(label) { (PreEscaped(svg)) } }
}

fn or_dash<T>(value: Option<T>, text: impl Fn(T) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), text)
}

/// As people say it.
fn duration(ms: f64) -> String {
    if ms < 1_000.0 {
        format!("{ms:.0} ms")
    } else if ms < 100_000.0 {
        format!("{:.1} s", ms / 1e3)
    } else {
        format!("{:.0} s", ms / 1e3)
    }
}

/// A time in the given form; a report may name one that no calendar has.
fn time_of(seconds: u64, form: &str) -> String {
    let time = i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(
        || format!("{seconds} s"),
        |time| time.strftime(form).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::sample;

    fn page(report: &Report, history: &[HistoryLine]) -> String {
        render(&Input {
            report,
            history,
            target_ms: None,
        })
    }

    #[test]
    fn a_page_needs_nothing_else_and_shows_everything() {
        let report = sample::report(110);
        let page = page(&report, &sample::history(3));
        for foreign in [
            "<script", "<link", "<img", "src=", "href=", "url(", "@import",
        ] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert_eq!(page.matches("<svg").count(), 4);
        for module in &report.modules {
            // In two plots and, by its parts, in the table.
            assert_eq!(page.matches(&format!("\n{}\n", module.name())).count(), 2);
            assert!(page.contains(module.path.as_str()));
        }
        for sign in [
            "target 500 ms",
            "the executable was linked",
            "3 reports",
            "gcp/broken",
        ] {
            assert!(page.contains(sign), "{sign}");
        }
    }

    #[test]
    fn what_was_not_measured_leaves_no_plot() {
        let mut report = sample::report(3);
        for module in &mut report.modules {
            module.phases.remove(&PhaseName::Cold);
        }
        report.packs.clear();
        assert_eq!(page(&report, &[]).matches("<svg").count(), 1);
        report.modules.clear();
        assert_eq!(page(&report, &[]).matches("<svg").count(), 0);
    }

    /// Puts `evil` in the place of every text but the phases'.
    fn spoil(value: &mut Value, evil: &str) {
        match value {
            Value::String(text)
                if !PhaseName::ALL
                    .map(PhaseName::as_str)
                    .contains(&text.as_str()) =>
            {
                evil.clone_into(text);
            }
            Value::Array(values) => values.iter_mut().for_each(|value| spoil(value, evil)),
            Value::Object(values) => values.values_mut().for_each(|value| spoil(value, evil)),
            _ => {}
        }
    }

    #[test]
    fn all_text_is_escaped() {
        let mut report = serde_json::to_value(sample::report(2)).unwrap();
        spoil(&mut report, "</style><script>alert('1')</script>\"><b");
        let report = serde_json::from_value(report).unwrap();
        let page = page(&report, &[HistoryLine::of(&report)]);
        assert_eq!(page.matches("</style>").count(), 1);
        for evil in ["<script", "</script", "\"><b"] {
            assert!(!page.contains(evil), "{evil}");
        }
        assert!(page.matches("&lt;script&gt;").count() > 20);
    }

    #[test]
    fn times_are_written_as_people_say_them() {
        let durations = [0.0, 499.6, 999.9, 25_600.0, 125_432.0].map(duration);
        assert_eq!(durations, ["0 ms", "500 ms", "1000 ms", "25.6 s", "125 s"]);
        assert_eq!(
            time_of(1_760_000_000, "%Y-%m-%d %H:%M UTC"),
            "2025-10-09 08:53 UTC"
        );
        assert_eq!(time_of(u64::MAX, "%Y"), "18446744073709551615 s");
    }
}
