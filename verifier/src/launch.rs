//! The programs that need a place of their own to write to, started so that they have one.
//!
//! The image has a link to the verifier under each of their names, in a folder that comes first on PATH. Whatever user
//! a container runs as, and however little of the root file system may be written to, they find a home: one that cannot
//! be written to is replaced by a folder that is this user's alone. A home that can be written to stays, for it is one
//! that the user was given.
//!
//! In the replaced home lie links to what was put into the other one by root or by the user, such as credentials that
//! a cluster mounts; not to what other users left there, for programs run what a home tells them.
//!
//! Pulumi finds the image's plugins in the home that it is given ([`plugins`]).
//!
//! The real program then takes the place of this process. It is the next one of that name on PATH.

mod home;
mod language_host;
pub mod links;
pub mod noexec;
mod plugins;
mod stand_in;
mod surroundings;

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use camino::Utf8PathBuf;
use gocache::image_info::{LAUNCHED, PLUGINS_PATH};
use rustix::fs::{Access, access};

use self::surroundings::Surroundings;
use crate::go::command::{GoCommand, take_back_garbage};
use crate::toolexec::executables;

/// As a shell says it: a program that cannot be run, and one that is not there.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// What is launched, as which process, which was started when, and the entry of PATH after that of the program.
const LAUNCH: &str = "IAC_RUNNER_LAUNCH";

/// The program that this process is to start, if it was started under its name.
pub fn program() -> Option<OsString> {
    let own = std::env::args_os().next()?;
    let name = Path::new(&own).file_name()?;
    let mut launched = LAUNCHED.iter().chain([&language_host::NAME]);
    let is_launched = launched.any(|launched| name == *launched);
    is_launched.then(|| name.to_owned())
}

/// Becomes the program `name`; returns only if that fails.
pub fn run(name: &OsStr) -> ExitCode {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = Path::new("/proc/self/exe");
    let (real, flags, next) = if name == language_host::NAME {
        let real = language_host::real();
        (Some(real), language_host::flags(), 0)
    } else {
        match behind(name, &path, own, start_of_search(name)) {
            Some((index, real)) => (Some(real), Vec::new(), index + 1),
            None => (None, Vec::new(), 0),
        }
    };
    let mut arguments = std::env::args_os();
    let own_name = arguments.next().unwrap_or_else(|| name.to_owned());
    let arguments: Vec<OsString> = arguments.collect();
    let Some(real) = real else {
        if name == "go"
            && let Some(code) = stand_in::answer(&arguments)
        {
            return code;
        }
        eprintln!("{}: command not found", name.display());
        return ExitCode::from(NOT_FOUND);
    };
    let go = (name == "go").then(|| GoCommand::of(&arguments));
    let go = go.filter(GoCommand::uses_the_build_cache);
    let changes = Surroundings::of_process().changes(go.as_ref());
    if let Some(go) = &go
        && let Some(gocache) = folder_after(&changes, "GOCACHE")
    {
        executables::begin(go, &gocache);
    }
    // One of the user's may be a program of Go's, with garbage of its own.
    let asks_nobody = value_after(&changes, "GOCACHEPROG").is_none_or(|it| it.is_empty());
    if name == "pulumi"
        && let Some(home) = folder_after(&changes, "PULUMI_HOME")
    {
        plugins::link(PLUGINS_PATH.into(), &home);
    }
    if let Some(warning) = noexec::warning(name, &arguments) {
        eprintln!("{warning}");
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "it takes the place of this process, whose streams it has"
    )]
    let mut command = Command::new(&real);
    command
        .arg0(own_name)
        .env(LAUNCH, launch(name, next))
        .args(flags)
        .args(arguments)
        .envs(changes);
    take_back_garbage(&mut command);
    let garbage = go.as_ref().and_then(GoCommand::garbage);
    command.envs(garbage.filter(|_| asks_nobody));
    let needs_go = name == "pulumi" && behind(OsStr::new("go"), &path, own, 0).is_none();
    if needs_go && let Some(path) = stand_in::on_path(&path) {
        command.env("PATH", path);
    }
    let error = command.exec();
    eprintln!("{}: {error}", real.display());
    ExitCode::from(CANNOT_RUN)
}

/// The variable `name` after these changes.
fn value_after(changes: &[(&str, OsString)], name: &str) -> Option<OsString> {
    let new = changes.iter().find(|(changed, _)| *changed == name);
    new.map(|(_, value)| value.clone())
        .or_else(|| std::env::var_os(name))
}

/// The folder that the variable `name` names after these changes.
fn folder_after(changes: &[(&str, OsString)], name: &str) -> Option<Utf8PathBuf> {
    let folder = Utf8PathBuf::from_path_buf(value_after(changes, name)?.into()).ok()?;
    folder.is_absolute().then_some(folder)
}

/// The value of [`LAUNCH`] while this process is `name`, which was found before the entry `next` of PATH.
fn launch(name: &OsStr, next: usize) -> OsString {
    let mut launch = name.to_owned();
    let started = started_at().unwrap_or_default();
    launch.push(format!(":{}:{started}:{next}", std::process::id()));
    launch
}

/// When this process was started, in clock ticks since the machine was, whatever it has become since. Its number alone
/// is no name: it is 1 in every container, and what is exported there may reach another one.
fn started_at() -> Option<u64> {
    let stat = fs_err::read("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, which may have anything in it.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    fields.split_whitespace().nth(22 - 3)?.parse().ok()
}

/// The first entry of PATH in which `name` is looked for: after the one where this very process found what it then was,
/// if that was another launcher, or a script that calls one. So it ends, whatever is on PATH.
fn start_of_search(name: &OsStr) -> usize {
    let known = std::env::var(LAUNCH).unwrap_or_default();
    let next = known
        .rsplit_once(':')
        .and_then(|(_, next)| next.parse().ok());
    next.filter(|next| *launch(name, *next) == *known)
        .unwrap_or(0)
}

/// The first program called `name` on `path`, from the entry `start` on, that this user may run and that is not `own`;
/// and the number of its entry.
fn behind(name: &OsStr, path: &OsStr, own: &Path, start: usize) -> Option<(usize, PathBuf)> {
    let file = |path: &Path| {
        let metadata = fs_err::metadata(path).ok()?;
        let may_run = metadata.is_file() && access(path, Access::EXEC_OK).is_ok();
        may_run.then(|| (metadata.dev(), metadata.ino()))
    };
    let own = file(own);
    std::env::split_paths(path)
        .map(|folder| {
            // An empty entry is this folder; a name without a slash would be looked for on PATH once more.
            let is_here = folder.as_os_str().is_empty();
            let folder = if is_here { ".".into() } else { folder };
            folder.join(name)
        })
        .enumerate()
        .skip(start)
        .find(|(_, program)| file(program).is_some_and(|found| Some(found) != own))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_folder::tests::Folder;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn the_real_program_is_the_next_one_on_path_that_is_not_this_one() {
        let folder = Folder::new();
        for (name, mode) in [("a", 0o755), ("b", 0o644), ("c", 0o755)] {
            fs_err::create_dir(folder.path(name)).unwrap();
            let program = folder.path(name).join("go");
            fs_err::write(&program, "").unwrap();
            fs_err::set_permissions(program, Permissions::from_mode(mode)).unwrap();
        }
        fs_err::create_dir(folder.path("links")).unwrap();
        let own = folder.path("a/go");
        symlink(&own, folder.path("links/go")).unwrap();
        let path = ["links", "none", "a", "b", "c"].map(|name| folder.path(name));
        let path = std::env::join_paths(path).unwrap();
        let find = |name: &str, start| behind(OsStr::new(name), &path, own.as_std_path(), start);
        assert_eq!(find("go", 0), Some((4, folder.path("c/go").into())));
        assert_eq!(find("go", 5), None);
        assert_eq!(find("tofu", 0), None);
        // Without /proc nobody knows what this one is.
        let (index, _) = behind(OsStr::new("go"), &path, Path::new("/no/exe"), 0).unwrap();
        assert_eq!(index, 0);
        // An empty entry is this folder, and no name to look for.
        let here = behind(
            OsStr::new("Cargo.toml"),
            OsStr::new(":/x"),
            Path::new("/no/exe"),
            0,
        );
        assert_eq!(here, None, "no program");
    }
}
