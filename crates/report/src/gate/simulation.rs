//! How often the comparison of times is wrong, on reports with the noise of a real machine.
//!
//! Seeded, so the counts are the same every time; the limits leave room for another generator.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::{Distribution as _, Normal};

use super::baseline::Samples;
use super::ceiling::{CEILING_MS, exceeded};
use super::time::{Finding, Pair, compare};

/// Noise of one run of the build, the list and the probe: standard deviation of the logarithm.
const RUN_NOISE: [f64; 3] = [0.05, 0.06, 0.08];
/// Chance that one of them is disturbed, and how much longer it takes then.
const DISTURBED: (f64, f64) = (0.03, 1.6);
/// How far the machine's speed moves from one report to the next, for all three alike.
const SPEED: f64 = 0.3;
/// How far one of the three moves against the others from one report to the next: standard deviation.
const DRIFT: f64 = 0.03;

/// What is slower in the report than in the baseline, of build, list and probe.
#[derive(Clone, Copy)]
struct Slowdown([f64; 3]);

const NONE: Slowdown = Slowdown([1.0, 1.0, 1.0]);
const BUILD: Slowdown = Slowdown([1.2, 1.0, 1.0]);
const GO_COMMAND: Slowdown = Slowdown([1.2, 1.2, 1.0]);

/// The samples of `modules` modules of `runs` runs each.
fn measure(
    rng: &mut StdRng,
    modules: usize,
    runs: usize,
    slowdown: Slowdown,
    drift: f64,
) -> Vec<Samples> {
    let normal = |deviation| Normal::new(0.0, deviation).unwrap();
    let speed = rng.random_range(1.0 - SPEED..1.0 + SPEED);
    let drifting = rng.random_range(0..3);
    let drift = normal(drift).sample(rng).exp();
    let mut time = |what: usize, ms: f64| {
        let noise = normal(RUN_NOISE[what]).sample(rng).exp();
        let disturbed = if rng.random_bool(DISTURBED.0) {
            DISTURBED.1
        } else {
            1.0
        };
        let drift = if what == drifting { drift } else { 1.0 };
        ms * slowdown.0[what] * speed * drift * noise * disturbed
    };
    (0..modules)
        .map(|module| {
            let mut samples = Samples::default();
            for _ in 0..runs {
                let size = 1.0 + module as f64 / 50.0;
                let build = time(0, 300.0 * size);
                samples.per_list.push(build / time(1, 150.0 * size));
                samples.per_probe.push(build / time(2, 70.0));
            }
            samples
        })
        .collect()
}

fn gate(rng: &mut StdRng, modules: usize, runs: usize, slowdown: Slowdown) -> Vec<Finding> {
    compare(&pairs(rng, modules, runs, slowdown))
}

fn pairs(rng: &mut StdRng, modules: usize, runs: usize, slowdown: Slowdown) -> Vec<Pair> {
    let was = measure(rng, modules, runs, NONE, 0.0);
    let now = measure(rng, modules, runs, slowdown, DRIFT);
    let pairs = was.into_iter().zip(now).enumerate();
    pairs
        .map(|(module, (was, now))| Pair {
            provider: format!("p{}", module / 11),
            name: format!("p{}/m{module}", module / 11),
            was,
            now,
            // As on a machine so slow that only the ratio decides.
            now_ms: 2.0 * CEILING_MS,
        })
        .collect()
}

/// Of so many gates, those that are not met.
fn alarms(gates: usize, modules: usize, runs: usize, slowdown: Slowdown) -> usize {
    let mut rng = StdRng::seed_from_u64(20_260_101);
    let alarms = (0..gates).filter(|_| {
        let findings = gate(&mut rng, modules, runs, slowdown);
        findings.iter().any(|finding| finding.ratio > 1.0)
    });
    alarms.count()
}

/// Counts false alarms and slowdowns that are found, each of a thousand.
fn count(modules: usize, runs: usize) -> [usize; 3] {
    [NONE, BUILD, GO_COMMAND].map(|slowdown| alarms(1000, modules, runs, slowdown))
}

#[test]
fn one_module_needs_many_runs() {
    let [none, build, go_command] = count(1, 10);
    assert!(none <= 10, "{none}");
    // Ten runs of one module: more would be chance, for the noise of a run is half of what is looked for.
    assert!(build >= 700 && go_command >= 600, "{build}, {go_command}");
    let [none, build, go_command] = count(1, 40);
    assert!(none <= 10, "{none}");
    assert!(build >= 990 && go_command >= 980, "{build}, {go_command}");
}

#[test]
fn eleven_modules_need_five_runs() {
    let [none, build, go_command] = count(11, 5);
    assert!(none <= 10, "{none}");
    assert!(build >= 990 && go_command >= 985, "{build}, {go_command}");
}

#[test]
fn a_hundred_modules_need_five_runs() {
    let [none, build, go_command] = count(110, 5);
    assert!(none <= 10, "{none}");
    assert!(build >= 995 && go_command >= 995, "{build}, {go_command}");
}

#[test]
fn noise_does_not_reach_the_ceiling_in_any_number_of_runs() {
    let mut rng = StdRng::seed_from_u64(20_260_101);
    for runs in [1, 2, 5] {
        let mut beyond = |slowdown| {
            let pairs = (0..200).flat_map(|_| pairs(&mut rng, 110, runs, slowdown));
            pairs.filter(|pair| exceeded(pair).is_some()).count()
        };
        // Even where the go command is a fifth slower, and that is no noise.
        assert_eq!([NONE, BUILD, GO_COMMAND].map(&mut beyond), [0; 3]);
        assert_eq!(beyond(Slowdown([50.0, 1.0, 1.0])), 200 * 110);
    }
}
