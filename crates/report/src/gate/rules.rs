//! What is compared, and what counts as worse.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use gocache::Ratio;

use super::baseline::{Baseline, BaselineModule};
use super::ceiling;
use super::comparison::{Change, Comparison, Kind};
use super::time::{self, MIN_RUNS, Pair};
use crate::model::{MeasuredModule, PhaseName, Report};
use failure::printable;

/// By how much image and packs may grow, as a share: what new patch versions of the tools and SDKs add, not another
/// SDK.
pub const SIZE_TOLERANCE: f64 = 0.02;

/// Names of compiled packages or of requests in one message; the report has more.
const NAMES: usize = 3;

/// Holds a report against the baseline.
pub fn compare(baseline: &Baseline, report: &Report) -> Comparison {
    let now = Baseline::of(report);
    let mut changes = Changes::default();
    identity(baseline, &now, &mut changes);
    sizes(baseline, &now, &mut changes);
    modules(baseline, &now, report, &mut changes);
    if report.emulated {
        let message = "not compared: the programs of the image were emulated";
        changes.tell(Kind::Different, "times", message);
    } else {
        times(baseline, &now, report, &mut changes);
    }
    let subjects: BTreeSet<&str> = changes.0.iter().map(|it| it.subject.as_str()).collect();
    let unchanged = now.modules.iter().map(BaselineModule::name);
    Comparison {
        unchanged_modules: unchanged
            .filter(|name| !subjects.contains(name.as_str()))
            .count(),
        changes: changes.0,
    }
}

#[derive(Default)]
struct Changes(Vec<Change>);

impl Changes {
    fn tell(&mut self, kind: Kind, subject: impl Into<String>, message: impl Into<String>) {
        self.0.push(Change {
            kind,
            subject: subject.into(),
            message: message.into(),
        });
    }
}

fn identity(was: &Baseline, now: &Baseline, changes: &mut Changes) {
    for difference in now.identity.differences(&was.identity) {
        changes.tell(Kind::Worse, "identity", difference.to_string());
    }
}

fn sizes(was: &Baseline, now: &Baseline, changes: &mut Changes) {
    match (was.image_compressed_bytes, now.image_compressed_bytes) {
        (Some(was), Some(now)) => size("image, compressed", was, now, changes),
        (Some(_), None) => changes.tell(
            Kind::Different,
            "image",
            "the report does not tell its size, so it was not compared",
        ),
        (None, _) => {}
    }
    for (name, was) in &was.pack_bytes {
        let subject = format!("pack {name}");
        match now.pack_bytes.get(name) {
            Some(now) => size(&subject, *was, *now, changes),
            None => changes.tell(Kind::Worse, subject, "missing"),
        }
    }
    for name in now.pack_bytes.keys() {
        if !was.pack_bytes.contains_key(name) {
            changes.tell(
                Kind::Different,
                format!("pack {name}"),
                "not in the baseline",
            );
        }
    }
}

fn size(subject: &str, was: u64, now: u64, changes: &mut Changes) {
    let limit = was as f64 * (1.0 + SIZE_TOLERANCE);
    let (kind, verb) = match now.cmp(&was) {
        std::cmp::Ordering::Equal => return,
        std::cmp::Ordering::Less => (Kind::Better, "shrank"),
        std::cmp::Ordering::Greater if now as f64 > limit => (Kind::Worse, "grew"),
        std::cmp::Ordering::Greater => (Kind::Different, "grew"),
    };
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let message = format!(
        "{verb} by {:.1} %: {:.1} MB, {:.1} MB in the baseline",
        (now as f64 / was as f64 - 1.0).abs() * 100.0,
        megabytes(now),
        megabytes(was),
    );
    changes.tell(kind, subject, message);
}

fn modules(was: &Baseline, now: &Baseline, report: &Report, changes: &mut Changes) {
    for failure in &report.failures {
        let message = printable(&failure.message);
        let reason = message.lines().next().unwrap_or_default();
        changes.tell(Kind::Worse, failure.name(), format!("failed: {reason}"));
    }
    let failed = |path: &Utf8Path| report.failures.iter().any(|failure| failure.path == path);
    let (then, here) = (by_path(was), by_path(now));
    for (path, module) in &then {
        if !here.contains_key(path) && !failed(path) {
            changes.tell(Kind::Worse, module.name(), "missing");
        }
    }
    for module in &report.modules {
        let name = module.name();
        if let Some(first) = module.first().filter(|first| first.network_attempts > 0) {
            let requests = list(&first.network_requests);
            let attempts = first.network_attempts;
            let message = format!("first: asked the network {attempts} times{requests}");
            changes.tell(Kind::Worse, name, message);
        }
    }
    for (path, now) in here {
        let Some(was) = then.get(path) else {
            changes.tell(Kind::Different, now.name(), "not in the baseline");
            continue;
        };
        if was.network_attempts > now.network_attempts && now.network_attempts == 0 {
            let message = "first: does not ask the network any more";
            changes.tell(Kind::Better, now.name(), message);
        }
        let measured = report.modules.iter().find(|module| module.path == path);
        let compiled = |phase| {
            let phase = measured.and_then(|module| module.phases.get(&phase));
            phase.map_or(String::new(), |phase| list(&phase.compiled))
        };
        hits(was, now, compiled, changes);
    }
}

fn by_path(baseline: &Baseline) -> BTreeMap<&Utf8Path, &BaselineModule> {
    let modules = baseline.modules.iter();
    modules
        .map(|module| (module.path.as_path(), module))
        .collect()
}

/// The first of some names, to go behind a message.
fn list(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMES)].join(", ");
    match names.len() {
        0 => String::new(),
        count if count <= NAMES => format!(": {shown}"),
        _ => format!(": {shown}, …"),
    }
}

fn hits(
    was: &BaselineModule,
    now: &BaselineModule,
    compiled: impl Fn(PhaseName) -> String,
    changes: &mut Changes,
) {
    for (phase, was) in &was.hits {
        let Some(here) = now.hits.get(phase) else {
            // Which further phases are measured is a matter of flags.
            if *phase == PhaseName::First {
                changes.tell(Kind::Worse, now.name(), "first: not measured");
            }
            continue;
        };
        let kinds = [
            ("packages", was.packages, here.packages, compiled(*phase)),
            ("links", was.links, here.links, String::new()),
            (
                "look-ups of the index",
                was.index,
                here.index,
                String::new(),
            ),
        ];
        for (what, was, here, names) in kinds {
            let Some(was) = was else { continue };
            let Some(here) = here else {
                let message = format!("{phase}: {what} from the cache are not counted any more");
                changes.tell(Kind::Worse, now.name(), message);
                continue;
            };
            let (kind, names) = match rate_order(here, was) {
                std::cmp::Ordering::Equal => continue,
                std::cmp::Ordering::Less => (Kind::Worse, names),
                std::cmp::Ordering::Greater => (Kind::Better, String::new()),
            };
            let message = format!(
                "{phase}: {} of {} {what} missed the cache, {} of {} in the baseline{names}",
                here.total - here.hits,
                here.total,
                was.total - was.hits,
                was.total,
            );
            changes.tell(kind, now.name(), message);
        }
    }
}

/// How the rate of `a` stands to that of `b`, exactly. Nothing looked up is worse than anything: then nothing was
/// proven.
fn rate_order(a: Ratio, b: Ratio) -> std::cmp::Ordering {
    if a.total == 0 || b.total == 0 {
        return (a.total > 0).cmp(&(b.total > 0));
    }
    let product = |hits: u64, total: u64| u128::from(hits) * u128::from(total);
    product(a.hits, b.total).cmp(&product(b.hits, a.total))
}

fn times(was: &Baseline, now: &Baseline, report: &Report, changes: &mut Changes) {
    let then = by_path(was);
    let mut pairs = Vec::new();
    let mut with_few_runs = 0;
    for module in &now.modules {
        let Some(was) = then.get(module.path.as_path()) else {
            continue;
        };
        let measured = report.modules.iter().find(|it| it.path == module.path);
        let first_ms = measured.and_then(MeasuredModule::first_median_ms);
        let pair = Pair {
            provider: module.provider.clone(),
            name: module.name(),
            was: was.first.clone(),
            now: module.first.clone(),
            now_ms: first_ms.unwrap_or_default(),
        };
        if first_ms.is_some() && pair.now.is_empty() && !pair.was.is_empty() {
            let message =
                "first: not measured against the yardsticks, so nothing tells how slow it is";
            changes.tell(Kind::Worse, pair.name, message);
            continue;
        }
        ceiling(&pair, changes);
        if pair.was.len().min(pair.now.len()) < MIN_RUNS {
            with_few_runs += 1;
        } else {
            pairs.push(pair);
        }
    }
    if with_few_runs > 0 {
        let message = format!(
            "not compared for {with_few_runs} modules: with yardsticks, {MIN_RUNS} runs are needed in both the \
             report and the baseline; measure with --runs {MIN_RUNS}"
        );
        changes.tell(Kind::Different, "times", message);
    }
    for finding in time::compare(&pairs) {
        let (what, yardstick) = finding.what.words();
        let (kind, how) = if finding.ratio > 1.0 {
            let longer = (finding.ratio - 1.0) * 100.0;
            (Kind::Worse, format!("{longer:.0} % longer"))
        } else {
            let less = (1.0 - finding.ratio) * 100.0;
            (Kind::Better, format!("{less:.0} % less time"))
        };
        let message = format!(
            "{what} takes {how}, measured against {yardstick} (p = {:.0e})",
            finding.p
        );
        changes.tell(kind, finding.subject, message);
    }
}

fn ceiling(pair: &Pair, changes: &mut Changes) {
    if let Some((what, ratio)) = ceiling::exceeded(pair) {
        let (what, yardstick) = what.words();
        let message = format!(
            "{what} takes {ratio:.0} times as long, measured against {yardstick}: a median of {:.1} s \
             for the first build",
            pair.now_ms / 1e3
        );
        changes.tell(Kind::Worse, pair.name.clone(), message);
    }
}
