//! What an explanation is made from, and what it says.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use super::change::Change;
use crate::{Damage, HashInputs, Hits, Ratio};

/// Share of packages compiled because of drift from which a new image pays.
///
/// One percent, what ten days of work without a new version of the SDK come to, makes a first build two to four
/// seconds long instead of a half; at five percent every first build takes about as long as a compile of the
/// provider's own SDK, which is what the image is there to spare.
pub const RELEASE_PAYS_SHARE: f64 = 0.05;

/// What one build of a module did.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The module's folder, relative to the source.
    pub path: &'a Utf8Path,
    /// The module's import path.
    pub import_path: &'a str,
    /// The actions that the build looked up.
    pub inputs: &'a HashInputs,
    /// Those that ran; none where the build failed.
    pub hits: &'a Hits,
    /// Those of them whose entries are not whole.
    pub damaged: &'a BTreeMap<Sha256Hash, Damage>,
    /// The go.work that was in force, relative to the source.
    pub go_work: Option<&'a Utf8Path>,
}

/// Why a build missed what it missed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whether there is a record to compare with.
    pub has_record: bool,
    /// Whether the module's own build is recorded.
    pub is_recorded: bool,
    /// Packages from the cache.
    pub packages: Ratio,
    /// Links from the cache.
    pub links: Ratio,
    /// Defects first, then those that cost most.
    pub causes: Vec<Cause>,
    /// Packages that missed only because something they import did.
    pub consequences: u64,
    /// Packages that missed and that nothing is known of, because there is no record.
    pub unknown: Vec<String>,
    /// What the source's own movement costs.
    pub drift: Drift,
}

/// A change, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What differs.
    #[serde(flatten)]
    pub change: Change,
    /// In which packages it shows.
    pub packages: Vec<String>,
    /// How the module comes to import the nearest of them: from its own package to that one.
    pub chain: Vec<String>,
    /// Packages that were compiled because of it; one may have several causes.
    pub misses: u64,
    /// Whether that is drift, as opposed to a defect.
    pub is_expected: bool,
}

/// What the source's own movement costs: packages that were compiled because of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Of the source.
    pub own_packages: u64,
    /// Of other Go modules and of the standard library.
    pub other_packages: u64,
    /// Of all packages.
    pub share: f64,
    /// Whether that is [`RELEASE_PAYS_SHARE`] or more.
    pub release_pays: bool,
}

impl Explanation {
    /// Whether anything missed, or hit wrongly, that should have hit.
    pub fn has_defect(&self) -> bool {
        !self.unknown.is_empty() || self.causes.iter().any(|cause| !cause.is_expected)
    }
}
