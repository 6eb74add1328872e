//! What `--help` says, which is all that most people read.

use assert_cmd::Command;

/// None is the verifier itself.
const COMMANDS: [Option<&str>; 9] = [
    None,
    Some("run"),
    Some("check"),
    Some("explain"),
    Some("info"),
    Some("which"),
    Some("report"),
    Some("gate"),
    Some("cacheprog"),
];

fn said(arguments: &[&str]) -> String {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
    command.env_clear().args(arguments);
    let assert = command.assert().success().stderr("");
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

#[test]
fn the_help_of_every_command() {
    for command in COMMANDS {
        let arguments: Vec<&str> = command.into_iter().chain(["--help"]).collect();
        insta::assert_snapshot!(
            format!("help-{}", command.unwrap_or("verifier")),
            said(&arguments)
        );
    }
}

#[test]
fn every_command_has_a_snapshot() {
    let help = said(&["--help"]);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let names = commands.lines().take_while(|line| !line.is_empty());
    let names: Vec<_> = names
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let known: Vec<_> = COMMANDS.into_iter().flatten().chain(["help"]).collect();
    assert_eq!(names, known);
}

#[test]
fn the_version() {
    insta::with_settings!({filters => [(r"\d+\.\d+\.\d+", "[version]")]}, {
        insta::assert_snapshot!(said(&["--version"]), @"verifier [version]");
    });
}
