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
mod model;
#[cfg(test)]
mod tests;

use self::build::{Build, Found};
pub use self::change::Change;
pub use self::model::{Cause, Drift, Explanation, Observed, RELEASE_PAYS_SHARE};
use crate::InputsRecord;

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
    build.join_missing(&mut found);
    if found.changes.is_empty() && found.unknown.is_empty() && !observed.hits.linked.is_empty() {
        found.add(Change::Unexplained, observed.import_path);
    }
    build.explanation(found)
}
