//! Targets on the command line, and the modules that miss them.

use report::Report;

/// Targets for the first build of every module.
#[derive(Debug, Default, clap::Args)]
pub struct Targets {
    /// Exit with 3 if a module's median first build takes longer; not where programs are emulated
    #[arg(long, requires = "source", value_name = "MS")]
    target_ms: Option<f64>,
    /// Exit with 3 if a smaller share of a module's packages comes from the cache (0 to 1)
    #[arg(long, requires = "source", value_name = "R", value_parser = share)]
    min_hit_rate: Option<f64>,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err("not between 0 and 1".into())
    }
}

impl Targets {
    /// A line for each target that a module misses.
    pub fn missed_by(&self, report: &Report) -> Vec<String> {
        let mut missed = Vec::new();
        for module in &report.modules {
            let Some(first) = module.first() else {
                continue;
            };
            let first_ms = first.median_ms();
            let target_ms = self.target_ms.filter(|_| !report.emulated);
            if let Some(target_ms) = target_ms.filter(|target_ms| first_ms > *target_ms) {
                let over_ms = first_ms - target_ms;
                let name = module.name();
                missed.push(format!(
                    "target missed: {name}: the first build took {first_ms:.0} ms, \
                     {over_ms:.0} ms more than {target_ms} ms"
                ));
            }
            let packages = first.packages.unwrap_or_default();
            if let Some(target) = self.min_hit_rate.filter(|target| packages.rate() < *target) {
                missed.push(format!(
                    "target missed: {}: {} of {} packages came from the cache, a share of {:.4} instead of {target}",
                    module.name(),
                    packages.hits,
                    packages.total,
                    packages.rate(),
                ));
            }
        }
        missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::table::tests::{build, report};

    #[test]
    fn each_miss_is_named_with_its_amount() {
        let report = report(&[
            ("a", build(500.0, 10, 10, false)),
            ("b", build(620.0, 9, 10, false)),
        ]);
        assert!(Targets::default().missed_by(&report).is_empty());
        let targets = Targets {
            target_ms: Some(500.0),
            min_hit_rate: Some(1.0),
        };
        let expected = [
            "target missed: civo/b: the first build took 620 ms, 120 ms more than 500 ms",
            "target missed: civo/b: 9 of 10 packages came from the cache, a share of 0.9000 instead of 1",
        ];
        assert_eq!(targets.missed_by(&report), expected);
        let mut emulated = report.clone();
        emulated.emulated = true;
        assert_eq!(targets.missed_by(&emulated), expected[1..]);
        let targets = Targets {
            target_ms: Some(499.9),
            min_hit_rate: Some(0.9),
        };
        assert_eq!(targets.missed_by(&report).len(), 2);
    }

    #[test]
    fn a_share_is_between_zero_and_one() {
        assert_eq!(share("0.98"), Ok(0.98));
        for text in ["98", "-0.1", "x", "NaN"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
