//! The go command: its settings, and a measured build.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use camino::Utf8Path;
use gocache::{ActionGraph, Hits, Identity};

use crate::exit::BadInput;
use crate::process::{self, Environment};

/// Lines of a failed build that are shown.
const MESSAGE_LINES: usize = 12;

/// Variables whose defaults lie in the home.
const FOLDERS: [&str; 4] = ["GOCACHE", "GOENV", "GOMODCACHE", "GOPATH"];

/// The settings in force in a folder.
#[derive(Debug)]
pub struct Settings {
    /// What decides on action IDs.
    pub identity: Identity,
    /// The answer of `go env`.
    env: BTreeMap<String, String>,
}

impl Settings {
    /// Asks `go env -json`.
    pub fn in_folder(folder: &Utf8Path) -> anyhow::Result<Self> {
        let names = Identity::GO_ENV_NAMES.iter().chain(&FOLDERS);
        let arguments: Vec<_> = ["env", "-json"].iter().chain(names).collect();
        let finished = process::run("go", &arguments, folder, &Environment::new())
            .map_err(|error| BadInput(format!("{error:#}")))?;
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

    /// What a build in another home needs to behave as here: folders that Go would otherwise look for in the home.
    pub fn independent_of_home(&self) -> Environment {
        FOLDERS
            .into_iter()
            .filter_map(|name| Some((name, self.env.get(name)?.clone())))
            .collect()
    }
}

/// A build that was measured.
#[derive(Debug)]
pub struct Build {
    pub wall_ms: f64,
    pub hits: Hits,
}

/// Builds the program in `folder`. Fails with the first lines of what the go command says.
pub fn build(
    folder: &Utf8Path,
    graph: &Utf8Path,
    output: &Utf8Path,
    environment: &Environment,
) -> anyhow::Result<Build> {
    let graph_flag = format!("-debug-actiongraph={graph}");
    let arguments = ["build", &graph_flag, "-o", output.as_str(), "."];
    let finished = process::run("go", &arguments, folder, environment)?;
    if !finished.status.success() {
        bail!(
            "go build failed ({}):\n{}",
            finished.status,
            finished.first_lines(MESSAGE_LINES).join("\n")
        );
    }
    let hits = ActionGraph::parse(fs_err::File::open(graph)?)?.hits();
    Ok(Build {
        wall_ms: finished.wall_ms,
        hits,
    })
}
