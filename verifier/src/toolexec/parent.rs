//! The go command that started this process, as far as its command line tells what it is about to do.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::process::{Pid, getppid};

use crate::launch::go_command::take_change;

/// Commands that make executables, and do more than compile or list.
const MAKE_EXECUTABLES: [&str; 3] = ["build", "install", "run"];

/// More bytes than a command line has.
const MAX_COMMAND_BYTES: u64 = 4 << 20;

/// Its command line.
#[derive(Debug, Default)]
pub struct Parent {
    /// None where they cannot be read.
    words: Vec<OsString>,
    /// What GOFLAGS adds to them.
    flags: String,
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
        }
    }

    /// Whether it makes executables.
    pub fn makes_executables(&self) -> bool {
        self.command()
            .is_some_and(|(command, _)| MAKE_EXECUTABLES.iter().any(|name| command == name))
    }

    /// Whether it makes an archive: its name says so, as nothing else does before it is made.
    pub fn puts_an_archive(&self) -> bool {
        let Some((_, words)) = self.command().filter(|(command, _)| *command == "build") else {
            return false;
        };
        let is_archive = |file: &OsStr| Path::new(file).extension() == Some(OsStr::new("a"));
        let flags = self.flags.split_whitespace();
        let flags = flags.map(|flag| OsStr::new(flag.trim_matches(['\'', '"'])));
        let mut words = flags
            .chain(words.iter().map(OsString::as_os_str))
            .peekable();
        while let Some(word) = words.next() {
            let flag = word.as_bytes();
            let flag = flag.strip_prefix(b"-").unwrap_or_default();
            let flag = flag.strip_prefix(b"-").unwrap_or(flag);
            let file = match flag {
                b"o" => words.peek().copied(),
                _ => flag.strip_prefix(b"o=").map(OsStr::from_bytes),
            };
            if file.is_some_and(is_archive) {
                return true;
            }
        }
        false
    }

    /// The command, and what follows it.
    fn command(&self) -> Option<(&OsString, &[OsString])> {
        let (_, words) = self.words.split_first()?;
        take_change(words).1.split_first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_build_whose_output_is_called_an_archive_puts_one() {
        let puts = |line: &str, flags: &str| {
            let parent = Parent {
                words: line.split(' ').map(OsString::from).collect(),
                flags: flags.to_owned(),
            };
            parent.puts_an_archive()
        };
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
