//! Which plugins programs need: those of the SDKs that their go.mod requires, and those of the packages in their
//! Pulumi.yaml.
//!
//! Pulumi's language host asks for the Go modules of the go.mod's own list, indirect ones too, and looks into the
//! folder of each: in the module cache, in the source where it is replaced, or in `vendor`. What cannot be had as an
//! archive is not guessed at; it is said.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use modules::project::{Package, Project};
use modules::{ModFile, Module};
use serde::{Deserialize, Serialize};

use crate::plugins::plugin::{self, Plugin};
use crate::resolve::go_mod::{self, GoMod};
use crate::resolve::requirements::Requirements;

/// What a program needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// Plugins that can be had as archives.
    pub plugins: BTreeSet<Plugin>,
    /// What no image has.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub left_out: BTreeSet<LeftOut>,
}

/// What a program names as a plugin, and no image has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftOut {
    /// What it is called.
    pub name: String,
    /// Why no image has it.
    pub reason: String,
    /// Whether Pulumi takes it from a folder of the machine, so that it is not fetched.
    pub is_local: bool,
}

impl Needs {
    /// Adds what another program needs.
    pub fn extend(&mut self, other: Self) {
        self.plugins.extend(other.plugins);
        self.left_out.extend(other.left_out);
    }
}

/// A program with what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Program {
    /// Its provider.
    pub provider: String,
    /// Its component.
    pub component: String,
    /// Its folder, relative to the source.
    pub path: Utf8PathBuf,
    /// What it needs.
    #[serde(flatten)]
    pub needs: Needs,
}

/// What all programs of `go_mod` need, which requires these Go modules of the module cache.
pub fn of_go_mod(
    source: &Utf8Path,
    go_mod: &GoMod,
    requirements: &Requirements,
    module_cache: &Utf8Path,
) -> Result<Vec<Program>> {
    let sdks = of_sdks(source, go_mod, requirements, module_cache)?;
    let program = |module: &Module| -> Result<Program> {
        let project = Project::of_source(source.as_std_path(), module.path.as_std_path())?;
        let mut needs = sdks.clone();
        if let Some(project) = project {
            needs.extend(of_project(&project, &sdks.plugins));
        }
        Ok(Program {
            provider: module.provider.clone(),
            component: module.component.clone(),
            path: module.path.clone(),
            needs,
        })
    };
    go_mod.modules.iter().map(program).collect()
}

/// Plugins of the SDKs among the Go modules that `go_mod` requires.
fn of_sdks(
    source: &Utf8Path,
    go_mod: &GoMod,
    requirements: &Requirements,
    module_cache: &Utf8Path,
) -> Result<Needs> {
    let file = ModFile::parse(&go_mod::read(source, &go_mod.path)?);
    let own: BTreeMap<String, Utf8PathBuf> = go_mod.own_modules(source)?.into_iter().collect();
    let vendored = go_mod.is_vendored(source);
    let top = go_mod.go_work.as_ref().unwrap_or(&go_mod.path);
    let mut needs = Needs::default();
    for required in &file.require {
        let (path, mut version) = (&required.module.path, required.module.version.as_str());
        let replaced = file.replace.iter().find(|it| {
            it.old.path == *path && (it.old.version.is_empty() || it.old.version == version)
        });
        let of_cache = replaced.map_or(path, |it| &it.new.path);
        let of_cache = requirements
            .required
            .iter()
            .find(|it| it.module.path == *of_cache);
        let in_source = match replaced {
            Some(it) if it.new.version.is_empty() => {
                Some(go_mod::normal(&go_mod.folder().join(&it.new.path)))
            }
            _ if own.contains_key(path) => own.get(path).cloned(),
            _ if vendored => Some(top.with_file_name("vendor").join(path)),
            _ => None,
        };
        let folder = if let Some(folder) = in_source {
            // Where it is not, Pulumi passes over it.
            if !go_mod::is_inside(source, &folder)? {
                continue;
            }
            source.join(folder).canonicalize_utf8()?
        } else if let Some(fetched) = of_cache {
            if replaced.is_none() {
                version = &fetched.module.version;
            }
            module_cache.join(fetched.module.folder())
        } else {
            continue;
        };
        let found = plugin::read(&folder)
            .and_then(|json| plugin::of_go_module(path, version, json.as_deref()));
        match found {
            Ok(plugin) => needs.plugins.extend(plugin),
            Err(reason) => drop(needs.left_out.insert(LeftOut {
                name: path.clone(),
                reason,
                is_local: false,
            })),
        }
    }
    Ok(needs)
}

/// What a project names beside its SDKs, whose plugins are `of_sdks`.
fn of_project(project: &Project, of_sdks: &BTreeSet<Plugin>) -> Needs {
    let mut needs = Needs::default();
    for plugin in &project.plugins {
        needs.left_out.insert(LeftOut {
            name: plugin.name.clone(),
            reason: format!("Pulumi.yaml has it in a folder, {}", plugin.path),
            is_local: true,
        });
    }
    for package in &project.packages {
        match of_package(package) {
            Ok(plugin) => drop(needs.plugins.insert(plugin)),
            // The SDK that was made of it says which version.
            Err(_) if of_sdks.iter().any(|sdk| sdk.name == package.source) => {}
            Err(left_out) => drop(needs.left_out.insert(left_out)),
        }
    }
    needs
}

fn of_package(package: &Package) -> Result<Plugin, LeftOut> {
    let source = package.source.as_str();
    let left_out = |reason: String, is_local| LeftOut {
        name: package.name.clone(),
        reason,
        is_local,
    };
    if source.starts_with("./") || source.starts_with("..") || source.starts_with('/') {
        let reason = format!("Pulumi.yaml has it in a folder, {source}");
        return Err(left_out(reason, true));
    }
    if source.contains('/') {
        let reason = format!("{source} is no plugin by its name and version");
        return Err(left_out(reason, false));
    }
    let Some(version) = &package.version else {
        return Err(left_out(
            "Pulumi.yaml names no version of it".to_owned(),
            false,
        ));
    };
    Plugin::new(source, version, None).map_err(|reason| left_out(reason, false))
}

#[cfg(test)]
mod tests {
    use gocache::GoModule;
    use modules::project::LocalPlugin;

    use super::*;
    use crate::resolve::requirements::Required;

    fn write(root: &Utf8Path, path: &str, text: &str) {
        let file = root.join(path);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, text).unwrap();
    }

    fn said(needs: &Needs) -> Vec<String> {
        let plugins = needs
            .plugins
            .iter()
            .map(|it| format!("{} {}", it.name, it.version));
        let left_out = needs.left_out.iter();
        let left_out = left_out.map(|it| format!("{}: {} {}", it.name, it.reason, it.is_local));
        plugins.chain(left_out).collect()
    }

    fn named(name: &str) -> String {
        format!(r#"{{"resource": true, "name": "{name}"}}"#)
    }

    /// A source in `source/`, a module cache in `cache/`, and what the program in `source/p` needs.
    fn needs_of(root: &Utf8Path, fetched: &[(&str, &str)]) -> Vec<String> {
        let (source, cache) = (root.join("source"), root.join("cache"));
        let module = Module {
            provider: "toy".into(),
            component: "one".into(),
            path: "p".into(),
            import_path: "example.com/m/p".into(),
            go_mod: "go.mod".into(),
            main: None,
        };
        let [go_mod] = &go_mod::by_go_mod(&source, &[module])[..] else {
            panic!("one go.mod")
        };
        let required = fetched.iter().map(|(path, version)| Required {
            module: GoModule {
                path: (*path).into(),
                version: (*version).into(),
            },
            sum: "h1:x".into(),
        });
        let requirements = Requirements {
            required: required.collect(),
            ..Requirements::default()
        };
        let programs = of_go_mod(&source, go_mod, &requirements, &cache).unwrap();
        said(&programs[0].needs)
    }

    #[test]
    fn sdks_are_looked_for_where_the_go_command_has_them() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let go_mod = "module example.com/m\nrequire (\n\texample.com/fetched v1.2.3 // indirect\n\t\
                      example.com/forked v1.0.0\n\texample.com/own v0.0.0\n\texample.com/out v0.0.0\n\t\
                      example.com/bad v1.0.0\n)\nreplace (\n\texample.com/own => ./own\n\t\
                      example.com/out => ../cache\n\texample.com/forked => example.com/fork v1.5.0\n)\n";
        write(root, "source/go.mod", go_mod);
        write(root, "source/own/go.mod", "module example.com/own\n");
        write(root, "source/own/go/x/pulumi-plugin.json", &named("own"));
        write(root, "cache/pulumi-plugin.json", &named("out"));
        let in_cache = |module: &str| format!("cache/example.com/{module}/pulumi-plugin.json");
        write(root, &in_cache("fetched@v1.3.0"), &named("fetched"));
        write(root, &in_cache("fork@v1.5.0"), &named("fork"));
        write(root, &in_cache("bad@v1.0.0"), "{");
        write(root, &in_cache("unasked@v1.0.0"), &named("unasked"));
        let fetched = [
            ("example.com/bad", "v1.0.0"),
            ("example.com/fetched", "v1.3.0"),
            ("example.com/fork", "v1.5.0"),
            ("example.com/unasked", "v1.0.0"),
        ];
        let mut found = needs_of(root, &fetched);
        let bad = found.pop().unwrap();
        assert!(
            bad.starts_with("example.com/bad: its pulumi-plugin.json cannot"),
            "{bad}"
        );
        assert_eq!(found, ["fetched 1.3.0", "fork 1.0.0", "own 0.0.0"]);
    }

    #[test]
    fn vendored_sdks_are_in_vendor() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let go_mod = "module example.com/m\nrequire example.com/sdk v1.2.3\nrequire example.com/gone v1.0.0\n";
        write(root, "source/go.mod", go_mod);
        write(
            root,
            "source/vendor/modules.txt",
            "# example.com/sdk v1.2.3\n",
        );
        write(
            root,
            "source/vendor/example.com/sdk/go/x/pulumi-plugin.json",
            &named("sdk"),
        );
        write(
            root,
            "cache/example.com/sdk@v1.2.3/pulumi-plugin.json",
            &named("other"),
        );
        let fetched = [
            ("example.com/sdk", "v1.2.3"),
            ("example.com/gone", "v1.0.0"),
        ];
        assert_eq!(needs_of(root, &fetched), ["sdk 1.2.3"]);
    }

    #[test]
    fn a_project_adds_its_packages_and_what_is_in_a_folder_is_said() {
        let package = |name: &str, source: &str, version: Option<&str>| Package {
            name: name.into(),
            source: source.into(),
            version: version.map(str::to_owned),
        };
        let mut project = Project::default();
        project.plugins = vec![LocalPlugin {
            name: "here".into(),
            path: "./bin".into(),
        }];
        project.packages = vec![
            package("cloud", "aws", Some("7.3.0")),
            package("known", "civo", None),
            package("unknown", "azure", None),
            package("folder", "../x", None),
            package("git", "github.com/a/b", Some("v1.0.0")),
            package("odd", "aws", Some("latest")),
        ];

        let civo = BTreeSet::from([Plugin::new("civo", "2.4.8", None).unwrap()]);
        assert_eq!(
            said(&of_project(&project, &civo)),
            [
                "aws 7.3.0",
                "folder: Pulumi.yaml has it in a folder, ../x true",
                "git: github.com/a/b is no plugin by its name and version false",
                "here: Pulumi.yaml has it in a folder, ./bin true",
                "odd: \"latest\" is no version false",
                "unknown: Pulumi.yaml names no version of it false",
            ]
        );
    }
}
