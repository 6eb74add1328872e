//! Why a build missed what an image holds: a pure function from what was observed and recorded to causes.
//!
//! Every miss has one of four reasons. Its entry is damaged: the action is recorded, but what the cache holds is not
//! whole. Its own inputs differ from the recorded ones: a file, a version, a setting. It is new: nothing of that name
//! is recorded. Or it imports a package of those kinds: a consequence, which is counted and not listed.
//!
//! A source that moves on after the image was made changes its own packages and its go.mod; misses from that are
//! *drift*, and expected. All others are defects: the inputs are those of the record, and yet nothing was found.

mod build;
mod change;
mod differences;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use self::build::{Build, Found};
pub use self::change::Change;
use crate::{Damage, HashInputs, Hits, InputsRecord, Ratio};

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

/// Explains one build by a record, which is empty where there is none.
pub fn explain(observed: &Observed<'_>, record: &InputsRecord) -> Explanation {
    let build = Build::new(observed, record);
    let mut found = Found::default();
    for (path, inputs) in &observed.inputs.packages {
        if !build.find_damage(path, inputs, false, &mut found) && build.ran(path) {
            build.find_differences(path, inputs, &mut found);
        }
    }
    build.find_in_build_info(&mut found);
    build.find_in_link(&mut found);
    build.find_go_work(&mut found);
    if found.changes.is_empty() && found.unknown.is_empty() && !observed.hits.linked.is_empty() {
        found.add(Change::Unexplained, observed.import_path);
    }
    build.explanation(found)
}
