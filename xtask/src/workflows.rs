//! The workflows call this program: what they call must exist. Which job of a release runs when, after which others and
//! with which rights is held by a snapshot, so that nobody widens it unseen. Every job has an end.

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

#[test]
fn the_jobs_of_a_release_run_in_this_order_and_may_do_no_more() {
    let mut workflows = workflows().into_iter();
    let found = workflows.find(|(file, _)| file == "iac-runner-base-image.yml");
    let (_, workflow) = found.unwrap();
    let shown = |of: &Value, names: &[&str]| -> Value {
        let fields = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), of.get(*name)?.clone())));
        Value::Object(fields.collect())
    };
    let jobs = workflow["jobs"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, job)| {
            let mut shown_job = shown(
                job,
                &[
                    "if",
                    "needs",
                    "permissions",
                    "environment",
                    "outputs",
                    "strategy",
                ],
            );
            let steps = job["steps"].as_array().unwrap().iter();
            let steps = steps.map(|step| shown(step, &["name", "if", "uses", "run"]));
            shown_job["steps"] = steps.collect();
            (name.clone(), shown_job)
        });
    let graph = serde_json::json!({
        "on": workflow["on"],
        "permissions": workflow["permissions"],
        "concurrency": workflow["concurrency"],
        "env": workflow["env"],
        "jobs": jobs.collect::<serde_json::Map<_, _>>(),
    });
    // Which version of an action is another decision.
    insta::with_settings!({filters => vec![(r"@[0-9a-f]{40}", "@[commit]")]}, {
        insta::assert_json_snapshot!(graph);
    });
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
