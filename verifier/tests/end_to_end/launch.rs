//! The verifier under the names of the image's programs.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use assert_cmd::Command;
use fs_err::os::unix::fs::symlink;

use crate::go::Folder;

/// A folder with launchers, one with a program that tells of itself, and a command that finds both.
fn launcher(folder: &Folder) -> Command {
    let verifier = assert_cmd::cargo::cargo_bin!("verifier");
    for name in ["launchers", "real"] {
        fs_err::create_dir(folder.path(name)).unwrap();
    }
    symlink(verifier, folder.path("launchers/tofu")).unwrap();
    let script = "#!/bin/sh\necho \"$HOME $PULUMI_HOME $*\"\ncat\nexit 7\n";
    fs_err::write(folder.path("real/tofu"), script).unwrap();
    let executable = Permissions::from_mode(0o755);
    fs_err::set_permissions(folder.path("real/tofu"), executable).unwrap();
    let mut command = Command::new(folder.path("launchers/tofu"));
    let [launchers, real] = ["launchers", "real"].map(|name| folder.path(name));
    command
        .env_clear()
        .env("PATH", format!("{launchers}:{real}:/usr/bin:/bin"))
        .env("TMPDIR", folder.path(""));
    command
}

#[test]
fn a_program_gets_its_arguments_input_and_home_and_gives_its_exit_code() {
    let folder = Folder::new();
    let mut command = launcher(&folder);
    let output = command
        .env("HOME", "/nonexistent")
        .args(["one", "two words"])
        .write_stdin("input\n")
        .assert()
        .code(7);
    let printed = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    let (home, rest) = printed.split_once(' ').unwrap();
    let mine = folder.path("").join(format!("iac-runner-{uid}/home-"));
    assert!(home.starts_with(mine.as_str()), "{printed}");
    assert_eq!(rest, format!("{home}/.pulumi one two words\ninput\n"));
}

/// Whoever set it knows what it is; so nothing is set that would have to lie in it.
#[test]
fn a_home_that_is_relative_or_not_utf_8_stays() {
    let folder = Folder::new();
    let mut command = launcher(&folder);
    for home in [&b"relative"[..], b"/nonexistent/\xff"] {
        let output = command
            .env("HOME", OsStr::from_bytes(home))
            .assert()
            .code(7);
        assert_eq!(output.get_output().stdout, [home, b"  \n"].concat());
    }
}

#[test]
fn without_the_program_it_ends_whatever_is_on_path() {
    let folder = Folder::new();
    let mut command = launcher(&folder);
    fs_err::remove_file(folder.path("real/tofu")).unwrap();
    command
        .assert()
        .code(127)
        .stderr("tofu: command not found\n");
    // Another copy, and not a link, is no other program.
    let verifier = assert_cmd::cargo::cargo_bin!("verifier");
    fs_err::copy(verifier, folder.path("real/tofu")).unwrap();
    command
        .assert()
        .code(127)
        .stderr("tofu: command not found\n");
}

/// What people put in front: their own copy, or a script that calls the launcher by its path.
#[test]
fn the_program_is_found_behind_copies_and_scripts() {
    let folder = Folder::new();
    let mut command = launcher(&folder);
    let [launchers, real] = ["launchers", "real"].map(|name| folder.path(name));
    for name in ["copy", "script"] {
        fs_err::create_dir(folder.path(name)).unwrap();
    }
    let verifier = assert_cmd::cargo::cargo_bin!("verifier");
    fs_err::copy(verifier, folder.path("copy/tofu")).unwrap();
    let script = format!("#!/bin/sh\nexec {launchers}/tofu \"$@\"\n");
    fs_err::write(folder.path("script/tofu"), script).unwrap();
    let executable = Permissions::from_mode(0o755);
    fs_err::set_permissions(folder.path("script/tofu"), executable).unwrap();
    for before in ["copy", "script"].map(|name| folder.path(name)) {
        for path in [
            format!("{before}:{launchers}:{real}:/usr/bin:/bin"),
            format!("{launchers}:{before}:{real}:/usr/bin:/bin"),
        ] {
            let output = command.env("PATH", &path).arg("found").assert().code(7);
            let printed = String::from_utf8(output.get_output().stdout.clone()).unwrap();
            assert!(printed.contains("found"), "{path}: {printed}");
        }
    }
}

/// In a container a program is process 1 as a rule, and what it exports may be kept for another one.
#[test]
fn another_process_of_the_same_number_does_not_have_the_program_passed_over() {
    let folder = Folder::new();
    let command = launcher(&folder);
    let variables = command.get_envs();
    let variables: Vec<_> = variables
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
    for launch in ["tofu:$$:2", "tofu:$$:1:2"] {
        let script = format!("IAC_RUNNER_LAUNCH={launch} exec \"$0\" found");
        let output = Command::new("/bin/sh")
            .env_clear()
            .envs(variables.clone())
            .args(["-c", &script])
            .arg(command.get_program())
            .assert()
            .code(7);
        let printed = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        assert!(printed.contains("found"), "{launch}: {printed}");
    }
}

/// The verifier as it calls itself.
fn verifier() -> PathBuf {
    fs_err::canonicalize(assert_cmd::cargo::cargo_bin!("verifier")).unwrap()
}

/// Puts a go command that is `script` beside the program of [`launcher`], to be launched as often as is asked for.
fn launched_go(folder: &Folder, script: &str) -> impl Fn() -> Command + use<> {
    let [launched, real] = ["launchers/go", "real/go"].map(|name| folder.path(name));
    symlink(verifier(), &launched).unwrap();
    fs_err::write(&real, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs_err::set_permissions(&real, Permissions::from_mode(0o755)).unwrap();
    let [launchers, real, home] = ["launchers", "real", ""].map(|name| folder.path(name));
    move || {
        let mut command = Command::new(&launched);
        command
            .env_clear()
            .env("PATH", format!("{launchers}:{real}:/usr/bin:/bin"))
            .env("HOME", &home);
        command
    }
}

/// The go command that only says what is set for it.
#[test]
fn go_is_told_of_no_program_where_the_cache_can_be_written_to_unless_it_is_asked_for_settings() {
    let folder = Folder::new();
    let mut command = launcher(&folder);
    let own = verifier();
    let go = launched_go(&folder, "echo \"$GOCACHE $GOCACHEPROG\"");
    let gocache = folder.path("gocache");
    fs_err::create_dir_all(gocache.join("00")).unwrap();
    let ours = format!("{} cacheprog --shipped {gocache}", own.display());
    for (arguments, program, told) in [
        ("build", ours.as_str(), ""),
        ("env", &ours, &ours),
        ("build", "theirs", "theirs"),
    ] {
        let output = go()
            .env("GOCACHE", &gocache)
            .env("GOCACHEPROG", program)
            .arg(arguments)
            .assert()
            .success();
        let printed = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        assert_eq!(printed, format!("{gocache} {told}\n"), "{arguments}");
    }
    command.assert().code(7);
}

/// A build of programs, whose tools do not get it.
#[test]
fn go_collects_less_garbage_where_nobody_said_how_much_and_its_tools_as_ever() {
    let folder = Folder::new();
    launcher(&folder);
    let say = "echo $GOGC";
    let tool = format!("{} toolexec /bin/sh -c '{say}'", verifier().display());
    let go = launched_go(&folder, &format!("{say}\n{tool}"));
    for (arguments, set, printed) in [
        ("build", None, "0800\n\n"),
        ("install", Some(("GOGC", "50")), "50\n50\n"),
        ("build", Some(("GOGC", "800")), "800\n800\n"),
        ("build", Some(("GOGC", "")), "\n\n"),
        ("build", Some(("GOCACHEPROG", "/their/own")), "\n\n"),
        ("test", None, "\n\n"),
        ("run", None, "\n\n"),
        // Below a build, which somebody's script may be.
        ("build", Some(("GOGC", "0800")), "0800\n\n"),
        ("test", Some(("GOGC", "0800")), "\n\n"),
    ] {
        go().env("GOFLAGS", "-toolexec=/usr/local/lib/iac-runner/toolexec")
            .envs(set)
            .arg(arguments)
            .assert()
            .success()
            .stdout(printed);
    }
}
