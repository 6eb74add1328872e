//! `verifier`: measures how warm the Go caches of an image are, explains what they miss, and serves them where they
//! cannot be written. Started under the name of a program of the image, it starts that program (see [`launch`]), and as
//! the program of `-toolexec` the go command's tools (see [`toolexec`]).
//!
//! Exit codes, for scripts: 0 fine, 1 failed, 2 bad usage or input, 3 a target was missed, 4 corrupt data.

mod cacheprog;
mod check;
mod explain;
mod gate;
mod go;
mod info;
mod launch;
mod output;
mod private_folder;
mod process;
mod report_command;
mod run;
mod sandbox;
mod toolexec;
mod which;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "verifier", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Explain(explain::Args),
    Info(info::Args),
    Which(which::Args),
    Report(report_command::Args),
    Gate(gate::Args),
    Cacheprog(cacheprog::Args),
    #[command(hide = true)]
    Init(sandbox::init::Args),
    #[command(hide = true)]
    Measured(sandbox::measured::Args),
}

/// The libraries whose errors have kinds of their own.
const LIBRARIES: [failure::Classify; 3] = [
    gocache::Error::classify,
    modules::Error::classify,
    report::Error::classify,
];

fn main() -> ExitCode {
    if let Some(program) = launch::program() {
        return launch::run(&program);
    }
    if let Some(arguments) = toolexec::arguments() {
        return toolexec::run(&arguments);
    }
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Which(args) => which::run(&args),
        Command::Report(args) => report_command::run(&args),
        Command::Gate(args) => gate::run(&args),
        Command::Cacheprog(args) => cacheprog::run(&args),
        Command::Init(args) => sandbox::init::run(&args),
        Command::Measured(args) => sandbox::measured::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", failure::text(&error));
        ExitCode::from(failure::kind(&error, &LIBRARIES).exit_code())
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
