//! `cargo xtask doctor`: what this machine lacks, how it is installed, and what the kept work takes.
//!
//! It only looks: nothing is installed, made or removed. Programs are those that the commands themselves ask for.

use anyhow::Result;
use camino::Utf8Path;
use comfy_table::CellAlignment;
use engine::progress::human_bytes;
use engine::{emulation, host};
use failure::failed;
use nix::unistd::{AccessFlags, access};
use oci::platform::Platform;
use pipeline::foundation::verifier;
use pipeline::preflight::{self, there};
use pipeline::summary::table;
use pipeline::work::{self, stock};
use xshell::{Shell, cmd};

use super::test;

/// The oldest go command that fetches another version of itself.
const OLDEST_GO: (u32, u32) = (1, 21);

/// What the caches and layers of one small provider take, and some room to make them in.
const LEAST_FREE_BYTES: u64 = 10_000_000_000;

/// Settings of the environment that decide what the network looks like.
const NETWORK: [&str; 8] = [
    "GOPROXY",
    "GOSUMDB",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "https_proxy",
    "http_proxy",
];

#[derive(Debug, clap::Args)]
#[command(after_help = "The exit code is 1 if something that `base-image` needs is missing.")]
pub struct Args {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    BaseImage,
    Test,
    Docker,
    Platform,
}

#[derive(Debug)]
struct Check {
    name: String,
    need: Need,
    /// What was found of it, or what to do about its absence.
    found: Result<String, String>,
}

/// Looks, and prints what was found.
pub fn run(_flags: &Args) -> Result<()> {
    let place = work::place()?;
    let checks = checks(&place)?;
    let mut shown = table(&["", "needed by", "found", "to do"]);
    for check in &checks {
        let (found, to_do) = match &check.found {
            Ok(found) => (found.as_str(), ""),
            Err(to_do) => ("no", to_do.as_str()),
        };
        shown.add_row([&check.name, check.need.command(), found, to_do]);
    }
    for column in shown.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Left);
    }
    println!("{shown}");
    for (name, value) in NETWORK
        .iter()
        .filter_map(|it| Some((it, std::env::var(it).ok()?)))
    {
        println!("{name}={}", without_secret(&value));
    }
    println!("\n{}", kept(&place)?);
    let missing: Vec<&str> = checks
        .iter()
        .filter(|check| check.need == Need::BaseImage && check.found.is_err())
        .map(|check| check.name.as_str())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!(
        "`base-image` needs what this machine lacks: {}",
        missing.join(", ")
    );
    Err(failed(message, "do what the table says"))
}

impl Need {
    fn command(self) -> &'static str {
        match self {
            Self::BaseImage => "base-image",
            Self::Test => "test",
            Self::Docker => "--engine docker",
            Self::Platform => "--platform",
        }
    }
}

fn checks(place: &Utf8Path) -> Result<Vec<Check>> {
    let programs = |need, programs: &[(&str, &str)]| -> Vec<Check> {
        let check = |(name, package): &(&str, &str)| program(name, need, &apt_get(package));
        programs.iter().map(check).collect()
    };
    let mut checks = programs(Need::BaseImage, &host::PROGRAMS);
    checks.push(go());
    for name in ["cargo", "rustc"] {
        checks.push(program(name, Need::BaseImage, "https://rustup.rs"));
    }
    checks.extend([namespaces(), writable(place), free(place)?]);
    checks.extend(programs(Need::Test, &test::PROGRAMS));
    checks.push(docker());
    checks.extend(Platform::foreign().flat_map(|it| other(&it)));
    Ok(checks)
}

/// What it takes to make images for another platform than this machine's.
fn other(platform: &Platform) -> [Check; 2] {
    let emulator = if emulation::runs(platform) {
        Ok("emulated".to_owned())
    } else {
        Err(emulation::how(&platform.arch))
    };
    let to_do = |error| {
        let text = failure::text(&error);
        let hint = text.rsplit("hint: ").next();
        hint.unwrap_or_default().to_owned()
    };
    let verifier = verifier::require(platform)
        .map(|()| "a compiler and linker".to_owned())
        .map_err(to_do);
    [("programs", emulator), ("verifier", verifier)].map(|(what, found)| Check {
        name: format!("{platform}: {what}"),
        need: Need::Platform,
        found,
    })
}

/// The command that installs a Debian package.
fn apt_get(package: &str) -> String {
    let sudo = if host::is_root() { "" } else { "sudo " };
    format!("{sudo}apt-get install -y {package}")
}

fn program(name: &str, need: Need, install: &str) -> Check {
    Check {
        name: name.to_owned(),
        need,
        found: match host::find(name) {
            Some(file) => Ok(said(name, &["--version"]).unwrap_or_else(|| file.into_string())),
            None => Err(install.to_owned()),
        },
    }
}

/// The first line that a command prints; none where it fails.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let sh = Shell::new().ok()?;
    let printed = host::read(cmd!(sh, "{program} {arguments...}")).ok()?;
    printed.lines().next().map(str::to_owned)
}

fn go() -> Check {
    let (major, minor) = OLDEST_GO;
    let install = format!("install Go {major}.{minor} or newer: https://go.dev/dl");
    let printed = said("go", &["version"]);
    let is_new_enough = |printed: &String| go_version(printed) >= Some(OLDEST_GO);
    Check {
        name: "go".to_owned(),
        need: Need::BaseImage,
        found: printed.filter(is_new_enough).ok_or(install),
    }
}

/// The version in what `go version` prints.
fn go_version(printed: &str) -> Option<(u32, u32)> {
    let word = printed
        .split_whitespace()
        .find_map(|word| word.strip_prefix("go1."))?;
    let minor: String = word.chars().take_while(char::is_ascii_digit).collect();
    Some((1, minor.parse().ok()?))
}

/// Whether commands can be run in a tree of their own.
fn namespaces() -> Check {
    let by = if host::is_root() {
        "root"
    } else {
        "user namespaces"
    };
    let works = said(host::SANDBOX.0, &["--ro-bind", "/", "/", "echo", by]);
    let to_do = if host::find(host::SANDBOX.0).is_none() {
        format!("install {} first", host::SANDBOX.1)
    } else if host::is_root() {
        "allow this container to mount, or use the Dockerfile".to_owned()
    } else {
        "run as root, or allow user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0 \
         kernel.unprivileged_userns_clone=1, whichever is there"
            .to_owned()
    };
    Check {
        name: "sandbox".to_owned(),
        need: Need::BaseImage,
        found: works.ok_or(to_do),
    }
}

fn writable(place: &Utf8Path) -> Check {
    let folder = there(place);
    let found = if access(folder.as_std_path(), AccessFlags::W_OK).is_ok() {
        Ok(place.to_string())
    } else {
        Err(format!(
            "{folder} is not yours to write to: set XDG_CACHE_HOME"
        ))
    };
    Check {
        name: "kept work".to_owned(),
        need: Need::BaseImage,
        found,
    }
}

fn free(place: &Utf8Path) -> Result<Check> {
    let folder = there(place);
    let free_bytes = preflight::free_bytes(place)?;
    let free = human_bytes(free_bytes);
    let found = if free_bytes >= LEAST_FREE_BYTES {
        Ok(free)
    } else {
        let least = human_bytes(LEAST_FREE_BYTES);
        Err(format!(
            "{free} are free at {folder}, {least} should be: cargo xtask clean"
        ))
    };
    Ok(Check {
        name: "free disk".to_owned(),
        need: Need::BaseImage,
        found,
    })
}

fn docker() -> Check {
    let version = said("docker", &["version", "--format", "{{.Server.Version}}"]);
    Check {
        name: "docker".to_owned(),
        need: Need::Docker,
        found: version.ok_or_else(|| "https://docs.docker.com/engine/install".to_owned()),
    }
}

/// A setting that may hold a password, to be shown.
fn without_secret(value: &str) -> &str {
    if value.contains('@') {
        "(set, with a user)"
    } else {
        value
    }
}

fn kept(place: &Utf8Path) -> Result<String> {
    let stock = stock::list(place)?;
    if stock.is_empty() {
        return Ok(format!("nothing is kept in {place} yet"));
    }
    let mut shown = table(&["kept", "items", "size"]);
    let mut sum = 0;
    for (kind, stock) in stock {
        sum += stock.size_bytes;
        shown.add_row([kind, stock.items.to_string(), human_bytes(stock.size_bytes)]);
    }
    let sum = human_bytes(sum);
    Ok(format!(
        "{shown}\n\n{place} takes {sum}; `cargo xtask clean` removes what is not used any more"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go_are_read() {
        for (printed, expected) in [
            ("go version go1.22.1 linux/amd64", Some((1, 22))),
            ("go version go1.9 linux/arm64", Some((1, 9))),
            ("go version go1.26rc1 linux/amd64", Some((1, 26))),
            ("go version devel +abc linux/amd64", None),
        ] {
            assert_eq!(go_version(printed), expected, "{printed}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(without_secret("http://proxy:3128"), "http://proxy:3128");
        assert!(!without_secret("http://me:secret@proxy:3128").contains("secret"));
    }
}
