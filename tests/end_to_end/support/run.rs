//! Running the project's own command and the tools that look at what it made.
//!
//! A command line is written as it is typed, by `cmd!(sh, "…")`; each test has a shell of its own, for a shell is one
//! thread's. What a command says is in the message when it does not end as it should.

use std::process::Command;
use std::sync::OnceLock;

use assert_cmd::assert::Assert;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use xshell::{Cmd, Shell, cmd};

/// The folder of the workspace.
pub fn workspace() -> Utf8PathBuf {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// A shell in the folder of the workspace, where `cargo xtask` is known.
pub fn shell() -> Shell {
    let sh = Shell::new().unwrap();
    sh.change_dir(workspace());
    sh
}

/// `cmd`, not knowing what cargo says to a test, like one of a user's shell: some crates would be compiled anew for it.
/// `cargo xtask` is the program itself: for each of some hundred commands cargo would look again for what has changed.
pub fn as_user(cmd: Cmd<'_>) -> Command {
    let said = std::env::vars().map(|(name, _)| name);
    let cmd: Command = said
        .filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        .fold(cmd, Cmd::env_remove)
        .into();
    let mut arguments = cmd.get_args();
    if cmd.get_program() != "cargo" || arguments.next().is_none_or(|it| it != "xtask") {
        return cmd;
    }
    #[expect(clippy::disallowed_methods, reason = "the tests run it as any program")]
    let mut program = Command::new(xtask());
    program.args(arguments);
    program.current_dir(cmd.get_current_dir().unwrap());
    for (name, value) in cmd.get_envs() {
        match value {
            Some(value) => program.env(name, value),
            None => program.env_remove(name),
        };
    }
    program
}

/// The program that `cargo xtask` runs, made of what is here now.
fn xtask() -> &'static Utf8Path {
    static XTASK: OnceLock<Utf8PathBuf> = OnceLock::new();
    XTASK.get_or_init(|| {
        let sh = shell();
        let said = succeed(cmd!(
            sh,
            "cargo build --quiet --package xtask --message-format json-render-diagnostics"
        ));
        let artifacts = said.lines().map(|line| serde_json::from_str(line).unwrap());
        let mut programs =
            artifacts.filter_map(|it: Value| Some(it["executable"].as_str()?.into()));
        programs.next().unwrap()
    })
}

/// Runs `cmd` to its end, however that is.
pub fn ended(cmd: Cmd<'_>) -> Assert {
    assert_cmd::Command::from_std(as_user(cmd)).assert()
}

/// Runs `cmd`, which must succeed, and returns what it printed.
pub fn succeed(cmd: Cmd<'_>) -> String {
    succeed_with_both(cmd).0
}

/// Runs `cmd`, which must succeed, and returns what it printed and what it said on standard error.
pub fn succeed_with_both(cmd: Cmd<'_>) -> (String, String) {
    let done = ended(cmd).success();
    let [stdout, stderr] = [&done.get_output().stdout, &done.get_output().stderr]
        .map(|stream| String::from_utf8(stream.clone()).unwrap());
    (stdout, stderr)
}

/// Runs `cmd`, which must end with `code`, and returns what it said.
pub fn fail(cmd: Cmd<'_>, code: i32) -> String {
    let done = ended(cmd).code(code);
    let done = done.get_output();
    [&done.stdout, &done.stderr]
        .map(|stream| String::from_utf8_lossy(stream))
        .concat()
}

/// A temporary folder, and its path.
pub fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    (folder, path)
}

/// Writes `content` to `path` below `root`.
pub fn write(root: &Utf8Path, path: &str, content: &str) {
    let file = root.join(path);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}
