//! Which modules are measured in the phases that take long, and how long all of it will take.

use std::collections::BTreeSet;
use std::time::Duration;

use modules::Module;

/// How many modules a costly phase is measured for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// Every one.
    All,
    /// The first of each provider, by path.
    Sample,
    /// None.
    None,
}

impl Which {
    /// For each of `modules`, which are sorted by path, whether it is one of them; only those that `fits` lets through.
    pub fn of(self, modules: &[Module], fits: impl Fn(&Module) -> bool) -> Vec<bool> {
        let mut seen = BTreeSet::new();
        modules
            .iter()
            .map(|module| match self {
                Self::None => false,
                Self::All => fits(module),
                Self::Sample => fits(module) && seen.insert(module.provider.as_str()),
            })
            .collect()
    }
}

/// What is left, from what is done: cold builds take so much longer than all else that they are counted apart.
#[derive(Debug, Default)]
pub struct Estimate {
    quick: Mean,
    cold: Mean,
}

#[derive(Debug, Default)]
struct Mean {
    total: Duration,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: Duration) {
        self.total += value;
        self.count += 1;
    }

    fn get(&self) -> Option<Duration> {
        self.total.checked_div(self.count)
    }
}

impl Estimate {
    /// Notes a module that took so long, `cold` of it in cold builds.
    pub fn add(&mut self, took: Duration, cold: Option<Duration>) {
        self.quick
            .add(took.saturating_sub(cold.unwrap_or_default()));
        if let Some(cold) = cold {
            self.cold.add(cold);
        }
    }

    /// The time that so many modules will take; none where nothing comparable is done.
    pub fn left(&self, modules: usize, cold: usize) -> Option<Duration> {
        let times = |mean: &Mean, count: usize| {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            if count == 0 {
                Some(Duration::ZERO)
            } else {
                mean.get().map(|mean| mean.saturating_mul(count))
            }
        };
        Some(times(&self.quick, modules)? + times(&self.cold, cold)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(names: &[(&str, &str)]) -> Vec<Module> {
        let module = |(provider, component): &(&str, &str)| Module {
            provider: (*provider).into(),
            component: (*component).into(),
            path: format!("apis/provider/{provider}/{component}/v1/iac/pulumi").into(),
            import_path: "m".into(),
            go_mod: "go.mod".into(),
            main: None,
        };
        names.iter().map(module).collect()
    }

    #[test]
    fn a_sample_is_the_first_of_each_provider_that_fits() {
        let modules = modules(&[("aws", "a"), ("aws", "b"), ("aws", "c"), ("gcp", "a")]);
        let fits = |module: &Module| module.component != "a" || module.provider == "gcp";
        assert_eq!(Which::Sample.of(&modules, fits), [false, true, false, true]);
        assert_eq!(Which::All.of(&modules, fits), [false, true, true, true]);
        assert_eq!(Which::None.of(&modules, fits), [false; 4]);
    }

    #[test]
    fn what_is_left_counts_cold_builds_apart() {
        let seconds = Duration::from_secs;
        let mut estimate = Estimate::default();
        assert_eq!(estimate.left(0, 0), Some(seconds(0)));
        assert_eq!(estimate.left(1, 0), None);
        estimate.add(seconds(2), None);
        assert_eq!(estimate.left(3, 0), Some(seconds(6)));
        assert_eq!(estimate.left(3, 1), None);
        estimate.add(seconds(64), Some(seconds(60)));
        assert_eq!(estimate.left(2, 1), Some(seconds(66)));
    }
}
