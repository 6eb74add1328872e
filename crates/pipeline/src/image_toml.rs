//! `image.toml`: every version, path, flag and setting of the image, read once and checked.
//!
//! The rest of the program takes these values from here; none of them is repeated in code. What follows from them
//! (the environment of the image, the identity of its caches) is derived here, by pure functions.

pub mod volume;

use oci::layer::CompressionSettings;
use oci::platform::Platform;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::Identity;
use gocache::image_info::TOOLEXEC_PATH;
use modules::Layout;
use serde::{Deserialize, Serialize};

pub use self::volume::Volume;
use failure::usage;

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

/// `[base]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Debian suite.
    pub suite: String,
    /// Package source other than the suite's own; it is the image's, too.
    pub mirror: Option<String>,
    /// The time of a snapshot of Debian's archive, of which the packages are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The server of snapshots, if not Debian's: below it are `debian/<time>` and `debian-security/<time>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<String>,
    /// Packages beside the minimal system.
    pub packages: Vec<String>,
    /// Paths that dpkg does not unpack.
    pub exclude: Vec<String>,
    /// Paths that dpkg unpacks all the same.
    pub include: Vec<String>,
}

impl Base {
    /// Fails for a value that mmdebstrap or dpkg would not take for what it is here: an option, or two settings.
    fn check(&self) -> Result<()> {
        let mirror = self.mirror.iter();
        let words = [&self.suite].into_iter().map(|word| ("suite", word));
        let words = words
            .chain(mirror.map(|word| ("mirror", word)))
            .chain(self.snapshots.iter().map(|word| ("snapshots", word)))
            .chain(self.packages.iter().map(|word| ("packages", word)));
        let is_no_word = |word: &str| {
            word.is_empty()
                || word.starts_with('-')
                || word.contains(|it: char| it.is_whitespace() || it.is_control())
        };
        let excluded = self.exclude.iter().map(|path| ("exclude", path));
        let mut paths = excluded.chain(self.include.iter().map(|path| ("include", path)));
        let is_no_path = |path: &str| path.is_empty() || path.contains(char::is_control);
        let refused = words
            .into_iter()
            .find(|(_, word)| is_no_word(word))
            .map(|found| (found, "write one word that does not begin with `-`"));
        let refused = refused.or_else(|| {
            let found = paths.find(|(_, path)| is_no_path(path))?;
            Some((found, "write one path on one line"))
        });
        if let Some(((name, value), hint)) = refused {
            return Err(usage(format!("base.{name} cannot be {value:?}"), hint));
        }
        match &self.snapshot {
            Some(snapshot) if !is_snapshot(snapshot) => Err(usage(
                format!("base.snapshot cannot be {snapshot:?}"),
                "write a time as \"20260101T000000Z\"",
            )),
            Some(_) if self.mirror.is_some() => Err(usage(
                "base.mirror and base.snapshot exclude each other",
                "name a server of snapshots with base.snapshots",
            )),
            None if self.snapshots.is_some() => Err(usage(
                "base.snapshots has no base.snapshot",
                "add the time of one",
            )),
            _ => Ok(()),
        }
    }
}

/// Whether `text` is the time of a snapshot.
pub fn is_snapshot(text: &str) -> bool {
    jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text)
        .is_ok_and(|time| time.strftime("%Y%m%dT%H%M%SZ").to_string() == text)
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

/// `[caches]`.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Caches {
    /// What the archives of packages hold.
    pub form: Form,
    /// How executables are kept.
    #[serde(default)]
    pub executables: Executables,
}

/// How the image keeps the executables of its programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Executables {
    /// Compressed beside the build cache, where archives are export-only; the program of `-toolexec` unpacks them.
    #[default]
    Packed,
    /// As entries of the build cache.
    Raw,
}

/// What the archives of packages hold in the image's build cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Export data; the object code is beside them, compressed, for links.
    #[default]
    Lean,
    /// Everything.
    Plain,
}

/// `[common]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    /// Import paths, and `std`.
    pub packages: Vec<String>,
}

/// `[modules]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Modules {
    /// What becomes of Go modules that a provider requires and does not load.
    pub unloaded: Unloaded,
}

impl Modules {
    /// Keys are of what is said, and an image that says nothing has the keys of one from before there was a choice.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands on a reference"
    )]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of Go modules that a provider requires and does not load, where one go.mod serves several providers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unloaded {
    /// Their files are in the whole image alone.
    #[default]
    Rest,
    /// Every image has them.
    Keep,
}

/// `[plugins]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Plugins {
    /// Whose plugins are in the image.
    pub bake: Providers,
}

impl Plugins {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// All providers, none or some.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected true, false or a list of providers")]
pub enum Providers {
    /// All, or none.
    All(bool),
    /// These.
    Of(BTreeSet<String>),
}

impl Providers {
    /// Whether `provider` is one of them.
    pub fn has(&self, provider: &str) -> bool {
        match self {
            Self::All(all) => *all,
            Self::Of(providers) => providers.contains(provider),
        }
    }
}

impl Default for Providers {
    fn default() -> Self {
        Self::All(false)
    }
}

/// `[writable]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Writable {
    /// Absolute paths.
    pub folders: Vec<Utf8PathBuf>,
}

/// `[tools.<name>]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Version of the tool, without a leading `v`.
    pub version: String,
    /// Where its executables come from.
    pub source: ToolSource,
    /// Executables built from the Go module proxy.
    #[serde(default)]
    pub build: Vec<ToolBuild>,
    /// The project's release archive.
    pub release: Option<Release>,
    /// What the tool does not do where it is compiled and not taken from the release; for people.
    pub compiled_lacks: Option<String>,
}

/// Where the executables of a tool come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ToolSource {
    /// The release, or compiled where its server cannot be reached.
    Auto,
    /// Compiled from Go modules.
    ModuleProxy,
    /// Unpacked from the project's release archive.
    Release,
}

impl Tool {
    /// Fails for a source of which nothing is said.
    fn check(&self, name: &str) -> Result<()> {
        let needs_build = matches!(self.source, ToolSource::Auto | ToolSource::ModuleProxy);
        let needs_release = matches!(self.source, ToolSource::Auto | ToolSource::Release);
        let missing = match (self.build.is_empty(), &self.release) {
            (true, _) if needs_build => format!("[[tools.{name}.build]]"),
            (_, None) if needs_release => format!("[tools.{name}.release]"),
            _ => return Ok(()),
        };
        Err(usage(
            format!("tools.{name} has no {missing}, which its source takes"),
            "add it, or name another source",
        ))
    }
}

/// One executable, built from the Go module proxy.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ToolBuild {
    /// Name of the executable.
    pub binary: String,
    /// Folder of the go.mod that pins it, relative to `image.toml`.
    pub folder: Utf8PathBuf,
    /// Go module that holds the package.
    pub module: String,
    /// Import path of its main package.
    pub package: String,
    /// Version of `module` where it is not the tool's, without a leading `v`.
    pub version: Option<String>,
    /// Flags of the linker; `{version}` stands for the version.
    pub ldflags: String,
    /// Whether it takes as flags what newer releases read from `runtime.options` of a project's Pulumi.yaml. The
    /// verifier then stands in its place, and hands on what it finds there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub options_by_flags: bool,
}

/// A release archive (`.tar.gz`) of a tool.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Version of the release where it is not the tool's, without a leading `v`.
    pub version: Option<String>,
    /// Address of the archive; `{version}`, `{os}` and `{arch}` are replaced.
    pub url: String,
    /// Address of the project's list of SHA-256 sums, by which `sha256` is renewed; of no other use.
    #[serde(default, skip_serializing)]
    pub checksums: Option<String>,
    /// What the project calls an architecture, where it is not what Go calls it.
    #[serde(default)]
    pub arch: BTreeMap<String, String>,
    /// Executables to take from the archive, by file name, wherever in it they are.
    pub binaries: Vec<String>,
    /// SHA-256 of the archive in hex, by platform (`linux/amd64`).
    pub sha256: BTreeMap<String, String>,
}

/// How the names of variables begin that belong to the identity.
const IDENTITY: [&str; 2] = ["GO", "CGO_"];

impl ImageToml {
    /// Reads `path`; an error names the file, what is wrong and where.
    pub fn read(path: &Utf8Path) -> Result<Self> {
        let text = fs_err::read_to_string(path).map_err(|error| {
            let hint =
                "name the description of an image, as base-images/iac-runner/image.toml is one";
            usage(error.to_string(), hint)
        })?;
        Self::parse(&text).with_context(|| format!("{path} is not a valid description of an image"))
    }

    /// Reads the text of an `image.toml`.
    pub fn parse(text: &str) -> Result<Self> {
        let parsed: Self =
            toml::from_str(text).map_err(|error| usage(error.to_string(), "correct it there"))?;
        for path in [
            &parsed.go.goroot,
            &parsed.go.gomodcache,
            &parsed.go.gocache,
            &parsed.user.home,
        ]
        .into_iter()
        .chain(&parsed.writable.folders)
        {
            if !path.is_absolute() {
                return Err(usage(
                    format!("`{path}` is no absolute path of the image"),
                    "write a path that begins with /",
                ));
            }
        }
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
        parsed.base.check()?;
        for (name, tool) in &parsed.tools {
            tool.check(name)?;
        }
        if parsed.image.cache_entry_time >= i32::MAX as u64 {
            return Err(usage(
                "image.cache_entry_time does not fit into 32 bits",
                "name a time before 2038-01-19T03:14:07Z",
            ));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> String {
        let path = crate::workspace::image_toml();
        fs_err::read_to_string(path).unwrap()
    }

    #[test]
    fn dwarf_and_symbols_are_switches_of_goflags() {
        let mut image = ImageToml::parse(&shipped()).unwrap();
        assert_eq!(
            image.goflags(),
            "-trimpath -buildvcs=false -gcflags=all=-dwarf=false -ldflags=-s -toolexec=/usr/local/lib/iac-runner/toolexec"
        );
        image.caches.form = Form::Plain;
        assert!(!image.goflags().contains("-toolexec"));
        image.go.dwarf = true;
        image.go.symbols = true;
        assert_eq!(image.goflags(), "-trimpath -buildvcs=false");
    }

    #[test]
    fn the_platform_decides_the_level() {
        let image = ImageToml::parse(&shipped()).unwrap();
        let arm = Platform {
            os: "linux".into(),
            arch: "arm64".into(),
        };
        assert_eq!(image.identity(&arm).goarch_level, "GOARM64=v8.0");
        assert!(!image.go_env(&arm).contains_key("GOAMD64"));
    }

    #[test]
    fn a_value_of_the_base_system_is_neither_an_option_nor_two_settings() {
        let base = |suite: &str, mirror: &str, package: &str, path: &str| Base {
            suite: suite.to_owned(),
            mirror: Some(mirror.to_owned()),
            snapshot: None,
            snapshots: None,
            packages: vec![package.to_owned()],
            exclude: Vec::new(),
            include: vec![path.to_owned()],
        };
        let good = [
            "trixie",
            "https://mirror.example/debian",
            "git",
            "/usr/share/a b/*",
        ];
        let of = |[suite, mirror, package, path]: [&str; 4]| base(suite, mirror, package, path);
        of(good).check().unwrap();
        for bad in ["", "-", "--setup-hook=sh", "a b", "a\nb", "a\tb"] {
            for field in 0..3 {
                let mut values = good;
                values[field] = bad;
                let error = of(values).check().unwrap_err();
                assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage, "{bad:?}");
            }
        }
        for bad in ["", "/usr/*\npre-invoke=sh"] {
            let error = of([good[0], good[1], good[2], bad]).check().unwrap_err();
            assert!(failure::text(&error).contains("include"), "{error:#}");
        }
        let text = shipped().replace("suite = \"", "suite = \"--version ");
        assert!(failure::text(&ImageToml::parse(&text).unwrap_err()).contains("suite"));
    }

    #[test]
    fn a_snapshot_is_a_time_and_no_mirror() {
        let with = |lines: &str| {
            ImageToml::parse(&shipped().replacen(
                "\npackages =",
                &format!("\n{lines}\npackages ="),
                1,
            ))
        };
        let snapshot = "snapshot = \"20260101T000000Z\"";
        let server = "snapshots = \"https://mirror.example\"";
        for good in [snapshot, &format!("{snapshot}\n{server}")] {
            let base = with(good).unwrap().base;
            assert_eq!(base.snapshot.as_deref(), Some("20260101T000000Z"));
        }
        for (bad, said) in [
            ("snapshot = \"2026-01-01\"", "20260101T000000Z"),
            ("snapshot = \"20261301T000000Z\"", "20260101T000000Z"),
            ("snapshot = \"20260101T000000Z/../..\"", "20260101T000000Z"),
            (server, "no base.snapshot"),
            (
                &format!("{snapshot}\nmirror = \"http://x\""),
                "exclude each other",
            ),
        ] {
            let error = with(bad).unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage, "{bad}");
            assert!(failure::text(&error).contains(said), "{error:#}");
        }
    }

    #[test]
    fn what_becomes_of_go_modules_that_nothing_loads_is_one_of_two_words() {
        let with = |value: &str| {
            let text = shipped().replace("unloaded = \"rest\"", &format!("unloaded = {value}"));
            ImageToml::parse(&text)
        };
        let default = ImageToml::parse(&shipped().replace("[modules]\nunloaded = \"rest\"\n", ""));
        assert_eq!(default.unwrap().modules.unloaded, Unloaded::Rest);
        assert_eq!(with("\"keep\"").unwrap().modules.unloaded, Unloaded::Keep);
        for wrong in ["\"drop\"", "false", "\"\""] {
            let error = with(wrong).unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
            let said = failure::text(&error);
            assert!(
                said.contains("unloaded") && said.contains("correct it"),
                "{said}"
            );
        }
        let said = failure::text(&with("\"drop\"").unwrap_err());
        assert!(said.contains("expected `rest` or `keep`"), "{said}");
    }

    #[test]
    fn plugins_of_none_of_all_or_of_some_are_in_the_image() {
        let with = |value: &str| {
            let text = shipped().replace("bake = false", &format!("bake = {value}"));
            ImageToml::parse(&text)
        };
        let none = ImageToml::parse(&shipped()).unwrap();
        let unsaid = ImageToml::parse(&shipped().replace("[plugins]\nbake = false\n", ""));
        assert_eq!(unsaid.unwrap().plugins, none.plugins);
        for (value, aws, civo) in [
            ("false", false, false),
            ("true", true, true),
            ("[]", false, false),
            ("[\"civo\"]", false, true),
        ] {
            let bake = with(value).unwrap().plugins.bake;
            assert_eq!((bake.has("aws"), bake.has("civo")), (aws, civo), "{value}");
        }
        let said = failure::text(&with("\"aws\"").unwrap_err());
        assert!(
            said.contains("expected true, false or a list of providers"),
            "{said}"
        );
    }

    #[test]
    fn an_unknown_key_and_a_relative_path_are_refused() {
        let unknown = shipped().replace("suite =", "suit =");
        assert!(
            ImageToml::parse(&unknown)
                .unwrap_err()
                .to_string()
                .contains("suit")
        );
        let relative = shipped().replace("\"/var/cache/go-mod\"", "\"var/cache/go-mod\"");
        assert!(
            ImageToml::parse(&relative)
                .unwrap_err()
                .to_string()
                .contains("absolute")
        );
        let go = shipped().replace("[env]", "[env]\nGOEXPERIMENT = \"x\"");
        assert!(
            ImageToml::parse(&go)
                .unwrap_err()
                .to_string()
                .contains("GOEXPERIMENT")
        );
        let late = shipped().replace(
            "cache_entry_time = 2114380800",
            "cache_entry_time = 2147483647",
        );
        assert!(failure::text(&ImageToml::parse(&late).unwrap_err()).contains("2038"));
    }
}
