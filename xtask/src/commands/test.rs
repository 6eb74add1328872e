//! `cargo xtask test`: every test of the project, with what the tests need.

use anyhow::{Context as _, Result, bail};

use crate::cli;
use crate::given::workspace;
use crate::host;

/// Programs that only the end-to-end tests use, with the Debian package of each.
const PROGRAMS: [(&str, &str); 3] = [
    ("docker-registry", "docker-registry"),
    ("skopeo", "skopeo"),
    ("umoci", "umoci"),
];

/// How many tests run at the same time.
const THREADS: &str = "RUST_TEST_THREADS";

/// Runs the tests; the first part that fails ends the run.
pub fn run(flags: &cli::Test) -> Result<()> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut arguments = vec!["test", "--workspace", "--locked"];
    if flags.quick {
        arguments.extend(["--exclude", "end-to-end"]);
    } else {
        host::require_programs(&PROGRAMS)?;
        host::require_programs(&host::PROGRAMS)?;
    }
    let mut test = host::command(&cargo);
    test.args(&arguments).current_dir(workspace());
    if std::env::var_os(THREADS).is_none() {
        // Many tests wait for another one's network or kept work.
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        test.env(THREADS, (2 * cores).to_string());
    }
    let status = test.status();
    if !status.context("failed to execute cargo test")?.success() {
        bail!("tests failed");
    }
    Ok(())
}
