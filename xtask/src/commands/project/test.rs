//! `cargo xtask test`: every test of the project, with what the tests need.

use std::io::{self, Seek as _};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};
use camino::Utf8PathBuf;

use engine::host;
use pipeline::workspace::workspace;

/// Programs that only the end-to-end tests use, with the Debian package of each.
pub const PROGRAMS: [(&str, &str); 3] = [
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
];

/// How many tests run at the same time.
const THREADS: &str = "RUST_TEST_THREADS";

/// The tests make many images, and look at few of their bytes.
const COMPRESS_FAST: (&str, &str) = ("IAC_RUNNER_ZSTD_LEVEL", "1");

/// The tests that build images, and all others. Both are chosen by their targets, among all packages: chosen by
/// packages, they would be compiled anew for either, with other features of what they depend on.
const IMAGES: [&str; 2] = ["--test", "images"];
const OTHERS: [&str; 4] = ["--lib", "--bins", "--test", "end_to_end"];

/// Flags of the command.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave out the end-to-end tests, which need a network and some minutes
    #[arg(long)]
    pub quick: bool,
}

/// Runs the tests. What all images have is made while the tests are compiled. Those of images wait for the network and
/// for each other's kept work; the others run meanwhile, and are shown afterwards.
pub fn run(flags: &Args) -> Result<()> {
    if flags.quick {
        return finish([test(&OTHERS).status()]);
    }
    host::require_programs(&PROGRAMS)?;
    host::require_programs(&host::PROGRAMS)?;
    let mut shown = tempfile::tempfile().context("failed to make a temporary file")?;
    let out = tempfile::tempdir().context("failed to make a temporary folder")?;
    let program = Utf8PathBuf::try_from(std::env::current_exe()?)?;
    let mut tools = host::command(program.as_str())
        .args(["warm", "--provider", "tools", "--out"])
        .arg(out.path().join("tools"))
        .env(COMPRESS_FAST.0, COMPRESS_FAST.1)
        .stdout(Stdio::null())
        .stderr(shown.try_clone()?)
        .spawn()
        .context("failed to start making the tools")?;
    let compiled = finish([test(&[]).arg("--no-run").status()]);
    if compiled.is_err() {
        tools.kill().context("failed to stop making the tools")?;
        tools.wait()?;
        return compiled;
    }
    let mut others = test(&OTHERS)
        .stdout(shown.try_clone()?)
        .stderr(shown.try_clone()?)
        .spawn()
        .context("failed to execute cargo test")?;
    let images = test(&IMAGES).status();
    let others = others.wait();
    let tools = tools.wait();
    shown.rewind()?;
    io::copy(&mut shown, &mut io::stdout())?;
    finish([images, others, tools])
}

/// `cargo test` of the targets that `arguments` choose.
fn test(arguments: &[&str]) -> Command {
    let mut test = host::cargo();
    test.args(["test", "--workspace", "--locked"])
        .args(arguments)
        .env(COMPRESS_FAST.0, COMPRESS_FAST.1)
        .current_dir(workspace());
    if std::env::var_os(THREADS).is_none() {
        // Many tests wait for another one's network or kept work.
        test.env(THREADS, (2 * host::processors()).to_string());
    }
    test
}

/// An error where one of the parts did not end well.
fn finish(parts: impl IntoIterator<Item = io::Result<ExitStatus>>) -> Result<()> {
    for part in parts {
        if !part.context("failed to execute the tests")?.success() {
            bail!("tests failed");
        }
    }
    Ok(())
}
