//! GOMODCACHE: shipped files against their digests, and each extracted Go module against the hash of its download.
//!
//! The go command compares nothing here: it compiles what lies in a Go module's folder. The `h1:` hash covers exactly
//! the names and contents of that folder, so it finds what was changed, what is missing and what is too much, also
//! where there is no list; with one, the file is named. Files that an image leaves out count with the digests that it
//! has of them.

use std::collections::{BTreeMap, HashSet};
use std::io::Read as _;

use camino::Utf8Path;
use gocache::{GoModule, h1};
use rayon::prelude::*;
use sha256::{Sha256Hash, hash_reader};

use super::cache::Cache;
use super::finding::{Finding, Problem};
use super::tree::{self, Kind, Node};

/// Longest file that is taken for a `.ziphash`, which has 47 bytes.
const ZIPHASH_BYTES: u64 = 200;

/// The Go module that the go command fetches toolchains as.
const TOOLCHAIN: &str = "golang.org/toolchain";

/// Checks what the files hold. `known` are findings that were made already: what they say of a file is not said again
/// of its Go module.
pub fn check(cache: &Cache<'_>, known: &[Finding]) -> Vec<Finding> {
    let shipped: HashSet<GoModule> = cache
        .listed_paths()
        .filter_map(GoModule::of_extracted)
        .collect();
    let nodes = cache.nodes.par_iter();
    let checked: Vec<(&Node, Result<Option<Sha256Hash>, Problem>)> = nodes
        .map(|node| (node, check_node(cache, &shipped, node)))
        .collect();

    let mut findings = Vec::new();
    let mut modules: BTreeMap<GoModule, Vec<(&Utf8Path, Sha256Hash)>> = BTreeMap::new();
    for (node, digest) in checked {
        match digest {
            Ok(digest) => {
                if let Some(module) = GoModule::of_extracted(&node.path) {
                    let files = modules.entry(module).or_default();
                    files.extend(digest.map(|digest| (node.path.as_path(), digest)));
                }
            }
            Err(problem) => findings.push(problem.at(cache.place(&node.path))),
        }
    }

    let Some(left_out) = cache.left_out() else {
        return findings;
    };
    for (path, digest) in left_out {
        let files = GoModule::of_extracted(path).and_then(|module| modules.get_mut(&module));
        if let Some(files) = files {
            files.push((path, digest));
        }
    }
    let below = |finding: &Finding| Some(finding.path.strip_prefix(&cache.folder).ok()?.to_owned());
    let named: HashSet<_> = known.iter().chain(&findings).filter_map(below).collect();
    let named_modules: HashSet<GoModule> = named
        .iter()
        .filter_map(|path| GoModule::of_extracted(path))
        .collect();
    for (module, files) in modules {
        let ziphash = module.download_file("ziphash");
        if !named_modules.contains(&module)
            && !named.contains(&ziphash)
            && let Err(problem) = check_module(cache, &module, &files)
        {
            findings.push(problem.at(cache.place(&module.folder())));
        }
    }
    findings
}

/// The digest of a file, where anything is known that it could be compared with.
fn check_node(
    cache: &Cache<'_>,
    shipped: &HashSet<GoModule>,
    node: &Node,
) -> Result<Option<Sha256Hash>, Problem> {
    let is_listed = cache.listed(&node.path).is_some();
    let module = GoModule::of_extracted(&node.path);
    match node.kind {
        Kind::Folder if !is_listed => return Ok(None),
        Kind::File | Kind::Other if !is_listed && module.is_none() => return Ok(None),
        Kind::Folder | Kind::Other => return Err(Problem::corrupt("is no regular file")),
        Kind::File => {}
    }
    if !is_listed && module.is_some_and(|module| shipped.contains(&module)) {
        return Err(Problem::corrupt(
            "is not among the files that its Go module was shipped with",
        ));
    }
    let digest = hash_reader(tree::open(&cache.place(&node.path))?)?.0;
    cache.compare(&node.path, digest)?;
    Ok(Some(digest))
}

/// An extracted Go module must have the hash that its download was checked against.
fn check_module(
    cache: &Cache<'_>,
    module: &GoModule,
    files: &[(&Utf8Path, Sha256Hash)],
) -> Result<(), Problem> {
    if is_there(cache, &module.download_file("partial")) {
        return Err(Problem::not_as_shipped(
            "was extracted in part only; the go command will do it again",
        ));
    }
    let ziphash = module.download_file("ziphash");
    if !is_there(cache, &ziphash) {
        return Err(Problem::not_as_shipped(
            "has no .ziphash, so that nothing tells what it should hold; the go command will fetch it again",
        ));
    }
    let ziphash = cache.place(&ziphash);
    let mut expected = String::new();
    tree::open(&ziphash)
        .and_then(|file| file.take(ZIPHASH_BYTES).read_to_string(&mut expected))
        .map_err(|error| Problem::corrupt(format!("its {ziphash} cannot be read: {error}")))?;
    let folder = module.folder();
    let names = files
        .iter()
        .filter(|file| !is_made_by_go(module, file, files))
        .filter_map(|(path, digest)| Some((path.strip_prefix(&folder).ok()?.as_str(), *digest)));
    let actual = h1(module, names);
    if actual == expected.trim_end() {
        Ok(())
    } else {
        Err(Problem::corrupt(format!(
            "its files have the hash {actual}, and its download had {:?}, says {ziphash}",
            expected.trim_end()
        )))
    }
}

/// Whether a file is the `go.mod` that the go command makes of the `_go.mod` beside it in a toolchain.
fn is_made_by_go(
    module: &GoModule,
    (path, digest): &(&Utf8Path, Sha256Hash),
    files: &[(&Utf8Path, Sha256Hash)],
) -> bool {
    module.path == TOOLCHAIN
        && path.file_name() == Some("go.mod")
        && files.contains(&(&path.with_file_name("_go.mod"), *digest))
}

fn is_there(cache: &Cache<'_>, path: &Utf8Path) -> bool {
    let found = cache
        .nodes
        .binary_search_by(|node| node.path.as_path().cmp(path));
    found.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Utf8Path, path: &str, content: &str) {
        let file = root.join("mod").join(path);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, content).unwrap();
    }

    fn problems(root: &Utf8Path) -> Vec<String> {
        let (cache, missing) = Cache::list(root, "/mod".into(), None);
        let found = check(&cache, &missing).into_iter();
        found.map(|finding| finding.problem).collect()
    }

    #[test]
    fn a_toolchain_holds_what_the_go_command_adds_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let module = GoModule {
            path: TOOLCHAIN.into(),
            version: "v0.0.1-go1.99.0.linux-amd64".into(),
        };
        let hash = h1(&module, [("src/_go.mod", Sha256Hash::of(b"module std\n"))]);
        write(root, module.download_file("ziphash").as_str(), &hash);
        let sources = module.folder().join("src");
        write(root, sources.join("_go.mod").as_str(), "module std\n");
        assert_eq!(problems(root), [""; 0]);
        write(root, sources.join("go.mod").as_str(), "module std\n");
        assert_eq!(problems(root), [""; 0]);
        write(root, sources.join("go.mod").as_str(), "module other\n");
        assert_eq!(problems(root).len(), 1);
    }

    #[test]
    fn without_a_hash_a_module_cannot_be_told_to_be_right() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        write(root, "example.com/x@v1.0.0/x.go", "package x\n");
        assert!(problems(root)[0].starts_with("has no .ziphash"));
        write(
            root,
            "cache/download/example.com/x/@v/v1.0.0.ziphash",
            "\u{fffd}",
        );
        assert!(problems(root)[0].starts_with("its files have the hash h1:"));
        let long = "h1:".repeat(1000);
        write(
            root,
            "cache/download/example.com/x/@v/v1.0.0.ziphash",
            &long,
        );
        assert!(
            problems(root)[0].len() < 500,
            "the file is not read to its end"
        );
    }
}
