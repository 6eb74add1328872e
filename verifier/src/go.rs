//! The go command: its settings, and what it takes to build and to list a program.

pub mod command;

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use camino::Utf8Path;
use failure::usage;
use gocache::{ActionGraph, Difference, Identity};
use report::Phase;

use crate::private_folder;
use crate::process::{self, Environment, Finished, rounded};

/// Lines of a failed build that are shown.
const MESSAGE_LINES: usize = 12;

/// Variables whose defaults lie in the home.
const FOLDERS: [&str; 4] = ["GOCACHE", "GOENV", "GOMODCACHE", "GOPATH"];

/// Variables that say where settings come from and what else decides on a build.
const OTHERS: [&str; 5] = [
    "GO111MODULE",
    "GOCACHEPROG",
    "GOMOD",
    "GOTOOLCHAIN",
    "GOWORK",
];

#[derive(Debug)]
pub struct Settings {
    /// What decides on action IDs.
    pub identity: Identity,
    env: BTreeMap<String, String>,
}

impl Settings {
    pub fn in_folder(folder: &Utf8Path) -> anyhow::Result<Self> {
        Self::with_environment(folder, &Environment::new())
    }

    /// Asks `go env -json` with variables beside those that are set.
    pub fn with_environment(folder: &Utf8Path, environment: &Environment) -> anyhow::Result<Self> {
        let names = Identity::GO_ENV_NAMES.iter().chain(&FOLDERS).chain(&OTHERS);
        let arguments: Vec<_> = ["env", "-json"].iter().chain(names).collect();
        let finished = process::run("go", &arguments, folder, environment)
            .map_err(|error| usage(format!("{error:#}"), "put the image's Go on PATH"))?;
        if !finished.status.success() {
            bail!(
                "`go env -json` failed in {folder}:\n{}",
                finished.first_lines(MESSAGE_LINES).join("\n")
            );
        }
        let env = serde_json::from_slice(&finished.stdout)
            .context("failed to read the output of `go env -json`")?;
        Ok(Self {
            identity: Identity::from_go_env(&env)?,
            env,
        })
    }

    /// The value of one of the variables that were asked for; empty if it has none.
    pub fn value(&self, name: &str) -> &str {
        self.env.get(name).map_or("", String::as_str)
    }

    /// Whether the go command gets what `gocache` holds by way of its GOCACHEPROG.
    pub fn is_served(&self, gocache: &str) -> bool {
        let program = self.value("GOCACHEPROG");
        !program.is_empty() && serves(program, gocache)
    }

    /// Where these settings are not those of `image`, whose field is `ours`: what decides on hits. A GOCACHE of one's
    /// own does not, where the image's is served beside it.
    pub fn differences(&self, image: &Identity) -> Vec<Difference> {
        let gocache = (image.gocache.as_str(), self.identity.gocache.as_str());
        let has_cache = self.is_served(gocache.0) || is_same_folder(gocache.0, gocache.1);
        let mut differences = image.differences(&self.identity);
        differences.retain(|difference| difference.field != "GOCACHE" || !has_cache);
        differences
    }

    /// What a build in another home needs to behave as here: folders that Go would otherwise look for in the home.
    pub fn independent_of_home(&self) -> Environment {
        FOLDERS
            .into_iter()
            .filter_map(|name| Some((name, self.env.get(name)?.clone())))
            .collect()
    }
}

/// Builds the program in `folder` and measures it. Fails with the first lines of what the go command says.
pub fn build(
    folder: &Utf8Path,
    graph: &Utf8Path,
    output: &Utf8Path,
    environment: &Environment,
) -> anyhow::Result<Phase> {
    let graph_flag = format!("-debug-actiongraph={graph}");
    let finished = run(
        &["build", &graph_flag, "-o", output.as_str(), "."],
        folder,
        environment,
    )?;
    let hits = ActionGraph::parse(fs_err::File::open(graph)?)?.hits();
    Ok(Phase {
        peak_memory_bytes: finished.usage.peak_memory_bytes,
        written_bytes: finished.usage.written_bytes,
        ..Phase::of_build(rounded(finished.wall_ms), &hits)
    })
}

/// The variable that makes the go command print its hash log, beside what is set already.
pub fn hash_log() -> (&'static str, String) {
    let settings = std::env::var("GODEBUG").ok();
    let settings = settings.filter(|settings| !settings.is_empty()).into_iter();
    let settings: Vec<_> = settings.chain(["gocachehash=1".to_owned()]).collect();
    ("GODEBUG", settings.join(","))
}

/// The time that `go list -deps` takes for the program in `folder`, in milliseconds.
pub fn list_ms(folder: &Utf8Path, environment: &Environment) -> anyhow::Result<f64> {
    let finished = run(&["list", "-deps", "."], folder, environment)?;
    Ok(rounded(finished.wall_ms))
}

/// Runs the go command; an error has the first lines of what it says.
pub fn run(
    arguments: &[&str],
    folder: &Utf8Path,
    environment: &Environment,
) -> anyhow::Result<Finished> {
    let finished = process::run("go", arguments, folder, environment)?;
    if !finished.status.success() {
        bail!(
            "go {} failed ({}):\n{}",
            arguments.first().copied().unwrap_or_default(),
            finished.status,
            finished.first_lines(MESSAGE_LINES).join("\n")
        );
    }
    Ok(finished)
}

/// Whether a GOCACHEPROG answers from the image's cache; without one the go command does so itself.
pub fn serves(program: &str, gocache: &str) -> bool {
    let words = split_quoted(program);
    let Some((first, rest)) = words.split_first() else {
        return true;
    };
    let is_verifier = Utf8Path::new(first).file_name() == Some("verifier")
        && rest.first().is_some_and(|command| command == "cacheprog");
    let shipped = rest.iter().enumerate().find_map(|(index, word)| {
        let after = || rest.get(index + 1).map(String::as_str);
        let inline = word.strip_prefix("--shipped=");
        inline.or_else(|| after().filter(|_| word == "--shipped"))
    });
    let trimmed = |path: &'_ str| path.trim_end_matches('/').to_owned();
    is_verifier && shipped.map(trimmed) == Some(trimmed(gocache))
}

/// Words, as the go command splits GOFLAGS and GOCACHEPROG: quotes around a whole word only, no escapes.
pub fn split_quoted(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, after) = match first {
            '"' | '\'' => rest[1..].split_once(first).unwrap_or((&rest[1..], "")),
            _ => rest
                .split_once(|letter: char| letter.is_ascii_whitespace())
                .unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// Whether the go command can open `gocache` as its cache: it needs a folder of each first byte, or makes them.
pub fn can_be_opened(gocache: &str) -> bool {
    let folder = Utf8Path::new(gocache);
    if !folder.is_absolute() {
        return false;
    }
    let has_all = || (0..=u8::MAX).all(|byte| folder.join(format!("{byte:02x}")).is_dir());
    let there = folder.ancestors().find(|above| above.exists());
    there.is_some_and(private_folder::is_writable) || has_all()
}

fn is_same_folder(one: &str, other: &str) -> bool {
    let real = |path: &str| fs_err::canonicalize(path).ok();
    one == other || real(one).is_some_and(|one| Some(one) == real(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_serves_the_cache_or_not() {
        let gocache = "/var/cache/go-build";
        for program in [
            "",
            "verifier cacheprog --shipped /var/cache/go-build",
            "\"/usr/local/bin/verifier\" cacheprog --log /l --shipped=/var/cache/go-build/",
        ] {
            assert!(serves(program, gocache), "{program}");
        }
        for program in [
            "verifier cacheprog --shipped /elsewhere",
            "verifier cacheprog",
            "verifier run --shipped /var/cache/go-build",
            "other cacheprog --shipped /var/cache/go-build",
        ] {
            assert!(!serves(program, gocache), "{program}");
        }
    }
}
