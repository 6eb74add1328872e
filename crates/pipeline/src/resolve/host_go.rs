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

/// What the go command said, URLs in it without user and password, and of the addresses of module proxies nothing but
/// the host: a token may be its user, in its path or in its query, and the go command quotes parts of it.
pub fn without_credentials(text: &str) -> String {
    let settings = GoSettings::read();
    let proxies = settings.value("GOPROXY").unwrap_or_default();
    without_users(&without_proxies(text, &proxies))
}

/// The address of a module proxy as it may be shown.
pub fn shown_proxy(address: &str) -> String {
    without_users(&without_proxies(address, address))
}

/// What is left of a secret.
const HIDDEN: &str = "…";

/// Parts of an address this short are no secret, but may be part of any word.
const SHORTEST_SECRET: usize = 3;

/// The text, the addresses of `proxies` in it reduced to their hosts.
fn without_proxies(text: &str, proxies: &str) -> String {
    let mut shown = text.to_owned();
    for proxy in proxies.split([',', '|']).map(str::trim) {
        let Some((scheme, rest)) = proxy.split_once("://") else {
            continue;
        };
        if scheme == "file" {
            continue;
        }
        // Written without escapes, a password may hold what ends one.
        let (user, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        let end = place.find(['/', '?', '#']).unwrap_or(place.len());
        let (host, path) = place.split_at(end);
        if user.is_empty() && path.trim_matches('/').is_empty() {
            continue;
        }
        let path = path.trim_end_matches('/');
        let whole = proxy.trim_end_matches('/');
        shown = shown.replace(whole, &format!("{scheme}://{host}"));
        let mut parts: Vec<&str> = [user, path].into_iter().collect();
        parts.extend(user.split([':', '/', '?', '#', '@', ' ', '%']));
        parts.extend(path.split(['?', '#', '&', '=']).skip(1));
        // The longest first, of which others may be a part.
        parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
        for part in parts.into_iter().filter(|it| it.len() >= SHORTEST_SECRET) {
            shown = shown.replace(part, HIDDEN);
        }
    }
    shown
}

/// The text, URLs in it without user and password.
fn without_users(text: &str) -> String {
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
            assert_eq!(without_users(text), shown);
        }
    }

    #[test]
    fn of_a_proxys_address_only_the_host_is_shown() {
        for (proxy, said) in [
            (
                "http://me:TOPSECRET/x@127.0.0.1:9/x",
                "parse \"http://me:TOPSECRET/x@127.0.0.1:9/x/m/@v/list\": invalid port \":TOPSECRET\" after host",
            ),
            (
                "http://me:TOP SECRET@127.0.0.1:9/x",
                "parse \"http://me:TOP SECRET@127.0.0.1:9/x\": net/url: invalid userinfo",
            ),
            (
                "https://proxy.example/x?token=TOPSECRET2,direct",
                "Get \"https://proxy.example/x/m/@v/list?token=TOPSECRET2\": no",
            ),
            (
                "off|https://proxy.example/TOPSECRET/x/",
                "reading https://proxy.example/TOPSECRET/x/m/@v/v1.0.0.info: 404",
            ),
            (
                "https://user%40corp:TOPSECRET%2F@proxy.example",
                "Get \"https://user%40corp:TOPSECRET%2F@proxy.example/m/@v/list\": no",
            ),
        ] {
            let shown = without_users(&without_proxies(said, proxy));
            for secret in ["TOP", "SECRET", "corp"] {
                assert!(!shown.contains(secret), "{proxy}: {shown}");
            }
        }
        let plain = "reading https://proxy.example/m/@v/v1.0.0.info: 404";
        assert_eq!(
            without_proxies(plain, "https://proxy.example,direct"),
            plain
        );
        assert_eq!(without_proxies(plain, "direct"), plain);
    }
}
