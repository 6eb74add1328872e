//! From a source to packs: the steps that every command that needs packs goes through, in their order.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use camino::Utf8PathBuf;
use gocache::RECORD_SCHEMA;
use modules::Module;
use serde::Serialize;

use crate::foundation::base;
use crate::foundation::base::Base;
use crate::foundation::standard_library;
use crate::foundation::standard_library::STD;
use crate::foundation::tools;
use crate::foundation::tree::Tree;
use crate::foundation::{go, verifier};
use crate::image_toml::ImageToml;
use crate::names::COMMON;
use crate::pack;
use crate::pack::Pack;
use crate::pack::artifact::{Artifact, Made};
use crate::pack::matrix;
use crate::pack::matrix::Times;
use crate::pack::part::Part;
use crate::pack::store::Store;
use crate::resolve::go_mod::{GoMod, by_go_mod};
use crate::resolve::shared;
use crate::resolve::shared::Common;
use crate::resolve::{Package, Requirements, Resolver, What};
use crate::warm::Warmer;
use crate::work;
use crate::work::files::remove_tree;
use crate::work::{Key, Work};
use crate::workspace::{self, workspace};
use engine::Engine;
use engine::host;
use engine::progress::{Kind, Progress, Step};
use engine::sandbox::{self, RootFs};
use oci::platform::Platform;

/// What is damaged in a provider's tree came from the common one, which its entries are links to; it goes, so that the
/// next run makes it anew.
fn without_damaged(common: &Pack, error: anyhow::Error) -> anyhow::Error {
    let is_damage = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<gocache::Error>()
            .is_some_and(|error| error.kind() == Some(failure::Kind::Corrupt))
    };
    if error.chain().any(is_damage) {
        work::discard(&common.folder, &format!("{error:#}"))
    } else {
        error
    }
}

/// What a command may do, from its flags.
#[derive(Debug)]
pub struct Settings {
    /// `image.toml`.
    pub image: Utf8PathBuf,
    /// The source.
    pub source: Utf8PathBuf,
    /// Modules that are built at the same time.
    pub jobs: usize,
    /// Whether the network is out of bounds.
    pub offline: bool,
    /// Whether modules that do not build are left out.
    pub keep_going: bool,
    /// Level of zstd for the layers, in place of the image's.
    pub zstd_level: Option<i32>,
    /// Whether packs are made anew although they are kept.
    pub again: bool,
    /// Where packs of other runs are found.
    pub store: Store,
    /// What runs commands in the image's tree.
    pub engine: Engine,
}

impl Settings {
    /// Defaults for `source`.
    pub fn new(source: Utf8PathBuf) -> Self {
        Self {
            image: workspace::image_toml(),
            source,
            jobs: host::processors(),
            offline: false,
            keep_going: false,
            zstd_level: None,
            again: false,
            store: Store::Nowhere,
            engine: Engine::Native,
        }
    }
}

/// What caches are made in and with.
#[derive(Debug)]
pub struct Foundation {
    /// Kept work.
    pub work: Work,
    /// The tree in which everything is built.
    pub tree: Tree,
    /// The base system.
    pub base: Base,
    /// The verifier.
    pub verifier: Utf8PathBuf,
    /// The module cache that all fetches share.
    pub go_mod: Utf8PathBuf,
    settings: Settings,
}

/// The pack that all providers build on.
#[derive(Debug)]
pub struct CommonPack {
    /// Digest of everything it was made from.
    pub key: Key,
    /// The pack.
    pub pack: Pack,
}

/// A provider's pack.
#[derive(Debug)]
pub struct ProviderPack {
    /// The provider, or which part of it.
    pub part: Part,
    /// Digest of everything it was made from.
    pub key: Key,
    /// The pack.
    pub pack: Pack,
    /// Modules that are missing from it because they do not build, with the reason.
    pub broken: Vec<String>,
}

/// Makes base system, toolchain and verifier.
pub fn foundation(settings: Settings, progress: &mut Progress) -> Result<Foundation> {
    let mut image = ImageToml::read(&settings.image)?;
    if let Some(level) = settings.zstd_level {
        image.layers.zstd_level = level;
    }
    let platform = Platform::host();
    let work = Work::open()?;
    let base = if settings.engine == Engine::CurrentContainer {
        Base::around()?
    } else {
        settings.engine.require()?;
        progress.step("base system", Kind::Network, |step| {
            let Settings { store, offline, .. } = &settings;
            base::make(&work, &image, &platform, store, *offline, step)
        })?
    };
    let engine = match &base.layer {
        None => RootFs::CurrentContainer,
        Some(layer) if settings.engine == Engine::Docker => {
            progress.step("base system into Docker", Kind::Local, |_| {
                sandbox::load_root_fs(layer, &platform)
            })?
        }
        Some(_) => RootFs::Directory(base.root.clone()),
    };
    let go = progress.step(format!("Go {}", image.go.version), Kind::Network, |_| {
        go::make(&work, &image, &platform, settings.offline)
    })?;
    let verifier = progress.step("verifier", Kind::Local, |_| {
        verifier::make(&workspace(), settings.offline)
    })?;
    let tree = Tree {
        root: base.root.clone(),
        engine,
        go,
        image,
        platform,
    };
    Ok(Foundation {
        go_mod: work.shared("go-mod")?,
        work,
        tree,
        base,
        verifier,
        settings,
    })
}

impl Foundation {
    /// Where packs of other runs are found.
    pub fn store(&self) -> &Store {
        &self.settings.store
    }

    /// The pack of the base system.
    pub fn base(&self) -> Result<Made> {
        let layer = self.base.layer.as_ref();
        let layer = layer.context("the container around this process is no pack")?;
        let key = self.base.key.clone();
        Ok(Made::base(key, &self.tree.platform, layer))
    }

    /// Makes the pack of Go, the tools and the verifier.
    pub fn tools(&self, progress: &mut Progress) -> Result<Made> {
        let description = self.settings.image.parent();
        let maker = tools::Maker {
            work: &self.work,
            tree: &self.tree,
            description: description.context("image.toml stands in a folder")?,
            go_mod: &self.go_mod,
            offline: self.settings.offline,
        };
        let (key, layer) = progress.step("tools", Kind::Network, |step| {
            tools::layer(&maker, &self.verifier, &self.settings.store, step)
        })?;
        let base = self.base.key.clone();
        Ok(Made::tools(key, base, &self.tree.platform, &layer))
    }

    /// Fetches the Go modules behind `modules` into the shared module cache.
    pub fn fetch(&self, modules: &[Module], progress: &mut Progress) -> Result<()> {
        progress.step("fetch Go modules", Kind::Network, |_| {
            for go_mod in by_go_mod(&self.settings.source, modules) {
                self.resolver().requirements(&go_mod)?;
            }
            Ok(())
        })
    }

    /// Makes the pack that all providers of `modules` build on.
    pub fn common(&self, modules: &[Module], progress: &mut Progress) -> Result<CommonPack> {
        let all = by_go_mod(&self.settings.source, modules);
        let common = progress.step("resolve common", Kind::Network, |_| {
            shared::plan(&self.resolver(), &all, &self.tree.image.common.packages)
        })?;
        let key = self.common_key(&common)?;
        progress.step("warm common", Kind::Local, |step| {
            self.forget(COMMON, &key)?;
            let folder = self.work.keep(COMMON, &key, |folder| {
                let restored = self.find(COMMON, &key, step, |artifact| {
                    self.warmer().restore_common(artifact, folder)
                })?;
                if restored.is_some() {
                    return Ok(());
                }
                let mut packages = common.units.iter().flat_map(|unit| &unit.packages);
                let standard_library = if packages.any(|package| package == STD) {
                    Some(standard_library::make(&self.work, &self.tree, step)?)
                } else {
                    None
                };
                let start = standard_library.as_deref();
                self.warmer().common(&common, start, folder, step)
            })?;
            let pack = Pack::read(&folder)?;
            Ok(CommonPack { key, pack })
        })
    }

    /// Makes the packs of `common` and of whole `providers`.
    pub fn packs(
        &self,
        modules: &[Module],
        providers: &[String],
        progress: &mut Progress,
    ) -> Result<(CommonPack, Vec<ProviderPack>)> {
        let common = self.common(modules, progress)?;
        let packs = providers
            .iter()
            .map(|provider| {
                let part = Part::whole(provider);
                let own = matrix::modules_of(&part, modules, &Times::default())?;
                self.provider(part, &own, &common, progress)
            })
            .collect::<Result<_>>()?;
        Ok((common, packs))
    }

    fn find(
        &self,
        name: &str,
        key: &Key,
        step: &Step,
        take: impl FnOnce(&Artifact<'_>) -> Result<()>,
    ) -> Result<Option<()>> {
        if self.settings.again {
            return Ok(None);
        }
        self.settings.store.find(&self.work, name, key, step, take)
    }

    fn resolver(&self) -> Resolver<'_> {
        Resolver {
            work: &self.work,
            tree: &self.tree,
            source: &self.settings.source,
            go_mod: &self.go_mod,
            offline: self.settings.offline,
        }
    }

    fn warmer(&self) -> Warmer<'_> {
        Warmer {
            work: &self.work,
            tree: &self.tree,
            verifier: &self.verifier,
            source: &self.settings.source,
            go_mod: &self.go_mod,
            jobs: self.settings.jobs,
            keep_going: self.settings.keep_going,
        }
    }

    /// Makes way for a pack that is to be made anew: because that was asked for, or because modules are missing from
    /// the kept one, for a reason that may have passed.
    fn forget(&self, kind: &str, key: &Key) -> Result<()> {
        match self.work.kept(kind, key) {
            Some(folder)
                if self.settings.again || !Pack::read(&folder)?.manifest.broken.is_empty() =>
            {
                remove_tree(&folder)
            }
            _ => Ok(()),
        }
    }

    fn common_key(&self, common: &Common) -> Result<Key> {
        let image = &self.tree.image;
        let identity = image.identity(&self.tree.platform);
        let looks = (
            image.layers,
            image.image.epoch,
            image.image.cache_entry_time,
            image.user.uid,
            image.go.test_data,
        );
        let units: Vec<_> = common.units.iter().map(|unit| &unit.packages).collect();
        let requirements = &common.requirements;
        Key::of(&(
            pack::FORMAT,
            identity,
            looks,
            units,
            &common.packages,
            requirements,
        ))
    }

    /// Makes the pack of `part`, whose modules are `own`.
    pub fn provider(
        &self,
        part: Part,
        own: &[Module],
        common: &CommonPack,
        progress: &mut Progress,
    ) -> Result<ProviderPack> {
        let name = part.name();
        let mut plan = progress.step(format!("resolve {name}"), Kind::Network, |_| {
            self.plan(&self.resolver(), &by_go_mod(&self.settings.source, own))
        })?;
        let key = Key::of(&(RECORD_SCHEMA, &common.key, &name, &plan.inputs))?;
        progress.step(format!("warm {name}"), Kind::Local, |step| {
            self.forget("pack", &key)?;
            let folder = self.work.keep("pack", &key, |folder| {
                let restored = self.find(&name, &key, step, |artifact| {
                    Pack::restore(folder, &artifact.pack()?, &artifact.layers()?)
                })?;
                if restored.is_some() {
                    return Ok(());
                }
                self.warmer()
                    .provider(
                        &name,
                        &plan.go_mods,
                        &plan.requirements,
                        &common.pack,
                        folder,
                        step,
                    )
                    .map_err(|error| without_damaged(&common.pack, error))
            })?;
            let pack = Pack::read(&folder)?;
            plan.broken.extend(pack.manifest.broken.iter().cloned());
            self.refuse(&plan.broken)?;
            step.written_bytes = pack
                .layers()
                .iter()
                .map(|layer| layer.layer.size_bytes)
                .sum();
            Ok(ProviderPack {
                part,
                key,
                pack,
                broken: plan.broken,
            })
        })
    }

    /// What the modules of these go.mods need.
    fn plan(&self, resolver: &Resolver<'_>, go_mods: &[GoMod]) -> Result<Plan> {
        let mut plan = Plan::default();
        for go_mod in go_mods {
            let requirements = match resolver.requirements(go_mod) {
                Ok(requirements) => requirements,
                Err(error) if self.settings.keep_going => {
                    let modules = go_mod.modules.iter();
                    plan.broken
                        .extend(modules.map(|module| format!("{}: {error:#}", module.path)));
                    continue;
                }
                Err(error) => return Err(error),
            };
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
                .retain(|module| !loaded.broken.contains_key(module.path.as_str()));
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
            plan.inputs.push(Inputs {
                digests: resolver.digest(&go_mod)?,
                modules: go_mod
                    .modules
                    .iter()
                    .map(|module| module.path.clone())
                    .collect(),
                packages: loaded.packages.into_values().collect(),
            });
            plan.requirements.extend(requirements);
            plan.go_mods.push((go_mod, packages));
        }
        self.refuse(&plan.broken)?;
        Ok(plan)
    }

    /// Stops at modules that do not build, unless the others are wanted all the same.
    fn refuse(&self, broken: &[String]) -> Result<()> {
        if broken.is_empty() || self.settings.keep_going {
            Ok(())
        } else {
            bail!("{}", broken.join("\n"))
        }
    }
}

/// What a provider's modules need.
#[derive(Debug, Default)]
struct Plan {
    /// Go modules with the packages that their modules import.
    go_mods: Vec<(GoMod, Vec<String>)>,
    requirements: Requirements,
    inputs: Vec<Inputs>,
    broken: Vec<String>,
}

/// What of one go.mod decides whether a kept pack is still right.
#[derive(Debug, Serialize)]
struct Inputs {
    /// go.mod, go.sum and go.work.
    digests: Vec<(Utf8PathBuf, sha256::Sha256Hash)>,
    modules: Vec<Utf8PathBuf>,
    /// Every package with its version or, for the source's own, with its files.
    packages: Vec<Package>,
}
