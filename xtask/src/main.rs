//! `cargo xtask`: builds, assembles and verifies the IaC Runner base image.

mod bench;
mod cli;
mod commands;
mod fetched;
mod flags;
mod source;
#[cfg(test)]
mod structure;
#[cfg(test)]
mod workflows;

use std::process::ExitCode;

use clap::Parser as _;

/// The libraries whose errors have kinds of their own.
const LIBRARIES: [failure::Classify; 3] = [
    gocache::Error::classify,
    modules::Error::classify,
    report::Error::classify,
];

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match engine::interrupt::install().and_then(|()| cli.command.run()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", failure::text(&error));
            ExitCode::from(failure::kind(&error, &LIBRARIES).exit_code())
        }
    }
}
