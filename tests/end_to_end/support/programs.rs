//! Programs that a test needs and nothing installs: without one of them its test is skipped on a developer's machine,
//! and fails where the variable `CI` is set, unless `IAC_RUNNER_SKIP` says that the machine cannot have the program.

use std::io::Write as _;

use xshell::Cmd;

use super::run::as_user;

/// Names of programs, separated by commas, whose tests may be skipped in CI.
const SKIP: &str = "IAC_RUNNER_SKIP";

/// Whether `probe` succeeds, without which the test that asks cannot go on; if not, says that it is skipped.
pub fn is_there_or_skipped(probe: Cmd<'_>) -> bool {
    let line = probe.to_string();
    if as_user(probe)
        .output()
        .is_ok_and(|done| done.status.success())
    {
        return true;
    }
    let program = line.split(' ').next().unwrap();
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    let skip = std::env::var(SKIP).unwrap_or_default();
    assert!(
        may_be_missing(program, is_ci, &skip),
        "`{line}` fails, and CI is set; make it work, or name {program} in {SKIP}"
    );
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    // Past the test harness, which would swallow it.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "SKIPPED {test}: `{line}` fails").unwrap();
    false
}

fn may_be_missing(program: &str, is_ci: bool, skip: &str) -> bool {
    !is_ci || skip.split(',').any(|name| name.trim() == program)
}

#[test]
fn a_missing_program_fails_in_ci_unless_it_is_named() {
    assert!(may_be_missing("podman", false, ""));
    assert!(!may_be_missing("podman", true, ""));
    assert!(!may_be_missing("podman", true, "docker,podman-compose"));
    assert!(may_be_missing("podman", true, "docker, podman"));
}
