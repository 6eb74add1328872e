//! `cargo xtask completions`: what a shell needs to complete the commands and their flags.

use std::io;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;

/// What the script completes: a shell cannot be told of `cargo xtask`, which is an alias of cargo's.
const FUNCTION: &str = "xtask";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Shells complete programs and functions, and cargo completes none of its aliases. So the script is \
                  for a function `xtask`, which you define where your shell starts (in bash and zsh), and which works \
                  wherever `cargo xtask` does:\n\n    \
                  xtask() { cargo xtask \"$@\"; }\n\n\
                  The script goes where the shell looks for it:\n\n    \
                  cargo xtask completions bash > ~/.local/share/bash-completion/completions/xtask\n    \
                  cargo xtask completions zsh > FOLDER/_xtask    # a folder of your fpath\n    \
                  cargo xtask completions fish > ~/.config/fish/completions/xtask.fish"
)]
pub struct Args {
    /// The shell that reads the script
    pub shell: Shell,
}

/// Prints the script.
pub fn run(flags: &Args) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut Cli::command(), FUNCTION, &mut script);
    match io::Write::write_all(&mut io::stdout(), &script) {
        // Whoever reads it has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("failed to print the script"),
    }
}
