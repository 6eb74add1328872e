//! `[tools.<name>]`: what comes with the image beside Go, and where it comes from.

use std::collections::BTreeMap;

use anyhow::Result;
use camino::Utf8PathBuf;
use failure::usage;
use serde::{Deserialize, Serialize};

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
    pub(super) fn check(&self, name: &str) -> Result<()> {
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
