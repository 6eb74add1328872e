//! Which files of the shared module cache an image needs.
//!
//! Left out is what only the machine that fetched needs: zips, locks, lists of versions, the checksum database.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};

use crate::resolve::Requirements;

/// The files below `cache` that `requirements` need, relative to it, sorted.
pub fn of(cache: &Utf8Path, requirements: &Requirements) -> Result<Vec<Utf8PathBuf>> {
    let mut files = BTreeSet::new();
    for required in &requirements.required {
        let module = &required.module;
        files.extend(["info", "mod", "ziphash"].map(|extension| module.download_file(extension)));
        for entry in walkdir::WalkDir::new(cache.join(module.folder())) {
            let entry = entry.with_context(|| format!("failed to list the files of {module}"))?;
            if entry.file_type().is_file() {
                let path = Utf8Path::from_path(entry.path())
                    .context("a Go module holds a name that is not UTF-8")?;
                files.insert(
                    path.strip_prefix(cache)
                        .expect("walkdir yields what is below its root")
                        .to_owned(),
                );
            }
        }
    }
    files.extend(requirements.graph.iter().cloned());
    Ok(files.into_iter().collect())
}
