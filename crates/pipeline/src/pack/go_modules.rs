//! The check of the Go modules in a pack against the hashes of their downloads.

pub mod module_info;

use std::collections::BTreeMap;

use camino::Utf8Path;
use gocache::{Checksums, GoModule, h1};
use sha256::Sha256Hash;

use crate::image_toml::ImageToml;
use crate::owners::relative;
use crate::pack::manifest::PackedFile;
use crate::resolve::requirements::Required;
use crate::work::Work;
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

/// Where `error` tells of damaged Go modules: removes them from the shared module cache `go_mod`, unless another run
/// uses it, so that the next run fetches them again.
pub fn remove_damaged(work: &Work, go_mod: &Utf8Path, error: anyhow::Error) -> anyhow::Error {
    let Some(DamagedModules(modules)) = error.downcast_ref() else {
        return error;
    };
    let remove = || {
        modules.iter().try_for_each(|module| {
            remove_tree(&go_mod.join(module.folder()))?;
            let zip = go_mod.join(module.download_file("zip"));
            if zip.exists() {
                fs_err::remove_file(&zip)?;
            }
            Ok(())
        })
    };
    let hint = match work.change(go_mod, remove) {
        Ok(Some(())) => "they were removed, run the same command again to fetch them anew".to_owned(),
        Ok(None) => "another run uses the module cache; when it has ended, run the same command again, and once more \
                     to fetch them anew"
            .to_owned(),
        Err(failed) => format!("remove them from {go_mod} yourself ({failed:#})"),
    };
    corrupt(format!("{error}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_go_modules_leave_the_cache_and_others_stay() {
        let temporary = tempfile::tempdir().unwrap();
        let work = Work::open_at(Utf8Path::from_path(temporary.path()).unwrap()).unwrap();
        let cache = &work.shared("go-mod").unwrap();
        let module = |path: &str| GoModule {
            path: path.into(),
            version: "v1.0.0".into(),
        };
        let modules = [module("example.com/damaged"), module("example.com/sound")];
        for module in &modules {
            for file in [module.folder().join("a.go"), module.download_file("zip")] {
                let file = cache.join(file);
                fs_err::create_dir_all(file.parent().unwrap()).unwrap();
                fs_err::write(file, "").unwrap();
            }
        }
        let [damaged, sound] = modules;
        let error = DamagedModules(vec![damaged.clone()]).into();
        let error = remove_damaged(&work, cache, error);
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
        assert!(
            error.to_string().contains("example.com/damaged@v1.0.0"),
            "{error}"
        );
        for (module, is_there) in [(damaged, false), (sound, true)] {
            assert_eq!(cache.join(module.folder()).exists(), is_there);
            assert_eq!(cache.join(module.download_file("zip")).exists(), is_there);
        }
        let other = remove_damaged(&work, cache, anyhow::anyhow!("something else"));
        assert_eq!(other.to_string(), "something else");
    }
}
