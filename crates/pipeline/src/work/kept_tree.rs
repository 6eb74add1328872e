//! A tree of files in the folder of kept work, and the list of all that it held when it was made.
//!
//! Trees (the base system, Go, the tools) are compiled with and packed for as long as they are kept, and what is made
//! of a damaged one looks as good as any other. So each is compared with its list, content included, whenever a run
//! asks for it; a run does so once for each tree, and nothing in a run writes to one. The list lies beside the tree, so
//! it is in no layer. It is for damage: who may write to kept work can write the list, too.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha256::{Sha256Hash, hash_file};

use super::{Key, Work};
use crate::work;

const TREE: &str = "tree";
const LIST: &str = "tree.json";

/// What may be in a tree beside what it was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Additions {
    /// Nothing.
    None,
    /// Folders and empty files: a sandbox makes them where it mounts something.
    MountPoints,
}

/// Something in a tree.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Node {
    Folder {
        mode: u32,
    },
    File {
        mode: u32,
        size_bytes: u64,
        sha256: Sha256Hash,
    },
    Link {
        target: String,
    },
    /// A socket, say; no tree of ours has any.
    Other,
}

/// By their paths, as text: comparing paths takes ten times as long.
type List = BTreeMap<String, Node>;

/// The tree of step `kind` with `key`: kept from an earlier run and the same as then, or made now by `make`.
///
/// One without a list, from before there were any, counts as absent: nothing tells whether it is whole.
pub fn keep(
    work: &Work,
    kind: &str,
    key: &Key,
    additions: Additions,
    make: impl FnOnce(&Utf8Path) -> Result<()>,
) -> Result<Utf8PathBuf> {
    if let Some(kept) = work.kept(kind, key)?
        && !kept.join(LIST).exists()
    {
        work::retire(&kept)?;
    }
    let mut is_new = false;
    let folder = work.keep(kind, key, |folder| {
        let tree = folder.join(TREE);
        fs_err::create_dir(&tree)?;
        make(&tree)?;
        let json = serde_json::to_vec(&list(&tree)?).context("failed to serialize a list")?;
        fs_err::write(folder.join(LIST), json)?;
        is_new = true;
        Ok(())
    })?;
    if !is_new && let Some(difference) = difference(&folder, additions)? {
        return Err(work::discard(&folder, &difference));
    }
    Ok(folder.join(TREE))
}

/// The first difference between the tree in `folder` and its list.
fn difference(folder: &Utf8Path, additions: Additions) -> Result<Option<String>> {
    let listed: List = match serde_json::from_slice(&fs_err::read(folder.join(LIST))?) {
        Ok(listed) => listed,
        Err(error) => return Ok(Some(format!("{LIST}: {error}"))),
    };
    let there = match list(&folder.join(TREE)) {
        Ok(there) => there,
        Err(error) => return Ok(Some(format!("{error:#}"))),
    };
    let changed = listed.iter().find_map(|(path, was)| {
        let what = match (was, there.get(path)) {
            (_, None) => "is missing",
            (was, Some(is)) if was == is => return None,
            (Node::File { sha256: was, .. }, Some(Node::File { sha256: is, .. })) if was != is => {
                "has another content"
            }
            (Node::Link { .. }, Some(Node::Link { .. })) => "leads elsewhere",
            (Node::Folder { .. }, Some(Node::Folder { .. }))
            | (Node::File { .. }, Some(Node::File { .. })) => "has another mode",
            _ => "is of another kind",
        };
        Some(format!("{TREE}/{path} {what} than when it was made"))
    });
    let is_allowed = |node: &Node| {
        let is_mount_point = matches!(node, Node::Folder { .. } | Node::File { size_bytes: 0, .. });
        is_mount_point && additions == Additions::MountPoints
    };
    let added = || {
        let mut unlisted = there.iter().filter(|(path, _)| !listed.contains_key(*path));
        let (path, _) = unlisted.find(|(_, node)| !is_allowed(node))?;
        Some(format!("{TREE}/{path} was not there when it was made"))
    };
    Ok(changed.or_else(added))
}

/// All that is in `tree`.
fn list(tree: &Utf8Path) -> Result<List> {
    let entries = walkdir::WalkDir::new(tree).min_depth(1).into_iter();
    let entries = entries.collect::<Result<Vec<_>, _>>();
    let entries = entries.with_context(|| format!("failed to list {tree}"))?;
    entries
        .into_par_iter()
        .map(|entry| {
            let path = Utf8Path::from_path(entry.path())
                .with_context(|| format!("{} is not UTF-8", entry.path().display()))?;
            let below = path.strip_prefix(tree);
            let below = below.expect("walkdir yields what is below its root");
            Ok((below.as_str().to_owned(), node(path)?))
        })
        .collect()
}

fn node(path: &Utf8Path) -> Result<Node> {
    let metadata = fs_err::symlink_metadata(path)?;
    let mode = metadata.permissions().mode() & 0o7777;
    Ok(if metadata.is_dir() {
        Node::Folder { mode }
    } else if metadata.is_symlink() {
        let target = fs_err::read_link(path)?;
        let target = target
            .to_str()
            .with_context(|| format!("{path} leads to no UTF-8"))?;
        Node::Link {
            target: target.to_owned(),
        }
    } else if metadata.is_file() {
        let (sha256, size_bytes) = hash_file(path)?;
        Node::File {
            mode,
            size_bytes,
            sha256,
        }
    } else {
        Node::Other
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;
    use fs_err::os::unix::fs::symlink;

    use crate::fixtures::key;

    struct Kept {
        work: Work,
        _guard: tempfile::TempDir,
    }

    impl Kept {
        fn new() -> Self {
            let guard = tempfile::tempdir().unwrap();
            let root = Utf8Path::from_path(guard.path()).unwrap();
            Self {
                work: Work::open_at(&root.join("iac-runner")).unwrap(),
                _guard: guard,
            }
        }

        /// The tree, made if it has to be; whether it was.
        fn tree(&self, additions: Additions) -> Result<(Utf8PathBuf, bool)> {
            let mut made = false;
            let tree = keep(&self.work, "tool", &key("tofu"), additions, |tree| {
                made = true;
                fs_err::create_dir(tree.join("bin"))?;
                fs_err::write(tree.join("bin/tofu"), "an executable")?;
                fs_err::set_permissions(tree.join("bin/tofu"), Permissions::from_mode(0o755))?;
                Ok(symlink("tofu", tree.join("bin/terraform"))?)
            })?;
            Ok((tree, made))
        }
    }

    /// What a change of the tree is called; afterwards it is made again.
    fn found(additions: Additions, change: impl FnOnce(&Utf8Path)) -> String {
        let kept = Kept::new();
        let (tree, made) = kept.tree(additions).unwrap();
        assert!(made);
        assert!(!kept.tree(additions).unwrap().1, "a whole tree is kept");
        change(&tree);
        let error = kept.tree(additions).unwrap_err();
        assert_eq!(
            failure::kind(&error, &[]),
            failure::Kind::Corrupt,
            "{error:#}"
        );
        assert!(
            kept.tree(additions).unwrap().1,
            "a damaged tree is made again"
        );
        failure::text(&error)
    }

    #[test]
    fn every_change_of_a_kept_tree_is_found_and_named() {
        type Change = fn(&Utf8Path);
        let flip: Change = |tree| {
            let file = tree.join("bin/tofu");
            let time = fs_err::metadata(&file).unwrap().modified().unwrap();
            let mut content = fs_err::read(&file).unwrap();
            content[3] ^= 1;
            fs_err::write(&file, content).unwrap();
            let file = fs_err::File::options().write(true).open(&file).unwrap();
            file.file().set_modified(time).unwrap();
        };
        let relink: Change = |tree| {
            fs_err::remove_file(tree.join("bin/terraform")).unwrap();
            symlink("/usr/bin/env", tree.join("bin/terraform")).unwrap();
        };
        let set_mode = |path: Utf8PathBuf, mode| {
            fs_err::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        for (change, said) in [
            (flip, "tree/bin/tofu has another content"),
            (relink, "tree/bin/terraform leads elsewhere"),
            (
                |tree| fs_err::write(tree.join("bin/tofu"), "").unwrap(),
                "bin/tofu has another content",
            ),
            (
                |tree| fs_err::remove_file(tree.join("bin/tofu")).unwrap(),
                "tree/bin/tofu is missing",
            ),
            (
                |tree| fs_err::write(tree.join("bin/go"), "x").unwrap(),
                "tree/bin/go was not there",
            ),
            (
                |tree| fs_err::remove_dir_all(tree.join("bin")).unwrap(),
                "tree/bin is missing",
            ),
        ] as [(Change, &str); 6]
        {
            for additions in [Additions::None, Additions::MountPoints] {
                let text = found(additions, change);
                assert!(text.contains(said), "{said}: {text}");
            }
        }
        let text = found(Additions::None, |tree| {
            set_mode(tree.join("bin/tofu"), 0o4755);
        });
        assert!(text.contains("tree/bin/tofu has another mode"), "{text}");
        let text = found(Additions::None, |tree| set_mode(tree.join("bin"), 0o777));
        assert!(text.contains("tree/bin has another mode"), "{text}");
        let text = found(Additions::None, |tree| {
            fs_err::write(tree.with_file_name(LIST), "{").unwrap();
        });
        assert!(text.contains(LIST), "{text}");
    }

    #[test]
    fn mount_points_are_added_where_a_sandbox_runs_and_nowhere_else() {
        let add = |tree: &Utf8Path| {
            fs_err::create_dir(tree.join("source")).unwrap();
            fs_err::write(tree.join("resolv.conf"), "").unwrap();
        };
        let kept = Kept::new();
        add(&kept.tree(Additions::MountPoints).unwrap().0);
        assert!(!kept.tree(Additions::MountPoints).unwrap().1);
        let text = found(Additions::None, add);
        assert!(text.contains("resolv.conf was not there"), "{text}");
    }

    #[test]
    fn a_tree_without_a_list_is_made_again() {
        let kept = Kept::new();
        let (tree, _) = kept.tree(Additions::None).unwrap();
        fs_err::remove_file(tree.with_file_name(LIST)).unwrap();
        assert!(kept.tree(Additions::None).unwrap().1);
        assert!(!kept.tree(Additions::None).unwrap().1);
    }
}
