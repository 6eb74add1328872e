//! The ceiling: how slow a single module may become, whatever the significance.
//!
//! A test that is shared out among a hundred modules cannot tell of one of them with five runs, however slow it is. So
//! a module is worse, too, where both are true:
//! - against the yardsticks of its own runs, its first build takes [`CEILING`] times as long as in the baseline, by the
//!   estimate and in either of the two ways that [`time`](super::time) looks at;
//! - it takes longer than [`CEILING_MS`], ten times what people are to wait.
//!
//! Noise does not get there. A slow machine makes the yardsticks slow as well, and a busy one would have to disturb
//! about half of a module's runs by seconds, but not what was measured right before and after each of them. So any
//! number of runs will do; in a report of one run, a pause of five seconds within one build would be taken for it.
//!
//! Both are constants, beside those of the significance: a flag or a field of the baseline would be raised where the
//! gate is not met, and nobody would see it.

use super::time::{Pair, What, shift};

/// How many times as long as in the baseline a module may take.
pub const CEILING: f64 = 5.0;
/// First builds that do not take longer than this, in milliseconds, are below the ceiling on any machine.
pub const CEILING_MS: f64 = 5_000.0;

/// How many times as long as in the baseline the module takes, and in what, if that is beyond the ceiling.
pub fn exceeded(pair: &Pair) -> Option<(What, f64)> {
    let ratios = What::ALL.map(|what| {
        let logs = (what.logs(&pair.was), what.logs(&pair.now));
        (what, shift(&[&logs]).exp())
    });
    let largest = ratios.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (largest.1 > CEILING && pair.now_ms > CEILING_MS).then_some(largest)
}

#[cfg(test)]
mod tests {
    use super::super::baseline::Samples;
    use super::*;

    /// A module whose build, list and probe take these milliseconds, 300, 150 and 70 in the baseline.
    fn pair(runs: &[[f64; 3]]) -> Pair {
        let samples = |runs: &[[f64; 3]]| Samples {
            per_list: runs.iter().map(|[build, list, _]| build / list).collect(),
            per_probe: runs.iter().map(|[build, _, probe]| build / probe).collect(),
        };
        let builds: Vec<_> = runs.iter().map(|run| run[0]).collect();
        Pair {
            provider: "a".into(),
            name: "a/1".into(),
            was: samples(&[[300.0, 150.0, 70.0]; 5]),
            now: samples(runs),
            now_ms: crate::stats::median(&builds),
        }
    }

    fn told(runs: &[[f64; 3]]) -> Option<(What, f64)> {
        exceeded(&pair(runs)).map(|(what, ratio)| (what, ratio.round()))
    }

    #[test]
    fn a_build_far_slower_than_its_yardsticks_is_beyond_in_any_number_of_runs() {
        for runs in [1, 2, 5, 40] {
            let slow = vec![[20_000.0, 150.0, 70.0]; runs];
            assert_eq!(told(&slow), Some((What::Build, 67.0)), "{runs}");
        }
        // The go command altogether, so that `go list` is no help.
        let slow = [[20_000.0, 10_000.0, 70.0]; 5];
        assert_eq!(told(&slow), Some((What::GoCommand, 67.0)));
        // Whatever share of it `go list` takes.
        for list_ms in [150.0, 1_000.0, 20_000.0, 500_000.0] {
            assert!(told(&[[1_000_000.0, list_ms, 70.0]]).is_some(), "{list_ms}");
        }
    }

    #[test]
    fn a_slow_machine_a_short_build_and_single_disturbed_runs_are_not() {
        assert_eq!(told(&[[30_000.0, 15_000.0, 7_000.0]; 5]), None);
        assert_eq!(told(&[[4_900.0, 150.0, 70.0]; 5]), None);
        assert_eq!(told(&[[6_000.0, 700.0, 400.0]; 5]), None);
        let (usual, disturbed) = ([300.0, 150.0, 70.0], [60_000.0, 150.0, 70.0]);
        assert_eq!(told(&[disturbed, usual, usual, disturbed, usual]), None);
    }
}
