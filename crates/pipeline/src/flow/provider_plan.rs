//! What the modules of a provider need, and what decides whether a kept pack of them is still right.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use camino::Utf8PathBuf;
use modules::Module;
use serde::Serialize;
use sha256::Sha256Hash;

use crate::pack::programs::{self, Folders};
use crate::resolve::go_mod::GoMod;
use crate::resolve::load::What;
use crate::resolve::package::Package;
use crate::resolve::requirements::{Required, Requirements};
use crate::resolve::resolver::Resolver;
use crate::resolve::unloaded::SharedGoMods;

/// What a provider's modules need.
#[derive(Debug, Default)]
pub struct ProviderPlan {
    /// Where the image has its programs.
    pub folders: Folders,
    /// go.mods, with the packages that their modules import.
    pub go_mods: Vec<(GoMod, Vec<String>)>,
    /// Go modules behind all of them.
    pub requirements: Requirements,
    /// What decides whether a kept pack is still right.
    pub inputs: Vec<Inputs>,
    /// Modules that cannot be loaded, with the reason.
    pub broken: Vec<String>,
}

/// What of one go.mod decides whether a kept pack is still right.
#[derive(Debug, Serialize)]
pub struct Inputs {
    /// go.mod, go.sum and go.work.
    digests: Vec<(Utf8PathBuf, Sha256Hash)>,
    /// Their folders, and those of their programs where they are others.
    modules: Vec<Utf8PathBuf>,
    /// What modules are called where their place does not say it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    components: Vec<String>,
    /// Every package with its version or, for the source's own, with its files.
    packages: Vec<Package>,
    /// Go modules that it loads, where its go.mod is other providers', too.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    loaded: BTreeSet<Required>,
    /// Their project files as the image has them beside their executables.
    projects: BTreeMap<Utf8PathBuf, String>,
    /// Go modules that the pack has to do without.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    not_fetched: BTreeSet<String>,
}

/// What the modules of a provider need that these go.mods hold, some of which may be `shared` with other providers; the
/// image has the provider's programs in `folders`.
pub fn plan(
    resolver: &Resolver<'_>,
    (provider, shared): (&str, &SharedGoMods),
    (go_mods, folders): (&[GoMod], Folders),
    keep_going: bool,
) -> Result<ProviderPlan> {
    let mut plan = ProviderPlan {
        folders,
        ..ProviderPlan::default()
    };
    for go_mod in go_mods {
        let mut requirements = match resolver.requirements(go_mod) {
            Ok(requirements) => requirements,
            Err(error) if keep_going => {
                let modules = go_mod.modules.iter();
                plan.broken
                    .extend(modules.map(|module| format!("{}: {error:#}", module.path)));
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut narrowed = BTreeSet::new();
        if shared.holds(&go_mod.path) {
            shared.narrow(provider, &mut requirements);
            narrowed.clone_from(&requirements.required);
        }
        let wanted: Vec<&Module> = go_mod.modules.iter().collect();
        let loaded = resolver.load(go_mod, &What::Modules(&wanted))?;
        let broken = loaded
            .broken
            .iter()
            .map(|(path, reason)| format!("{path} cannot be loaded: {reason}"));
        plan.broken.extend(broken);
        let mut go_mod = go_mod.clone();
        go_mod
            .modules
            .retain(|module| !loaded.broken.contains_key(module.program().as_str()));
        let roots: BTreeSet<&str> = go_mod
            .modules
            .iter()
            .map(|module| module.import_path.as_str())
            .collect();
        let imported: BTreeSet<&String> = roots
            .iter()
            .filter_map(|path| loaded.packages.get(*path))
            .flat_map(|package| &package.imports)
            .filter(|path| {
                loaded
                    .packages
                    .get(*path)
                    .is_some_and(|package| package.name != "main" && *path != "unsafe")
            })
            .collect();
        let packages: Vec<String> = imported.into_iter().cloned().collect();
        let projects = programs::projects(resolver.source, &go_mod.modules, &plan.folders)?;
        let projects = projects.into_iter();
        plan.inputs.push(Inputs {
            projects: projects
                .map(|(path, text)| (path.to_owned(), text))
                .collect(),
            digests: go_mod.digest(resolver.source)?,
            modules: go_mod
                .modules
                .iter()
                .flat_map(|module| [&module.path].into_iter().chain(&module.main))
                .cloned()
                .collect(),
            components: go_mod
                .modules
                .iter()
                .filter(|module| !module.is_called_by_its_place())
                .map(|module| format!("{}/{}", module.provider, module.component))
                .collect(),
            packages: loaded.packages.into_values().collect(),
            loaded: narrowed,
            not_fetched: requirements.not_fetched.clone(),
        });
        plan.requirements.extend(requirements);
        plan.go_mods.push((go_mod, packages));
    }
    Ok(plan)
}
