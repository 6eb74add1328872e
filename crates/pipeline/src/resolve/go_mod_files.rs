//! Which files of the shared module cache an image needs.
//!
//! Left out is what only the machine that fetched needs (zips, locks, lists of versions, the checksum database) and,
//! unless `[go] test_data` is set, test data of Go modules and executables that lie among their files: no build reads
//! either, in some of them it is most of what there is, and what may be run should be there for a purpose. Of stubs
//! next to nothing is kept.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};

use crate::resolve::embedding::Embedding;
use crate::resolve::executable::is_executable;
use crate::resolve::requirements::{Required, Requirements};
use crate::resolve::unloaded::stub;
use crate::work::files::files_below;

/// Files below the module cache, relative to it, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoModFiles {
    /// What the image has.
    pub kept: Vec<Utf8PathBuf>,
    /// What the Go modules have beside it.
    pub left_out: Vec<Utf8PathBuf>,
}

/// The files below `cache` that `requirements` need, with or without test data and executables.
pub fn of(cache: &Utf8Path, requirements: &Requirements, test_data: bool) -> Result<GoModFiles> {
    let (mut kept, mut left_out) = (BTreeSet::new(), Vec::new());
    let all = requirements.required.iter().chain(&requirements.stubs);
    for Required { module, .. } in all {
        kept.extend(["info", "mod", "ziphash"].map(|extension| module.download_file(extension)));
    }
    for Required { module, .. } in &requirements.required {
        let folder = cache.join(module.folder());
        let files = files_below(&folder)?;
        let embedding = Embedding::of(&folder, &files)?;
        for file in files {
            let path = module.folder().join(&file);
            if !test_data && no_build_reads(&folder, &file, &embedding)? {
                left_out.push(path);
            } else {
                kept.insert(path);
            }
        }
    }
    for Required { module, .. } in &requirements.stubs {
        for file in files_below(&cache.join(module.folder()))? {
            let path = module.folder().join(&file);
            if stub::stays(&file) {
                kept.insert(path);
            } else {
                left_out.push(path);
            }
        }
    }
    kept.extend(requirements.graph.iter().cloned());
    left_out.sort();
    Ok(GoModFiles {
        kept: kept.into_iter().collect(),
        left_out,
    })
}

/// Whether `file` of the Go module in `folder` is test data, or an executable, that no package takes in.
fn no_build_reads(folder: &Utf8Path, file: &Utf8Path, embedding: &Embedding) -> Result<bool> {
    if gocache::is_test_data(file) {
        return Ok(!embedding.may_take(file));
    }
    Ok(
        !gocache::is_source(file)
            && !embedding.may_link(file)
            && is_executable(&folder.join(file))?,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use gocache::GoModule;

    const MODULE: &str = "example.com/m@v1.0.0";
    const ELF: &str = "\x7fELF\x02";

    /// What is left out of a Go module of these files.
    fn left_out(contents: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let cache = Utf8Path::from_path(folder.path()).unwrap();
        for (path, content) in contents {
            let file = cache.join(MODULE).join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, content).unwrap();
        }
        let module = GoModule::of_extracted(MODULE.into()).unwrap();
        let requirements = Requirements {
            required: [Required {
                module,
                sum: String::new(),
            }]
            .into(),
            ..Requirements::default()
        };
        let files = of(cache, &requirements, false).unwrap();
        let all = of(cache, &requirements, true).unwrap();
        assert_eq!(all.left_out, [""; 0]);
        let mut found: Vec<_> = files
            .kept
            .into_iter()
            .chain(files.left_out.clone())
            .collect();
        found.sort();
        assert_eq!(found, all.kept, "each file is on one of the lists");
        let names = files.left_out.into_iter();
        names
            .map(|path| path.strip_prefix(MODULE).unwrap().to_string())
            .collect()
    }

    #[test]
    fn test_data_that_no_package_can_embed_is_left_out() {
        let found = left_out(&[
            ("go.mod", "module example.com/m\n"),
            ("testdata/one.gz", ""),
            ("testdata/package.go", "package testdata\n"),
            ("a/testdata/deep/two.gz", ""),
            ("a/a_test.go", "package a\n"),
            ("b/b.go", "package b\n\n\t//go:embed testdata/*\n"),
            ("b/c/testdata/three.gz", ""),
            ("b/.hidden/four", ""),
            ("d/.bin/tool", ""),
        ]);
        assert_eq!(
            found,
            ["a/testdata/deep/two.gz", "d/.bin/tool", "testdata/one.gz"]
        );
    }

    #[test]
    fn of_a_stub_little_is_kept_and_all_the_rest_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Utf8Path::from_path(folder.path()).unwrap();
        let module = GoModule::of_extracted(MODULE.into()).unwrap();
        for path in [
            "LICENSE",
            "a.go",
            "go.mod",
            "go/x/pulumi-plugin.json",
            "testdata/b",
        ] {
            let file = cache.join(MODULE).join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, "").unwrap();
        }
        let (download, sum) = (module.download_file("ziphash"), String::new());
        let requirements = Requirements {
            stubs: [Required { module, sum }].into(),
            ..Requirements::default()
        };
        for test_data in [false, true] {
            let files = of(cache, &requirements, test_data).unwrap();
            assert!(files.kept.contains(&download));
            let below = |files: Vec<Utf8PathBuf>| -> Vec<String> {
                let below = files
                    .iter()
                    .filter_map(|file| file.strip_prefix(MODULE).ok());
                below.map(Utf8Path::to_string).collect()
            };
            assert_eq!(
                below(files.kept),
                ["LICENSE", "go/x/pulumi-plugin.json", "go.mod"]
            );
            assert_eq!(below(files.left_out), ["a.go", "testdata/b"]);
        }
    }

    #[test]
    fn an_executable_that_no_package_can_embed_is_left_out() {
        let found = left_out(&[
            ("go.mod", "module example.com/m\n"),
            (
                "a.go",
                "package m\n\nvar letters = []string{\"C\", \"D\"}\n",
            ),
            ("bin/linter", ELF),
            ("bin/script", "#!/bin/sh\n"),
            ("bin/object.syso", ELF),
            ("tool", ELF),
            ("b/b.go", "package b\n\n//go:embed c\n"),
            ("b/c/bin/tool", ELF),
        ]);
        assert_eq!(found, ["bin/linter", "tool"]);
    }

    #[test]
    fn what_cgo_may_link_stays() {
        for import in [
            "import \"C\" // c",
            "import (\"C\"; \"fmt\")",
            "import (\n\t\"C\"\n)",
            "import `C`",
        ] {
            let text =
                format!("package b\n\n// #cgo LDFLAGS: ${{SRCDIR}}/../bin/lib.so\n{import}\n");
            let found = left_out(&[
                ("bin/lib.so", ELF),
                ("testdata/data", ""),
                ("b/b.go", &text),
            ]);
            assert_eq!(found, ["testdata/data"], "{import}");
        }
    }
}
