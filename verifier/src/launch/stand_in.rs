//! What stands in for the go command in an image that has none, for Pulumi alone.
//!
//! Pulumi's language host asks for the version of Go and for the go.mod around a program before it runs anything, also
//! what is built already, and ends where there is nobody to ask. So the launcher of Pulumi puts a folder at the end of
//! its PATH in which the verifier is called `go`. It says which version the programs were built with, and that there is
//! no go.mod; to build it refuses.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use camino::Utf8Path;
use gocache::Identity;
use gocache::image_info::STAND_IN_GO_PATH;

use crate::info;

/// What the programs of this image were built with; none where it has Go, be it on PATH or not, and where it is no image
/// of ours.
fn built_with() -> Option<Identity> {
    if !Path::new(STAND_IN_GO_PATH).exists() {
        return None;
    }
    let (image, _) = info::read(Utf8Path::new("/")).ok()?;
    let has_go = Path::new(&image.identity.goroot).exists();
    (!has_go).then_some(image.identity)
}

/// `path` with the folder at its end; none where nothing is to stand in.
pub fn on_path(path: &OsStr) -> Option<OsString> {
    let folder = Path::new(STAND_IN_GO_PATH).parent()?;
    built_with()?;
    let folders = std::env::split_paths(path).chain([folder.to_owned()]);
    std::env::join_paths(folders).ok()
}

/// Answers the command line of a go command; none where nothing is to stand in.
pub fn answer(arguments: &[OsString]) -> Option<ExitCode> {
    let built_with = built_with()?;
    if let Some(said) = said(arguments, &built_with) {
        print!("{said}");
        return Some(ExitCode::SUCCESS);
    }
    eprintln!(
        "go: this image runs programs that are built already, and has no Go to build others with; take the image of a \
         provider"
    );
    Some(ExitCode::FAILURE)
}

/// What a go command would say that is asked what needs no Go.
fn said(arguments: &[OsString], built_with: &Identity) -> Option<String> {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    match words[..] {
        ["version"] => Some(format!(
            "go version {} {}/{}\n",
            built_with.go_version, built_with.goos, built_with.goarch
        )),
        // Outside of any Go module there is none.
        ["list", "-m", "-f", "{{.GoMod}}"] => Some(String::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_language_host_asks_before_it_runs_is_answered() {
        let env = include_str!("../../../crates/gocache/tests/fixtures/go-env.json");
        let env = serde_json::from_str(env).unwrap();
        let identity = Identity::from_go_env(&env).unwrap();
        let ask = |words: &str| {
            let words: Vec<OsString> = words.split(' ').map(OsString::from).collect();
            said(&words, &identity)
        };
        let version = ask("version").unwrap();
        let words: Vec<&str> = version.split_whitespace().collect();
        assert_eq!(words[..2], ["go", "version"]);
        assert!(words[2].starts_with("go1."), "{version}");
        assert!(words[3].starts_with("linux/"), "{version}");
        assert_eq!(ask("list -m -f {{.GoMod}}").as_deref(), Some(""));
        for refused in ["build -o x .", "version -m x", "run .", "list -m -json all"] {
            assert_eq!(ask(refused), None, "{refused}");
        }
    }
}
