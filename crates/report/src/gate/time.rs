//! Whether first builds have become slower: the only thing in the gate that is uncertain.
//!
//! **What is compared.** Milliseconds of two machines, or of one machine on two days, cannot be compared: the speed of
//! one and the same virtual machine moves by tens of per cent. So a build is compared with two yardsticks that were
//! measured just before it: `go list -deps`, which loads the same packages without building them, and the probe, in
//! which the go command has no part. There are two ways to become slower, and each is looked for where it shows in
//! full:
//! - the build alone: against the geometric mean of both yardsticks, which is steadier than either;
//! - the go command altogether (another Go, a wrapper, slower files), list included: the geometric mean of build and
//!   list against the probe.
//!
//! **How much.** The Hodges-Lehmann estimate: the median of all differences between a run of now and a run of then of
//! the same module, in logarithms. Neither a slow first run nor one slow module moves it. It has to reach
//! [`MIN_EFFECT`], whatever its significance.
//!
//! **How sure.** The Mann-Whitney test on aligned ranks: each module's runs less the median of all its runs, then all
//! modules together. Ranks, because times have a long tail to one side; aligned, because modules differ from each other
//! far more than any of them changes; together, because five runs against five cannot be significant once a hundred
//! modules are tested. What has to be significant is not any difference, but one beyond [`DRIFT`]: from one report to
//! the next the yardsticks move against the builds by some per cent, and with enough runs that is significant, too.
//! Tested are all modules, each provider's, and each alone, and the significance is shared out among all these tests
//! (Bonferroni). So a slowdown of all or of a provider is found with [`MIN_RUNS`]; that of a single module among many
//! needs more. That is bearable, because what makes a single module slow is nearly always a miss, and misses are
//! counted; and one that is slow beyond any noise is found by its [`ceiling`](super::ceiling).
//!
//! How often it is wrong is counted in `simulation.rs` and, on a real image, by `cargo xtask bench gate`.

use std::collections::BTreeMap;

use statrs::stats_tests::Alternative;
use statrs::stats_tests::mannwhitneyu::{MannWhitneyUMethod, mannwhitneyu};

use super::baseline::Samples;
use crate::stats::median;

/// Runs of a module, in both reports, below which its times are not compared.
pub const MIN_RUNS: usize = 5;
/// Smallest change that is told, as a share.
pub const MIN_EFFECT: f64 = 0.10;
/// How far build, list and probe may move against each other from one report to the next with no reason, as a share.
pub const DRIFT: f64 = 0.05;
/// Probability that anything at all is called slower by chance, where the yardsticks drifted as far as that.
pub const SIGNIFICANCE: f64 = 0.05;

/// A module's first builds, then and now.
#[derive(Debug, Clone)]
pub struct Pair {
    pub provider: String,
    pub name: String,
    pub was: Samples,
    pub now: Samples,
    /// The median of now, in milliseconds.
    pub now_ms: f64,
}

/// A change of some modules' times.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// A module's name, a provider, or all modules.
    pub subject: String,
    pub what: What,
    /// Time now, divided by that of then.
    pub ratio: f64,
    /// Probability of such a difference by chance.
    pub p: f64,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The build against both yardsticks.
    Build,
    /// Build and list against the probe.
    GoCommand,
}

impl What {
    pub const ALL: [Self; 2] = [Self::Build, Self::GoCommand];

    /// What is compared and with what, in words.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Build => ("the first build", "`go list` and the probe"),
            Self::GoCommand => ("the go command", "the probe"),
        }
    }

    /// Logarithms of what is compared, run by run.
    pub fn logs(self, samples: &Samples) -> Vec<f64> {
        let runs = samples.per_list.iter().zip(&samples.per_probe);
        runs.map(|(per_list, per_probe)| match self {
            // build / sqrt(list · probe)
            Self::Build => f64::midpoint(per_list.ln(), per_probe.ln()),
            // sqrt(build · list) / probe
            Self::GoCommand => per_probe.ln() - per_list.ln() / 2.0,
        })
        .collect()
    }
}

/// Times that changed, slower and faster ones, the largest groups first. What holds for a group is not told again of a
/// part of it.
pub fn compare(pairs: &[Pair]) -> Vec<Finding> {
    let groups = groups(pairs);
    let significance = SIGNIFICANCE / (groups.len() * What::ALL.len()) as f64;
    let mut findings = Vec::new();
    for what in What::ALL {
        let logs: Vec<_> = pairs
            .iter()
            .map(|pair| (what.logs(&pair.was), what.logs(&pair.now)))
            .collect();
        let mut told: Vec<(&[usize], bool)> = Vec::new();
        for (subject, members) in &groups {
            let group: Vec<_> = members.iter().map(|member| &logs[*member]).collect();
            let shift = shift(&group);
            let is_slower = shift > 0.0;
            let is_told = |(larger, slower): &(&[usize], bool)| {
                *slower == is_slower && members.iter().all(|member| larger.contains(member))
            };
            if shift.abs() < MIN_EFFECT.ln_1p() || told.iter().any(is_told) {
                continue;
            }
            let p = by_chance(&group, is_slower);
            if p <= significance {
                told.push((members, is_slower));
                findings.push(Finding {
                    subject: subject.clone(),
                    what,
                    ratio: shift.exp(),
                    p,
                });
            }
        }
    }
    findings
}

/// All modules, those of each provider, and each alone, by index, with what they are called; none twice.
fn groups(pairs: &[Pair]) -> Vec<(String, Vec<usize>)> {
    let mut providers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, pair) in pairs.iter().enumerate() {
        providers.entry(&pair.provider).or_default().push(index);
    }
    let all = ("all modules".to_owned(), (0..pairs.len()).collect());
    let providers = providers
        .into_iter()
        .map(|(name, members)| (format!("provider {name}"), members));
    let mut groups: Vec<(String, Vec<usize>)> = Vec::new();
    for (subject, members) in std::iter::once(all).chain(providers) {
        if members.len() > 1 && groups.iter().all(|(_, known)| *known != members) {
            groups.push((subject, members));
        }
    }
    let modules = pairs.iter().enumerate();
    groups.extend(modules.map(|(index, pair)| (pair.name.clone(), vec![index])));
    groups
}

/// How much larger the logarithms of now are: Hodges and Lehmann's estimate.
pub fn shift(modules: &[&(Vec<f64>, Vec<f64>)]) -> f64 {
    let differences = modules.iter().flat_map(|(was, now)| {
        now.iter()
            .flat_map(move |now| was.iter().map(move |was| now - was))
    });
    median(&differences.collect::<Vec<_>>())
}

/// Probability that chance and drift alone make now this much larger than then, or smaller if it is not `slower`.
fn by_chance(modules: &[&(Vec<f64>, Vec<f64>)], slower: bool) -> f64 {
    let (alternative, drift) = if slower {
        (Alternative::Greater, DRIFT.ln_1p())
    } else {
        (Alternative::Less, -DRIFT.ln_1p())
    };
    let (mut all_was, mut all_now) = (Vec::new(), Vec::new());
    for (was, now) in modules {
        let middle = median(&[was.as_slice(), now].concat());
        all_was.extend(was.iter().map(|value| value - middle));
        all_now.extend(now.iter().map(|value| value - middle - drift));
    }
    // Not the exact method: that of statrs 0.19 answers with the opposite probability where both are of one length.
    let method = MannWhitneyUMethod::AsymptoticInclContinuityCorrection;
    // What cannot be ranked says nothing.
    mannwhitneyu(&all_now, &all_was, method, alternative).map_or(1.0, |(_, p)| p)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(runs: &[(f64, f64)]) -> Samples {
        Samples {
            per_list: runs.iter().map(|run| run.0).collect(),
            per_probe: runs.iter().map(|run| run.1).collect(),
        }
    }

    /// A module whose runs take 1, 1.01, 1.02, … times `ratio`.
    fn pair(name: &str, runs: u32, ratio: f64) -> Pair {
        let noise = |ratio: f64| -> Vec<_> {
            let runs = (0..runs).map(|run| ratio * (1.0 + f64::from(run) / 100.0));
            runs.map(|ratio| (2.0 * ratio, 4.0 * ratio)).collect()
        };
        Pair {
            provider: name.split('/').next().unwrap().into(),
            name: name.into(),
            was: samples(&noise(1.0)),
            now: samples(&noise(ratio)),
            now_ms: 300.0 * ratio,
        }
    }

    fn subjects(pairs: &[Pair], what: What) -> Vec<String> {
        let findings = compare(pairs).into_iter();
        let of_kind = findings.filter(|finding| finding.what == what);
        of_kind.map(|finding| finding.subject).collect()
    }

    #[test]
    fn the_test_is_that_of_the_textbooks() {
        // As scipy.stats.mannwhitneyu(…, alternative="greater", method="asymptotic") has it.
        let (was, now): (Vec<f64>, Vec<f64>) = ((1..=5).map(f64::from).collect(), vec![6.0; 5]);
        let p = by_chance(&[&(was.clone(), now)], true);
        assert!((p - 0.003_746_7).abs() < 1e-6, "{p}");
        let p = by_chance(&[&(was.clone(), was)], true);
        assert!(p > 0.5, "{p}");
        assert!((by_chance(&[&(vec![], vec![1.0])], true) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_group_is_told_once_and_by_its_largest_name() {
        let all = ["a/1", "a/2", "b/1", "b/2"].map(|name| pair(name, 8, 1.3));
        assert_eq!(subjects(&all, What::Build), ["all modules"]);
        let names = ["a/1", "a/2", "b/1", "b/2", "b/3", "c/1", "c/2", "c/3"];
        let one = names.map(|name| pair(name, 8, if name.starts_with('a') { 1.3 } else { 1.0 }));
        assert_eq!(subjects(&one, What::Build), ["provider a"]);
        let one = names.map(|name| pair(name, 20, if name == "c/2" { 1.3 } else { 1.0 }));
        assert_eq!(subjects(&one, What::Build), ["c/2"]);
        assert_eq!(subjects(&[pair("a/1", 8, 1.3)], What::Build), ["a/1"]);
        assert!(compare(&[]).is_empty());
    }

    #[test]
    fn faster_within_slower_is_told() {
        let names = ["a/1", "a/2", "a/3", "b/1", "b/2"];
        let mixed = names.map(|name| pair(name, 20, if name == "b/2" { 0.7 } else { 1.4 }));
        assert_eq!(subjects(&mixed, What::Build), ["all modules", "b/2"]);
    }

    #[test]
    fn each_way_to_become_slower_shows_in_full() {
        let was = samples(&[
            (2.0, 4.0),
            (2.02, 4.04),
            (2.04, 4.08),
            (1.98, 3.96),
            (1.96, 3.92),
        ]);
        let found = |per_list: f64, per_probe: f64| {
            let runs = was.per_list.iter().zip(&was.per_probe);
            let now: Vec<_> = runs
                .map(|(list, probe)| (list * per_list, probe * per_probe))
                .collect();
            let pair = Pair {
                provider: "a".into(),
                name: "a/1".into(),
                was: was.clone(),
                now: samples(&now),
                now_ms: 300.0 * per_probe,
            };
            let findings = compare(&[pair]).into_iter();
            let shown = findings.map(|it| (it.what, (it.ratio * 100.0).round()));
            shown.collect::<Vec<_>>()
        };
        assert_eq!(found(1.44, 1.44)[0], (What::Build, 144.0));
        assert_eq!(found(1.0, 1.2), [(What::GoCommand, 120.0)]);
        assert_eq!(found(1.0, 1.08), []);
    }

    #[test]
    fn one_slow_run_moves_nothing() {
        let mut pair = pair("a/1", 10, 1.0);
        pair.now.per_list[0] *= 10.0;
        pair.now.per_probe[0] *= 10.0;
        assert_eq!(compare(&[pair]), []);
    }
}
