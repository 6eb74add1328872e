//! The go command: its settings, and what it takes to build and to list a program.

use failure::usage;
use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use camino::Utf8Path;
use gocache::{ActionGraph, Identity};
use report::Phase;

use crate::process::{self, Environment, Finished, rounded};

/// Lines of a failed build that are shown.
const MESSAGE_LINES: usize = 12;

/// Variables whose defaults lie in the home.
const FOLDERS: [&str; 4] = ["GOCACHE", "GOENV", "GOMODCACHE", "GOPATH"];

/// Variables that say where settings come from and what else decides on a build.
const OTHERS: [&str; 4] = ["GOCACHEPROG", "GOMOD", "GOTOOLCHAIN", "GOWORK"];

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
