//! Everything about the caches but what their files hold: owners, modes, times, folders, leftovers.
//!
//! None of it makes a build go wrong. But what the world may write anyone can damage; what the image's user may not
//! write makes builds fail; an entry of another time is deleted by Go, or touched, which copies it in a container.

use std::collections::HashSet;

use camino::Utf8Path;
use gocache::GoModule;

use super::cache::Cache;
use super::finding::{Finding, Problem};
use super::shipped::Shipped;
use super::tree::{Kind, Node};

pub fn check(cache: &Cache<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut note = |node: &Node, text: &str| {
        findings.push(Problem::not_as_shipped(text).at(cache.place(&node.path)));
    };
    let own = cache.shipped.map(|shipped| Own::new(cache, shipped));
    for node in &cache.nodes {
        if node.kind != Kind::Other && node.mode & 0o002 != 0 {
            note(node, "is writable for the world");
        }
        if let Some(own) = &own {
            own.problems(node).iter().for_each(|text| note(node, text));
            if cache.listed(&node.path).is_none() && is_leftover(node) {
                note(node, "is left over from a download or a write");
            }
        }
    }
    findings
}

/// What the image owns in a cache.
struct Own<'a> {
    /// The shipped files, and the folders above them.
    paths: HashSet<&'a Utf8Path>,
    /// Whose they are, where that is known and the cache's own folder is theirs. Where it is not, the cache was
    /// unpacked or copied by someone who could not keep owners, and one finding says as much as all.
    owner_uid: Option<u32>,
    /// What is wrong with the cache's own folder.
    top: Option<String>,
}

impl<'a> Own<'a> {
    fn new(cache: &Cache<'a>, shipped: &Shipped) -> Self {
        let paths = cache.listed_paths().flat_map(Utf8Path::ancestors).collect();
        let owner = shipped.image.owner_uid;
        let top = owner
            .zip(cache.nodes.first())
            .and_then(|(owner, top)| wrong_owner(top, owner))
            .map(|text| format!("{text}; owners of what is in it were not checked"));
        Self {
            paths,
            owner_uid: owner.filter(|_| top.is_none()),
            top,
        }
    }

    fn problems(&self, node: &Node) -> Vec<String> {
        let mut problems = Vec::new();
        if node.path == "" {
            problems.extend(self.top.clone());
        } else if !self.paths.contains(node.path.as_path()) && !is_digits(&node.path) {
            return problems;
        }
        if let Some(owner) = self.owner_uid {
            problems.extend(wrong_owner(node, owner));
        }
        let (wanted, meaning) = match node.kind {
            Kind::Folder if GoModule::of_extracted(&node.path).is_some() => {
                (0o555, "can be listed by everyone")
            }
            Kind::Folder => (0o755, "is open to everyone and writable for its owner"),
            Kind::File => (0o444, "can be read by everyone"),
            Kind::Other => return problems,
        };
        if node.mode & 0o020 != 0 {
            problems.push("is writable for its group".to_owned());
        }
        if node.mode & wanted != wanted {
            problems.push(format!(
                "has mode {:o}, with which it no longer {meaning}",
                node.mode
            ));
        }
        problems
    }
}

fn wrong_owner(node: &Node, owner_uid: u32) -> Option<String> {
    ((node.uid, node.gid) != (owner_uid, 0)).then(|| {
        format!(
            "belongs to user {} and group {} instead of {owner_uid} and 0",
            node.uid, node.gid
        )
    })
}

/// What only a machine that fetches needs, or an interrupted one leaves.
fn is_leftover(node: &Node) -> bool {
    let Some(name) = node.path.file_name() else {
        return false;
    };
    let extension = node.path.extension().unwrap_or_default();
    let is_fetched = node.path.starts_with("cache")
        && (name == "lock" || ["lock", "partial", "zip"].contains(&extension));
    let is_temporary = extension == "tmp" || name.contains(".tmp-");
    let is_source =
        GoModule::of_extracted(&node.path).is_some_and(|module| !module.version.contains(".tmp-"));
    (is_fetched || is_temporary) && !is_source
}

/// Checks what holds for GOCACHE alone: the time of its shipped entries, and the folders that Go needs.
pub fn check_build_cache(cache: &Cache<'_>, now_s: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(top) = cache.nodes.first() else {
        return findings;
    };
    let folders: HashSet<&str> = cache
        .nodes
        .iter()
        .filter(|node| node.kind == Kind::Folder)
        .map(|node| node.path.as_str())
        .collect();
    for first_byte in 0..=u8::MAX {
        let name = format!("{first_byte:02x}");
        if !folders.contains(name.as_str()) {
            let problem = "is missing, and the go command needs write access to make it";
            findings.push(Problem::not_as_shipped(problem).at(cache.place(name.as_ref())));
        }
    }
    let Some(time) = cache
        .shipped
        .and_then(|shipped| shipped.image.cache_entry_time)
    else {
        return findings;
    };
    if time <= now_s {
        let problem = format!(
            "its entries are of {time} (seconds since 1970), which has passed: the go command deletes those it does \
             not use; take a newer image"
        );
        findings.push(Problem::not_as_shipped(problem).at(cache.place(&top.path)));
    }
    for node in &cache.nodes {
        let is_of_time = u64::try_from(node.mtime.0) == Ok(time) && node.mtime.1 == 0;
        if node.kind == Kind::File && !is_of_time && cache.listed(&node.path).is_some() {
            let problem = format!(
                "is of {} instead of {time} (seconds since 1970)",
                node.mtime.0
            );
            findings.push(Problem::not_as_shipped(problem).at(cache.place(&node.path)));
        }
    }
    findings
}

/// Whether a path is one of the 256 folders of GOCACHE.
fn is_digits(path: &Utf8Path) -> bool {
    path.as_str().len() == 2 && path.as_str().bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use gocache::image_info::ImageInfo;
    use gocache::{Checksums, Identity, Store};

    use super::*;

    fn shipped(cache_entry_time: Option<u64>) -> Shipped {
        let env = Identity::GO_ENV_NAMES.map(|name| (name.to_owned(), String::new()));
        let image = ImageInfo {
            schema: 1,
            identity: Identity::from_go_env(&env.into()).unwrap(),
            versions: BTreeMap::new(),
            tool_sources: std::collections::BTreeMap::default(),
            owner_uid: None,
            cache_entry_time,
            source: None,
            volume: None,
        };
        Shipped {
            image,
            packs: Vec::new(),
            files: Checksums::default(),
            unlisted: BTreeSet::new(),
            left_out: Some(Checksums::default()),
        }
    }

    #[test]
    fn entries_whose_time_has_passed_are_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        Store::create(&root.join("cache")).unwrap();
        for (time, now_s, expected) in [(Some(100), 99, 0), (Some(100), 100, 1), (None, 100, 0)] {
            let shipped = shipped(time);
            let (cache, _) = Cache::list(root, "/cache".into(), Some(&shipped));
            let found = check_build_cache(&cache, now_s);
            assert_eq!(found.len(), expected, "{time:?} at {now_s}: {found:?}");
        }
    }

    #[test]
    fn what_the_world_may_write_is_reported_everywhere() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        fs_err::create_dir_all(root.join("cache/open")).unwrap();
        fs_err::os::unix::fs::symlink("open", root.join("cache/link")).unwrap();
        let open = Permissions::from_mode(0o1777);
        fs_err::set_permissions(root.join("cache/open"), open).unwrap();
        let (cache, _) = Cache::list(root, "/cache".into(), None);
        let found = check(&cache);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].path, root.join("cache/open"));
    }

    #[test]
    fn leftovers_are_told_from_sources() {
        let is_left = |path: &str| {
            is_leftover(&Node {
                path: path.into(),
                kind: Kind::File,
                mode: 0o644,
                uid: 0,
                gid: 0,
                mtime: (0, 0),
                size_bytes: 0,
            })
        };
        for path in [
            "cache/lock",
            "cache/download/x/@v/v1.zip",
            "cache/download/x/@v/v1.partial",
            "cache/download/x/@v/v1.zip1.tmp",
            "example.com/x@v1.0.0.tmp-12",
            "00/.a.tmp",
            "00/.a.tmp-d",
        ] {
            assert!(is_left(path), "{path}");
        }
        for path in [
            "cache/download/x/@v/v1.mod",
            "example.com/x@v1/a.zip",
            "x@v1/a.tmp",
            "",
            "lock",
        ] {
            assert!(!is_left(path), "{path}");
        }
    }
}
