//! What is said where the folder for temporary files is mounted so that no program may run from it.
//!
//! Pulumi compiles programs to there, and so does `go run`, and what they then say of it is a line about a permission.
//! Builds work, and programs that are built already: nothing is said of those, and nothing is stopped.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use camino::{Utf8Path, Utf8PathBuf};
use modules::project::Project;
use rustix::fs::StatVfsMountFlags;

/// Commands of Pulumi that run the program of a project, by all of their names.
const RUN_A_PROGRAM: [&str; 5] = ["preview", "pre", "up", "update", "watch"];

/// The flag by which others do.
const RUN_PROGRAM: &str = "--run-program";

/// `folder`, if it is mounted so that no program may run from it.
fn noexec(folder: PathBuf) -> Option<Utf8PathBuf> {
    let folder = Utf8PathBuf::from_path_buf(folder).ok()?;
    // One that cannot be asked is no news: whatever needs it says so.
    let mount = rustix::fs::statvfs(folder.as_std_path()).ok()?;
    let is_noexec = mount.f_flag.contains(StatVfsMountFlags::NOEXEC);
    is_noexec.then_some(folder)
}

/// The folder for temporary files, if no program may run from it.
pub fn tmpdir() -> Option<Utf8PathBuf> {
    noexec(std::env::temp_dir())
}

/// What is to be said before the program `name` starts with `arguments`, if that will not run what it compiles.
pub(super) fn warning(name: &OsStr, arguments: &[OsString]) -> Option<String> {
    let (folder, variable) = match name.to_str()? {
        "pulumi" => (tmpdir()?, "TMPDIR"),
        "go" => match std::env::var_os("GOTMPDIR").filter(|it| !it.is_empty()) {
            Some(folder) => (noexec(folder.into())?, "GOTMPDIR"),
            None => (tmpdir()?, "TMPDIR"),
        },
        _ => return None,
    };
    let runs = match name.to_str()? {
        "pulumi" => runs_what_it_compiles(arguments),
        _ => arguments.iter().any(|it| it == "run" || it == "test"),
    };
    runs.then(|| text(name, &folder, variable))
}

fn text(name: &OsStr, folder: &Utf8Path, variable: &str) -> String {
    format!(
        "{}: warning: no program may run from {folder} (noexec), to which the one of this folder is compiled; set \
         {variable} to a folder from which programs may run",
        name.display()
    )
}

/// Whether this command line of Pulumi compiles a program and runs it: one of Go that is not built already.
fn runs_what_it_compiles(arguments: &[OsString]) -> bool {
    let runs = |argument: &OsString| {
        let text = argument.to_str().unwrap_or_default();
        RUN_A_PROGRAM.contains(&text) || text.starts_with(RUN_PROGRAM)
    };
    let project = || Project::around(&folder_of(arguments)?).ok().flatten();
    arguments.iter().any(runs)
        && project().is_some_and(|it| it.is_go() && it.runtime_options().binary.is_none())
}

/// The folder that Pulumi works in, by its full path, as the project may be further up.
fn folder_of(arguments: &[OsString]) -> Option<PathBuf> {
    let words = arguments.iter().filter_map(|word| word.to_str());
    let mut folder = None;
    let mut is_value = false;
    for word in words {
        if is_value {
            folder = Some(word);
        }
        is_value = word == "-C" || word == "--cwd";
        folder = word.strip_prefix("--cwd=").or(folder);
    }
    std::path::absolute(folder.unwrap_or(".")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_folder::tests::Folder;

    #[test]
    fn only_what_is_compiled_and_run_is_told_of() {
        let folder = Folder::new();
        for (name, text) in [
            ("go", "name: a\nruntime: go\n"),
            (
                "built",
                "name: a\nruntime: {name: go, options: {binary: x}}\n",
            ),
            ("nodejs", "name: a\nruntime: nodejs\n"),
        ] {
            fs_err::create_dir_all(folder.path(name).join("below")).unwrap();
            fs_err::write(folder.path(name).join("Pulumi.yaml"), text).unwrap();
        }
        let runs = |line: &str, name: &str| {
            let place = folder.path(name).into_string();
            let line = line.replace("DIR", &place);
            let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            runs_what_it_compiles(&arguments)
        };
        for line in [
            "-C DIR/below preview",
            "up --yes --cwd DIR",
            "--cwd=DIR destroy --run-program",
            "refresh -C DIR --run-program=true",
        ] {
            assert!(runs(line, "go"), "{line}");
            for other in ["built", "nodejs"] {
                assert!(!runs(line, other), "{line} in {other}");
            }
        }
        assert_eq!(folder_of(&[]), std::env::current_dir().ok());
        for line in ["-C DIR stack init up2", "-C DIR destroy", "version"] {
            assert!(!runs(line, "go"), "{line}");
        }
    }
}
