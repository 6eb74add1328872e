//! Which files of the shared module cache an image needs.
//!
//! Left out is what only the machine that fetched needs (zips, locks, lists of versions, the checksum database) and,
//! unless `[go] test_data` is set, test data of Go modules: no build reads it, and in some of them it is most of what
//! there is.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};

use crate::resolve::embedding::Embedding;
use crate::resolve::requirements::Requirements;
use crate::work::files::files_below;

/// Files below the module cache, relative to it, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GoModFiles {
    /// What the image has.
    pub kept: Vec<Utf8PathBuf>,
    /// What the Go modules have beside it.
    pub left_out: Vec<Utf8PathBuf>,
}

/// The files below `cache` that `requirements` need, with or without test data.
pub fn of(cache: &Utf8Path, requirements: &Requirements, test_data: bool) -> Result<GoModFiles> {
    let (mut kept, mut left_out) = (BTreeSet::new(), Vec::new());
    for required in &requirements.required {
        let module = &required.module;
        kept.extend(["info", "mod", "ziphash"].map(|extension| module.download_file(extension)));
        let folder = cache.join(module.folder());
        let files = files_below(&folder)?;
        let embedding = Embedding::folders(&folder, &files)?;
        for file in files {
            let path = module.folder().join(&file);
            if test_data || !gocache::is_test_data(&file) || embedding.may_take(&file) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::requirements::Required;
    use gocache::GoModule;

    #[test]
    fn test_data_that_no_package_can_embed_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Utf8Path::from_path(folder.path()).unwrap();
        let module = GoModule {
            path: "example.com/m".into(),
            version: "v1.0.0".into(),
        };
        let root = module.folder();
        for (path, content) in [
            ("go.mod", "module example.com/m\n"),
            ("testdata/one.gz", ""),
            ("testdata/package.go", "package testdata\n"),
            ("a/testdata/deep/two.gz", ""),
            ("a/a_test.go", "package a\n"),
            ("b/b.go", "package b\n\n\t//go:embed testdata/*\n"),
            ("b/c/testdata/three.gz", ""),
            ("b/.hidden/four", ""),
            ("d/.bin/tool", ""),
        ] {
            let file = cache.join(&root).join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, content).unwrap();
        }
        let requirements = Requirements {
            required: [Required {
                module,
                sum: String::new(),
            }]
            .into(),
            ..Requirements::default()
        };
        let files = of(cache, &requirements, false).unwrap();
        let left_out = ["a/testdata/deep/two.gz", "d/.bin/tool", "testdata/one.gz"];
        assert_eq!(files.left_out, left_out.map(|path| root.join(path)));
        assert!(files.kept.contains(&root.join("b/c/testdata/three.gz")));
        assert!(files.kept.contains(&root.join("testdata/package.go")));
        let all = of(cache, &requirements, true).unwrap();
        assert_eq!(all.left_out, [""; 0]);
        assert_eq!(all.kept.len(), files.kept.len() + left_out.len());
    }
}
