//! `verifier measured`, in a process of its own, as a sandbox runs it: what the process that starts a command has in
//! memory counts for the command, too, until that has begun.

use assert_cmd::Command;
use camino::Utf8PathBuf;

#[test]
fn the_largest_process_counts_and_the_exit_code_is_that_of_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let peak = Utf8PathBuf::try_from(folder.path().join("peak")).unwrap();
    let measured = |script: &str, code: i32| -> u64 {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("verifier"));
        command.args([
            "measured",
            "--peak",
            peak.as_str(),
            "--",
            "sh",
            "-c",
            script,
        ]);
        command.assert().code(code);
        fs_err::read_to_string(&peak).unwrap().parse().unwrap()
    };
    let little = measured("exit 3", 3);
    // A child of it, which it waits for.
    let much = measured(
        "sh -c 'x=$(head -c 50000000 /dev/zero | tr \"\\0\" x); kill -9 $$'",
        137,
    );
    assert!(much > 50_000_000 && much > little, "{little} {much}");
}
