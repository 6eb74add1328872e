//! `image.toml`: every version, path, flag and setting of the image, read once and checked.
//!
//! The rest of the program takes these values from here; none of them is repeated in code. What follows from them
//! (the environment of the image, the identity of its caches) is derived here, by pure functions.

mod base;
mod caches;
mod plugins;
#[cfg(test)]
mod tests;
mod tools;
mod values;
pub mod volume;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::Identity;
use gocache::image_info::TOOLEXEC_PATH;
use modules::{Layout, Unusable};
use serde::{Deserialize, Serialize};

pub use self::base::{Base, is_snapshot};
pub use self::caches::{Caches, Common, Executables, Form, Modules, Unloaded};
pub use self::plugins::{Plugins, Providers};
pub use self::tools::{Release, Tool, ToolBuild, ToolSource};
pub use self::volume::Volume;
use failure::usage;
use oci::layer::CompressionSettings;
use oci::platform::Platform;

/// The content of `image.toml`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ImageToml {
    /// What the image says of itself.
    pub image: Image,
    /// The base system.
    pub base: Base,
    /// The user of the `-nonroot` twins.
    pub user: User,
    /// The Go toolchain and the identity of the caches.
    pub go: Go,
    /// The form of the caches.
    #[serde(default)]
    pub caches: Caches,
    /// Where modules are, if not at the usual place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Layout>,
    /// What is compiled once for all providers.
    pub common: Common,
    /// What becomes of Go modules.
    #[serde(default, skip_serializing_if = "Modules::is_default")]
    pub modules: Modules,
    /// Which plugins of Pulumi the image has.
    #[serde(default, skip_serializing_if = "Plugins::is_default")]
    pub plugins: Plugins,
    /// Whose caches are volumes, too. No step before the images depends on it, so no key does.
    #[serde(default, skip_serializing)]
    pub volume: Volume,
    /// Environment beside what `go` and `user` yield.
    pub env: BTreeMap<String, String>,
    /// Folders beside the caches that `runner` may write to.
    pub writable: Writable,
    /// How layers are compressed.
    pub layers: CompressionSettings,
    /// Tools by name.
    pub tools: BTreeMap<String, Tool>,
}

/// `[image]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// `org.opencontainers.image.title`.
    pub title: String,
    /// `org.opencontainers.image.description`.
    pub description: String,
    /// `org.opencontainers.image.licenses`, an SPDX expression.
    pub licenses: String,
    /// Unix time of every file but the entries of the build cache, in seconds.
    pub epoch: u64,
    /// Unix time of the entries of the build cache, in seconds.
    pub cache_entry_time: u64,
}

/// `[user]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name in `/etc/passwd`.
    pub name: String,
    /// User ID, and the ID of the user's own group.
    pub uid: u32,
    /// Home folder.
    pub home: Utf8PathBuf,
}

/// `[go]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Go {
    /// Version without the leading `go`.
    pub version: String,
    /// Where the toolchain is in the image.
    pub goroot: Utf8PathBuf,
    /// The module cache in the image.
    pub gomodcache: Utf8PathBuf,
    /// The build cache in the image.
    pub gocache: Utf8PathBuf,
    /// Level of amd64.
    pub goamd64: String,
    /// Level of arm64.
    pub goarm64: String,
    /// Flags of every build, before those that `dwarf` and `symbols` add.
    pub flags: Vec<String>,
    /// Whether packages are compiled with DWARF.
    pub dwarf: bool,
    /// Whether executables keep their symbol tables.
    pub symbols: bool,
    /// Whether Go modules keep data for their tests, and Go its own tests.
    pub test_data: bool,
}

/// `[writable]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Writable {
    /// Absolute paths.
    pub folders: Vec<Utf8PathBuf>,
}

/// How the names of variables begin that belong to the identity.
const IDENTITY: [&str; 2] = ["GO", "CGO_"];

impl ImageToml {
    /// Reads `path`; an error names the file, what is wrong and where.
    pub fn read(path: &Utf8Path) -> Result<Self> {
        Self::parse(&Self::text(path)?)
            .with_context(|| format!("{path} is not a valid description of an image"))
    }

    /// The text of `path`.
    pub fn text(path: &Utf8Path) -> Result<String> {
        let hint = "name the description of an image, as base-images/iac-runner/image.toml is one";
        fs_err::read_to_string(path).map_err(|error| usage(error.to_string(), hint))
    }

    /// Reads the text of an `image.toml`.
    pub fn parse(text: &str) -> Result<Self> {
        let parsed: Self =
            toml::from_str(text).map_err(|error| usage(error.to_string(), "correct it there"))?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        values::check(&parsed, now.as_secs())?;
        if let Some(name) = parsed
            .env
            .keys()
            .find(|name| IDENTITY.iter().any(|prefix| name.starts_with(prefix)))
        {
            return Err(usage(
                format!("env.{name} is a setting of the go command"),
                "set it in [go]",
            ));
        }
        if parsed.volume.is_wanted() {
            parsed.volume_place()?;
        }
        if let Some(Err(Unusable { reason, hint })) = parsed.source.as_ref().map(Layout::check) {
            return Err(usage(format!("[source] cannot be used: {reason}"), hint));
        }
        parsed.base.check()?;
        for (name, tool) in &parsed.tools {
            tool.check(name)?;
        }
        Ok(parsed)
    }

    /// Whether archives are export-only.
    pub fn is_lean(&self) -> bool {
        self.caches.form == Form::Lean
    }

    /// Whether executables are compressed; without the program of `-toolexec` nobody could unpack them.
    pub fn has_packed_executables(&self) -> bool {
        self.is_lean() && self.caches.executables == Executables::Packed
    }

    /// `GOFLAGS` of every build in the image.
    pub fn goflags(&self) -> String {
        self.goflags_with(TOOLEXEC_PATH)
    }

    /// The same with another program of `-toolexec`.
    pub(crate) fn goflags_with(&self, toolexec: &str) -> String {
        let mut flags = self.go.flags.clone();
        if !self.go.dwarf {
            flags.push("-gcflags=all=-dwarf=false".to_owned());
        }
        if !self.go.symbols {
            flags.push("-ldflags=-s".to_owned());
        }
        if self.is_lean() {
            let flag = format!("-toolexec={toolexec}");
            // The go command splits at spaces, unless a whole flag is quoted.
            let has_space = flag.contains(' ');
            flags.push(if has_space {
                format!("\"{flag}\"")
            } else {
                flag
            });
        }
        flags.join(" ")
    }

    /// The variables of the identity, as both the builds and the image set them.
    pub fn go_env(&self, platform: &Platform) -> BTreeMap<String, String> {
        let level = match platform.arch.as_str() {
            "amd64" => Some(("GOAMD64", &self.go.goamd64)),
            "arm64" => Some(("GOARM64", &self.go.goarm64)),
            _ => None,
        };
        [
            ("CGO_ENABLED", "0"),
            ("GOCACHE", self.go.gocache.as_str()),
            ("GOFLAGS", &self.goflags()),
            ("GOMODCACHE", self.go.gomodcache.as_str()),
            ("GOROOT", self.go.goroot.as_str()),
            ("GOTOOLCHAIN", "local"),
        ]
        .into_iter()
        .chain(level.map(|(name, value)| (name, value.as_str())))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
    }

    /// The time of every entry of the build cache.
    pub fn cache_entry_time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.image.cache_entry_time)
    }

    /// The identity of the caches.
    pub fn identity(&self, platform: &Platform) -> Identity {
        let env = self.go_env(platform);
        let level = ["GOAMD64", "GOARM64"]
            .into_iter()
            .find_map(|name| env.get(name).map(|value| format!("{name}={value}")));
        Identity {
            go_version: format!("go{}", self.go.version),
            goos: platform.os.clone(),
            goarch: platform.arch.clone(),
            goarch_level: level.unwrap_or_default(),
            cgo_enabled: env["CGO_ENABLED"].clone(),
            goflags: self.goflags(),
            goexperiment: String::new(),
            gofips140: "off".to_owned(),
            go_extlink_enabled: String::new(),
            goroot: self.go.goroot.to_string(),
            gomodcache: self.go.gomodcache.to_string(),
            gocache: self.go.gocache.to_string(),
        }
    }
}
