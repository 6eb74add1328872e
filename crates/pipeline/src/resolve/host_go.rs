//! The image's go command, run on this machine to fetch Go modules: with the credentials that a fetch by hand has.
//!
//! What tells a private repository who asks is the whole of a user's setup: `.netrc`, git's configuration with whatever
//! it includes and the helpers that it names, an SSH agent, `GOAUTH`. Those are programs of this machine, which no
//! image's tree can run. So the fetch alone is no command of a sandbox. It runs nothing that it fetches and nothing of
//! the source, sees of the source its go.mod, go.sum and go.work files, and writes to the module cache; in all this it
//! is `go mod download` in a terminal. What stands in its environment and files stays there: URLs in what it says lose
//! their user and password, and what git notes of an address it came from is removed from the module cache.

use std::process::Output;

use anyhow::Result;
use camino::Utf8Path;
use engine::host;
use engine::sandbox::Done;
use failure::usage;
use xshell::{Shell, cmd};

use crate::resolve::go_settings::{GO_FETCH_VARIABLES, GoSettings};

/// Settings of the go command that have no part in a fetch, or that it is given here.
const NOT_TAKEN_OVER: [&str; 12] = [
    "GO111MODULE",
    "GOAMD64",
    "GOARCH",
    "GOARM64",
    "GOBIN",
    "GODEBUG",
    "GOEXPERIMENT",
    "GOFLAGS",
    "GOOS",
    "GOTMPDIR",
    "GOWORK",
    "PWD",
];

/// Where a fetch is run, and where it puts things.
pub struct HostGo<'a> {
    /// The distribution.
    pub goroot: &'a Utf8Path,
    /// The module cache.
    pub module_cache: &'a Utf8Path,
    /// A folder for the build cache, which goes with the fetch.
    pub scratch: &'a Utf8Path,
    /// Copies of the files that decide what is fetched.
    pub folder: &'a Utf8Path,
}

impl HostGo<'_> {
    /// Runs `go` with these arguments to its end, however that is.
    pub fn run(&self, arguments: &[&str]) -> Result<Done> {
        let sh = Shell::new()?;
        sh.change_dir(self.folder);
        let go = self.goroot.join("bin/go");
        if !go.is_file() {
            return Err(usage(
                format!("{go} is not there"),
                "run the command again; what is kept of Go was removed meanwhile",
            ));
        }
        let mut command = cmd!(sh, "{go} {arguments...}");
        for name in NOT_TAKEN_OVER {
            command = command.env_remove(name);
        }
        let settings = GoSettings::read();
        for name in GO_FETCH_VARIABLES {
            if let Some(value) = settings.value(name) {
                command = command.env(name, value);
            }
        }
        let command = command
            .env("GOENV", "off")
            .env("GOROOT", self.goroot)
            .env("GOTOOLCHAIN", "local")
            .env("CGO_ENABLED", "0")
            .env("GOMODCACHE", self.module_cache)
            .env("GOCACHE", self.scratch.join("go-build"))
            // Where the state of the checksum database would be written to.
            .env("GOPATH", self.scratch.join("go-path"))
            // Vendored packages are compiled from `vendor`, but Pulumi asks for the Go modules all the same.
            .env("GOFLAGS", "-mod=readonly")
            .env("GODEBUG", "goindex=0");
        let output = host::output(command);
        forget_addresses(self.module_cache)?;
        let Output {
            status,
            stdout,
            stderr,
        } = output?;
        Ok(Done {
            status,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })
    }
}

/// Removes what git notes of where it fetched from last: with `insteadOf`, an address of the user's configuration. The
/// go command does not read it.
fn forget_addresses(module_cache: &Utf8Path) -> Result<()> {
    let repositories = module_cache.join("cache/vcs");
    if !repositories.is_dir() {
        return Ok(());
    }
    for repository in fs_err::read_dir(&repositories)? {
        match fs_err::remove_file(repository?.path().join("FETCH_HEAD")) {
            Err(error)
                if !matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                return Err(error.into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// The text, URLs in it without user and password.
pub fn without_credentials(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        shown += before;
        shown += "://";
        let end = after
            .find(|it: char| it.is_whitespace() || "/?#\"'`<>|,".contains(it))
            .unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(at) => &after[at + 1..],
            None => after,
        };
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_who_asks() {
        for (text, shown) in [
            (
                "Get \"https://user:secret@proxy.example/x\": no",
                "Get \"https://proxy.example/x\": no",
            ),
            (
                "https://a:b@c@host/x, https://t@host?q and ssh://git@host/x@v1",
                "https://host/x, https://host?q and ssh://host/x@v1",
            ),
            ("https://host/x@v1.0.0: a@b", "https://host/x@v1.0.0: a@b"),
            ("none", "none"),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }
}
