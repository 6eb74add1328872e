//! Components of an image and their relations, whatever format they are written in.

use std::collections::{BTreeMap, BTreeSet};

use sha256::Sha256Hash;

/// What a component is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The image.
    Image,
    /// A pack: layers of the image that were made together.
    Pack,
    /// The operating system that the Debian packages are of.
    OperatingSystem,
    /// A package, Go module or crate.
    Library,
    /// A program.
    Application,
}

/// A component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// What it is.
    pub kind: Kind,
    /// Its name: of a Go module its path, of a program its path in the image.
    pub name: String,
    /// Its version; none where it has none.
    pub version: Option<String>,
    /// Its package URL.
    pub purl: Option<String>,
    /// Its licences, as an expression of SPDX; none where the image does not say.
    pub licenses: Option<String>,
    /// Digest of its file or of its manifest.
    pub sha256: Option<Sha256Hash>,
    /// The hash that go.sum gives it, `h1:…`.
    pub h1: Option<String>,
    /// Where it was made from: of a Debian package the source package with its version.
    pub built_from: Option<String>,
}

impl Component {
    /// Of which nothing but the name is known.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            version: None,
            purl: None,
            licenses: None,
            sha256: None,
            h1: None,
            built_from: None,
        }
    }
}

/// What a component is called in the document: letters, digits, `.` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(String);

impl Id {
    /// The name of what `key` alone is the key of; `kind` and `key` are legible in it.
    pub fn of(kind: &str, key: &str) -> Self {
        let word = |character: char| match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => character,
            _ => '-',
        };
        let legible: String = key.chars().map(word).collect();
        let digest = Sha256Hash::of(key.as_bytes()).to_string();
        // What was no letter may have been another one.
        Self(format!(
            "{kind}-{}-{:.12}",
            legible.trim_matches('-'),
            digest
        ))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A relation of two components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// The other one is in it.
    Contains,
    /// The other one was compiled into it.
    DependsOn,
}

/// All of an image.
#[derive(Debug, Clone)]
pub struct Document {
    /// The image's name, for people.
    pub name: String,
    /// Digest of the image's manifest, `sha256:…`.
    pub digest: String,
    /// The time that the image says it was made at, in the form of RFC 3339.
    pub created: String,
    /// The image itself.
    pub image: Id,
    /// By name.
    pub components: BTreeMap<Id, Component>,
    /// From a component to another one.
    pub relations: BTreeSet<(Id, Relation, Id)>,
    /// Licences that SPDX has no name for, by the name that they have here (`LicenseRef-…`), with Debian's.
    pub other_licenses: BTreeMap<String, String>,
}
