//! `cargo xtask bump`: raises what is pinned, and says from which version to which.
//!
//! All is found out before anything is written, and each file is written whole. What fails, a server that cannot be
//! reached or a checksum that is not to be had, leaves its own pin as it was, and no other. `image.toml` keeps its
//! comments. What it comes to is not tried here: `cargo xtask base-image` does that.

mod actions;
mod base;
mod go;
mod tools;

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use anyhow::{Context as _, Result};
use camino::Utf8PathBuf;
use engine::host;
use failure::{corrupt, failed, missed, usage};
use semver::Version;
use toml_edit::DocumentMut;
use xshell::{Shell, cmd};

use crate::commands::image::dockerfiles;
use pipeline::image_toml::ImageToml;
use pipeline::work::files::write_whole;
use pipeline::workspace;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to raise: `go`, `base`, `actions`, or a tool of image.toml, as `pulumi`; with `=VERSION` to that one, up or
    /// down [default: all, to the newest]
    #[arg(value_name = "NAME[=VERSION]")]
    pub pins: Vec<String>,
    /// Change nothing; exit with 3 where something would change
    #[arg(long)]
    pub check: bool,
}

/// A pin, and what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    name: String,
    old: String,
    new: String,
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, old, new } = self;
        if old == new {
            write!(f, "{name} {old}: nothing newer")
        } else {
            write!(f, "{name} {old} → {new}")
        }
    }
}

/// What is pinned: what was read, and what is to be written.
struct Pinned {
    /// `image.toml`.
    image_file: Utf8PathBuf,
    /// Its text, with what was raised so far.
    image: DocumentMut,
    /// Where workflows are.
    workflows: Utf8PathBuf,
    /// Other files that change, with their new text.
    files: BTreeMap<Utf8PathBuf, String>,
    /// With the settings that the go command and git get.
    sh: Shell,
    /// Whether only what would change is of interest.
    check: bool,
}

impl Pinned {
    fn read(image_file: Utf8PathBuf, workflows: Utf8PathBuf, check: bool) -> Result<Self> {
        let text = fs_err::read_to_string(&image_file)?;
        ImageToml::parse(&text).with_context(|| format!("failed to read {image_file}"))?;
        let image = text
            .parse()
            .with_context(|| format!("failed to read {image_file}"))?;
        let sh = Shell::new()?;
        sh.set_var("GOWORK", "off");
        sh.set_var("GOFLAGS", "-mod=mod");
        sh.set_var("GIT_TERMINAL_PROMPT", "0");
        Ok(Self {
            image_file,
            image,
            workflows,
            files: BTreeMap::new(),
            sh,
            check,
        })
    }

    /// `image.toml` as it is to be.
    fn parsed(&self) -> Result<ImageToml> {
        ImageToml::parse(&self.image.to_string())
    }

    /// Raises one pin; what fails leaves all as it was.
    fn raise(&mut self, name: &str, wanted: Option<&str>) -> Result<Vec<Change>> {
        match name {
            "go" => go::raise(self, wanted),
            "base" => base::raise(self, wanted),
            "actions" => actions::raise(self, wanted),
            tool => tools::raise(self, tool, wanted),
        }
    }

    /// The versions that the module proxy knows of a Go module.
    fn versions(&self, module: &str) -> Result<Vec<String>> {
        let listed = host::read(cmd!(self.sh, "go list -m -versions {module}"))
            .with_context(|| format!("failed to list the versions of {module}"))?;
        let versions = listed.split_whitespace().skip(1);
        Ok(versions.map(str::to_owned).collect())
    }

    fn write(&self) -> Result<()> {
        for (file, text) in &self.files {
            write_whole(file, text)?;
        }
        // Last, for it is what leads to the others.
        let image = self.image.to_string();
        if image != fs_err::read_to_string(&self.image_file)? {
            write_whole(&self.image_file, &image)?;
        }
        Ok(())
    }
}

/// The highest of `versions` that is stable, or the one that is `wanted`, which must be among them.
fn choose<'v>(
    name: &str,
    versions: impl Iterator<Item = &'v str>,
    wanted: Option<&str>,
) -> Result<Version> {
    let known: Vec<Version> = versions.filter_map(|it| Version::parse(it).ok()).collect();
    let found = match wanted {
        Some(wanted) => known.iter().find(|it| it.to_string() == wanted),
        None => known.iter().filter(|it| it.pre.is_empty()).max(),
    };
    found.cloned().ok_or_else(|| {
        usage(
            format!(
                "there is no {name} {} to be had",
                wanted.unwrap_or("with a stable version")
            ),
            "name a version in full, as its project tags it, without a `v`",
        )
    })
}

/// The old version or the chosen one: nobody gets an older one who did not ask for it.
fn newer(old: &str, chosen: &Version, wanted: Option<&str>) -> String {
    let is_older = Version::parse(old).is_ok_and(|old| *chosen < old);
    if wanted.is_none() && is_older {
        old.to_owned()
    } else {
        chosen.to_string()
    }
}

/// Raises what `flags` name, and says it.
pub fn run(flags: &Args) -> Result<()> {
    let workflows = workspace::workspace().join(".github/workflows");
    let mut pinned = Pinned::read(workspace::image_toml(), workflows, flags.check)?;
    let (changes, failures) = raise_all(&mut pinned, &flags.pins)?;
    for change in &changes {
        println!("{change}");
    }
    let raised = changes.iter().filter(|it| it.old != it.new).count();
    if !flags.check {
        pinned.write()?;
        dockerfiles::run(&dockerfiles::Args { check: false })?;
    }
    refuse(&failures)?;
    if flags.check && raised > 0 {
        return Err(missed(format!("{raised} of what is pinned may be raised")));
    }
    Ok(())
}

/// Tells all that went wrong at once; what is worst decides on the exit code.
fn refuse(failures: &[anyhow::Error]) -> Result<()> {
    if failures.is_empty() {
        return Ok(());
    }
    let kinds: Vec<_> = failures
        .iter()
        .map(|error| failure::kind(error, &[]))
        .collect();
    let said: Vec<String> = failures.iter().map(failure::text).collect();
    let (said, hint) = (
        said.join("\n"),
        "what else was asked for is done; run the same command again for the rest",
    );
    Err(if kinds.contains(&failure::Kind::Corrupt) {
        corrupt(said, hint)
    } else if kinds.iter().all(|kind| *kind == failure::Kind::Usage) {
        usage(said, hint)
    } else {
        failed(said, hint)
    })
}

fn raise_all(pinned: &mut Pinned, named: &[String]) -> Result<(Vec<Change>, Vec<anyhow::Error>)> {
    let image = pinned.parsed()?;
    let tools = image.tools.keys().map(String::as_str);
    let all: Vec<&str> = ["go"]
        .into_iter()
        .chain(tools)
        .chain(["base", "actions"])
        .collect();
    let mut wanted: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for pin in named {
        let (name, version) = pin
            .split_once('=')
            .map_or((&**pin, None), |(name, version)| (name, Some(version)));
        if !all.contains(&name) {
            return Err(usage(
                format!("nothing called {name:?} is pinned"),
                format!("name {}", all.join(", ")),
            ));
        }
        wanted.insert(name, version);
    }
    let (mut changes, mut failures) = (Vec::new(), Vec::new());
    for name in all {
        let version = match wanted.get(name) {
            Some(version) => *version,
            None if named.is_empty() => None,
            None => continue,
        };
        match pinned.raise(name, version) {
            Ok(raised) => changes.extend(raised),
            Err(error) => failures.push(error.context(format!("{name} stays as it is"))),
        }
    }
    // A release of its own version is a pin of its own.
    for (name, tool) in &pinned.parsed()?.tools {
        let is_asked_for = named.is_empty() || wanted.contains_key(name.as_str());
        let own = tool.release.as_ref().and_then(|it| it.version.as_ref());
        if let (true, Some(_)) = (is_asked_for, own) {
            match tools::raise_release(pinned, name) {
                Ok(raised) => changes.extend(raised),
                Err(error) => {
                    failures.push(error.context(format!("the release of {name} stays as it is")));
                }
            }
        }
    }
    Ok((changes, failures))
}

#[cfg(test)]
mod tests;
