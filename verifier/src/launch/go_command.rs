//! What of a go command line matters before it starts: whether it uses the build cache, and in which folder.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Commands that load or build packages, and the one that empties caches. All others, `go env` above all, run as if
/// there were no launcher.
const USE_THE_BUILD_CACHE: [&str; 11] = [
    "build", "clean", "fix", "generate", "get", "install", "list", "run", "test", "tool", "vet",
];

/// A go command that uses the build cache.
#[derive(Debug, PartialEq, Eq)]
pub struct GoCommand {
    /// The value of its `-C`, if it has one.
    change_to: Option<PathBuf>,
}

impl GoCommand {
    /// What `arguments` come to, if that uses the build cache.
    pub fn of(arguments: &[OsString]) -> Option<Self> {
        // The go command takes -C before the name of the command, or as the first flag after it.
        let (before, rest) = take_change(arguments);
        let (command, rest) = rest.split_first()?;
        if !USE_THE_BUILD_CACHE.iter().any(|name| command == name)
            || lists_go_modules(command, rest)
        {
            return None;
        }
        let change_to = before.or_else(|| take_change(rest).0);
        Some(Self { change_to })
    }

    /// The folder that it works in.
    pub fn folder(&self) -> Option<PathBuf> {
        let here = std::env::current_dir().ok()?;
        let folder = match &self.change_to {
            Some(folder) => here.join(folder),
            None => here,
        };
        fs_err::canonicalize(folder).ok()
    }
}

/// Pulumi's language host asks so for every Go module of a go.mod before it builds; no package is loaded for it.
fn lists_go_modules(command: &OsStr, arguments: &[OsString]) -> bool {
    command == "list" && arguments.iter().any(|it| it == "-m" || it == "--m")
}

/// The folder of a `-C` at the start of `arguments`, and what follows it.
pub fn take_change(arguments: &[OsString]) -> (Option<PathBuf>, &[OsString]) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Option<GoCommand> {
        let arguments: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        GoCommand::of(&arguments)
    }

    fn folder_of(line: &str) -> Option<PathBuf> {
        of(line).unwrap().change_to
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
            assert_eq!(folder_of(line), None, "{line}");
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
            assert_eq!(of(line), None, "{line}");
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
}
