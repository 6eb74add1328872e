//! The workflows of the base image, job by job and step by step, as their YAML has them: for a tag against a real
//! registry, and for a pull request with artifacts. Either calls the jobs that they have in common.
//!
//! What a hosted runner adds is stood in for: `sudo`, the artifact actions, the values of expressions, and cosign, which
//! would sign for an identity that nobody has here. Logging in is left out, as is every provider but one, and every
//! platform but this machine's. An expression that the test does not know fails it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use daemon::registry::Access;
use serde_json::Value;
use xshell::cmd;

use crate::platforms::platforms;
use crate::support::cosign;
use crate::support::image::Layout;
use crate::support::registry::Registry;
use crate::support::run::{folder, shell, succeed, workspace};

const PROVIDER: &str = "civo";
const VERSION: &str = "v1.2.3";
const REPORT: &str = "report.json";
const BASELINE: &str = "base-images/iac-runner/baseline.json";

/// A run of a workflow.
struct Run {
    /// What the event starts.
    caller: Value,
    /// What it calls.
    workflow: Value,
    event: &'static str,
    /// The repository's variable `IAC_RUNNER_IMAGE`.
    image: String,
    root: Utf8PathBuf,
    /// What expressions with `matrix` stand for.
    matrix: BTreeMap<String, String>,
    _guard: tempfile::TempDir,
}

impl Run {
    fn new(event: &'static str, image: &str) -> Self {
        let read = |name: &str| -> Value {
            let file = workspace().join(".github/workflows").join(name);
            serde_yaml_ng::from_str(&fs_err::read_to_string(file).unwrap()).unwrap()
        };
        let caller = read(match event {
            "pull_request" => "iac-runner-base-image-pull-request.yml",
            _ => "iac-runner-base-image.yml",
        });
        assert!(caller["on"].get(event).is_some(), "{event}");
        let jobs = caller["jobs"]["images"]["uses"].as_str().unwrap();
        let jobs = jobs.strip_prefix("./.github/workflows/").unwrap();
        let (guard, root) = folder();
        let run = Self {
            workflow: read(jobs),
            caller,
            event,
            image: image.to_owned(),
            root,
            matrix: BTreeMap::new(),
            _guard: guard,
        };
        for name in ["bin", "artifacts", "jobs"] {
            fs_err::create_dir(run.root.join(name)).unwrap();
        }
        // A job's folder is none of the workspace's, where the alias `xtask` is known.
        let cargo = format!(
            "#!/bin/sh\nshift\nexec {} run --quiet --manifest-path {}/Cargo.toml --package xtask -- \"$@\"\n",
            std::env::var("CARGO").unwrap(),
            workspace()
        );
        run.program("cargo", &cargo);
        run.program("sudo", "#!/bin/sh\nshift\nexec \"$@\"\n");
        run.program("cosign", cosign::STAND_IN);
        run
    }

    fn program(&self, name: &str, script: &str) {
        let file = self.root.join("bin").join(name);
        fs_err::write(&file, script).unwrap();
        fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What a branch's repositories end with.
    fn untrusted(&self) -> &'static str {
        if self.event == "workflow_dispatch" {
            "-untrusted"
        } else {
            ""
        }
    }

    /// An output of a job that has run.
    fn output(&self, job: &str, name: &str) -> Option<String> {
        let file = self.root.join("jobs").join(job).join("github-output");
        let text = fs_err::read_to_string(file).ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}=")));
        line.map(str::to_owned)
    }

    /// The value of an expression for a step in `folder`.
    fn value(&self, expression: &str, folder: &Utf8Path) -> String {
        let input = |name: &str| self.input(name, folder);
        match expression.trim() {
            "github.run_id" => "7".to_owned(),
            "format('{0}-packs{1}', vars.IAC_RUNNER_IMAGE, \
             github.event_name != 'push' && github.ref != 'refs/heads/main' && '-untrusted' || '')" =>
            {
                format!("{}-packs{}", self.image, self.untrusted())
            }
            "format('{0}{1}:candidate-{2}', vars.IAC_RUNNER_IMAGE, github.event_name != 'push' && \
             github.ref != 'refs/heads/main' && '-untrusted' || '', github.run_id)" => {
                format!("{}{}:candidate-7", self.image, self.untrusted())
            }
            "steps.images.outputs.whole || env.CANDIDATE" => {
                let whole = self.output("assemble", "whole");
                whole.unwrap_or_else(|| input("candidate"))
            }
            "needs.images.outputs.images" => {
                let output = &self.workflow["on"]["workflow_call"]["outputs"]["images"]["value"];
                assert_eq!(*output, "${{ jobs.assemble.outputs.images }}");
                let output = &self.workflow["jobs"]["assemble"]["outputs"]["images"];
                assert_eq!(*output, "${{ steps.images.outputs.images }}");
                self.output("assemble", "images").unwrap()
            }
            "needs.images.outputs.candidate" => {
                let output = &self.workflow["on"]["workflow_call"]["outputs"]["candidate"]["value"];
                self.text(output, folder)
            }
            // A release may take its time, a test may not.
            "inputs.zstd-level" => "1".to_owned(),
            // Nor may it depend on a server of others; a published image does.
            "inputs.tools" => {
                let expected = if self.event == "pull_request" {
                    "auto"
                } else {
                    "release"
                };
                assert_eq!(input("tools"), expected);
                "module-proxy".to_owned()
            }
            // What others take is not on every machine.
            "inputs.platforms" => {
                let expected = if self.event == "pull_request" {
                    "linux/amd64"
                } else {
                    "linux/amd64,linux/arm64"
                };
                assert_eq!(input("platforms"), expected);
                platforms()[0].to_owned()
            }
            "contains(inputs.platforms, 'linux/arm64')" => false.to_string(),
            "inputs.packs" => input("packs"),
            "inputs.candidate" => input("candidate"),
            "inputs.registry" => input("registry"),
            "!inputs.registry" => (input("registry") == "false").to_string(),
            "env.PACKS" => self.text(&self.workflow["env"]["PACKS"], folder),
            "github.event_name == 'push'" => (self.event == "push").to_string(),
            "!cancelled() && hashFiles('report.json') != ''" => {
                folder.join(REPORT).is_file().to_string()
            }
            other => {
                let name = other.strip_prefix("matrix.");
                let value = name.and_then(|name| self.matrix.get(name));
                value
                    .unwrap_or_else(|| panic!("the test knows no value of {other:?}"))
                    .clone()
            }
        }
    }

    /// What the caller hands over.
    fn input(&self, name: &str, folder: &Utf8Path) -> String {
        let inputs = &self.workflow["on"]["workflow_call"]["inputs"];
        assert!(inputs.get(name).is_some(), "{name}");
        match &self.caller["jobs"]["images"]["with"][name] {
            Value::Bool(value) => value.to_string(),
            text => self.text(text, folder),
        }
    }

    /// A text of a workflow with the values of the expressions in it.
    fn text(&self, text: &Value, folder: &Utf8Path) -> String {
        let text = text.as_str().unwrap();
        let mut parts = text.split("${{");
        let mut done = parts.next().unwrap().to_owned();
        for part in parts {
            let (expression, rest) = part.split_once("}}").unwrap();
            done += &self.value(expression, folder);
            done += rest;
        }
        done
    }

    fn applies(&self, part: &Value, folder: &Utf8Path) -> bool {
        let Some(condition) = part.get("if") else {
            return true;
        };
        let text = condition.as_str().unwrap();
        let expression = text.trim_start_matches("${{").trim_end_matches("}}");
        self.value(expression, folder) == "true"
    }

    /// Runs a job in a folder of its own; what its steps wrote to `GITHUB_OUTPUT`.
    fn job(&self, name: &str) -> String {
        let jobs = [&self.workflow, &self.caller].map(|workflow| workflow["jobs"].get(name));
        let Some(job) = jobs.into_iter().flatten().next() else {
            return String::new();
        };
        let folder = self.root.join("jobs").join(name);
        fs_err::create_dir_all(&folder).unwrap();
        if !self.applies(job, &folder) {
            return String::new();
        }
        for step in job["steps"].as_array().unwrap() {
            let is_stood_in = ["Log in", "Install cosign"]
                .iter()
                .any(|it| step["name"] == **it);
            if self.applies(step, &folder) && !is_stood_in {
                match step["uses"].as_str() {
                    Some(action) => self.action(action, &step["with"], &folder),
                    None => self.step(job, step, &folder),
                }
            }
        }
        fs_err::read_to_string(folder.join("github-output")).unwrap_or_default()
    }

    fn step(&self, job: &Value, step: &Value, folder: &Utf8Path) {
        let sh = shell();
        if step["name"] == "Gate" {
            // The committed baseline is that of all providers.
            let (baseline, report) = (folder.join(BASELINE), folder.join(REPORT));
            succeed(cmd!(
                sh,
                "cargo xtask gate --update --baseline {baseline} {report}"
            ));
        }
        let path = std::env::var("PATH").unwrap();
        sh.change_dir(folder);
        sh.set_var("PATH", format!("{}:{path}", self.root.join("bin")));
        sh.set_var("GITHUB_OUTPUT", folder.join("github-output"));
        sh.set_var("GITHUB_STEP_SUMMARY", folder.join("summary.md"));
        sh.set_var("GITHUB_REF_NAME", format!("iac-runner-base-{VERSION}"));
        for variables in [&self.workflow["env"], &job["env"], &step["env"]] {
            for (name, value) in variables.as_object().into_iter().flatten() {
                sh.set_var(name, self.text(value, folder));
            }
        }
        let script = self.text(&step["run"], folder);
        succeed(cmd!(sh, "bash -e -o pipefail -c {script}"));
    }

    fn action(&self, action: &str, with: &Value, folder: &Utf8Path) {
        let sh = shell();
        sh.change_dir(folder);
        let artifacts = self.root.join("artifacts");
        let text = |name: &str| self.text(&with[name], folder);
        // The shell knows what a pattern names.
        let copy = |from: &str, to: &Utf8Path| {
            let script = format!("cp -r {from} {to}");
            succeed(cmd!(sh, "bash -c {script}"));
        };
        match action.split('@').next().unwrap() {
            "actions/checkout" => copy(workspace().join("base-images").as_str(), folder),
            "actions/upload-artifact" => {
                let place = artifacts.join(text("name"));
                fs_err::create_dir(&place).unwrap();
                copy(&text("path"), &place);
            }
            "actions/download-artifact" => {
                let name = with.get("name").unwrap_or(&with["pattern"]);
                let place = folder.join(text("path"));
                fs_err::create_dir_all(&place).unwrap();
                copy(
                    &format!("{artifacts}/{}/*", self.text(name, folder)),
                    &place,
                );
            }
            other => panic!("the test does not know the action {other}"),
        }
    }

    /// Runs all jobs in the order in which they need each other.
    fn all(&mut self) {
        let output = self.job("plan");
        let matrix: Value =
            serde_json::from_str(output.trim().strip_prefix("matrix=").unwrap()).unwrap();
        self.job("common");
        let jobs = matrix["include"].as_array().unwrap().iter();
        let jobs: Vec<_> = jobs.filter(|job| job["provider"] == PROVIDER).collect();
        assert_eq!(jobs.len(), 1, "{matrix}");
        let values = jobs[0].as_object().unwrap().iter();
        self.matrix = values
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        for name in ["provider", "assemble"] {
            self.job(name);
        }
        if self.caller["jobs"].get("arm64").is_some() {
            // It runs on another machine; what it hands on is a report.
            let [report, of_other] = ["report", "report-arm64"].map(|it| self.artifact(it));
            fs_err::create_dir(of_other.parent().unwrap()).unwrap();
            fs_err::copy(report, of_other).unwrap();
        }
        self.job("publish");
        let known = [
            "plan", "common", "provider", "assemble", "images", "arm64", "publish",
        ];
        for workflow in [&self.workflow, &self.caller] {
            let mut jobs = workflow["jobs"].as_object().unwrap().keys();
            assert!(
                jobs.all(|job| known.contains(&job.as_str())),
                "a job is not run"
            );
        }
    }

    /// The file of a report that is an artifact.
    fn artifact(&self, name: &str) -> Utf8PathBuf {
        let artifacts = self.root.join("artifacts");
        artifacts.join(name).join(format!("{name}.json"))
    }

    /// What the verifier said in the job that assembles.
    fn summary(&self) -> String {
        fs_err::read_to_string(self.root.join("jobs/assemble/summary.md")).unwrap()
    }
}

#[test]
fn a_tag_publishes_an_image() {
    let sh = shell();
    let registry = Registry::start(Access::Open);
    let image = format!("{}/iac/runner", registry.host);
    let mut run = Run::new("push", &image);
    run.all();
    assert!(run.summary().contains(PROVIDER));
    let listed = succeed(cmd!(
        sh,
        "skopeo list-tags --tls-verify=false docker://{image}"
    ));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let tags = listed["Tags"].as_array().unwrap();
    for tag in [
        VERSION,
        &format!("{VERSION}-{PROVIDER}"),
        "latest",
        "latest-tools",
        &format!("{VERSION}-run-{PROVIDER}"),
        "latest-run",
    ] {
        assert!(tags.iter().any(|it| it == tag), "{tag}: {listed}");
    }
    // What is said of them is signed, and lies beside them.
    let signed = cosign::signed(&sh, &format!("{image}:latest-{PROVIDER}"));
    // The image of the only provider is the whole one, in which was measured.
    let report = "urn:iac-runner:verifier-report:1";
    let expected = [cosign::SIGNATURE, cosign::PROVENANCE, cosign::SPDX, report];
    assert_eq!(signed, expected);
    // Whoever moves the candidate's tag changes nothing of what is published.
    let other = format!("docker://{image}:latest-tools");
    let candidate = format!("docker://{image}:candidate-7");
    succeed(cmd!(
        sh,
        "skopeo copy --src-tls-verify=false --dest-tls-verify=false {other} {candidate}"
    ));
    // Run again, as one does after a failure of the network, it changes nothing.
    let digest = || {
        let latest = format!("docker://{image}:latest");
        succeed(cmd!(sh, "skopeo inspect --raw --tls-verify=false {latest}"))
    };
    let before = digest();
    run.job("publish");
    assert_eq!(digest(), before);
}

#[test]
fn a_pull_request_publishes_nothing() {
    let mut run = Run::new("pull_request", "");
    run.all();
    assert!(run.summary().contains(PROVIDER));
    assert!(!run.root.join("jobs/publish/github-output").exists());
    let assembled = run.root.join("jobs/assemble/target/assembled");
    assert!(
        Layout::at(&assembled)
            .names()
            .contains(&"latest".to_owned())
    );
    assert!(run.root.join("artifacts/report").join(REPORT).is_file());
}
