//! The JSON of `go list` and `go mod download`, as far as it is read here.

use anyhow::{Context as _, Result};
use camino::Utf8PathBuf;
use gocache::GoModule;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::resolve::host_go::without_credentials;
use crate::resolve::requirements::Required;

/// What `go mod download -json` prints of a Go module.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Download {
    path: String,
    #[serde(default)]
    version: String,
    sum: Option<String>,
    error: Option<String>,
}

impl Download {
    /// Why it was not fetched, if it was not.
    pub fn failure(&self) -> Option<Failure> {
        let Self { path, version, .. } = self;
        self.error.as_ref().map(|said| Failure {
            name: format!("{path}@{version}"),
            said: without_credentials(said),
        })
    }

    /// The Go module with the hash that its download was checked against.
    pub fn required(self) -> Result<Required> {
        let Self {
            path, version, sum, ..
        } = self;
        let sum =
            sum.with_context(|| format!("the go command names no hash for {path}@{version}"))?;
        Ok(Required {
            module: GoModule { path, version },
            sum,
        })
    }
}

/// A Go module that was not fetched.
pub struct Failure {
    /// Path and version.
    pub name: String,
    /// As the go command says it.
    pub said: String,
}

/// The Go module of a package.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedModule {
    path: String,
    version: Option<String>,
    go_version: Option<String>,
    replace: Option<Box<ListedModule>>,
}

impl ListedModule {
    /// Version of the language in force, which is part of the IDs of compile actions.
    pub fn language(&self) -> Option<String> {
        self.replace.as_ref().map_or_else(
            || self.go_version.clone(),
            |replacement| replacement.language(),
        )
    }

    /// The Go module as it is in the module cache; `None` for the source's own, and for folders that replace one.
    pub fn in_cache(&self) -> Option<GoModule> {
        match &self.replace {
            Some(replacement) => replacement.in_cache(),
            None => self.version.clone().map(|version| GoModule {
                path: self.path.clone(),
                version,
            }),
        }
    }
}

/// The fields that are asked of `go list`.
pub const FIELDS: &str = "-json=ImportPath,Name,Dir,Standard,Module,Imports,GoFiles,CgoFiles,SFiles,HFiles,SysoFiles,\
                          EmbedFiles,DepOnly,Error,DepsErrors";

/// What is wrong with a package.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedError {
    /// As the go command says it.
    pub err: String,
}

/// A package, with the fields that [`FIELDS`] asks for.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListedPackage {
    /// Import path.
    pub import_path: String,
    /// Package name.
    #[serde(default)]
    pub name: String,
    /// Its folder.
    #[serde(default)]
    pub dir: Utf8PathBuf,
    /// Whether it is in the standard library.
    #[serde(default)]
    pub standard: bool,
    /// Its Go module.
    pub module: Option<ListedModule>,
    /// Import paths that it imports itself.
    #[serde(default)]
    pub imports: Vec<String>,
    #[serde(default)]
    go_files: Vec<String>,
    #[serde(default)]
    cgo_files: Vec<String>,
    #[serde(default)]
    s_files: Vec<String>,
    #[serde(default)]
    h_files: Vec<String>,
    #[serde(default)]
    syso_files: Vec<String>,
    #[serde(default)]
    embed_files: Vec<String>,
    /// Whether it is here only because another one imports it.
    #[serde(default)]
    pub dep_only: bool,
    /// What is wrong with it.
    pub error: Option<ListedError>,
    /// What is wrong with packages that it imports.
    #[serde(default)]
    pub deps_errors: Vec<ListedError>,
}

impl ListedPackage {
    /// The files that a build of the package reads.
    pub fn own_files(&self) -> impl Iterator<Item = &String> {
        [
            &self.go_files,
            &self.cgo_files,
            &self.s_files,
            &self.h_files,
            &self.syso_files,
            &self.embed_files,
        ]
        .into_iter()
        .flatten()
    }
}

/// Values of a stream of JSON values, as the go command prints them.
pub fn stream<T: DeserializeOwned>(text: &str) -> Result<Vec<T>> {
    serde_json::Deserializer::from_str(text)
        .into_iter()
        .collect::<Result<_, _>>()
        .context("the go command printed something other than the JSON it documents")
}
