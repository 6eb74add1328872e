//! The packages that builds load, as data.

use std::collections::BTreeMap;

use gocache::GoModule;
use serde::Serialize;
use sha256::Sha256Hash;

/// A package that a build loads.
#[derive(Debug, Clone, Serialize)]
pub struct Package {
    /// Import path.
    pub import_path: String,
    /// Package name.
    pub name: String,
    /// Whether it is in the standard library.
    pub standard: bool,
    /// The Go module it is from, unless it is the source's own.
    pub module: Option<GoModule>,
    /// Version of the language that its go.mod names.
    pub go_version: Option<String>,
    /// Files of the source's own packages, by name, with their digests.
    pub files: Vec<(String, Sha256Hash)>,
    /// Import paths that it imports itself.
    pub imports: Vec<String>,
}

/// The packages that the modules of one go.mod load.
#[derive(Debug, Default)]
pub struct Loaded {
    /// By import path.
    pub packages: BTreeMap<String, Package>,
    /// Modules (by path) and packages (by import path) that cannot be loaded, with the go command's reason.
    pub broken: BTreeMap<String, String>,
}
