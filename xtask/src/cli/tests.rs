//! The command line holds together, and its help says what it said.

use clap::CommandFactory as _;

use super::Cli;

#[test]
fn no_command_contradicts_itself() {
    Cli::command().debug_assert();
}

/// The long help of every command, as wide as here and without what the environment sets.
#[test]
fn help_is_as_it_was() {
    fn check(command: &mut clap::Command) {
        let name = command
            .get_bin_name()
            .unwrap_or(command.get_name())
            .replace(' ', "-");
        let settings = insta::Settings::clone_current();
        settings.bind(|| insta::assert_snapshot!(name, command.render_long_help()));
        command
            .get_subcommands_mut()
            .filter(|command| command.get_name() != "help")
            .for_each(check);
    }
    fn plain(command: clap::Command) -> clap::Command {
        let command = command.mut_args(|argument| argument.hide_env_values(true));
        command.mut_subcommands(plain)
    }
    let mut cli = plain(Cli::command().term_width(100));
    cli.build();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("../snapshots");
    // As many as this machine has processors.
    settings.add_filter(
        r"(at the same time)\s+\[default: \d+\]",
        "$1 [default: PROCESSORS]",
    );
    settings.bind(|| check(&mut cli));
}
