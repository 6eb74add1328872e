//! A fixed amount of work for CPU, memory and disk: how fast this machine is at this moment, whatever the go command is
//! like.
//!
//! It is `gofmt`, from the folder of the Go that builds, on sources that are always the same: a program of Go's
//! runtime, with its collector, its threads and its many small files, but neither the go command nor anything that is
//! set for it. Of the candidates measured beside `go build` and `go list` (hashing, filling maps and touching memory,
//! each with one thread and with two, reading small files, starting processes) its time went most closely with theirs:
//! where the machine was disturbed, medians of some thirty runs moved against each other by 3 % from one minute to the
//! next, and by 9 % with a single thread that hashes.
//! The sources are written before the clock starts, because what a write costs depends on what else is still to be
//! written.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};

use crate::process::{self, rounded};

/// Sources, of some 20 KB each: enough for about as long as `go list` takes.
const FILES: usize = 100;
/// Functions in each.
const FUNCTIONS: usize = 100;
/// Settings of Go's runtime; the probe runs without them.
const RUNTIME: [&str; 4] = ["GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT"];

#[derive(Debug)]
pub struct Probe {
    gofmt: Utf8PathBuf,
    folder: tempfile::TempDir,
}

impl Probe {
    /// Writes the sources. None where this Go comes without gofmt: times can then not be compared with another
    /// report's.
    pub fn prepare(goroot: &Utf8Path) -> anyhow::Result<Option<Self>> {
        let gofmt = goroot.join("bin/gofmt");
        if !gofmt.is_file() {
            return Ok(None);
        }
        let folder = tempfile::Builder::new().prefix("verifier-probe-").tempdir();
        let folder = folder.context("failed to make a temporary folder for the probe")?;
        for number in 0..FILES {
            let file = folder.path().join(format!("source{number}.go"));
            fs_err::write(file, source(number)?)?;
        }
        Ok(Some(Self { gofmt, folder }))
    }

    /// Does the work, and returns how long it took in milliseconds.
    pub fn run(&self) -> anyhow::Result<f64> {
        let folder = Utf8Path::from_path(self.folder.path()).context("TMPDIR is not UTF-8")?;
        let unset = RUNTIME.map(|name| (name, String::new()));
        let finished = process::run(self.gofmt.as_str(), &["-l", "."], folder, &unset.into())?;
        if !finished.status.success() || !finished.stdout.is_empty() {
            bail!(
                "{} failed ({}): {}",
                self.gofmt,
                finished.status,
                finished.first_lines(3).join("; ")
            );
        }
        Ok(rounded(finished.wall_ms))
    }
}

/// A source as gofmt writes it.
fn source(number: usize) -> Result<String, std::fmt::Error> {
    let mut text = format!("package source{number}\n");
    for function in 0..FUNCTIONS {
        write!(
            text,
            "\nfunc step{function}(values map[string][]int, limit int) (sum int, err error) {{\n\
             \tfor key, list := range values {{\n\
             \t\tif len(list) > limit && key != \"step{function}\" {{\n\
             \t\t\tsum += list[limit]*{number} + cap(list)\n\
             \t\t}}\n\
             \t}}\n\
             \treturn sum, nil\n\
             }}\n"
        )?;
    }
    Ok(text)
}
