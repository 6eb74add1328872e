//! Actions of the workflows: commits, each with the version that it is in a comment, as the tags of its repository say.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use camino::Utf8PathBuf;
use engine::host;
use failure::{corrupt, usage};
use xshell::cmd;

use super::{Change, Pinned, choose, newer};

/// What stands between an action and its commit, and between that and its version.
const USES: &str = "uses: ";
const COMMENT: &str = " # v";

/// `uses: OWNER/REPOSITORY[/PATH]@COMMIT # vVERSION`.
#[derive(Debug, PartialEq, Eq)]
struct Used<'l> {
    repository: String,
    commit: &'l str,
    version: &'l str,
}

fn used(line: &str) -> Option<Used<'_>> {
    let (_, rest) = line.split_once(USES)?;
    let (action, rest) = rest.split_once('@')?;
    let (commit, version) = rest.split_once(COMMENT)?;
    let mut parts = action.split('/');
    let repository = format!("{}/{}", parts.next()?, parts.next()?);
    let is_commit = commit.len() == 40 && commit.bytes().all(|it| it.is_ascii_hexdigit());
    is_commit.then(|| Used {
        repository,
        commit,
        version: version.trim(),
    })
}

pub fn raise(pinned: &mut Pinned, wanted: Option<&str>) -> Result<Vec<Change>> {
    if wanted.is_some() {
        return Err(usage(
            "actions have no version in common",
            "leave it out, or write commit and version of one into the workflows by hand",
        ));
    }
    let mut workflows: BTreeMap<Utf8PathBuf, String> = BTreeMap::new();
    for file in pinned.workflows.read_dir_utf8()? {
        let file = file?.into_path();
        let text = fs_err::read_to_string(&file)?;
        workflows.insert(file, text);
    }
    let lines = workflows.values().flat_map(|text| text.lines());
    let repositories: BTreeSet<String> = lines.filter_map(used).map(|it| it.repository).collect();
    let tags = repositories.into_iter().map(|repository| {
        let url = format!("https://github.com/{repository}");
        let listed = host::read(cmd!(pinned.sh, "git ls-remote --tags {url}"))
            .with_context(|| format!("failed to list the tags of {url}"))?;
        Ok((repository, commits(&listed)))
    });
    let tags: BTreeMap<String, BTreeMap<String, String>> = tags.collect::<Result<_>>()?;
    let mut changes = Vec::new();
    for (file, text) in workflows {
        let raised = raised(&text, &tags, &mut changes)?;
        if raised != text {
            pinned.files.insert(file, raised);
        }
    }
    changes.sort_by(|one, other| one.name.cmp(&other.name));
    changes.dedup();
    Ok(changes)
}

/// The commit of each version, of what git lists: a tag that is an object of its own is followed by the commit.
fn commits(listed: &str) -> BTreeMap<String, String> {
    let mut commits = BTreeMap::new();
    for (commit, name) in listed.lines().filter_map(|line| line.split_once('\t')) {
        if let Some(version) = name.strip_prefix("refs/tags/v") {
            let version = version.strip_suffix("^{}").unwrap_or(version);
            commits.insert(version.to_owned(), commit.to_owned());
        }
    }
    commits
}

/// A workflow with the newest version of each action.
fn raised(
    text: &str,
    tags: &BTreeMap<String, BTreeMap<String, String>>,
    changes: &mut Vec<Change>,
) -> Result<String> {
    let mut raised = String::new();
    for line in text.split_inclusive('\n') {
        let Some(used) = used(line) else {
            raised += line;
            continue;
        };
        let commits = &tags[&used.repository];
        if let Some(commit) = commits.get(used.version).filter(|it| *it != used.commit) {
            return Err(corrupt(
                format!(
                    "{} v{} is {commit}, and the workflows have {}",
                    used.repository, used.version, used.commit
                ),
                "a released version does not move: find out which of the two is wrong before you change anything",
            ));
        }
        let chosen = choose(&used.repository, commits.keys().map(String::as_str), None)?;
        let new = newer(used.version, &chosen, None);
        let commit = commits.get(&new).map_or(used.commit, String::as_str);
        raised += &line.replace(used.commit, commit).replace(
            &format!("{COMMENT}{}", used.version),
            &format!("{COMMENT}{new}"),
        );
        changes.push(Change {
            name: used.repository.clone(),
            old: used.version.to_owned(),
            new,
        });
    }
    Ok(raised)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "1111111111111111111111111111111111111111";
    const NEW: &str = "2222222222222222222222222222222222222222";
    const TAG: &str = "3333333333333333333333333333333333333333";

    fn tags() -> BTreeMap<String, BTreeMap<String, String>> {
        let listed = format!(
            "{OLD}\trefs/tags/v4.2.2\n{TAG}\trefs/tags/v4.10.0\n{NEW}\trefs/tags/v4.10.0^{{}}\n\
             {TAG}\trefs/tags/v4\n{TAG}\trefs/tags/v5.0.0-beta.1\n"
        );
        BTreeMap::from([("actions/cache".to_owned(), commits(&listed))])
    }

    #[test]
    fn a_commit_and_its_comment_are_raised_to_the_newest_stable_tag_and_all_else_stays() {
        let text = format!(
            "steps:\n  - uses: actions/cache/save@{OLD} # v4.2.2\n    with: {{}} # {OLD}\n  - uses: ./local\n"
        );
        let mut changes = Vec::new();
        let new = raised(&text, &tags(), &mut changes).unwrap();
        assert_eq!(
            new,
            format!(
                "steps:\n  - uses: actions/cache/save@{NEW} # v4.10.0\n    with: {{}} # {OLD}\n  - uses: ./local\n"
            )
        );
        assert_eq!(changes[0].to_string(), "actions/cache 4.2.2 → 4.10.0");
        let mut again = Vec::new();
        assert_eq!(raised(&new, &tags(), &mut again).unwrap(), new);
        assert_eq!(again[0].to_string(), "actions/cache 4.10.0: nothing newer");
    }

    #[test]
    fn a_tag_that_moved_is_an_error() {
        let text = format!("- uses: actions/cache@{TAG} # v4.2.2\n");
        let error = raised(&text, &tags(), &mut Vec::new()).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
        assert!(error.to_string().contains(OLD), "{error}");
    }
}
