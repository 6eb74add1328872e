//! A go command, as far as its command line and the variables that it reads tell what it is about to do.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use gocache::image_info::TOOLEXEC_PATH;
use rustix::process::{Pid, getppid};

/// Commands that load or build packages, and the one that empties caches. All others, `go env` above all, run as if
/// there were no launcher.
const USE_THE_BUILD_CACHE: [&str; 11] = [
    "build", "clean", "fix", "generate", "get", "install", "list", "run", "test", "tool", "vet",
];

/// Commands that link what the image has executables of: `run` leaves DWARF out, and `test` links something else.
const LINK_PROGRAMS: [&str; 2] = ["build", "install"];

/// How the go command is told to install the packages of GOROOT.
const INSTALL_GOROOT: &str = "installgoroot=all";

/// How a flag without a value is taken back.
const FALSE: [&[u8]; 6] = [b"0", b"f", b"F", b"false", b"FALSE", b"False"];

/// The variable that says how much garbage a process of Go may keep, in per cent of what it needs.
const GARBAGE: &str = "GOGC";

/// Its value for the go command where nobody set one: 800, in digits by which it is known from what somebody would set.
/// A build that hits makes 90 MB in all, and to collect them takes a tenth of its time; the go command takes up to twice the
/// memory, compilers and linkers what they always do.
const MUCH_GARBAGE: &str = "0800";

/// More bytes than a command line has.
const MAX_COMMAND_BYTES: u64 = 4 << 20;

/// A command line of the go command, without its name.
#[derive(Debug, Default)]
pub struct GoCommand {
    /// None where they cannot be read.
    words: Vec<OsString>,
    /// What GOFLAGS adds to them.
    flags: String,
    /// GODEBUG, by which the go command, too, changes what it does.
    debug: String,
}

impl GoCommand {
    /// The one that is given `arguments`, and this process's variables.
    pub fn of(arguments: &[OsString]) -> Self {
        Self {
            words: arguments.to_vec(),
            flags: std::env::var("GOFLAGS").unwrap_or_default(),
            debug: std::env::var("GODEBUG").unwrap_or_default(),
        }
    }

    /// The one that started this process.
    pub fn of_parent() -> Self {
        let mut line = Vec::new();
        let read = getppid().and_then(|parent| {
            let file = File::open(format!("/proc/{}/cmdline", Pid::as_raw_nonzero(parent)));
            let mut file = file.ok()?.take(MAX_COMMAND_BYTES);
            file.read_to_end(&mut line).ok()
        });
        let words = line.split(|byte| *byte == 0).map(OsStr::from_bytes);
        let words = words.skip(1).map(OsStr::to_owned);
        Self::of(&read.map_or_else(Vec::new, |_| words.collect()))
    }

    /// Whether it uses the build cache.
    pub fn uses_the_build_cache(&self) -> bool {
        self.command().is_some_and(|(command, rest)| {
            USE_THE_BUILD_CACHE.iter().any(|name| command == name)
                && !lists_go_modules(command, rest)
        })
    }

    /// The folder that its `-C` names, if it has one: before the name of the command, or as the first flag after it.
    fn change_to(&self) -> Option<PathBuf> {
        let (before, rest) = take_change(&self.words);
        before.or_else(|| take_change(rest.split_first()?.1).0)
    }

    /// The folder that it works in, if this process is about to become it.
    pub fn folder(&self) -> Option<PathBuf> {
        let here = std::env::current_dir().ok()?;
        let folder = match self.change_to() {
            Some(folder) => here.join(folder),
            None => here,
        };
        fs_err::canonicalize(folder).ok()
    }

    /// Whether it starts tools with the image's program of `-toolexec`, without which nothing is found that was made
    /// under it.
    pub fn has_toolexec(&self) -> bool {
        let flags = self.given().filter_map(flag);
        let mut flags = flags.filter_map(|flag| flag.strip_prefix(b"toolexec"));
        let last = flags.next_back();
        last.is_some_and(|value| value.strip_prefix(b"=") == Some(TOOLEXEC_PATH.as_bytes()))
    }

    /// The variable that has it collect less garbage, with the value for it, unless somebody set one. None for commands
    /// that start programs of the user's; of those that are left, [`take_back_garbage`] has tools not see it, and what
    /// else they start (git, a C compiler) makes no garbage.
    pub fn garbage(&self) -> Option<(&'static str, &'static str)> {
        let is_set = std::env::var_os(GARBAGE).is_some_and(|value| value != MUCH_GARBAGE);
        let may = !is_set && self.links_programs() && self.has_toolexec();
        may.then_some((GARBAGE, MUCH_GARBAGE))
    }

    /// Whether it asks its cache for executables that the image may have; with `-n` it only says what it would do.
    pub fn takes_executables(&self) -> bool {
        self.links_programs() && !self.makes_everything_anew() && !self.is_set("n")
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
    fn given(&self) -> impl DoubleEndedIterator<Item = &OsStr> {
        let flags = self.flags.split_whitespace();
        let flags = flags.map(|flag| OsStr::new(flag.trim_matches(['\'', '"'])));
        let words = self.command().map_or(&[][..], |(_, words)| words);
        flags.chain(words.iter().map(OsString::as_os_str))
    }

    fn links_programs(&self) -> bool {
        let command = self.command().map(|(command, _)| command);
        command.is_some_and(|command| LINK_PROGRAMS.iter().any(|name| command == name))
    }

    /// The command, and what follows it.
    fn command(&self) -> Option<(&OsString, &[OsString])> {
        take_change(&self.words).1.split_first()
    }

    /// `go` with the words of `line`.
    #[cfg(test)]
    pub fn of_line(line: &str, flags: &str) -> Self {
        Self {
            words: line.split_whitespace().map(OsString::from).collect(),
            flags: flags.to_owned(),
            debug: String::new(),
        }
    }
}

/// Pulumi's language host asks so for every Go module of a go.mod before it builds; no package is loaded for it.
fn lists_go_modules(command: &OsStr, arguments: &[OsString]) -> bool {
    command == "list" && arguments.iter().any(|it| it == "-m" || it == "--m")
}

/// The folder of a `-C` at the start of `arguments`, and what follows it.
fn take_change(arguments: &[OsString]) -> (Option<PathBuf>, &[OsString]) {
    let Some((first, rest)) = arguments.split_first() else {
        return (None, arguments);
    };
    if first == "-C" || first == "--C" {
        return match rest.split_first() {
            Some((folder, rest)) => (Some(folder.into()), rest),
            None => (None, rest),
        };
    }
    let inline = first.to_str().and_then(|flag| {
        let flag = flag.strip_prefix('-')?;
        flag.strip_prefix('-').unwrap_or(flag).strip_prefix("C=")
    });
    match inline {
        Some(folder) => (Some(folder.into()), rest),
        None => (None, arguments),
    }
}

/// Has `program` not see what a launcher above it set by [`GoCommand::garbage`].
pub fn take_back_garbage(program: &mut Command) {
    if std::env::var_os(GARBAGE).is_some_and(|value| value == MUCH_GARBAGE) {
        program.env_remove(GARBAGE);
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

    fn folder_of(line: &str) -> Option<PathBuf> {
        GoCommand::of_line(line, "").change_to()
    }

    #[test]
    fn commands_that_build_or_load_packages_use_the_build_cache() {
        for line in [
            "build",
            "build -o x .",
            "list -deps .",
            "test ./...",
            "vet",
            "run .",
            "clean -testcache",
            "clean -cache",
        ] {
            assert!(
                GoCommand::of_line(line, "").uses_the_build_cache(),
                "{line}"
            );
        }
    }

    #[test]
    fn all_others_run_as_they_are() {
        for line in [
            "",
            "env",
            "env GOCACHE",
            "version",
            "mod download -json x",
            "list -m -json all",
            "-h",
            "help build",
            "-C",
            "-C build",
            "-C /x env",
        ] {
            assert!(
                !GoCommand::of_line(line, "").uses_the_build_cache(),
                "{line}"
            );
        }
    }

    #[test]
    fn the_folder_is_what_a_leading_flag_names() {
        for line in [
            "-C /x build .",
            "build -C /x .",
            "--C=/x list",
            "run -C=/x .",
        ] {
            assert_eq!(folder_of(line), Some("/x".into()), "{line}");
        }
        assert_eq!(folder_of("build . -C /x"), None);
    }

    #[test]
    fn executables_are_taken_where_programs_are_linked_unless_nothing_or_everything_is_done() {
        let takes = |line: &str, flags: &str| GoCommand::of_line(line, flags).takes_executables();
        for line in [
            "build .",
            "install ./...",
            "-C /src build -o x .",
            "build -a=false -n=0 -asmflags=-a .",
        ] {
            assert!(takes(line, "-trimpath"), "{line}");
        }
        for line in ["run .", "test ./...", "list -export .", ""] {
            assert!(!takes(line, "-trimpath"), "{line}");
        }
        for flag in ["-a", "--a", "-a=true", "-n", "-n=1"] {
            assert!(!takes(&format!("build {flag} ."), ""), "{flag}");
            assert!(!takes("build .", &format!("-trimpath {flag}")), "{flag}");
        }
        assert!(!GoCommand::of_line("build -n .", "").makes_everything_anew());
    }

    #[test]
    fn garbage_is_kept_where_programs_are_linked_by_tools_that_the_images_program_starts() {
        let toolexec = format!("-trimpath -toolexec={TOOLEXEC_PATH}");
        let keeps = |line: &str, flags: &str| GoCommand::of_line(line, flags).garbage().is_some();
        assert!(keeps("build .", &toolexec));
        assert!(keeps("-C /x install -a .", &toolexec));
        assert!(keeps(&format!("build --toolexec={TOOLEXEC_PATH} ."), ""));
        for line in ["run .", "test .", "generate", "tool pprof", "list .", "env"] {
            assert!(!keeps(line, &toolexec), "{line}");
        }
        for flag in ["-toolexec=", "-toolexec=/own", "--toolexec=/own"] {
            assert!(!keeps(&format!("build {flag} ."), &toolexec), "{flag}");
            assert!(!keeps("build .", &format!("{toolexec} {flag}")), "{flag}");
        }
        assert!(!keeps("build -toolexec /own .", &toolexec));
        assert!(!keeps("build .", "-trimpath"));
    }

    #[test]
    fn an_installation_of_goroot_puts_archives() {
        let puts = |line: &str, debug: &str| {
            let debug = debug.to_owned();
            let go = GoCommand::of_line(line, "");
            GoCommand { debug, ..go }.puts_an_archive()
        };
        assert!(puts("install std", "installgoroot=all"));
        assert!(puts("install ./p", "goindex=0,installgoroot=all"));
        assert!(!puts("install std", "installgoroot=none"));
        assert!(!puts("build std", "installgoroot=all"));
    }

    #[test]
    fn only_a_build_whose_output_is_called_an_archive_puts_one() {
        let puts = |line: &str, flags: &str| GoCommand::of_line(line, flags).puts_an_archive();
        for line in [
            "build -o x.a .",
            "build -v --o=/tmp/x.a ./p",
            "build -o=x.a",
            "-C /src build -o x.a ./p",
            "-C=/src build -o x.a ./p",
            "build -C /src -o x.a ./p",
        ] {
            assert!(puts(line, ""), "{line}");
        }
        for line in [
            "build -o x .",
            "build -ldflags=-x.a .",
            "test -o x.a",
            "",
            "build -o",
            "build o x.a",
        ] {
            assert!(!puts(line, "-ldflags=-s"), "{line}");
        }
        for flags in ["-trimpath -o=x.a", "'-o=x.a'", "--o=x.a"] {
            assert!(puts("build ./p", flags), "{flags}");
            assert!(!puts("vet ./p", flags), "{flags}");
        }
    }
}
