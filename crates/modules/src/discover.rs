//! From a source to its modules.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use camino::{Utf8Path, Utf8PathBuf};

use crate::Error;
use crate::discovery::{Discovery, Module};
use crate::error::{Named as _, escaped};
use crate::import_path::refusal;
use crate::layout::Layout;
use crate::modfile::ModFile;
use crate::place::Place;
use crate::source_file::{self, MAX_BYTES};
use crate::walk::Walk;

/// Finds the modules of a source. A source without any is no error; all other things that a user has to mend are,
/// see [`Error`]. They are where its own `iac-runner.toml` says, or else `default`, or else at the usual place.
pub fn discover(source: &Utf8Path, default: Option<&Layout>) -> Result<Discovery, Error> {
    let refused = |reason| Error::Source {
        path: source.to_owned(),
        reason,
    };
    match fs_err::metadata(source) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(refused("does not exist"));
        }
        Ok(metadata) if !metadata.is_dir() => return Err(refused("is no folder")),
        other => other.named(source.as_std_path())?,
    };
    let mut walk = Walk {
        places: Layout::of(source, default)?.places()?,
        source: source.as_std_path(),
        found: Discovery::default(),
        outside: Vec::new(),
    };
    let mut unusable = Vec::new();
    let mut go_mods = GoMods {
        source,
        paths: HashMap::new(),
    };
    for folder in walk.candidates()? {
        let Some(place) = walk.place(&folder)? else {
            continue;
        };
        let Some(program) = walk.program(&folder)? else {
            continue;
        };
        let refused = [&folder, &program]
            .into_iter()
            .find_map(|path| Some((path, refusal(path)?)));
        if let Some((path, reason)) = refused {
            unusable.push((escaped(path), reason));
        } else {
            let module = module(&folder, &program, place, &mut go_mods)?;
            walk.found.modules.push(module);
        }
    }
    if !walk.outside.is_empty() {
        return Err(Error::Outside(walk.outside));
    }
    if !unusable.is_empty() {
        return Err(Error::UnusablePaths(unusable));
    }
    walk.found.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(walk.found)
}

/// A module at a place whose path is known to be plain ASCII.
fn module(
    folder: &Path,
    program: &Path,
    place: Place,
    go_mods: &mut GoMods,
) -> Result<Module, Error> {
    let text = |path: &Path| Utf8PathBuf::from(path.to_string_lossy().into_owned());
    let (path, program) = (text(folder), text(program));
    let Place {
        provider,
        component,
    } = place;
    let (go_mod, module_path) = go_mods.nearest(&program)?;
    let below = program
        .strip_prefix(go_mod.parent().unwrap_or(Utf8Path::new("")))
        .unwrap_or(&program);
    let import_path = if below.as_str().is_empty() {
        module_path
    } else {
        format!("{module_path}/{below}")
    };
    Ok(Module {
        provider,
        component,
        main: (program != path).then_some(program),
        path,
        import_path,
        go_mod,
    })
}

/// The go.mod files of a source, each read once.
struct GoMods<'a> {
    source: &'a Utf8Path,
    /// The module path in the go.mod of each folder looked at, if it has one.
    paths: HashMap<Utf8PathBuf, Option<String>>,
}

impl GoMods<'_> {
    /// The nearest go.mod at or above a folder, relative to the source, and the module path in it.
    fn nearest(&mut self, folder: &Utf8Path) -> Result<(Utf8PathBuf, String), Error> {
        for folder in folder.ancestors() {
            if !self.paths.contains_key(folder) {
                let path = self.read(folder)?;
                self.paths.insert(folder.to_owned(), path);
            }
            if let Some(path) = &self.paths[folder] {
                return Ok((folder.join("go.mod"), path.clone()));
            }
        }
        Err(Error::NoGoMod {
            path: folder.to_owned(),
        })
    }

    fn read(&self, folder: &Utf8Path) -> Result<Option<String>, Error> {
        let relative = folder.join("go.mod");
        let (source, file) = (self.source.as_std_path(), relative.as_std_path());
        let Some(text) = source_file::read(source, file, MAX_BYTES)? else {
            return Ok(None);
        };
        if text.starts_with(b"\xef\xbb\xbf") {
            return Err(Error::ByteOrderMark { path: relative });
        }
        let parsed = ModFile::parse(&String::from_utf8_lossy(&text));
        if parsed.module.is_some() {
            return Ok(parsed.module);
        }
        let reason = parsed
            .errors
            .first()
            .map_or("it is missing", |error| error.reason);
        Err(Error::GoMod {
            path: relative,
            reason,
        })
    }
}

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod tests;
