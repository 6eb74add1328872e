//! The Go modules that a go.mod requires, as data.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use gocache::GoModule;
use serde::{Deserialize, Serialize};

/// A Go module that a go.mod requires, with the hash that the download was checked against.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Required {
    /// The Go module; the replacement where one is in force.
    #[serde(flatten)]
    pub module: GoModule,
    /// `h1:` hash of its files.
    pub sum: String,
}

/// The Go modules behind a go.mod.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Requirements {
    /// Those that it requires: the image holds their folders.
    pub required: BTreeSet<Required>,
    /// Those of which it holds no more than [`stub`](crate::resolve::unloaded::stub) says.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub stubs: BTreeSet<Required>,
    /// `.mod` and `.info` files that the go command reads to know the module graph, relative to the module cache.
    pub graph: BTreeSet<Utf8PathBuf>,
    /// Those that could not be fetched, with their versions: builds take their packages from `vendor`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub not_fetched: BTreeSet<String>,
}

impl Requirements {
    /// Adds what another go.mod needs.
    pub fn extend(&mut self, other: Self) {
        self.required.extend(other.required);
        self.stubs.extend(other.stubs);
        self.stubs.retain(|stub| !self.required.contains(stub));
        self.graph.extend(other.graph);
        self.not_fetched.extend(other.not_fetched);
    }
}
