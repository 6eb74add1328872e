//! The workflows call this program: what they call must exist. Which job of a release runs when, after which others
//! and with which rights is held by a snapshot, so that nobody widens it unseen. No job that a pull request starts may
//! write anything. Every job has an end.

use clap::Parser as _;
use serde_json::Value;

use crate::cli::Cli;
use pipeline::workspace::workspace;

/// What the name of a workflow of this repository starts with, where a job calls it.
const CALLED: &str = "./.github/workflows/";

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
        let steps = jobs.flat_map(|job| job["steps"].as_array().into_iter().flatten());
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
        "$PLATFORM" => "linux/arm64".to_owned(),
        "$PLATFORMS" => "linux/amd64,linux/arm64".to_owned(),
        word if word.contains('$') => "host/repository:tag".to_owned(),
        word => word.to_owned(),
    }
}

#[test]
fn every_command_that_a_workflow_runs_exists() {
    let commands = commands();
    for wanted in [
        "matrix",
        "warm",
        "assemble",
        "verify",
        "gate",
        "report",
        "push",
        "test",
        "fuzz",
        "vulnerabilities",
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
fn releases_are_signed_by_the_version_of_cosign_whose_flags_are_known() {
    let release = workflow("iac-runner-base-image.yml");
    let steps = release["jobs"]["publish"]["steps"].as_array().unwrap();
    let runs: Vec<_> = steps
        .iter()
        .filter_map(|step| step["run"].as_str())
        .collect();
    let install = runs
        .iter()
        .position(|run| run.contains(pipeline::signatures::cosign::INSTALL));
    let sign = runs.iter().position(|run| run.contains(" --sign "));
    assert!(install.is_some() && install < sign, "{runs:?}");
}

/// The workflow in `file`.
fn workflow(file: &str) -> Value {
    let mut workflows = workflows().into_iter();
    let found = workflows.find(|(name, _)| name == file);
    found.unwrap_or_else(|| panic!("there is no {file}")).1
}

/// What of a workflow decides which job runs when, with which rights, and what it does.
fn graph(workflow: &Value) -> Value {
    let shown = |of: &Value, names: &[&str]| -> Value {
        let fields = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), of.get(*name)?.clone())));
        Value::Object(fields.collect())
    };
    let mut graph = shown(workflow, &["on", "permissions", "concurrency", "env"]);
    let jobs = workflow["jobs"].as_object().unwrap().iter();
    let jobs = jobs.map(|(name, job)| {
        let mut shown_job = shown(
            job,
            &[
                "if",
                "needs",
                "permissions",
                "environment",
                "env",
                "outputs",
                "strategy",
                "uses",
                "with",
                "secrets",
            ],
        );
        if let Some(steps) = job["steps"].as_array() {
            let steps = steps
                .iter()
                .map(|step| shown(step, &["name", "if", "uses", "run"]));
            shown_job["steps"] = steps.collect();
        }
        (name.clone(), shown_job)
    });
    graph["jobs"] = Value::Object(jobs.collect());
    graph
}

#[test]
fn the_jobs_of_a_release_run_in_this_order_and_may_do_no_more() {
    // Which version of an action is another decision.
    insta::with_settings!({filters => vec![(r"@[0-9a-f]{40}", "@[commit]")]}, {
        for name in ["", "-jobs", "-pull-request"] {
            let workflow = workflow(&format!("iac-runner-base-image{name}.yml"));
            insta::assert_json_snapshot!(format!("iac-runner-base-image{name}"), graph(&workflow));
        }
    });
}

/// The rights of every job of `workflow`, with its name. A called workflow's jobs have those of the job that calls it,
/// unless they say less; what declares none has what the repository's settings give.
fn rights(workflow: &Value, of_caller: Option<&Value>) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for (name, job) in workflow["jobs"].as_object().unwrap() {
        let declared = job.get("permissions").or(workflow.get("permissions"));
        let own = declared.or(of_caller);
        let own = own.unwrap_or_else(|| panic!("{name} has whatever the settings give"));
        match job["uses"].as_str() {
            Some(called) => {
                let file = called.strip_prefix(CALLED);
                let file = file.unwrap_or_else(|| panic!("{name} calls another repository's"));
                let jobs = rights(&self::workflow(file), Some(own)).into_iter();
                all.extend(jobs.map(|(job, rights)| (format!("{name}/{job}"), rights)));
                assert_eq!(job.get("secrets"), None, "{name} hands secrets over");
            }
            None => all.push((name.clone(), own.clone())),
        }
    }
    all
}

/// Secrets that `workflow` reads, those of the workflows that it calls included, other than a job's own token.
fn secrets(workflow: &Value) -> Vec<String> {
    let text = workflow.to_string();
    let named = text.split("secrets").skip(1).map(|rest| {
        let is_name = |letter: char| letter.is_alphanumeric() || "._[]'".contains(letter);
        let end = rest.find(|letter| !is_name(letter));
        rest[..end.unwrap_or(rest.len())].to_owned()
    });
    let mut found: Vec<String> = named.filter(|name| name != ".GITHUB_TOKEN").collect();
    for job in workflow["jobs"].as_object().into_iter().flatten() {
        if let Some(file) = job.1["uses"]
            .as_str()
            .and_then(|called| called.strip_prefix(CALLED))
        {
            found.extend(secrets(&self::workflow(file)));
        }
    }
    found
}

#[test]
fn a_secret_is_found_however_it_is_read() {
    for (step, found) in [
        ("${{ secrets.GITHUB_TOKEN }}", &[][..]),
        ("${{ secrets.KEY }}", &[".KEY"]),
        ("${{ secrets['KEY'] }}", &["['KEY']"]),
        ("${{ toJSON(secrets) }}", &[""]),
    ] {
        let workflow = serde_json::json!({"jobs": {"one": {"steps": [{"env": {"A": step}}]}}});
        assert_eq!(secrets(&workflow), found, "{step}");
    }
}

/// A pull request's own version of a workflow runs, and its own version of this program.
#[test]
fn no_job_that_a_pull_request_starts_may_write() {
    let mut seen = 0;
    for (file, workflow) in workflows() {
        let events = &workflow["on"];
        for event in ["pull_request_target", "workflow_run", "issue_comment"] {
            assert_eq!(
                events.get(event),
                None,
                "{file}: {event} has the rights of `main`"
            );
        }
        if events.get("pull_request").is_none() {
            continue;
        }
        assert_eq!(
            secrets(&workflow),
            Vec::<String>::new(),
            "{file} reads secrets"
        );
        for (job, rights) in rights(&workflow, None) {
            seen += 1;
            let rights = rights.as_object();
            let rights = rights.unwrap_or_else(|| panic!("{file}: {job} may do everything"));
            let may_read = |(right, how): (&String, &Value)| right == "contents" && how == "read";
            assert!(rights.iter().all(may_read), "{file}: {job}: {rights:?}");
        }
    }
    assert!(seen >= 6, "{seen}");
    let release = rights(&workflow("iac-runner-base-image.yml"), None);
    let writers = release
        .iter()
        .filter(|(_, rights)| rights["packages"] == "write");
    let writers: Vec<&str> = writers.map(|(job, _)| job.as_str()).collect();
    let expected = [
        "images/common",
        "images/provider",
        "images/assemble",
        "publish",
    ];
    assert_eq!(writers.len(), expected.len(), "{writers:?}");
    assert!(
        expected.iter().all(|job| writers.contains(job)),
        "{writers:?}"
    );
}

/// `deny.toml` says what of the tree of dependencies is an error; here it is held to it.
#[test]
fn dependencies_are_checked_by_a_version_of_the_checker_that_is_named() {
    let workflow = workflow("ci.yml");
    let steps = workflow["jobs"]["dependencies"]["steps"].as_array();
    let runs: Vec<&str> = steps
        .unwrap()
        .iter()
        .filter_map(|step| step["run"].as_str())
        .collect();
    let [install, check] = runs[..] else {
        panic!("{runs:?}");
    };
    let version = install.strip_prefix("cargo install --locked --version ");
    let version = version.and_then(|rest| rest.strip_suffix(" cargo-deny"));
    assert!(semver::Version::parse(version.unwrap()).is_ok());
    assert_eq!(check, "cargo deny --locked check");
    assert!(workspace().join("deny.toml").is_file());
}

/// What hangs, on a server that never comes to an end or on a lock, would be waited for by a job for six hours.
#[test]
fn every_job_has_a_limit_of_time() {
    let workflows = workflows();
    assert!(workflows.len() >= 2);
    for (file, workflow) in workflows {
        // A job that calls a workflow has the limits of that one's jobs.
        let jobs = workflow["jobs"].as_object().unwrap().iter();
        for (name, job) in jobs.filter(|(_, job)| job.get("uses").is_none()) {
            let minutes = job["timeout-minutes"].as_u64();
            assert!(
                minutes.is_some_and(|minutes| (1..=180).contains(&minutes)),
                "{file}: {name}: {minutes:?}"
            );
        }
    }
}
