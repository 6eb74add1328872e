//! Every file of the end-to-end tests is part of its test binary: one that no `mod` line names is not even compiled,
//! and its tests would pass for ever.

use std::collections::BTreeSet;

use camino::Utf8Path;
use walkdir::WalkDir;

use crate::support::run::workspace;

/// Modules that the files below `root` declare, and those that there are, by their paths without `.rs`.
fn declared_and_there(root: &Utf8Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut declared, mut there) = (BTreeSet::new(), BTreeSet::new());
    for entry in WalkDir::new(root).into_iter().map(Result::unwrap) {
        let file = Utf8Path::from_path(entry.path()).unwrap();
        if file.extension() != Some("rs") {
            continue;
        }
        let is_mod = ["main.rs", "mod.rs"].contains(&file.file_name().unwrap());
        let module = if is_mod {
            file.parent().unwrap().to_owned()
        } else {
            file.with_extension("")
        };
        for line in fs_err::read_to_string(file).unwrap().lines() {
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let name = line
                .strip_prefix("mod ")
                .and_then(|it| it.strip_suffix(';'));
            declared.extend(name.map(|name| module.join(name).into_string()));
        }
        if module != root {
            there.insert(module.into_string());
        }
    }
    (declared, there)
}

#[test]
fn no_file_is_forgotten() {
    for tests in ["tests/end_to_end", "verifier/tests/end_to_end"] {
        let (declared, there) = declared_and_there(&workspace().join(tests));
        assert!(there.len() > 5, "{there:?}");
        assert_eq!(declared, there, "files of {tests} without a `mod` line");
    }
}
