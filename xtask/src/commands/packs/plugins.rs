//! `cargo xtask plugins`: which plugins of Pulumi the programs of a source need, and the lock with their digests.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::Utf8PathBuf;
use serde::Serialize;

use crate::flags::ALLOW_UNCHECKED;
use crate::source::{self, Source};
use engine::progress::{Kind, Progress};
use failure::{corrupt, failed, usage};
use oci::platform::Platform;
use pipeline::flow::{self, Settings};
use pipeline::plugins::fetch::{from_table, into_lock};
use pipeline::plugins::lock::Lock;
use pipeline::plugins::needs::Program;
use pipeline::plugins::plugin::Plugin;
use pipeline::plugins::published::Published;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Args {
    #[command(flatten)]
    pub source: Source,
    /// Provider; repeat for several [default: all of the source]
    #[arg(long = "provider", value_name = "P")]
    pub providers: Vec<String>,
    /// Description of the image, beside which the lock is
    #[arg(long, value_name = "FILE")]
    pub image: Option<Utf8PathBuf>,
    /// Fetch the archive of each plugin for every platform, and write its digest to plugins.lock; a digest that is
    /// there is compared, and never replaced
    #[arg(long, conflicts_with = "offline")]
    pub lock: bool,
    /// Take digests of published archives from this table instead of fetching them: lines of name, version, platform,
    /// SHA-256 and, if known, size, with tabs between them
    #[arg(long, value_name = "FILE", requires = "lock")]
    pub from: Option<Utf8PathBuf>,
    /// Use what was fetched before, and no network
    #[arg(long)]
    pub offline: bool,
    /// Take Go modules that no checksum database vouches for, as GOSUMDB=off, GOINSECURE and others ask
    #[arg(long, env = ALLOW_UNCHECKED)]
    pub allow_unchecked_modules: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What was found, for scripts.
#[derive(Debug, Serialize)]
struct Listed {
    programs: Vec<Program>,
    /// Plugins that the lock has not for this machine's platform, as `NAME VERSION`.
    not_locked: BTreeSet<String>,
}

/// Prints what programs need, and renews the lock where that is asked for.
pub fn run(flags: &Args) -> Result<()> {
    let source = flags.source.folder()?;
    let table = flags.from.as_deref().map(Published::read).transpose()?;
    let mut settings = Settings::new(source.clone());
    if let Some(image) = &flags.image {
        settings.image.clone_from(image);
    }
    settings.offline = flags.offline;
    settings.allow_unchecked = flags.allow_unchecked_modules;
    let found = source::discover(&source, flags.image.as_deref())?;
    let providers = source::select(&found.modules, &flags.providers)?;
    let mut modules = found.modules;
    modules.retain(|module| providers.contains(&module.provider));

    let mut progress = Progress::default();
    let foundation = flow::foundation(settings, &mut progress)?;
    let programs = progress.step("resolve", Kind::Network, |_| {
        foundation.plugin_needs(&modules)
    })?;
    let file = foundation.lock_file();
    let mut lock = Lock::read(&file)?;
    let needed: BTreeSet<Plugin> = programs
        .iter()
        .flat_map(|program| program.needs.plugins.clone())
        .collect();
    let mut failures = Vec::new();
    if flags.lock {
        progress.step("fetch plugins", Kind::Network, |step| {
            let before = lock.clone();
            let told = |url: &str| step.detail(url);
            failures = match &table {
                Some(table) => from_table(table, &mut lock, &needed),
                None => into_lock(&foundation.work, &mut lock, &needed, &told),
            };
            if lock == before {
                Ok(())
            } else {
                lock.write(&file)
            }
        })?;
    }
    let platform = Platform::host();
    let not_locked = needed
        .iter()
        .filter(|it| lock.find(&it.name, &it.version, &platform).is_none());
    let listed = Listed {
        not_locked: not_locked.map(called).collect(),
        programs,
    };
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&listed)?);
    } else {
        println!("{}", listed.text(&platform));
    }
    let again = match flags.from {
        Some(_) => {
            "add these to the table, or fetch them without --from where their servers can be reached"
        }
        None => "run the same command again for these",
    };
    refuse(&failures, again)
}

/// Tells all that went wrong at once; what is worst decides on the exit code. `again` is what to do about all others.
fn refuse(failures: &[anyhow::Error], again: &str) -> Result<()> {
    let kinds: Vec<failure::Kind> = failures
        .iter()
        .map(|error| failure::kind(error, &[]))
        .collect();
    let said: Vec<String> = failures.iter().map(|error| format!("{error:#}")).collect();
    let said = said.join("\n");
    if kinds.is_empty() {
        Ok(())
    } else if kinds.contains(&failure::Kind::Corrupt) {
        Err(corrupt(
            said,
            "a released version does not change: find out which of the two is wrong before you change anything",
        ))
    } else if kinds.iter().all(|kind| *kind == failure::Kind::Usage) {
        Err(usage(said, "take SDKs whose plugins are on a server"))
    } else {
        Err(failed(said, format!("all others are in the lock; {again}")))
    }
}

fn called(plugin: &Plugin) -> String {
    format!("{} {}", plugin.name, plugin.version)
}

impl Listed {
    fn text(&self, platform: &Platform) -> String {
        let mut lines = Vec::new();
        let mut provider = "";
        for program in &self.programs {
            if program.provider != provider {
                provider = &program.provider;
                lines.push(provider.to_owned());
            }
            let plugins: Vec<String> = program.needs.plugins.iter().map(called).collect();
            let plugins = if plugins.is_empty() {
                "none".to_owned()
            } else {
                plugins.join(", ")
            };
            lines.push(format!("  {}: {plugins}", program.component));
            let left_out = program.needs.left_out.iter();
            lines.extend(left_out.map(|it| format!("    not {}: {}", it.name, it.reason)));
        }
        if !self.not_locked.is_empty() {
            let missing: Vec<&str> = self.not_locked.iter().map(String::as_str).collect();
            lines.push(format!(
                "\nnot in the lock for {platform}: {}",
                missing.join(", ")
            ));
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use pipeline::plugins::needs::{LeftOut, Needs};

    use super::*;

    #[test]
    fn a_person_reads_what_each_program_needs_and_what_is_not_locked() {
        let program = |provider: &str, component: &str, plugins: &[&str]| Program {
            provider: provider.into(),
            component: component.into(),
            path: "p".into(),
            needs: Needs {
                plugins: plugins
                    .iter()
                    .map(|name| Plugin::new(name, "1.0.0", None).unwrap())
                    .collect(),
                left_out: BTreeSet::new(),
            },
        };
        let mut own = program("toy", "own", &[]);
        own.needs.left_out.insert(LeftOut {
            name: "own".into(),
            reason: "Pulumi.yaml has it in a folder, ./bin".into(),
            is_local: true,
        });
        let listed = Listed {
            programs: vec![
                program("aws", "bucket", &["aws", "random"]),
                program("toy", "file", &["toy"]),
                own,
            ],
            not_locked: BTreeSet::from(["toy 1.0.0".to_owned()]),
        };
        let platform = Platform {
            os: "linux".into(),
            arch: "amd64".into(),
        };
        insta::assert_snapshot!(listed.text(&platform));
    }

    #[test]
    fn the_worst_of_all_failures_decides_on_the_exit_code() {
        let corrupt = || corrupt("another digest", "look");
        let (usage, other) = (
            || usage("no address", "take another"),
            || anyhow::anyhow!("404"),
        );
        for (failures, expected) in [
            (vec![usage(), corrupt(), other()], failure::Kind::Corrupt),
            (vec![usage(), other()], failure::Kind::Failed),
            (vec![usage()], failure::Kind::Usage),
        ] {
            let error = refuse(&failures, "again").unwrap_err();
            assert_eq!(failure::kind(&error, &[]), expected);
            assert_eq!(error.to_string().lines().count(), failures.len());
        }
        refuse(&[], "again").unwrap();
    }
}
