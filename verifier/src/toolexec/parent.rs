//! The go command that started this process, as far as its command line tells what it is about to do.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::process::{Pid, getppid};

use crate::launch::go_command::take_change;

/// Commands that link what the image has executables of: `run` leaves DWARF out, and `test` links something else.
const LINK_PROGRAMS: [&str; 2] = ["build", "install"];

/// How the go command is told to install the packages of GOROOT.
const INSTALL_GOROOT: &str = "installgoroot=all";

/// How a flag without a value is taken back.
const FALSE: [&[u8]; 6] = [b"0", b"f", b"F", b"false", b"FALSE", b"False"];

/// More bytes than a command line has.
const MAX_COMMAND_BYTES: u64 = 4 << 20;

/// Its command line.
#[derive(Debug, Default)]
pub struct Parent {
    /// None where they cannot be read.
    words: Vec<OsString>,
    /// What GOFLAGS adds to them.
    flags: String,
    /// GODEBUG, by which the go command, too, changes what it does.
    debug: String,
}

impl Parent {
    /// That of this process.
    pub fn of_process() -> Self {
        let mut line = Vec::new();
        let read = getppid().and_then(|parent| {
            let file = File::open(format!("/proc/{}/cmdline", Pid::as_raw_nonzero(parent)));
            let mut file = file.ok()?.take(MAX_COMMAND_BYTES);
            file.read_to_end(&mut line).ok()
        });
        let words = line.split(|byte| *byte == 0).map(OsStr::from_bytes);
        Self {
            words: read.map_or_else(Vec::new, |_| words.map(OsStr::to_owned).collect()),
            flags: std::env::var("GOFLAGS").unwrap_or_default(),
            debug: std::env::var("GODEBUG").unwrap_or_default(),
        }
    }

    /// Whether it asks its cache for executables that the image may have; with `-n` it only says what it would do.
    pub fn takes_executables(&self) -> bool {
        self.command().is_some_and(|(command, _)| {
            let links = LINK_PROGRAMS.iter().any(|name| command == name);
            links && !self.makes_everything_anew() && !self.is_set("n")
        })
    }

    /// Whether it is to compile and link everything, whatever is there.
    pub fn makes_everything_anew(&self) -> bool {
        self.is_set("a")
    }

    /// Whether it copies archives out of its cache: into GOROOT, or as its output, whose name says so, as nothing else
    /// does before it is made.
    pub fn puts_an_archive(&self) -> bool {
        let Some((command, _)) = self.command() else {
            return false;
        };
        if command == "install" {
            return self.debug.split(',').any(|it| it == INSTALL_GOROOT);
        }
        let is_build = command == "build";
        let is_archive = |file: &OsStr| Path::new(file).extension() == Some(OsStr::new("a"));
        let mut words = self.given().peekable();
        while let Some(word) = words.next() {
            let file = match flag(word).unwrap_or_default() {
                b"o" => words.peek().copied(),
                flag => flag.strip_prefix(b"o=").map(OsStr::from_bytes),
            };
            if is_build && file.is_some_and(is_archive) {
                return true;
            }
        }
        false
    }

    /// Whether the flag `name`, which needs no value, is given. What it is not may look like it, as another flag's value
    /// does; that costs a miss.
    fn is_set(&self, name: &str) -> bool {
        let mut flags = self.given().filter_map(flag);
        flags.any(|flag| match flag.strip_prefix(name.as_bytes()) {
            Some([b'=', value @ ..]) => !FALSE.contains(&value),
            Some(rest) => rest.is_empty(),
            None => false,
        })
    }

    /// What GOFLAGS and its command line give to its command.
    fn given(&self) -> impl Iterator<Item = &OsStr> {
        let flags = self.flags.split_whitespace();
        let flags = flags.map(|flag| OsStr::new(flag.trim_matches(['\'', '"'])));
        let words = self.command().map_or(&[][..], |(_, words)| words);
        flags.chain(words.iter().map(OsString::as_os_str))
    }

    /// The command, and what follows it.
    fn command(&self) -> Option<(&OsString, &[OsString])> {
        let (_, words) = self.words.split_first()?;
        take_change(words).1.split_first()
    }

    /// One with the command line `line`.
    #[cfg(test)]
    pub fn of(line: &str, flags: &str) -> Self {
        Self {
            words: line.split(' ').map(OsString::from).collect(),
            flags: flags.to_owned(),
            debug: String::new(),
        }
    }
}

/// A flag without its one or two dashes.
fn flag(word: &OsStr) -> Option<&[u8]> {
    let flag = word.as_bytes().strip_prefix(b"-")?;
    Some(flag.strip_prefix(b"-").unwrap_or(flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_taken_where_programs_are_linked_unless_nothing_or_everything_is_done() {
        let takes = |line: &str, flags: &str| Parent::of(line, flags).takes_executables();
        for line in [
            "go build .",
            "/usr/local/go/bin/go install ./...",
            "go -C /src build -o x .",
            "go build -a=false -n=0 -asmflags=-a .",
        ] {
            assert!(takes(line, "-trimpath"), "{line}");
        }
        for line in ["go run .", "go test ./...", "go list -export .", "go", ""] {
            assert!(!takes(line, "-trimpath"), "{line}");
        }
        for flag in ["-a", "--a", "-a=true", "-n", "-n=1"] {
            assert!(!takes(&format!("go build {flag} ."), ""), "{flag}");
            assert!(!takes("go build .", &format!("-trimpath {flag}")), "{flag}");
        }
        assert!(!Parent::of("go build -n .", "").makes_everything_anew());
    }

    #[test]
    fn an_installation_of_goroot_puts_archives() {
        let puts = |line: &str, debug: &str| {
            let debug = debug.to_owned();
            let parent = Parent::of(line, "");
            Parent { debug, ..parent }.puts_an_archive()
        };
        assert!(puts("go install std", "installgoroot=all"));
        assert!(puts("go install ./p", "goindex=0,installgoroot=all"));
        assert!(!puts("go install std", "installgoroot=none"));
        assert!(!puts("go build std", "installgoroot=all"));
    }

    #[test]
    fn only_a_build_whose_output_is_called_an_archive_puts_one() {
        let puts = |line: &str, flags: &str| Parent::of(line, flags).puts_an_archive();
        for line in [
            "go build -o x.a .",
            "/usr/local/go/bin/go build -v --o=/tmp/x.a ./p",
            "go build -o=x.a",
            "go -C /src build -o x.a ./p",
            "go -C=/src build -o x.a ./p",
            "go build -C /src -o x.a ./p",
        ] {
            assert!(puts(line, ""), "{line}");
        }
        for line in [
            "go build -o x .",
            "go build -ldflags=-x.a .",
            "go test -o x.a",
            "go",
            "",
            "go build -o",
            "go build o x.a",
        ] {
            assert!(!puts(line, "-ldflags=-s"), "{line}");
        }
        for flags in ["-trimpath -o=x.a", "'-o=x.a'", "--o=x.a"] {
            assert!(puts("go build ./p", flags), "{flags}");
            assert!(!puts("go vet ./p", flags), "{flags}");
        }
    }
}
