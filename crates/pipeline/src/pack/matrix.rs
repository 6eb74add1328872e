//! The jobs of the matrix: one for each provider, or several for one that takes too long.
//!
//! How long a provider takes is recorded: each run's `summary.json` has it. A provider's time is shared out between
//! what its modules have in common, which every part compiles again, and each module's own build.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use modules::Module;
use oci::platform::Platform;
use serde::{Deserialize, Serialize};

use crate::pack::archive;
use crate::pack::part::{Part, Shard, balance};
use crate::workspace::workspace;
use failure::usage;

/// The times that are used where the user names none.
const RECORDED: &str = "base-images/iac-runner/times.json";

/// How long packs took when they were made, and how much memory, by name.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// By the name of the provider.
    pub providers: BTreeMap<String, ProviderTime>,
}

/// How long a provider took, and how much memory.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderTime {
    /// Building, sealing, checking and packing, in milliseconds.
    pub total_ms: u64,
    /// Of that, each module's own build after what it imports was compiled, in milliseconds.
    pub modules_ms: BTreeMap<Utf8PathBuf, u64>,
    /// Memory of the largest process that compiled or linked, in bytes, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_bytes: Option<u64>,
}

impl Times {
    /// Reads `file`, or those that are recorded for the catalog, if there are any.
    pub fn read(file: Option<&Utf8Path>) -> Result<Self> {
        let recorded = workspace().join(RECORDED);
        let file = match file {
            Some(file) => file,
            None if recorded.is_file() => &recorded,
            None => return Ok(Self::default()),
        };
        let hint =
            "name a file that `cargo xtask matrix --record` wrote, or with --record a new one";
        let text = fs_err::read(file).map_err(|error| usage(error.to_string(), hint))?;
        serde_json::from_slice(&text)
            .map_err(|error| usage(format!("{file} holds no times: {error}"), hint))
    }
}

/// A job of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MatrixJob {
    /// Name of its pack.
    pub name: String,
    /// The provider.
    pub provider: String,
    /// For which platform.
    pub platform: String,
    /// The file that `warm --platform --push FOLDER` writes, without `.tar`.
    pub file: String,
    /// Which part of the provider.
    pub part: Shard,
    /// Modules that it warms.
    pub modules: usize,
    /// How long it should take, in milliseconds; none where nothing is recorded.
    pub estimated_ms: Option<u64>,
    /// How much memory its largest process should take, in bytes; none where nothing is recorded.
    pub memory_bytes: Option<u64>,
}

/// The jobs for `providers` on `platform`, each of which should take no longer than `limit`; how long it takes is much
/// the same for all platforms.
pub fn jobs(
    modules: &[Module],
    providers: &[String],
    platform: &Platform,
    times: &Times,
    limit: Option<Duration>,
) -> Result<Vec<MatrixJob>> {
    let mut jobs = Vec::new();
    for provider in providers {
        let count = modules.iter().filter(|it| it.provider == *provider).count();
        let time = times.providers.get(provider);
        let of = match (time, limit) {
            (Some(time), Some(limit)) => time.parts(count, limit),
            _ => 1,
        };
        for number in 1..=of {
            let part = Part {
                provider: provider.clone(),
                shard: Shard { number, of },
            };
            let own = modules_of(&part, modules, times)?;
            jobs.push(MatrixJob {
                name: part.name(),
                provider: provider.clone(),
                platform: platform.to_string(),
                file: archive::name(&part.name(), &platform.to_string()),
                part: part.shard,
                modules: own.len(),
                estimated_ms: time.map(|time| time.estimate(&own)),
                memory_bytes: time.and_then(|time| time.peak_memory_bytes),
            });
        }
    }
    Ok(jobs)
}

/// The modules of `part`. The same modules and times give the same parts.
pub fn modules_of(part: &Part, modules: &[Module], times: &Times) -> Result<Vec<Module>> {
    let own: Vec<&Module> = modules
        .iter()
        .filter(|module| module.provider == part.provider)
        .collect();
    let Shard { number, of } = part.shard;
    if of > own.len() {
        return Err(usage(
            format!(
                "the provider {} has {} modules, which cannot be divided into {of} parts",
                part.provider,
                own.len()
            ),
            "divide it into fewer",
        ));
    }
    let time = times.providers.get(&part.provider);
    let weight = |module: &&Module| time.map_or(0, |time| time.module(&module.path));
    let weights: Vec<u64> = own.iter().map(weight).collect();
    let parts = balance(&weights, of);
    Ok(own
        .into_iter()
        .zip(parts)
        .filter(|(_, part)| part + 1 == number)
        .map(|(module, _)| module.clone())
        .collect())
}

impl ProviderTime {
    /// What is compiled once, whatever the number of modules.
    fn shared_ms(&self) -> u64 {
        let own: u64 = self.modules_ms.values().sum();
        self.total_ms.saturating_sub(own)
    }

    /// A module's own time; for one that is not recorded, the mean.
    fn module(&self, path: &Utf8Path) -> u64 {
        let known = self.modules_ms.get(path).copied();
        known.unwrap_or_else(|| {
            let own: u64 = self.modules_ms.values().sum();
            own.checked_div(self.modules_ms.len() as u64).unwrap_or(0)
        })
    }

    fn estimate(&self, modules: &[Module]) -> u64 {
        let own: u64 = modules.iter().map(|it| self.module(&it.path)).sum();
        self.shared_ms() + own
    }

    /// Into how many parts `count` modules are divided, so that each takes no longer than `limit`; what they share
    /// cannot be divided.
    fn parts(&self, count: usize, limit: Duration) -> usize {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let own = self.total_ms.saturating_sub(self.shared_ms());
        let room = limit_ms.saturating_sub(self.shared_ms());
        let parts = if self.total_ms <= limit_ms {
            1
        } else if room == 0 {
            u64::MAX
        } else {
            own.div_ceil(room)
        };
        usize::try_from(parts)
            .unwrap_or(usize::MAX)
            .clamp(1, count.clamp(1, Shard::MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::platform;

    fn module(provider: &str, component: &str) -> Module {
        let path = format!("apis/provider/{provider}/{component}/v1/iac/pulumi");
        Module {
            provider: provider.to_owned(),
            component: component.to_owned(),
            import_path: format!("example.com/{path}"),
            go_mod: "go.mod".into(),
            main: None,
            path: path.into(),
        }
    }

    fn times(modules: &[Module], own_ms: u64, shared_ms: u64) -> Times {
        let modules_ms: BTreeMap<_, _> = modules
            .iter()
            .map(|module| (module.path.clone(), own_ms))
            .collect();
        let total_ms = shared_ms + own_ms * modules.len() as u64;
        Times {
            providers: BTreeMap::from([(
                "aws".to_owned(),
                ProviderTime {
                    total_ms,
                    modules_ms,
                    peak_memory_bytes: Some(1_400_000_000),
                },
            )]),
        }
    }

    #[test]
    fn a_long_provider_is_divided_and_each_module_is_in_one_part() {
        let modules: Vec<Module> = (0..10).map(|n| module("aws", &format!("c{n}"))).collect();
        let times = times(&modules, 10_000, 30_000);
        let jobs = |limit_s| {
            let limit = Some(Duration::from_secs(limit_s));
            super::jobs(&modules, &["aws".to_owned()], &platform(), &times, limit).unwrap()
        };
        assert_eq!(jobs(130).len(), 1);
        let divided = jobs(80);
        assert_eq!(
            divided
                .iter()
                .map(|job| job.name.as_str())
                .collect::<Vec<_>>(),
            ["aws.1of2", "aws.2of2"]
        );
        assert_eq!(divided[0].estimated_ms, Some(80_000));
        assert_eq!(divided.iter().map(|job| job.modules).sum::<usize>(), 10);
        // What they share alone takes longer: as many jobs as there are modules, and no more.
        assert_eq!(jobs(20).len(), 10);
    }

    #[test]
    fn times_that_were_recorded_without_memory_are_read() {
        let text = r#"{"providers": {"aws": {"total_ms": 7, "modules_ms": {}}}}"#;
        let times: Times = serde_json::from_str(text).unwrap();
        assert_eq!(times.providers["aws"].peak_memory_bytes, None);
        assert!(!serde_json::to_string(&times).unwrap().contains("memory"));
    }

    #[test]
    fn what_holds_no_times_is_bad_input_and_another_file_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        fs_err::write(folder.join("README.md"), "# Read me").unwrap();
        for name in ["absent", "", "README.md"] {
            let error = Times::read(Some(&folder.join(name))).unwrap_err();
            let said = failure::text(&error);
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage, "{said}");
            assert!(
                said.contains(name) && said.contains("or with --record a new one"),
                "{said}"
            );
        }
    }

    #[test]
    fn a_provider_without_a_time_is_one_job() {
        let modules = [module("aws", "a"), module("gcp", "b")];
        let providers = ["aws".to_owned(), "gcp".to_owned()];
        let jobs = jobs(
            &modules,
            &providers,
            &platform(),
            &Times::default(),
            Some(Duration::ZERO),
        )
        .unwrap();
        assert_eq!(jobs.len(), 2);
        assert!(jobs.iter().all(|job| job.estimated_ms.is_none()));
    }

    #[test]
    fn more_parts_than_modules_are_refused() {
        let part = Part {
            provider: "aws".into(),
            shard: "1/2".parse().unwrap(),
        };
        let error = modules_of(&part, &[module("aws", "a")], &Times::default()).unwrap_err();
        assert!(error.to_string().contains("cannot be divided"));
    }

    #[test]
    fn a_workflow_reads_the_jobs_as_json() {
        let modules = ["a", "b", "c"].map(|component| module("aws", component));
        let times = times(&modules, 10_000, 30_000);
        let modules = [&modules[..], &[module("civo", "d")]].concat();
        let providers = ["aws".to_owned(), "civo".to_owned()];
        let limit = Some(Duration::from_secs(55));
        let jobs = jobs(&modules, &providers, &platform(), &times, limit).unwrap();
        insta::assert_json_snapshot!(jobs);
    }
}
