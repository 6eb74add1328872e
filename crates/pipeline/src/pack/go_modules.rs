//! The check of the Go modules in a pack against the hashes of their downloads.

use std::collections::BTreeMap;

use camino::Utf8Path;
use gocache::{Checksums, GoModule, h1};
use sha256::Sha256Hash;

use crate::image_toml::ImageToml;
use crate::owners::relative;
use crate::pack::manifest::PackedFile;
use crate::resolve::requirements::Required;
use crate::work::files::remove_tree;
use failure::corrupt;

/// Go modules whose files are not those that were downloaded.
#[derive(Debug, thiserror::Error)]
#[error("in the module cache the files of {} do not have the hash of their download", names(.0))]
pub struct DamagedModules(pub Vec<GoModule>);

fn names(modules: &[GoModule]) -> String {
    modules
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Makes sure that each Go module's files, with those that are left out, have the hash that its download was checked
/// against.
pub fn verify(
    image: &ImageToml,
    modules: &[Required],
    files: &[PackedFile],
    left_out: &Checksums,
) -> Result<(), DamagedModules> {
    let root = relative(&image.go.gomodcache);
    let left_out = left_out
        .iter()
        .map(|(path, digest)| (relative(path), digest));
    let by_path: BTreeMap<&Utf8Path, Sha256Hash> = files
        .iter()
        .map(|file| (file.path.as_path(), file.sha256))
        .chain(left_out)
        .collect();
    let is_damaged = |required: &&Required| {
        let folder = root.join(required.module.folder());
        let below = by_path
            .range(folder.as_path()..)
            .map_while(|(path, digest)| Some((path.strip_prefix(&folder).ok()?.as_str(), *digest)));
        h1(&required.module, below) != required.sum
    };
    let damaged: Vec<GoModule> = modules
        .iter()
        .filter(is_damaged)
        .map(|required| required.module.clone())
        .collect();
    if damaged.is_empty() {
        Ok(())
    } else {
        Err(DamagedModules(damaged))
    }
}

/// Where `error` tells of damaged Go modules: removes them from the module cache `go_mod`, so that the next run fetches them again.
pub fn remove_damaged(go_mod: &Utf8Path, error: anyhow::Error) -> anyhow::Error {
    let Some(DamagedModules(modules)) = error.downcast_ref() else {
        return error;
    };
    for module in modules {
        let zip = go_mod.join(module.download_file("zip"));
        let removed = remove_tree(&go_mod.join(module.folder())).and_then(|()| {
            if zip.exists() {
                Ok(fs_err::remove_file(&zip)?)
            } else {
                Ok(())
            }
        });
        if let Err(failed) = removed {
            return corrupt(
                format!("{error}"),
                format!(
                    "remove {} yourself ({failed:#})",
                    go_mod.join(module.folder())
                ),
            );
        }
    }
    corrupt(
        format!("{error}"),
        "they were removed, run the same command again to fetch them anew",
    )
}
