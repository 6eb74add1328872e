//! What all providers share, and so what is compiled once: the plan of the pack `common`.
//!
//! The choice depends on the source alone, never on which providers are asked for, so that each of them can be made
//! alone, on another machine, and still fit. It must also be cheap where the providers are kept apart: with a go.mod
//! for each, nothing of one provider is fetched to make another. Hence two rules:
//!
//! - The packages that `image.toml` names, at the versions of the go.mod that agrees most with the others.
//! - Where one go.mod holds several providers, also what the modules of at least two of them load.
//!
//! Of what such a go.mod requires, the Go modules that at least two providers load are in it, and a stub of each other
//! one: [`unloaded`](crate::resolve::unloaded). The Go modules that at least two of the other go.mods require are in
//! the common pack, too, whether packages of theirs are compiled there or not: the image has to hold their folders
//! anyway, once.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use gocache::GoModule;
use modules::{ModFile, Module};

use crate::image_toml::Unloaded;
use crate::resolve::go_mod::{GoMod, read};
use crate::resolve::load::What;
use crate::resolve::package::{Loaded, Package};
use crate::resolve::requirements::{Required, Requirements};
use crate::resolve::resolver::Resolver;
use crate::resolve::unloaded::{SharedGoMods, Users};
use engine::progress;

/// Packages that are compiled together, in the folder of one go.mod.
#[derive(Debug)]
pub struct Unit {
    /// Where.
    pub go_mod: GoMod,
    /// Import paths and patterns.
    pub packages: Vec<String>,
}

/// What the common pack is made of.
#[derive(Debug)]
pub struct CommonPlan {
    /// What is compiled.
    pub units: Vec<Unit>,
    /// Everything that is loaded for it.
    pub packages: BTreeMap<String, Package>,
    /// Go modules in the pack.
    pub requirements: Requirements,
    /// The go.mods of several providers.
    pub shared: SharedGoMods,
    /// Go modules of which no provider needs more than the stub in this pack.
    pub rest: BTreeSet<Required>,
}

/// Finds what the providers of a source share.
pub fn plan(
    resolver: &Resolver<'_>,
    go_mods: &[GoMod],
    wanted: &[String],
    unloaded: Unloaded,
) -> Result<CommonPlan> {
    let texts = go_mods
        .iter()
        .map(|go_mod| read(resolver.source, &go_mod.path))
        .collect::<Result<Vec<_>>>()?;
    let mut requires: Vec<Requires> = texts.iter().map(|text| Requires::parse(text)).collect();

    let mut common = CommonPlan {
        units: Vec::new(),
        packages: BTreeMap::new(),
        requirements: Requirements::default(),
        shared: SharedGoMods::default(),
        rest: BTreeSet::new(),
    };
    common.add_named(
        resolver,
        &go_mods[representative(go_mods, &requires)],
        wanted,
    )?;
    for go_mod in go_mods.iter().filter(|go_mod| go_mod.providers().len() > 1) {
        common.add_shared(resolver, go_mod, unloaded)?;
    }
    if unloaded == Unloaded::Rest {
        common.shared = SharedGoMods::of(resolver, go_mods)?;
        // What these require is known by who loads it.
        for (go_mod, requires) in go_mods.iter().zip(&mut requires) {
            if common.shared.holds(&go_mod.path) {
                *requires = Requires::default();
            }
        }
    }
    for (index, wanted) in shared_modules(&requires) {
        common
            .requirements
            .required
            .extend(resolver.download(&go_mods[index], &wanted)?);
    }
    common.sort_shared(resolver, go_mods, &requires)?;
    Ok(common)
}

impl CommonPlan {
    /// Adds the packages that `image.toml` names, as far as `go_mod` has them.
    fn add_named(
        &mut self,
        resolver: &Resolver<'_>,
        go_mod: &GoMod,
        wanted: &[String],
    ) -> Result<()> {
        let offline = resolver.load(go_mod, &What::Packages(wanted));
        let loaded = match offline {
            Ok(loaded) if loaded.broken.is_empty() => loaded,
            _ => {
                resolver.fetch_packages(go_mod, wanted)?;
                resolver.load(go_mod, &What::Packages(wanted))?
            }
        };
        for (package, reason) in &loaded.broken {
            progress::note(format_args!(
                "note: {package} is not part of the common pack: {}",
                reason.lines().next().unwrap_or_default()
            ));
        }
        let packages: Vec<String> = wanted
            .iter()
            .filter(|package| !loaded.broken.contains_key(*package))
            .cloned()
            .collect();
        let modules: BTreeSet<GoModule> = loaded
            .packages
            .values()
            .filter_map(|package| package.module.clone())
            .collect();
        if !modules.is_empty() {
            self.requirements
                .required
                .extend(resolver.download(go_mod, &modules)?);
        }
        self.units.push(Unit {
            go_mod: go_mod.clone(),
            packages,
        });
        self.add_packages(loaded);
        Ok(())
    }

    /// Adds what at least two providers of `go_mod` load, and, where it is to be kept, all that it requires.
    fn add_shared(
        &mut self,
        resolver: &Resolver<'_>,
        go_mod: &GoMod,
        unloaded: Unloaded,
    ) -> Result<()> {
        let requirements = resolver.requirements(go_mod)?;
        let modules: Vec<&Module> = go_mod.modules.iter().collect();
        let loaded = resolver.load(go_mod, &What::Modules(&modules))?;
        // A package that cannot be loaded breaks every module that imports it.
        let mut sound = go_mod.clone();
        sound
            .modules
            .retain(|module| !loaded.broken.contains_key(module.program().as_str()));
        let packages = shared_packages(&sound, &loaded.packages);
        if unloaded == Unloaded::Keep {
            self.requirements.extend(requirements);
        }
        let shared: BTreeSet<&String> = packages.iter().collect();
        self.packages.extend(
            loaded
                .packages
                .into_iter()
                .filter(|(path, _)| shared.contains(path)),
        );
        if !packages.is_empty() {
            self.units.push(Unit {
                go_mod: go_mod.clone(),
                packages,
            });
        }
        Ok(())
    }

    /// Adds what the go.mods of several providers require, as far as more than one of these needs it.
    fn sort_shared(
        &mut self,
        resolver: &Resolver<'_>,
        go_mods: &[GoMod],
        requires: &[Requires],
    ) -> Result<()> {
        let mut users = Users::new();
        self.shared.add_users(&mut users);
        for (go_mod, requires) in go_mods.iter().zip(requires) {
            for (path, version) in &requires.versions {
                let (path, version) = (path.clone(), version.clone());
                let users = users.entry(GoModule { path, version }).or_default();
                users.insert(go_mod.path.as_str());
            }
        }
        let taken = &self.requirements.required;
        let sorted = self.shared.sort(&users, taken, resolver.go_mod)?;
        self.requirements.extend(self.shared.graph());
        self.requirements.required.extend(sorted.whole);
        self.requirements.stubs.extend(sorted.stubs);
        self.rest = sorted.rest;
        Ok(())
    }

    fn add_packages(&mut self, loaded: Loaded) {
        let broken = loaded.broken;
        self.packages.extend(
            loaded
                .packages
                .into_iter()
                .filter(|(path, _)| !broken.contains_key(path)),
        );
    }
}

/// The packages, main packages left out, that modules of at least two providers load.
fn shared_packages(go_mod: &GoMod, packages: &BTreeMap<String, Package>) -> Vec<String> {
    let mut providers: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for provider in go_mod.providers() {
        let roots = go_mod
            .modules
            .iter()
            .filter(|module| module.provider == provider);
        let mut open: Vec<&str> = roots.map(|module| module.import_path.as_str()).collect();
        while let Some(path) = open.pop() {
            let Some(package) = packages.get(path) else {
                continue;
            };
            if providers
                .entry(&package.import_path)
                .or_default()
                .insert(provider)
            {
                open.extend(package.imports.iter().map(String::as_str));
            }
        }
    }
    providers
        .into_iter()
        .filter(|(path, providers)| {
            providers.len() > 1 && packages[*path].name != "main" && *path != "unsafe"
        })
        .map(|(path, _)| path.to_owned())
        .collect()
}

/// The `require` and `replace` directives of a go.mod, as far as they matter here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Requires {
    versions: BTreeMap<String, String>,
}

impl Requires {
    /// Reads the text of a go.mod. What is replaced is left out: whose files it stands for is the go command's affair.
    fn parse(text: &str) -> Self {
        let file = ModFile::parse(text);
        let is_replaced = |path: &str| {
            file.replace
                .iter()
                .any(|replacement| replacement.old.path == path)
        };
        let required = file.require.iter().map(|required| &required.module);
        let versions = required
            .filter(|module| !is_replaced(&module.path))
            .map(|module| (module.path.clone(), module.version.clone()))
            .collect();
        Self { versions }
    }
}

/// The go.mod that holds most providers, and of those the one whose versions most others have too.
fn representative(go_mods: &[GoMod], requires: &[Requires]) -> usize {
    let agreement = |one: &Requires| -> usize {
        let same = |other: &&Requires, path: &String, version: &String| {
            other.versions.get(path) == Some(version)
        };
        one.versions
            .iter()
            .map(|(path, version)| {
                requires
                    .iter()
                    .filter(|other| same(other, path, version))
                    .count()
                    - 1
            })
            .sum()
    };
    (0..go_mods.len())
        .max_by_key(|&index| {
            (
                go_mods[index].providers().len(),
                agreement(&requires[index]),
                std::cmp::Reverse(index),
            )
        })
        .expect("a source has modules, and so a go.mod")
}

/// The Go modules that at least two go.mods require, by the index of the first that does.
fn shared_modules(requires: &[Requires]) -> BTreeMap<usize, BTreeSet<GoModule>> {
    let mut users: BTreeMap<(&String, &String), Vec<usize>> = BTreeMap::new();
    for (index, go_mod) in requires.iter().enumerate() {
        for pair in &go_mod.versions {
            users.entry(pair).or_default().push(index);
        }
    }
    let mut shared: BTreeMap<usize, BTreeSet<GoModule>> = BTreeMap::new();
    for ((path, version), users) in users.into_iter().filter(|(_, users)| users.len() > 1) {
        let module = GoModule {
            path: path.clone(),
            version: version.clone(),
        };
        shared.entry(users[0]).or_default().insert(module);
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(provider: &str) -> Module {
        Module {
            provider: provider.into(),
            component: "c".into(),
            path: format!("apis/provider/{provider}/c/v1/iac/pulumi").into(),
            import_path: format!("example.com/m/{provider}"),
            go_mod: "go.mod".into(),
            main: None,
        }
    }

    fn go_mod(providers: &[&str]) -> GoMod {
        GoMod {
            path: "go.mod".into(),
            go_work: None,
            modules: providers.iter().map(|p| module(p)).collect(),
        }
    }

    fn package(path: &str, name: &str, imports: &[&str]) -> (String, Package) {
        let package = Package {
            import_path: path.into(),
            name: name.into(),
            standard: false,
            module: None,
            go_version: None,
            files: Vec::new(),
            imports: imports.iter().map(|&path| path.to_owned()).collect(),
        };
        (path.to_owned(), package)
    }

    #[test]
    fn requires_are_read_in_both_forms_without_what_is_replaced() {
        let text = "module m // a comment\n\ngo 1.25\nrequire example.com/a v1.0.0\n\
                    require (\n\t\"example.com/b\" v1.2.3 // indirect\n\texample.com/c v0.1.0\n)\n\
                    replace example.com/c => ../c\nexclude example.com/d v1.0.0\n";
        let versions = [("example.com/a", "v1.0.0"), ("example.com/b", "v1.2.3")];
        let versions = versions
            .map(|(path, version)| (path.to_owned(), version.to_owned()))
            .into();
        assert_eq!(Requires::parse(text), Requires { versions });
    }

    #[test]
    fn versions_of_the_majority_win() {
        let requires = ["require s v1", "require s v2", "require s v2"].map(Requires::parse);
        let go_mods = [go_mod(&["aws"]), go_mod(&["civo"]), go_mod(&["gcp"])];
        assert_eq!(representative(&go_mods, &requires), 1);
        let many = [go_mod(&["aws", "gcp"]), go_mod(&["civo"]), go_mod(&["gcp"])];
        assert_eq!(representative(&many, &requires), 0);
    }

    #[test]
    fn go_modules_of_two_go_mods_are_shared() {
        let requires = [
            "require (\ns v1\na v1\n)",
            "require (\ns v1\nb v1\n)",
            "require b v2",
        ]
        .map(Requires::parse);
        let shared = shared_modules(&requires);
        let module = GoModule {
            path: "s".into(),
            version: "v1".into(),
        };
        assert_eq!(shared, BTreeMap::from([(0, BTreeSet::from([module]))]));
    }

    #[test]
    fn packages_of_two_providers_are_shared_and_main_packages_are_not() {
        let packages = BTreeMap::from([
            package("example.com/m/aws", "main", &["sdk", "aws"]),
            package("example.com/m/gcp", "main", &["sdk"]),
            package("sdk", "sdk", &["deep", "unsafe"]),
            package("deep", "deep", &[]),
            package("aws", "aws", &["deep"]),
        ]);
        assert_eq!(
            shared_packages(&go_mod(&["aws", "gcp"]), &packages),
            ["deep", "sdk"]
        );
    }

    #[test]
    fn the_catalog_has_each_shared_go_module_at_one_version() {
        let root = crate::workspace::workspace().join("catalog");
        let mut versions: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for entry in walkdir::WalkDir::new(&root).into_iter().map(Result::unwrap) {
            if entry.file_name() == "go.mod" {
                let file = entry.path().display().to_string();
                let text = fs_err::read_to_string(entry.path()).unwrap();
                for (path, version) in Requires::parse(&text).versions {
                    versions
                        .entry(path)
                        .or_default()
                        .insert(version, file.clone());
                }
            }
        }
        assert!(versions.len() > 50, "the go.mods of {root} were not found");
        let apart: Vec<_> = versions
            .iter()
            .filter(|(_, versions)| versions.len() > 1)
            .collect();
        assert!(
            apart.is_empty(),
            "packages of these are compiled more than once: {apart:#?}"
        );
    }
}
