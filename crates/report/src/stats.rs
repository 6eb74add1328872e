//! Medians and percentiles by nearest rank: the smallest value that at least p per cent of the values do not exceed, so
//! each is a value that was really measured.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Percentiles of some times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 95th percentile.
    pub p95: f64,
    /// Largest value.
    pub max: f64,
}

impl Percentiles {
    /// Of values in any order; none of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let sorted = sorted(values);
        let max = *sorted.last()?;
        Some(Self {
            p50: at(&sorted, 50),
            p95: at(&sorted, 95),
            max,
        })
    }
}

/// The median; zero of none.
pub fn median(values: &[f64]) -> f64 {
    at(&sorted(values), 50)
}

/// The arithmetic mean; zero of none.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.iter().sum::<f64>() / values.len() as f64
}

/// The sample's standard deviation; none of fewer than two.
pub fn standard_deviation(values: &[f64]) -> Option<f64> {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn at(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the values are chosen, not computed")]
    fn percentiles_are_measured_values() {
        let values: Vec<f64> = (1..=20).rev().map(f64::from).collect();
        let of = |p50, p95, max| Some(Percentiles { p50, p95, max });
        assert_eq!(Percentiles::of(&values), of(10.0, 19.0, 20.0));
        assert_eq!(Percentiles::of(&values[1..]), of(10.0, 19.0, 19.0));
        assert_eq!(Percentiles::of(&[7.0]), of(7.0, 7.0, 7.0));
        assert_eq!(Percentiles::of(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "the values are chosen, not computed")]
    fn the_deviation_is_that_of_a_sample() {
        assert_eq!(mean(&[2.0, 4.0, 9.0]), 5.0);
        assert_eq!(mean(&[]), 0.0);
        assert_eq!(standard_deviation(&[2.0, 5.0, 8.0]), Some(3.0));
        assert_eq!(standard_deviation(&[2.0]), None);
    }
}
