//! `cargo xtask fuzz`: the property tests of what reads the files of others, each for some time instead of for some
//! cases.
//!
//! They are ordinary tests, in modules that are called `fuzz`, and run with few cases among all others; here each runs
//! again and again, with other cases each time, until its time is over. What is found is printed as the test prints it:
//! the smallest input that does it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use camino::Utf8PathBuf;
use serde::Deserialize;
use xshell::{Shell, cmd};

use engine::host;
use failure::failed;
use pipeline::workspace::workspace;

/// The module of the tests.
const MODULE: &str = "fuzz";
/// How many cases one run of a test has.
const CASES: &str = "PROPTEST_CASES";
/// Of the first run, which tells how long one takes.
const FIRST_CASES: u32 = 256;
/// How long a later run is to take.
const RUN: Duration = Duration::from_secs(10);
/// Of any run: what a test holds for all its cases is held in memory.
const MOST_CASES: u32 = 1 << 20;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long each test runs
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub seconds: u64,
    /// Only the tests whose paths have this in them
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// A program with tests, and where it is to run.
#[derive(Debug)]
struct Program {
    executable: Utf8PathBuf,
    folder: Utf8PathBuf,
}

/// Runs every test for its time before it fails.
pub fn run(flags: &Args) -> Result<()> {
    let sh = Shell::new()?;
    sh.change_dir(workspace());
    let cargo = host::cargo();
    let built = host::read(cmd!(
        sh,
        "{cargo} test --workspace --locked --lib --bins --no-run --message-format json"
    ))?;
    let wanted = flags.name.as_deref().unwrap_or_default();
    let (mut found, mut run_of) = (Vec::new(), 0);
    for program in programs(&built)? {
        let _folder = sh.push_dir(&program.folder);
        let executable = &program.executable;
        let listed = host::read(cmd!(sh, "{executable} --list --format terse {MODULE}"))?;
        for test in tests(&listed).filter(|test| test.contains(wanted)) {
            run_of += 1;
            let limit = Duration::from_secs(flags.seconds);
            match for_a_while(&sh, &program, test, limit)? {
                Ok(cases) => println!("{test}: {cases} cases"),
                Err(said) => {
                    println!("{test} failed:\n{}", failure::printable(&said));
                    found.push(test.to_owned());
                }
            }
        }
    }
    if run_of == 0 {
        bail!("no test has {wanted:?} in its path");
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(failed(
        format!("an input was found that fails {}", found.join(", ")),
        "keep it as a test of its own, and mend the whole kind",
    ))
}

/// Runs a test until its time is over; how many cases it had, or what it says of one that fails.
fn for_a_while(
    sh: &Shell,
    program: &Program,
    test: &str,
    limit: Duration,
) -> Result<Result<u64, String>> {
    let executable = &program.executable;
    let (started, mut cases, mut all) = (Instant::now(), FIRST_CASES, 0);
    loop {
        let run = Instant::now();
        let command = cmd!(sh, "{executable} --exact {test}").env(CASES, cases.to_string());
        let done = host::output(command)?;
        if !done.status.success() {
            let said = [done.stdout, done.stderr].concat();
            return Ok(Err(String::from_utf8_lossy(&said).into_owned()));
        }
        all += u64::from(cases);
        let left = limit.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Ok(Ok(all));
        }
        cases = next_cases(cases, run.elapsed(), left.min(RUN));
    }
}

/// As many cases as take `time`, if `cases` took `took`.
fn next_cases(cases: u32, took: Duration, time: Duration) -> u32 {
    let per_case = took.as_secs_f64().max(1e-6) / f64::from(cases);
    let fitting = (time.as_secs_f64() / per_case).clamp(1.0, f64::from(MOST_CASES));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it was brought between bounds that fit"
    )]
    let fitting = fitting as u32;
    fitting
}

/// The programs with tests, of what cargo says of each thing that it built.
fn programs(built: &str) -> Result<Vec<Program>> {
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        executable: Option<Utf8PathBuf>,
        #[serde(default)]
        manifest_path: Utf8PathBuf,
        #[serde(default)]
        profile: Profile,
    }
    #[derive(Deserialize, Default)]
    struct Profile {
        test: bool,
    }
    let mut programs = Vec::new();
    for line in built.lines() {
        let message: Message = serde_json::from_str(line).context("cargo printed no JSON")?;
        if let (Some(executable), true) = (message.executable, message.profile.test) {
            programs.push(Program {
                executable,
                folder: message.manifest_path.with_file_name(""),
            });
        }
    }
    Ok(programs)
}

/// The paths of the tests that a program lists.
fn tests(listed: &str) -> impl Iterator<Item = &str> {
    let tests = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    tests.filter(|test| test.rsplit("::").nth(1) == Some(MODULE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_with_tests_are_found_in_what_cargo_says() {
        let built = r#"{"reason":"build-script-executed","package_id":"x"}
{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","profile":{"test":false},"executable":"/t/a"}
{"reason":"compiler-artifact","manifest_path":"/w/b/Cargo.toml","profile":{"test":true},"executable":"/t/b"}
{"reason":"compiler-artifact","manifest_path":"/w/c/Cargo.toml","profile":{"test":true},"executable":null}
{"reason":"build-finished","success":true}"#;
        let found = programs(built).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|it| (it.executable.as_str(), it.folder.as_str()))
            .collect();
        assert_eq!(shown, [("/t/b", "/w/b/")]);
        assert!(programs("no JSON").is_err());
    }

    #[test]
    fn only_tests_of_modules_of_that_name_are_run() {
        let listed = "fuzz::one: test\na::fuzz::two: test\na::no_fuzz::three: test\nfuzz::tests::four: test\n";
        assert_eq!(
            tests(listed).collect::<Vec<_>>(),
            ["fuzz::one", "a::fuzz::two"]
        );
    }

    #[test]
    fn a_run_takes_about_as_long_as_is_left() {
        let second = Duration::from_secs(1);
        assert_eq!(next_cases(256, second, 10 * second), 2560);
        assert_eq!(next_cases(256, second, second / 256), 1);
        assert_eq!(next_cases(256, second, Duration::ZERO), 1);
        assert_eq!(next_cases(256, Duration::ZERO, 10 * second), MOST_CASES);
    }
}
