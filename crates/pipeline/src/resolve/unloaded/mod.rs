//! Go modules that nothing loads: where one go.mod serves several providers, each of them requires the Go modules of
//! all. Where one go.work does, likewise: the go command sees one build list.
//!
//! Pulumi wants the folder of every required Go module, and little of what is in it. So all providers of such go.mods
//! share *stubs*, a few files of each Go module that only one of them loads, or none; the other files belong to that
//! provider, or to the pack `rest`. A provider with go.mods of its own needs what they require: what it does not load
//! of that is next to nothing, and to find it for all providers everything would have to be fetched to make one.
//!
//! [`loads`] asks who loads what, [`stub`] knows which files stay.

pub mod loads;
pub mod stub;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use gocache::GoModule;

use crate::resolve::go_mod::GoMod;
use crate::resolve::requirements::{Required, Requirements};
use crate::resolve::resolver::Resolver;
use crate::resolve::unloaded::loads::Loads;
use crate::work::files::files_below;

/// The go.mods that serve several providers, by themselves or under one go.work.
#[derive(Debug, Default)]
pub struct SharedGoMods {
    paths: BTreeSet<Utf8PathBuf>,
    /// What they require.
    requirements: Requirements,
    loads: Loads,
}

/// Who needs a Go module: providers that load it, and go.mods that no other provider has.
pub type Users<'a> = BTreeMap<GoModule, BTreeSet<&'a str>>;

/// Go modules that shared go.mods require, by where their files are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    /// In `common`, all of them.
    pub whole: BTreeSet<Required>,
    /// In `common`, but for what a stub has not.
    pub stubs: BTreeSet<Required>,
    /// Those of which nobody needs more than the stub.
    pub rest: BTreeSet<Required>,
}

impl SharedGoMods {
    /// Those of `go_mods`, with what they require and who loads it.
    pub fn of(resolver: &Resolver<'_>, go_mods: &[GoMod]) -> Result<Self> {
        let mut shared = Self::default();
        for go_mod in serving_several(go_mods) {
            shared.paths.insert(go_mod.path.clone());
            shared.requirements.extend(resolver.requirements(go_mod)?);
            for (provider, modules) in resolver.loads(go_mod)? {
                shared.loads.entry(provider).or_default().extend(modules);
            }
        }
        Ok(shared)
    }

    /// Whether the go.mod `path` is one of them.
    pub fn holds(&self, path: &Utf8Path) -> bool {
        self.paths.contains(path)
    }

    /// Of what a go.mod requires that is one of them, what `provider` does not load becomes stubs.
    pub fn narrow(&self, provider: &str, requirements: &mut Requirements) {
        let loaded = self.loads.get(provider);
        let required = std::mem::take(&mut requirements.required);
        let (kept, stubs) = required
            .into_iter()
            .partition(|it| loaded.is_some_and(|loaded| loaded.contains(&it.module)));
        requirements.required = kept;
        requirements.stubs = stubs;
    }

    /// Adds the providers that load a Go module to its users.
    pub fn add_users<'a>(&'a self, users: &mut Users<'a>) {
        for (provider, modules) in &self.loads {
            for module in modules {
                users.entry(module.clone()).or_default().insert(provider);
            }
        }
    }

    /// The files by which the go command knows the module graph of all of them, and what could not be fetched.
    pub fn graph(&self) -> Requirements {
        Requirements {
            required: BTreeSet::new(),
            ..self.requirements.clone()
        }
    }

    /// Sorts what they require, where `users` are all there are; those in `taken` are elsewhere. `cache` is the module
    /// cache.
    pub fn sort(
        &self,
        users: &Users<'_>,
        taken: &BTreeSet<Required>,
        cache: &Utf8Path,
    ) -> Result<Sorted> {
        let required = self.requirements.required.difference(taken);
        sort(required, users, |module| {
            let files = files_below(&cache.join(module.folder()))?;
            Ok(files.iter().any(|file| stub::stays(file)))
        })
    }
}

/// The go.mods that have several providers, or are under a go.work whose go.mods have.
fn serving_several(go_mods: &[GoMod]) -> impl Iterator<Item = &GoMod> {
    fn roof(go_mod: &GoMod) -> &Utf8Path {
        go_mod.go_work.as_deref().unwrap_or(&go_mod.path)
    }
    let mut providers: BTreeMap<&Utf8Path, BTreeSet<&str>> = BTreeMap::new();
    for go_mod in go_mods {
        let below = providers.entry(roof(go_mod)).or_default();
        below.extend(go_mod.providers());
    }
    go_mods
        .iter()
        .filter(move |go_mod| providers[roof(go_mod)].len() > 1)
}

/// A folder without files cannot be in a layer, so a Go module stays whole where none of its files is one of a stub.
fn sort<'r>(
    required: impl Iterator<Item = &'r Required>,
    users: &Users<'_>,
    has_stub: impl Fn(&GoModule) -> Result<bool>,
) -> Result<Sorted> {
    let mut sorted = Sorted::default();
    for required in required {
        let users = users.get(&required.module).map_or(0, BTreeSet::len);
        if users > 1 || !has_stub(&required.module)? {
            sorted.whole.insert(required.clone());
            continue;
        }
        sorted.stubs.insert(required.clone());
        if users == 0 {
            sorted.rest.insert(required.clone());
        }
    }
    Ok(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use modules::Module;

    fn required(path: &str) -> Required {
        let module = GoModule {
            path: path.to_owned(),
            version: "v1.0.0".to_owned(),
        };
        let sum = String::new();
        Required { module, sum }
    }

    fn go_mod(path: &str, go_work: Option<&str>, providers: &[&str]) -> GoMod {
        let module = |provider: &&str| Module {
            provider: (*provider).to_owned(),
            component: "c".to_owned(),
            path: format!("apis/{provider}").into(),
            import_path: format!("m/{provider}"),
            go_mod: path.into(),
            main: None,
        };
        GoMod {
            path: path.into(),
            go_work: go_work.map(Into::into),
            modules: providers.iter().map(module).collect(),
        }
    }

    #[test]
    fn one_go_work_of_several_providers_is_like_one_go_mod() {
        let go_mods = [
            go_mod("one/go.mod", None, &["aws", "gcp"]),
            go_mod("civo/go.mod", None, &["civo"]),
            go_mod("w/a/go.mod", Some("w/go.work"), &["aws"]),
            go_mod("w/b/go.mod", Some("w/go.work"), &["civo"]),
            go_mod("v/a/go.mod", Some("v/go.work"), &["aws"]),
            go_mod("v/b/go.mod", Some("v/go.work"), &["aws"]),
        ];
        let shared: Vec<_> = serving_several(&go_mods)
            .map(|it| it.path.as_str())
            .collect();
        assert_eq!(shared, ["one/go.mod", "w/a/go.mod", "w/b/go.mod"]);
    }

    #[test]
    fn files_go_to_whoever_loads_them() {
        let all = ["both", "civo", "none", "bare"].map(required);
        let users: Users<'_> = [("both", vec!["aws", "civo"]), ("civo", vec!["civo"])]
            .into_iter()
            .map(|(path, users)| (required(path).module, users.into_iter().collect()))
            .collect();
        let sorted = sort(all.iter(), &users, |module| Ok(module.path != "bare")).unwrap();
        let set = |paths: &[&str]| paths.iter().map(|path| required(path)).collect();
        let expected = Sorted {
            whole: set(&["bare", "both"]),
            stubs: set(&["civo", "none"]),
            rest: set(&["none"]),
        };
        assert_eq!(sorted, expected);
    }

    #[test]
    fn a_provider_has_stubs_of_what_others_load() {
        let of_provider = |path: &str| BTreeSet::from([required(path).module]);
        let shared = SharedGoMods {
            loads: [("aws", "a"), ("civo", "c")]
                .map(|(provider, path)| (provider.to_owned(), of_provider(path)))
                .into(),
            ..SharedGoMods::default()
        };
        for (provider, whole, stubs) in [
            ("civo", vec!["c"], vec!["a", "n"]),
            ("new", vec![], vec!["a", "c", "n"]),
        ] {
            let mut requirements = Requirements {
                required: ["a", "c", "n"].map(required).into(),
                ..Requirements::default()
            };
            shared.narrow(provider, &mut requirements);
            let set = |paths: Vec<&str>| paths.into_iter().map(required).collect();
            assert_eq!(requirements.required, set(whole), "{provider}");
            assert_eq!(requirements.stubs, set(stubs), "{provider}");
        }
    }
}
