//! In what two actions of one name differ.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Change, FileChange};
use crate::ActionInputs;

/// Of the recorded actions of this name, the one that was made of most nearly the same.
pub(super) fn nearest<'a>(
    recorded: &'a BTreeMap<String, Vec<ActionInputs>>,
    path: &str,
    inputs: &ActionInputs,
) -> Option<&'a ActionInputs> {
    recorded.get(path)?.iter().min_by_key(|recorded| {
        [
            recorded.action != inputs.action,
            recorded.module != inputs.module,
            recorded.files.digest() != inputs.files.digest(),
            recorded.go != inputs.go,
            recorded.settings != inputs.settings,
            recorded.build_info != inputs.build_info,
        ]
    })
}

/// Setting lines that differ, paired by their first word, and whether the profile does. Lines that only came or went
/// belong to the kinds of files a package has, if those differ.
pub(super) fn settings(old: &[String], new: &[String], same_files: bool) -> (Vec<Change>, bool) {
    fn word(line: &str) -> &str {
        line.split([' ', '=']).next().unwrap_or_default()
    }
    let only_in = |lines: &[String], others: &[String]| -> Vec<String> {
        let lines = lines.iter().filter(|line| !others.contains(line));
        lines.cloned().collect()
    };
    let (old, mut new) = (only_in(old, new), only_in(new, old));
    let mut changes = Vec::new();
    for old in old {
        let place = new.iter().position(|new| word(new) == word(&old));
        changes.push((Some(old), place.map(|place| new.remove(place))));
    }
    changes.extend(new.into_iter().map(|new| (None, Some(new))));
    let is_profile = |(old, new): &(Option<String>, Option<String>)| {
        let line = old.as_ref().or(new.as_ref());
        line.is_some_and(|line| word(line) == "pgofile")
    };
    let has_profile = changes.iter().any(is_profile);
    changes
        .retain(|pair| !is_profile(pair) && (same_files || pair.0.is_some() == pair.1.is_some()));
    let changes = changes.into_iter();
    let changes = changes.map(|(old, new)| Change::Setting { old, new });
    (changes.collect(), has_profile)
}

/// Files that differ.
pub(super) fn files(
    package: &str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Vec<Change> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter_map(|name| {
        let what = match (old.get(name), new.get(name)) {
            (None, _) => FileChange::Added,
            (_, None) => FileChange::Removed,
            (old, new) if old != new => FileChange::Edited,
            _ => return None,
        };
        Some(Change::File {
            package: package.to_owned(),
            file: name.clone(),
            what,
        })
    });
    changed.collect()
}

/// Whether two programs replace a Go module differently.
pub(super) fn replacement(path: &str, old: &ActionInputs, new: &ActionInputs) -> Option<Change> {
    let replaced_by = |program: &ActionInputs| {
        let (by, version) = program.dependencies().get(path)?.replaced_by?;
        Some(match version {
            "" => by.to_owned(),
            version => format!("{by} {version}"),
        })
    };
    let (old, new) = (replaced_by(old), replaced_by(new));
    (old != new).then(|| Change::Replace {
        module: path.to_owned(),
        old,
        new,
    })
}

/// Whether a program came to be, or is no longer, built from a vendor folder: there, Go modules have no sums.
pub(super) fn vendored(old: &ActionInputs, new: &ActionInputs) -> Option<bool> {
    let (old, new) = (old.dependencies(), new.dependencies());
    let mut both = old
        .iter()
        .filter_map(|(path, old)| Some((old, new.get(path)?)))
        .filter(|(old, new)| old.version == new.version && old.replaced_by == new.replaced_by);
    both.find_map(|(old, new)| match (old.sum, new.sum) {
        ("", "") => None,
        (_, "") => Some(true),
        ("", _) => Some(false),
        _ => None,
    })
}
