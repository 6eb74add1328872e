//! A real `pulumi preview` of a module, or a real `pulumi up`, with nothing but what the image holds.
//!
//! The project lies in a folder of its own whose `main` is the module's folder, as the source may be read-only; the
//! backend is a folder, too. Provider plugins are not fetched, so previews end where the image has not all of them: the
//! question is whether Pulumi gets as far as running the program, which it does only after it has looked up every
//! required Go module and built. The program has run when it registered its stack, the resource of type
//! `pulumi:pulumi:Stack` that every program has; the engine's event log tells, whereas the display shows a row of
//! that name for errors before that as well. A program may end before, for want of an input; that is no fault of the
//! image's, so what was said is reported, and nothing fails.
//!
//! `pulumi up` is asked for by whoever knows what the program makes. It has to succeed, and what it made is destroyed
//! again, also where it failed half-way.

use anyhow::Result;
use anyhow::bail;
use camino::{Utf8Path, Utf8PathBuf};
use failure::usage;
use report::Phase;
use serde_json::Value;

use super::pristine::Surroundings;
use crate::process::{self, Environment, Finished, rounded};

const MESSAGE_LINES: usize = 12;

/// Fails unless Pulumi and its language host for Go are there.
pub fn check_tools() -> Result<()> {
    for program in ["pulumi", "pulumi-language-go"] {
        if !process::is_on_path(program) {
            return Err(usage(
                format!("--preview and --phase up need {program}, which is not on PATH"),
                "run it inside the image, or leave them out",
            ));
        }
    }
    Ok(())
}

/// What of a program is run.
#[derive(Debug)]
pub enum Runs<'a> {
    /// What its folder compiles to.
    Source(&'a Utf8Path),
    /// This executable.
    Executable(&'a Utf8Path),
}

impl Runs<'_> {
    /// The project of a program; JSON strings are YAML strings.
    fn project(&self) -> String {
        let path = |path: &Utf8Path| Value::from(path.as_str());
        let runs = match self {
            Self::Source(folder) => format!("runtime: go\nmain: {}", path(folder)),
            Self::Executable(file) => {
                format!("runtime: {{name: go, options: {{binary: {}}}}}", path(file))
            }
        };
        format!("name: verifier\n{runs}\n")
    }
}

/// Previews a module; the time is that of `pulumi preview` alone.
pub fn run(
    runs: &Runs<'_>,
    surroundings: &Surroundings,
    environment: Environment,
) -> anyhow::Result<Phase> {
    let stack = Stack::init(runs, surroundings, environment)?;
    let log = surroundings.path("events");
    let finished = stack.pulumi(&["preview", "--non-interactive", "--event-log", log.as_str()])?;
    let ran = has_stack(&fs_err::read_to_string(&log).unwrap_or_default());
    Ok(Phase {
        not_run: if ran {
            Vec::new()
        } else {
            finished.first_lines(MESSAGE_LINES)
        },
        ..phase(&finished)
    })
}

/// Makes what the module in `folder` makes, and destroys it; the time is that of `pulumi up` alone.
pub fn up(
    folder: &Utf8Path,
    surroundings: &Surroundings,
    environment: Environment,
) -> anyhow::Result<Phase> {
    let stack = Stack::init(&Runs::Source(folder), surroundings, environment)?;
    let change = |command: &str| -> anyhow::Result<Finished> {
        stack.pulumi(&[command, "--yes", "--skip-preview", "--non-interactive"])
    };
    let up = change("up")?;
    let destroy = change("destroy")?;
    check("up", &up)?;
    check("destroy", &destroy)?;
    Ok(phase(&up))
}

/// Fails unless `command` of Pulumi did not.
fn check(command: &str, finished: &Finished) -> anyhow::Result<()> {
    if finished.status.success() {
        return Ok(());
    }
    let said = finished.first_lines(MESSAGE_LINES).join("\n");
    bail!("`pulumi {command}` failed:\n{said}")
}

fn phase(finished: &Finished) -> Phase {
    Phase {
        wall_ms: vec![rounded(finished.wall_ms)],
        peak_memory_bytes: finished.usage.peak_memory_bytes,
        written_bytes: finished.usage.written_bytes,
        ..Phase::default()
    }
}

/// A stack of a module, in a backend of its own.
struct Stack {
    project: Utf8PathBuf,
    environment: Environment,
}

impl Stack {
    fn init(
        runs: &Runs<'_>,
        surroundings: &Surroundings,
        mut environment: Environment,
    ) -> anyhow::Result<Self> {
        let (project, state) = (surroundings.path("project"), surroundings.path("state"));
        fs_err::create_dir(&project)?;
        fs_err::create_dir(&state)?;
        fs_err::write(project.join("Pulumi.yaml"), runs.project())?;
        // Where the home is a new one, nothing of Pulumi's may get into another; where it cannot be written to, Pulumi
        // has to find a place as it does for a user.
        let has_new_home = environment.iter().any(|(name, _)| *name == "HOME");
        if has_new_home || std::env::var_os("PULUMI_HOME").is_some() {
            environment.push(("PULUMI_HOME", surroundings.path("pulumi").into_string()));
        }
        environment.extend([
            ("PULUMI_BACKEND_URL", format!("file://{state}")),
            ("PULUMI_CONFIG_PASSPHRASE", passphrase()),
            ("PULUMI_SKIP_UPDATE_CHECK", "true".into()),
            ("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "true".into()),
            // Without it there is no --event-log.
            ("PULUMI_DEBUG_COMMANDS", "true".into()),
        ]);
        let stack = Self {
            project,
            environment,
        };
        let created = stack.pulumi(&["stack", "init", "dev", "--non-interactive"])?;
        check("stack init", &created)?;
        Ok(stack)
    }

    fn pulumi(&self, arguments: &[&str]) -> anyhow::Result<Finished> {
        process::run("pulumi", arguments, &self.project, &self.environment)
    }
}

/// What the user set, or one word: nothing secret is kept in the state.
fn passphrase() -> String {
    let set = std::env::var("PULUMI_CONFIG_PASSPHRASE");
    set.unwrap_or_else(|_| "verifier".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_names_what_is_run() {
        use modules::project::Project;
        let folder = tempfile::tempdir().unwrap();
        let read = |runs: Runs<'_>| {
            fs_err::write(folder.path().join("Pulumi.yaml"), runs.project()).unwrap();
            Project::around(folder.path()).unwrap().unwrap()
        };
        let source = read(Runs::Source("/a b/\"c\"".into()));
        assert_eq!(source.main.as_deref(), Some("/a b/\"c\""));
        assert_eq!(source.runtime_options().binary, None);
        let built = read(Runs::Executable("/opt/a: b".into()));
        assert_eq!(built.runtime_options().binary.as_deref(), Some("/opt/a: b"));
        assert_eq!(built.main, None);
        assert!(source.is_go() && built.is_go());
    }

    #[test]
    fn the_stack_event_tells_that_the_program_ran() {
        let prelude = r#"{"sequence":0,"preludeEvent":{"config":{}}}"#;
        let stack = r#"{"sequence":1,"resourcePreEvent":{"metadata":{"op":"create","type":"pulumi:pulumi:Stack"}}}"#;
        let error = r#"{"sequence":1,"diagnosticEvent":{"urn":"urn:pulumi:dev::x::pulumi:pulumi:Stack::x-dev"}}"#;
        assert!(has_stack(&format!("{prelude}\n{stack}\n")));
        assert!(!has_stack(&format!("{prelude}\n{error}\n{{\"cut")));
        assert!(!has_stack(""));
    }
}
