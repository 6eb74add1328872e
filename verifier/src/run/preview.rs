//! A real `pulumi preview` of a module, with nothing but what the image holds.
//!
//! The project lies in a folder of its own whose `main` is the module's folder, as the source may be read-only; the
//! backend is a folder, too. Provider plugins are not fetched, so most previews end where one is missing: the
//! question is whether Pulumi gets as far as running the program, which it does only after it has looked up every
//! required Go module and built. The program has run when it registered its stack, the resource of type
//! `pulumi:pulumi:Stack` that every program has; the engine's event log tells, whereas the display shows a row of
//! that name for errors before that as well.

use anyhow::bail;
use camino::Utf8Path;
use serde_json::Value;

use super::pristine::Surroundings;
use super::report::{PreviewPhase, rounded};
use crate::exit::BadInput;
use crate::process::{self, Environment, Finished};

const MESSAGE_LINES: usize = 12;

/// What failed downloads and look-ups have in common.
const NETWORK: [&str; 8] = [
    "dial tcp",
    "lookup ",
    "module lookup disabled",
    "no such host",
    "network is unreachable",
    "connection refused",
    "proxyconnect tcp",
    "TLS handshake",
];

/// Pulumi's own look for plugins and updates, which is none of the go command's.
const NOT_GO: [&str; 4] = [
    "resource plugin",
    "get.pulumi.com",
    "api.pulumi.com",
    "api.github.com",
];

/// Fails unless Pulumi and its language host for Go are there.
pub fn check_tools() -> Result<(), BadInput> {
    for program in ["pulumi", "pulumi-language-go"] {
        if !process::is_on_path(program) {
            return Err(BadInput(format!(
                "--preview needs {program}, which is not on PATH"
            )));
        }
    }
    Ok(())
}

/// Previews the module in `folder`; the time is that of `pulumi preview` alone.
pub fn run(folder: &Utf8Path, surroundings: &Surroundings) -> anyhow::Result<PreviewPhase> {
    let (project, state) = (surroundings.path("project"), surroundings.path("state"));
    fs_err::create_dir(&project)?;
    fs_err::create_dir(&state)?;
    // JSON strings are YAML strings.
    let main = Value::from(folder.as_str());
    fs_err::write(
        project.join("Pulumi.yaml"),
        format!("name: verifier\nruntime: go\nmain: {main}\n"),
    )?;
    let mut environment = surroundings.environment();
    environment.extend([
        ("PULUMI_HOME", surroundings.path("pulumi").into_string()),
        ("PULUMI_BACKEND_URL", format!("file://{state}")),
        ("PULUMI_CONFIG_PASSPHRASE", "verifier".into()),
        ("PULUMI_SKIP_UPDATE_CHECK", "true".into()),
        ("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "true".into()),
        // Without it there is no --event-log.
        ("PULUMI_DEBUG_COMMANDS", "true".into()),
    ]);
    // The backend in a folder notes who locks it, and an arbitrary user ID has no name in /etc/passwd.
    if std::env::var_os("USER").is_none() {
        environment.push(("USER", "verifier".into()));
    }
    let created = pulumi(
        &["stack", "init", "dev", "--non-interactive"],
        &project,
        &environment,
    )?;
    if !created.status.success() {
        bail!(
            "`pulumi stack init` failed:\n{}",
            created.first_lines(MESSAGE_LINES).join("\n")
        );
    }
    let log = surroundings.path("events");
    let arguments = [
        "preview",
        "--stack",
        "dev",
        "--non-interactive",
        "--event-log",
        log.as_str(),
    ];
    let finished = pulumi(&arguments, &project, &environment)?;
    let ran = has_stack(&fs_err::read_to_string(&log).unwrap_or_default());
    Ok(PreviewPhase {
        wall_ms: vec![rounded(finished.wall_ms)],
        ran,
        network_errors: network_errors(&finished),
        messages: if ran {
            Vec::new()
        } else {
            finished.first_lines(MESSAGE_LINES)
        },
    })
}

fn pulumi(
    arguments: &[&str],
    project: &Utf8Path,
    environment: &Environment,
) -> anyhow::Result<Finished> {
    process::run("pulumi", arguments, project, environment)
}

/// Whether a stack was registered, by the engine's event log: a JSON object on each line.
fn has_stack(events: &str) -> bool {
    let events = events
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events
        .into_iter()
        .any(|event| event["resourcePreEvent"]["metadata"]["type"] == "pulumi:pulumi:Stack")
}

fn network_errors(finished: &Finished) -> Vec<String> {
    let mut lines = Vec::new();
    for line in finished.first_lines(usize::MAX) {
        let line = line.trim();
        let is_network = NETWORK.iter().any(|part| line.contains(part));
        let is_go = !NOT_GO.iter().any(|part| line.contains(part));
        if is_network
            && is_go
            && lines.len() < MESSAGE_LINES
            && !lines.iter().any(|known| known == line)
        {
            lines.push(line.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    #[test]
    fn the_stack_event_tells_that_the_program_ran() {
        let prelude = r#"{"sequence":0,"preludeEvent":{"config":{}}}"#;
        let stack = r#"{"sequence":1,"resourcePreEvent":{"metadata":{"op":"create","type":"pulumi:pulumi:Stack"}}}"#;
        let error = r#"{"sequence":1,"diagnosticEvent":{"urn":"urn:pulumi:dev::x::pulumi:pulumi:Stack::x-dev"}}"#;
        assert!(has_stack(&format!("{prelude}\n{stack}\n")));
        assert!(!has_stack(&format!("{prelude}\n{error}\n{{\"cut")));
        assert!(!has_stack(""));
    }

    #[test]
    fn only_the_network_errors_of_go_count() {
        let stderr = "\
            go: example.com/x@v1.2.3: module lookup disabled by GOPROXY=off\n\
            go: example.com/x@v1.2.3: module lookup disabled by GOPROXY=off\n  \
            go: y: Get \"https://proxy.example.com/y\": dial tcp: lookup proxy.example.com: no such host\n\
            warning: Get \"https://api.pulumi.com/\": dial tcp: lookup api.pulumi.com: no such host\n\
            error: no resource plugin 'pulumi-resource-civo' found\n";
        let finished = Finished {
            status: std::process::ExitStatus::from_raw(0),
            stdout: Vec::new(),
            stderr: stderr.as_bytes().to_vec(),
            wall_ms: 0.0,
        };
        let expected = [
            "go: example.com/x@v1.2.3: module lookup disabled by GOPROXY=off",
            "go: y: Get \"https://proxy.example.com/y\": dial tcp: lookup proxy.example.com: no such host",
        ];
        assert_eq!(network_errors(&finished), expected);
    }
}
