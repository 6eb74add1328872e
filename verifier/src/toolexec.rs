//! The program of `-toolexec`: starts the go command's tools, and sees to it that the linker gets whole archives.
//!
//! Archives in the image's build cache have no object code, which only the linker reads (see [`gocache::objects`]).
//! Every other tool takes the place of this process. For the linker, the archives that its list names are looked at:
//! those that are export-only are put together, in a folder beside the list, which is the go command's own for this
//! link, and a list that names them instead is handed on. The folder goes when the link ends; were this process killed,
//! the go command removes it with all of its own.
//!
//! What holds: an archive without object code is found by its own shape, whatever it is called and wherever it came
//! from, and is completed or the linker is not started.
//!
//! Every tool's version gets a word more, which makes action IDs that are found under this program alone. There is one
//! exception: `go build -o FILE.a` copies an archive out of the cache without starting a tool, and so does an installation
//! of GOROOT's packages, so they are to find none that is not whole.
//!
//! Links that have archives put together wait for each other: each needs room on the disk, and at first all processors
//! (see [`turn`]). Nobody waits for ever, for whoever has a turn may be stopped.

pub mod executables;
mod link;
mod turn;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::Context as _;
use camino::Utf8Path;
use gocache::image_info::{OBJECTS_PATH, TOOLEXEC, TOOLEXEC_PATH};
use gocache::objects;
use rustix::process::{Signal, getpid, kill_process};

use self::link::link;
use self::turn::Turns;
use crate::go::command::{GoCommand, take_back_garbage};

/// As a shell says that a program cannot be run.
const CANNOT_RUN: u8 = 126;

/// How the go command asks for a tool's version.
const VERSION: &str = "-V=full";

/// The linker.
const LINK: &str = "link";

/// The command line of the tool that this process is to start, if it was started as the program of `-toolexec`.
pub fn arguments() -> Option<Vec<OsString>> {
    let mut arguments = std::env::args_os();
    let own = arguments.next()?;
    let name = Path::new(TOOLEXEC_PATH).file_name();
    // A script that starts it by its path cannot call it by another name.
    let is_it = Path::new(&own).file_name() == name || arguments.next()? == TOOLEXEC;
    is_it.then(|| arguments.collect())
}

/// Starts the tool `arguments[0]`, as the go command does.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let Some((tool, rest)) = arguments.split_first() else {
        eprintln!("error: no tool is named; the go command starts this program, with -toolexec");
        return ExitCode::from(failure::Kind::Usage.exit_code());
    };
    if tool == executables::PUT {
        executables::put(rest);
        return ExitCode::SUCCESS;
    }
    let is_linker = Path::new(tool).file_name() == Some(OsStr::new(LINK));
    let done = if rest.first().is_some_and(|first| first == VERSION) {
        let go = GoCommand::of_parent();
        if is_linker && go.takes_executables() {
            executables::put_or_wait();
        }
        version(tool, rest, &go)
    } else if is_linker && executables::put_in_place_of_link(rest, &GoCommand::of_parent()) {
        return ExitCode::SUCCESS;
    } else if is_linker {
        link(tool, rest, Utf8Path::new(OBJECTS_PATH), &Turns::of_user())
    } else {
        Ok(Done::Become(rest.to_vec()))
    };
    match done {
        Ok(Done::Become(rest)) => {
            let error = command(tool, &rest).exec();
            eprintln!("{}: {error}", tool.display());
            ExitCode::from(CANNOT_RUN)
        }
        Ok(Done::Ended(status)) => end_as(status),
        Err(error) => {
            eprintln!("error: {}", failure::text(&error));
            ExitCode::from(failure::kind(&error, &[gocache::Error::classify]).exit_code())
        }
    }
}

/// What is left to do.
enum Done {
    /// To become the tool, with these arguments.
    Become(Vec<OsString>),
    /// To end as it did.
    Ended(ExitStatus),
}

fn command(tool: &OsStr, arguments: &[OsString]) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tool has this process's streams, or takes its place"
    )]
    let mut command = Command::new(tool);
    command.args(arguments);
    take_back_garbage(&mut command);
    command
}

/// Ends this process as another one ended, so that the go command says of the tool what it would say.
fn end_as(status: ExitStatus) -> ExitCode {
    if let Some(signal) = status.signal().and_then(Signal::from_named_raw) {
        // A signal that does not end this process leaves the exit code below.
        let _ = kill_process(getpid(), signal);
    }
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Prints the tool's version, with the word that tells caches of export-only archives apart; without it where `go`
/// copies an archive out of the cache.
fn version(tool: &OsStr, arguments: &[OsString], go: &GoCommand) -> anyhow::Result<Done> {
    if go.puts_an_archive() {
        return Ok(Done::Become(arguments.to_vec()));
    }
    let output = command(tool, arguments)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("failed to run {}", tool.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let said = if output.status.success() {
        objects::version(&said)
    } else {
        said.into_owned()
    };
    io::stdout().write_all(said.as_bytes())?;
    Ok(Done::Ended(output.status))
}
