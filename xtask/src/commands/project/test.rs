//! `cargo xtask test`: every test of the project, with what the tests need.

use std::io::{self, Seek as _};
use std::process::Output;

use anyhow::{Context as _, Result, bail};
use duct::Expression;
use xshell::{Shell, cmd};

use engine::host;
use engine::process_group::{PATIENCE_WITH_OURS, ProcessGroup};
use pipeline::workspace::workspace;

/// Programs that only the end-to-end tests use, with the Debian package of each.
pub const PROGRAMS: [(&str, &str); 4] = [
    ("docker-registry", "docker-registry"),
    ("openssl", "openssl"),
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
];

/// How many tests run at the same time.
const THREADS: &str = "RUST_TEST_THREADS";

/// What is set for the tests.
const SETTINGS: [(&str, &str); 2] = [
    // They make many images, and look at few of their bytes.
    ("IAC_RUNNER_ZSTD_LEVEL", "1"),
    // What people and programs read changes only when somebody says so.
    ("INSTA_UPDATE", "no"),
];

/// The tests that build images, and all others. Both are chosen by their targets, among all packages: chosen by
/// packages, they would be compiled anew for either, with other features of what they depend on.
const IMAGES: [&str; 2] = ["--test", "images"];
const OTHERS: [&str; 8] = [
    "--lib",
    "--bins",
    "--test",
    "end_to_end",
    "--test",
    "modfile",
    "--test",
    "small_image",
];

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave out the end-to-end tests, which need a network and some minutes
    #[arg(long)]
    pub quick: bool,
}

/// Runs the tests. What all images have is made while the tests are compiled. Those of images wait for the network and
/// for each other's kept work; the others run meanwhile, and are shown afterwards. Where the tests do not compile, what
/// is under way is ended.
pub fn run(flags: &Args) -> Result<()> {
    let sh = shell()?;
    let cargo = host::cargo();
    let test =
        |which: &[&str]| host::expression(cmd!(sh, "{cargo} test --workspace --locked {which...}"));
    if flags.quick {
        return finish([start(&test(&OTHERS))?.wait()]);
    }
    host::require_programs(&PROGRAMS)?;
    host::require_programs(&host::PROGRAMS)?;
    let mut shown = tempfile::tempfile().context("failed to make a temporary file")?;
    let out = tempfile::tempdir().context("failed to make a temporary folder")?;
    let out = out.path().join("tools");
    let program = std::env::current_exe()?;
    let tools = host::expression(cmd!(sh, "{program} warm --provider tools --out {out}"))
        .stdout_null()
        .stderr_file(shown.try_clone()?);
    let tools = start(&tools)?;
    finish([start(&test(&["--no-run"]))?.wait()])?;
    let others = test(&OTHERS)
        .stderr_to_stdout()
        .stdout_file(shown.try_clone()?);
    let others = start(&others)?;
    let images = start(&test(&IMAGES))?;
    let ended = [images, others, tools].map(ProcessGroup::wait);
    shown.rewind()?;
    io::copy(&mut shown, &mut io::stdout())?;
    finish(ended)
}

/// Where the tests run, and what is set for them.
fn shell() -> Result<Shell> {
    let sh = Shell::new()?;
    sh.change_dir(workspace());
    for (name, value) in SETTINGS {
        sh.set_var(name, value);
    }
    if std::env::var_os(THREADS).is_none() {
        // Many tests wait for another one's network or kept work.
        sh.set_var(THREADS, (2 * host::processors()).to_string());
    }
    Ok(sh)
}

fn start(part: &Expression) -> Result<ProcessGroup> {
    ProcessGroup::start_with_patience(part, PATIENCE_WITH_OURS)
        .context("failed to execute the tests")
}

/// An error where one of the parts did not end well.
fn finish(parts: impl IntoIterator<Item = Result<Output>>) -> Result<()> {
    for part in parts {
        if !part
            .context("failed to execute the tests")?
            .status
            .success()
        {
            bail!("tests failed");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_test_of_a_crate_is_run() {
        let mut crates = fs_err::read_dir(workspace().join("crates")).unwrap();
        let tests = crates.by_ref().flat_map(|it| {
            let folder = it.unwrap().path().join("tests");
            fs_err::read_dir(folder).into_iter().flatten()
        });
        let files = tests.map(|file| file.unwrap().path());
        let files = files.filter(|file| file.extension().is_some_and(|it| it == "rs"));
        for file in files {
            let name = file.file_stem().unwrap().to_str().unwrap();
            assert!(OTHERS.contains(&name), "{}", file.display());
        }
    }

    #[test]
    fn what_this_program_is_made_of_is_not_compiled_anew_for_the_tests() {
        let sh = Shell::new().unwrap();
        sh.change_dir(workspace());
        let cargo = host::cargo();
        let packages = |of: &[&str]| -> BTreeSet<String> {
            let tree = cmd!(sh, "{cargo} tree --locked --prefix none --no-dedupe");
            let tree = tree.args(["--format", "{p} {f}"]).args(of).read().unwrap();
            tree.lines().map(str::to_owned).collect()
        };
        let ours = packages(&["--package", "xtask", "--edges", "normal,build"]);
        let tests = packages(&["--workspace", "--edges", "normal,build,dev"]);
        assert!(ours.len() > 100, "{ours:?}");
        let anew: Vec<&String> = ours.difference(&tests).collect();
        assert!(
            anew.is_empty(),
            "the tests have these with other features: {anew:#?}"
        );
    }
}
