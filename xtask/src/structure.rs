//! What holds for the files of all crates: no circle of uses between them, no folder of more than a page, and the
//! documents name them as they are.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use pipeline::workspace::workspace;

/// Rust files that stand side by side in a folder, at most.
const MOST_FILES: usize = 15;

/// Whether a file that uses its parent by `super::`, and is used by it, is a circle, too.
const WITH_PARENTS: bool = false;

/// Files of a crate that each module uses, both by their module paths (`pack::store`; the crate's root is empty).
type Uses = BTreeMap<String, BTreeSet<String>>;

/// Folders of source, each of one crate.
fn crates() -> Vec<Utf8PathBuf> {
    let root = workspace();
    let listed = root.join("crates").read_dir_utf8().unwrap();
    let libraries = listed.map(|entry| entry.unwrap().path().join("src"));
    libraries
        .chain(["verifier/src", "xtask/src"].map(|folder| root.join(folder)))
        .collect()
}

/// The Rust files below `folder`, by their paths relative to it.
fn rust_files(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let files = pipeline::work::files::files_below(folder).unwrap();
    files
        .into_iter()
        .filter(|file| file.extension() == Some("rs"))
        .collect()
}

fn module(file: &Utf8Path) -> String {
    let mut parts: Vec<&str> = file
        .with_extension("")
        .iter()
        .map(|it| it.to_owned().leak() as &str)
        .collect();
    if matches!(parts.last(), Some(&("mod" | "lib" | "main"))) {
        parts.pop();
    }
    parts.join("::")
}

/// Paths behind each `start` (such as `crate::`) in `code`, groups in braces taken apart.
fn paths<'a>(code: &'a str, start: &str) -> Vec<Vec<&'a str>> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let starts = code
        .match_indices(start)
        .filter(|(at, _)| !code[..*at].ends_with(is_word));
    let mut found = Vec::new();
    for (at, _) in starts {
        tree(&code[at + start.len()..], &[], &mut found);
    }
    found
}

/// Reads one path or group at the beginning of `code`; returns what comes after it.
fn tree<'a>(code: &'a str, above: &[&'a str], found: &mut Vec<Vec<&'a str>>) -> &'a str {
    let code = code.trim_start();
    if let Some(mut rest) = code.strip_prefix('{') {
        loop {
            rest = tree(rest, above, found).trim_start();
            match rest.strip_prefix(',').map(str::trim_start) {
                Some(more) if !more.starts_with('}') => rest = more,
                Some(more) => return &more[1..],
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = code.find(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    let (word, rest) = code.split_at(end.unwrap_or(code.len()));
    let path: Vec<&str> = above.iter().copied().chain([word]).collect();
    match rest.strip_prefix("::") {
        Some(more) if !more.starts_with('<') => tree(more, &path, found),
        _ => {
            found.push(path);
            // `as name` of a use.
            let end = rest.find([',', '}', ';', '(', '\n']).unwrap_or(rest.len());
            &rest[end..]
        }
    }
}

/// Who uses whom in the crate whose source is in `folder`.
fn uses(folder: &Utf8Path, with_parents: bool) -> Uses {
    let files: BTreeMap<String, String> = rust_files(folder)
        .into_iter()
        .map(|file| {
            (
                module(&file),
                std::fs::read_to_string(folder.join(file)).unwrap(),
            )
        })
        .collect();
    let nearest = |path: &[&str]| {
        let prefixes = (0..=path.len())
            .rev()
            .map(|length| path[..length].join("::"));
        prefixes
            .into_iter()
            .find(|it| files.contains_key(it))
            .unwrap_or_default()
    };
    let of = |(name, text): (&String, &String)| {
        let code = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        let code: String = code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .flat_map(|line| [line, "\n"])
            .collect();
        let mut used: BTreeSet<String> = paths(&code, "crate::")
            .iter()
            .map(|path| nearest(path))
            .collect();
        if with_parents {
            let own: Vec<&str> = name.split("::").collect();
            let above = &own[..own.len() - 1];
            let relative = paths(&code, "super::");
            used.extend(relative.iter().map(|path| nearest(&[above, path].concat())));
            let prefix = if name.is_empty() {
                String::new()
            } else {
                format!("{name}::")
            };
            let below = files.keys().filter_map(|other| other.strip_prefix(&prefix));
            let children = below.filter(|child| !child.is_empty() && !child.contains("::"));
            let named = children.filter(|child| !paths(&code, &format!("{child}::")).is_empty());
            used.extend(named.map(|child| format!("{prefix}{child}")));
        }
        used.remove(name);
        (name.clone(), used)
    };
    files.iter().map(of).collect()
}

/// A circle in `uses`, its first member again at the end.
fn circle(uses: &Uses) -> Option<Vec<&str>> {
    fn follow<'a>(
        uses: &'a Uses,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
        module: &'a str,
    ) -> Option<Vec<&'a str>> {
        if let Some(first) = way.iter().position(|seen| *seen == module) {
            return Some(way[first..].iter().copied().chain([module]).collect());
        }
        if !done.insert(module) {
            return None;
        }
        way.push(module);
        let found = uses
            .get(module)?
            .iter()
            .find_map(|used| follow(uses, way, done, used));
        way.pop();
        found
    }
    let mut done = BTreeSet::new();
    uses.keys()
        .find_map(|module| follow(uses, &mut Vec::new(), &mut done, module))
}

#[test]
fn no_files_of_a_crate_use_each_other_in_a_circle() {
    let folders = crates();
    assert!(folders.len() > 2);
    let found: Vec<String> = folders
        .iter()
        .filter_map(|folder| {
            let uses = uses(folder, WITH_PARENTS);
            let circle = circle(&uses)?;
            let named = circle
                .iter()
                .map(|it| if it.is_empty() { "(root)" } else { it });
            Some(format!(
                "{folder}: {}",
                named.collect::<Vec<_>>().join(" -> ")
            ))
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn no_folder_has_many_files() {
    let root = workspace();
    let mut counts: BTreeMap<Utf8PathBuf, usize> = BTreeMap::new();
    for part in ["crates", "tests", "verifier", "xtask"] {
        for file in rust_files(&root.join(part)) {
            let folder = Utf8Path::new(part).join(file.parent().unwrap_or(Utf8Path::new("")));
            *counts.entry(folder).or_default() += 1;
        }
    }
    counts.retain(|_, count| *count > MOST_FILES);
    assert!(counts.is_empty(), "{counts:?}");
}

/// Documents that name files of this project, from its root on.
const DOCUMENTS: [&str; 2] = ["ARCHITECTURE.md", "SECURITY.md"];

/// Files and folders that `document` names between backticks: from the root on, or beside the one named before.
fn named_files(document: &str) -> Vec<Utf8PathBuf> {
    const ROOTS: [&str; 7] = [
        ".github",
        "base-images",
        "catalog",
        "crates",
        "tests",
        "verifier",
        "xtask",
    ];
    let mut named: Vec<Utf8PathBuf> = Vec::new();
    for line in document.lines() {
        let mut folder = None;
        // Every second piece stands between backticks.
        for piece in line.split('`').skip(1).step_by(2) {
            let path = Utf8Path::new(piece);
            let is_whole = piece.contains('/')
                && !piece.contains([' ', '*', '<', '$', '{'])
                && path.iter().next().is_some_and(|root| ROOTS.contains(&root));
            if is_whole {
                folder = path.parent();
                named.push(path.to_owned());
            } else if let (Some(folder), Some("rs")) = (folder, path.extension()) {
                named.push(folder.join(path));
            }
        }
    }
    named
}

#[test]
fn what_documents_name_is_there() {
    assert_eq!(
        named_files(
            "| `crates/a/b.rs`, `c.rs` beside it | `go build` |\n`d.rs`, `tests/e/` and `x/y`"
        ),
        ["crates/a/b.rs", "crates/a/c.rs", "tests/e/"]
    );
    let root = workspace();
    for document in DOCUMENTS {
        let named = named_files(&fs_err::read_to_string(root.join(document)).unwrap());
        assert!(!named.is_empty(), "{document}");
        let lacking: Vec<_> = named
            .into_iter()
            .filter(|path| !root.join(path).exists())
            .collect();
        assert!(lacking.is_empty(), "{document}: {lacking:?}");
    }
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    let write = |file: &str, text: &str| {
        std::fs::create_dir_all(folder.join(file).parent().unwrap()).unwrap();
        std::fs::write(folder.join(file), text).unwrap();
    };
    write("lib.rs", "mod a;\nmod b;\nmod c;\n");
    write(
        "a.rs",
        "use crate::{b::{self, One as Other}, c::deep::Two};\n",
    );
    write(
        "b.rs",
        "// crate::a::Comment\n#[cfg(test)]\nmod tests {\n    use crate::a;\n}\n",
    );
    write("c/mod.rs", "mod deep;\nfn c() { deep::d() }\n");
    write("c/deep.rs", "use super::Shared;\n");
    assert_eq!(circle(&uses(folder, false)), None);
    let with_parents = uses(folder, true);
    assert_eq!(circle(&with_parents), Some(vec!["c::deep", "c", "c::deep"]));
    write("c/deep.rs", "fn d() -> u8 {\n    crate::a::one()\n}\n");
    assert_eq!(
        circle(&uses(folder, false)),
        Some(vec!["a", "c::deep", "a"])
    );
}
