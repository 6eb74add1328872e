//! The walk from a source to its modules.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;
use walkdir::{DirEntry, WalkDir};

use crate::Error;
use crate::go_file::head;
use crate::import_path::refusal;
use crate::modfile::ModFile;
use crate::place::{Place, place};

/// A Pulumi program. As JSON, in this order, it is an element of what `cargo xtask discover --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Module {
    /// The folder below `provider`.
    pub provider: String,
    /// The folders between the provider and `iac`, without a version at the end, joined by `/`. Where there is
    /// none, the provider's name.
    pub component: String,
    /// Its folder, relative to the source.
    pub path: Utf8PathBuf,
    /// The import path of its main package.
    pub import_path: String,
    /// The nearest go.mod at or above its folder, relative to the source.
    pub go_mod: Utf8PathBuf,
}

/// A folder at a module's place that is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The folder, relative to the source. Characters that are no text are replaced.
    pub path: Utf8PathBuf,
    /// Why, as a fragment: `package x instead of main`.
    pub reason: String,
}

/// What a source holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Discovery {
    /// Sorted by path.
    pub modules: Vec<Module>,
    /// Sorted by path.
    pub skipped: Vec<Skipped>,
}

/// Finds the modules of a source. A source without any is no error; all other things that a user has to mend are,
/// see [`Error`].
pub fn discover(source: &Utf8Path) -> Result<Discovery, Error> {
    let refused = |reason| Error::Source {
        path: source.to_owned(),
        reason,
    };
    match fs_err::metadata(source) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(refused("does not exist"));
        }
        Ok(metadata) if !metadata.is_dir() => return Err(refused("is no folder")),
        other => other?,
    };
    let mut discovery = Discovery::default();
    let mut unusable = Vec::new();
    let mut go_mods = GoMods {
        source,
        paths: HashMap::new(),
    };
    for folder in candidates(source)? {
        let Some(place) = place(&folder) else {
            continue;
        };
        let reason = why_no_main_package(&source.as_std_path().join(&folder))?;
        if let Some(reason) = reason {
            let path = folder.to_string_lossy().into_owned().into();
            discovery.skipped.push(Skipped { path, reason });
        } else if let Some(reason) = refusal(&folder) {
            unusable.push((escaped(&folder), reason));
        } else {
            discovery
                .modules
                .push(module(&folder, &place, &mut go_mods)?);
        }
    }
    if !unusable.is_empty() {
        return Err(Error::UnusablePaths(unusable));
    }
    Ok(discovery)
}

#[expect(
    clippy::unnecessary_debug_formatting,
    reason = "the path is shown because of the characters that only this escapes"
)]
fn escaped(path: &Path) -> String {
    format!("{path:?}")
}

/// Every folder below `apis` that may hold a module, relative to the source, sorted.
fn candidates(source: &Utf8Path) -> Result<Vec<PathBuf>, Error> {
    let apis = source.join("apis");
    if !fs_err::symlink_metadata(&apis).is_ok_and(|metadata| metadata.is_dir()) {
        return Ok(Vec::new());
    }
    let mut folders = Vec::new();
    for entry in WalkDir::new(apis)
        .follow_links(false)
        .into_iter()
        .filter_entry(is_looked_into)
    {
        let entry = entry.map_err(io::Error::from)?;
        let folder = entry.path().strip_prefix(source).unwrap_or(entry.path());
        folders.push(folder.to_owned());
    }
    // By the text of the path, as scripts that read the list would sort it.
    folders.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    Ok(folders)
}

fn is_looked_into(entry: &DirEntry) -> bool {
    let name = entry.file_name().as_encoded_bytes();
    let left_out = [b"vendor".as_slice(), b"testdata", b"node_modules"];
    entry.file_type().is_dir()
        && !name.starts_with(b".")
        && !name.starts_with(b"_")
        && !left_out.contains(&name)
}

/// None if the folder holds a main package, otherwise the reason why it does not.
fn why_no_main_package(folder: &Path) -> Result<Option<String>, Error> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if entry.file_type()?.is_file() && text.ends_with(".go") && !text.starts_with(['.', '_']) {
            names.push(name);
        }
    }
    names.sort();
    if names.is_empty() {
        return Ok(Some("no Go files".into()));
    }
    names.retain(|name| !name.to_string_lossy().ends_with("_test.go"));
    if names.is_empty() {
        return Ok(Some("only test files".into()));
    }
    let mut other_package = None;
    let mut all_ignored = true;
    for name in names {
        let bytes = fs_err::read(folder.join(name))?;
        let text = String::from_utf8_lossy(&bytes);
        let head = head(&text);
        if head.ignored {
            continue;
        }
        all_ignored = false;
        match head.package {
            Some("main") => return Ok(None),
            Some(package) => other_package = other_package.or_else(|| Some(package.to_owned())),
            None => {}
        }
    }
    Ok(Some(match other_package {
        Some(package) => format!("package {package} instead of main"),
        None if all_ignored => "all files are excluded by `//go:build ignore`".into(),
        None => "no file has a package clause".into(),
    }))
}

/// A module at a place whose path is known to be plain ASCII.
fn module(folder: &Path, place: &Place, go_mods: &mut GoMods) -> Result<Module, Error> {
    let path = Utf8PathBuf::from(folder.to_string_lossy().into_owned());
    let provider = place.provider.to_string_lossy().into_owned();
    let names: Vec<_> = place
        .component
        .iter()
        .map(|name| name.to_string_lossy())
        .collect();
    let component = if names.is_empty() {
        provider.clone()
    } else {
        names.join("/")
    };
    let (go_mod, module_path) = go_mods.nearest(&path)?;
    let below = path
        .strip_prefix(go_mod.parent().unwrap_or(Utf8Path::new("")))
        .unwrap_or(&path);
    let import_path = if below.as_str().is_empty() {
        module_path
    } else {
        format!("{module_path}/{below}")
    };
    Ok(Module {
        provider,
        component,
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
        let file = self.source.join(&relative);
        if !file.is_file() {
            return Ok(None);
        }
        let text = fs_err::read(&file)?;
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
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    struct Source(tempfile::TempDir);

    impl Source {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn root(&self) -> &Utf8Path {
            Utf8Path::from_path(self.0.path()).unwrap()
        }

        fn file(self, path: &str, content: &str) -> Self {
            let path = self.root().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, content).unwrap();
            self
        }

        /// A main package in this folder.
        fn main(self, folder: &str) -> Self {
            self.file(
                &format!("{folder}/main.go"),
                "package main\n\nfunc main() {}\n",
            )
        }

        fn discover(&self) -> Discovery {
            discover(self.root()).unwrap()
        }

        fn refusal(&self) -> String {
            let error = discover(self.root()).unwrap_err();
            assert_eq!(error.kind(), Some(failure::Kind::Usage));
            error.to_string()
        }

        fn import_paths(&self) -> Vec<(String, String)> {
            let modules = self.discover().modules.into_iter();
            modules
                .map(|module| (module.import_path, module.go_mod.into_string()))
                .collect()
        }
    }

    const LAMBDA: &str = "apis/provider/aws/lambda/v1/iac/pulumi";

    #[test]
    fn the_json_is_as_agreed() {
        let source = Source::new()
            .file("go.mod", "module example.com/repo\n")
            .main(LAMBDA);
        let json = serde_json::to_string_pretty(&source.discover().modules).unwrap();
        insta::assert_snapshot!(json);
    }

    #[test]
    fn modules_are_sorted_by_path_and_names_are_free() {
        let source = Source::new()
            .file("go.mod", "module m")
            .main("apis/x/y/provider/own-cloud/a/b/v1alpha1/iac/pulumi")
            .main("apis/provider/aws/z/iac/pulumi")
            .main("apis/provider/aws-x/a/iac/pulumi")
            .main("apis/provider/aws/iac/pulumi");
        let modules = source.discover().modules;
        let names: Vec<_> = modules
            .iter()
            .map(|m| (m.provider.as_str(), m.component.as_str()))
            .collect();
        assert_eq!(
            names,
            [
                ("aws-x", "a"),
                ("aws", "aws"),
                ("aws", "z"),
                ("own-cloud", "a/b")
            ]
        );
        assert!(modules.is_sorted_by_key(|module| module.path.as_str()));
    }

    #[test]
    fn go_mod_may_be_anywhere_up_to_the_source() {
        let repository = Source::new().file("go.mod", "module m\n").main(LAMBDA);
        assert_eq!(
            repository.import_paths(),
            [(format!("m/{LAMBDA}"), "go.mod".into())]
        );
        let nearest = repository
            .file("apis/provider/aws/go.mod", "module \"m/aws\" // x\n")
            .file("go.work", "go 1.24\n");
        let expected = [(
            "m/aws/lambda/v1/iac/pulumi".to_owned(),
            "apis/provider/aws/go.mod".to_owned(),
        )];
        assert_eq!(nearest.import_paths(), expected);
        let own = nearest.file(&format!("{LAMBDA}/go.mod"), "module m/lambda\n");
        assert_eq!(
            own.import_paths(),
            [("m/lambda".to_owned(), format!("{LAMBDA}/go.mod"))]
        );
    }

    #[test]
    fn a_go_mod_above_the_source_does_not_count() {
        let source = Source::new()
            .file("go.mod", "module m\n")
            .main(&format!("repo/{LAMBDA}"));
        let error = discover(&source.root().join("repo")).unwrap_err();
        assert_eq!(error.kind(), Some(failure::Kind::Usage));
        let message = error.to_string();
        assert!(
            message.contains(LAMBDA) && message.contains("go mod init"),
            "{message}"
        );
    }

    #[test]
    fn a_go_mod_without_a_name_is_named() {
        let source = Source::new().file("apis/go.mod", "go 1.24\n").main(LAMBDA);
        assert!(
            source
                .refusal()
                .starts_with("apis/go.mod has no usable `module` line")
        );
    }

    #[test]
    fn folders_that_are_left_out() {
        let mut source = Source::new().file("go.mod", "module m\n");
        for folder in ["vendor", "testdata", "node_modules", ".hidden", "_old"] {
            source = source.main(&format!("apis/{folder}/provider/aws/lambda/iac/pulumi"));
            source = source.main(&format!("apis/provider/aws/{folder}/iac/pulumi"));
        }
        source = source
            .main("vendor/apis/provider/aws/lambda/iac/pulumi")
            .main("lambda/iac/pulumi");
        assert_eq!(source.discover(), Discovery::default());
    }

    #[test]
    fn the_source_itself_may_be_hidden() {
        let source = Source::new()
            .file(".x/vendor/go.mod", "module m")
            .main(&format!(".x/vendor/{LAMBDA}"));
        assert_eq!(
            discover(&source.root().join(".x/vendor"))
                .unwrap()
                .modules
                .len(),
            1
        );
    }

    #[test]
    fn what_is_no_main_package_is_skipped_with_the_reason() {
        let file = |component: &str, name: &str| {
            format!("apis/provider/aws/{component}/iac/pulumi/{name}")
        };
        let ignored = "//go:build ignore\n\npackage main\n";
        let source = Source::new()
            .file("go.mod", "module m")
            .file(&file("a-none", "README.md"), "")
            .file(&file("a-none", "_x.go"), "package main")
            .file(&file("b-tests", "main_test.go"), "package main")
            .file(&file("c-other", "lib.go"), "package lib")
            .file(&file("c-other", "lib_test.go"), "package main")
            .file(&file("d-ignored", "gen.go"), ignored)
            .file(&file("e-empty", "main.go"), "")
            .file(&file("f-ignored-and-other", "gen.go"), ignored)
            .file(&file("f-ignored-and-other", "lib.go"), "package lib")
            .file(&file("g-main", "gen.go"), ignored)
            .file(&file("g-main", "main.go"), "// Package main.\npackage main")
            .file(&file("h-nested", "module/main.go"), "package main");
        let discovery = source.discover();
        assert_eq!(discovery.modules.len(), 1);
        assert_eq!(discovery.modules[0].component, "g-main");
        let reasons: Vec<_> = discovery
            .skipped
            .iter()
            .map(|skipped| skipped.reason.as_str())
            .collect();
        let expected = [
            "no Go files",
            "only test files",
            "package lib instead of main",
            "all files are excluded by `//go:build ignore`",
            "no file has a package clause",
            "package lib instead of main",
            "no Go files",
        ];
        assert_eq!(reasons, expected);
        assert_eq!(
            discovery.skipped[0].path,
            "apis/provider/aws/a-none/iac/pulumi"
        );
    }

    #[test]
    fn a_folder_is_no_go_file() {
        let source = Source::new()
            .file("go.mod", "module m")
            .file(&format!("{LAMBDA}/main.go/x"), "package main");
        assert_eq!(source.discover().skipped[0].reason, "no Go files");
    }

    #[test]
    fn all_unusable_paths_are_named_at_once_and_escaped() {
        let source = Source::new()
            .file("go.mod", "module m")
            .main("apis/provider/aws/two words/iac/pulumi")
            .main("apis/provider/aws/line\nbreak/iac/pulumi")
            .main("apis/my \"team\"/provider/aws/x/iac/pulumi")
            .main("apis/provider/größe/x/iac/pulumi")
            .file("apis/provider/aws/no program/iac/pulumi/README.md", "")
            .file("apis/free text/README.md", "");
        let message = source.refusal();
        for part in [
            "two words",
            r"line\nbreak",
            r#"my \"team\""#,
            "größe",
            "rename",
        ] {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert!(
            !message.contains("no program") && !message.contains("free text"),
            "{message}"
        );
        assert_eq!(message.lines().count(), 5);
    }

    #[test]
    fn a_path_that_is_no_text_is_named() {
        let source = Source::new().file("go.mod", "module m").main(LAMBDA);
        let name = OsStr::from_bytes(b"apis/provider/aws/bad\xff/iac/pulumi");
        let folder = source.root().as_std_path().join(name);
        fs_err::create_dir_all(&folder).unwrap();
        assert_eq!(source.discover().skipped.len(), 1);
        fs_err::write(folder.join("main.go"), "package main").unwrap();
        assert!(source.refusal().contains(r"bad\xFF"));
    }

    #[test]
    fn links_are_not_followed() {
        let source = Source::new()
            .file("go.mod", "module m")
            .main("elsewhere")
            .main(LAMBDA);
        let link = |to: &str, at: &str| {
            let at = source.root().join(at);
            fs_err::create_dir_all(at.parent().unwrap()).unwrap();
            fs_err::os::unix::fs::symlink(source.root().join(to), at).unwrap();
        };
        link("elsewhere", "apis/provider/aws/linked/iac/pulumi");
        link("apis", "apis/loop");
        let discovery = source.discover();
        assert_eq!((discovery.modules.len(), discovery.skipped.len()), (1, 0));
    }

    #[test]
    fn a_source_without_modules_is_empty() {
        assert_eq!(Source::new().discover(), Discovery::default());
        assert_eq!(
            Source::new().file("apis", "").discover(),
            Discovery::default()
        );
    }

    #[test]
    fn a_source_that_is_none_is_refused() {
        let source = Source::new().file("file", "");
        for (name, reason) in [("gone", "does not exist"), ("file", "is no folder")] {
            let error = discover(&source.root().join(name)).unwrap_err();
            assert_eq!(error.kind(), Some(failure::Kind::Usage));
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
