//! The workflows call this program; what they call must exist, and every job has an end.

use clap::Parser as _;
use serde_json::Value;

use crate::cli::Cli;
use pipeline::workspace::workspace;

/// The workflows, with the names of their files.
fn workflows() -> Vec<(String, Value)> {
    let files = fs_err::read_dir(workspace().join(".github/workflows")).unwrap();
    let workflows = files.map(|entry| {
        let file = entry.unwrap();
        let text = fs_err::read_to_string(file.path()).unwrap();
        let name = file.file_name().to_string_lossy().into_owned();
        (name, serde_yaml_ng::from_str(&text).unwrap())
    });
    workflows.collect()
}

/// Every line of every step's `run` in the workflows that runs this program, with the name of the file.
fn commands() -> Vec<(String, Vec<String>)> {
    let mut commands = Vec::new();
    for (file, workflow) in workflows() {
        let jobs = workflow["jobs"].as_object().unwrap().values();
        let steps = jobs.flat_map(|job| job["steps"].as_array().unwrap());
        for run in steps.filter_map(|step| step["run"].as_str()) {
            for called in run.split("cargo xtask ").skip(1) {
                let line = called.lines().next().unwrap();
                let words = line.split(')').next().unwrap().split_whitespace();
                commands.push((
                    file.clone(),
                    words.map(|word| value(word.trim_matches('"'))).collect(),
                ));
            }
        }
    }
    commands
}

/// What may stand for a word that has a variable in it.
fn value(word: &str) -> String {
    match word {
        "$PART" => "1/2".to_owned(),
        word if word.contains('$') => "host/repository:tag".to_owned(),
        word => word.to_owned(),
    }
}

#[test]
fn every_command_that_a_workflow_runs_exists() {
    let commands = commands();
    for wanted in [
        "matrix", "warm", "assemble", "verify", "gate", "report", "push", "test",
    ] {
        assert!(
            commands.iter().any(|(_, words)| words[0] == wanted),
            "{wanted}"
        );
    }
    for (file, words) in commands {
        let parsed = Cli::try_parse_from(std::iter::once("xtask".to_owned()).chain(words.clone()));
        assert!(
            parsed.is_ok(),
            "{file}: {}: {}",
            words.join(" "),
            parsed.unwrap_err()
        );
    }
}

/// What hangs, on a server that never comes to an end or on a lock, would be waited for by a job for six hours.
#[test]
fn every_job_has_a_limit_of_time() {
    let workflows = workflows();
    assert!(workflows.len() >= 2);
    for (file, workflow) in workflows {
        for (name, job) in workflow["jobs"].as_object().unwrap() {
            let minutes = job["timeout-minutes"].as_u64();
            assert!(
                minutes.is_some_and(|minutes| (1..=180).contains(&minutes)),
                "{file}: {name}: {minutes:?}"
            );
        }
    }
}
