//! The packs of `common` and of providers: kept, found where other runs put them, or made.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::Utf8Path;
use gocache::RECORD_SCHEMA;
use modules::Module;

use crate::flow::foundation::Foundation;
use crate::flow::provider_plan;
use crate::foundation::standard_library;
use crate::foundation::standard_library::STD;
use crate::names::COMMON;
use crate::pack::artifact::Artifact;
use crate::pack::manifest::FORMAT;
use crate::pack::matrix;
use crate::pack::part::Part;
use crate::pack::programs::Folders;
use crate::pack::{KeptPack, Pack};
use crate::resolve::common_plan;
use crate::resolve::common_plan::CommonPlan;
use crate::resolve::go_mod::by_go_mod;
use crate::resolve::requirements::Requirements;
use crate::resolve::unloaded::SharedGoMods;
use crate::work;
use crate::work::Key;
use engine::progress::{Kind, Progress, Step};
use failure::usage;
use oci::platform::Platform;

/// The pack that all providers build on.
#[derive(Debug)]
pub struct CommonPack {
    /// Digest of everything it was made from.
    pub key: Key,
    /// The pack.
    pub pack: KeptPack,
    /// The go.mods of several providers.
    shared: SharedGoMods,
    /// Go modules of which no provider needs more than the stub in this pack.
    pub(super) rest: Requirements,
}

/// A provider's pack.
#[derive(Debug)]
pub struct ProviderPack {
    /// The provider, or which part of it.
    pub part: Part,
    /// Digest of everything it was made from.
    pub key: Key,
    /// The pack.
    pub pack: KeptPack,
    /// Modules that are missing from it because they do not build, with the reason.
    pub broken: Vec<String>,
}

impl CommonPack {
    /// With its blobs, for `platform`.
    pub fn to_pack(&self, platform: &Platform) -> Pack {
        let has_rest = !self.rest.required.is_empty();
        Pack::common(self.key.clone(), has_rest, platform, &self.pack)
    }
}

impl ProviderPack {
    /// With its blobs, for `platform`, made on `common`.
    pub fn to_pack(&self, common: &CommonPack, platform: &Platform) -> Pack {
        let (part, key, common) = (self.part.clone(), self.key.clone(), common.key.clone());
        Pack::provider(part, key, common, platform, &self.pack)
    }
}

impl Foundation {
    /// Makes the pack that all providers of `modules` build on.
    pub fn common(&self, modules: &[Module], progress: &mut Progress) -> Result<CommonPack> {
        let all = by_go_mod(&self.settings.source, modules);
        let common = progress.step("resolve common", Kind::Network, |_| {
            let image = &self.tree.image;
            let (packages, unloaded) = (&image.common.packages, image.modules.unloaded);
            common_plan::plan(&self.resolver(), &all, packages, unloaded)
        })?;
        let key = self.common_key(&common)?.with(&self.unchecked)?;
        progress.step("warm common", Kind::Local, |step| {
            self.forget(COMMON, &key)?;
            let folder = self.work.keep(COMMON, &key, |folder| {
                let restored = self.find(COMMON, &key, step, |artifact| {
                    self.warmer(COMMON).restore_common(artifact, folder)
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
                self.warmer(COMMON).common(&common, start, folder, step)
            })?;
            let pack = KeptPack::read(&folder)?;
            Ok(CommonPack {
                key,
                pack,
                shared: common.shared,
                rest: Requirements {
                    required: common.rest,
                    ..Requirements::default()
                },
            })
        })
    }

    /// Makes the pack of `part` of what `modules`, which are all of the source, have of its provider.
    pub fn provider(
        &self,
        part: Part,
        modules: &[Module],
        common: &CommonPack,
        progress: &mut Progress,
    ) -> Result<ProviderPack> {
        let name = part.name();
        let own = matrix::modules_of(&part, modules, &self.settings.times)?;
        let of_provider = modules.iter().filter(|it| it.provider == part.provider);
        let folders = Folders::of(of_provider);
        let mut plan = progress.step(format!("resolve {name}"), Kind::Network, |_| {
            let go_mods = by_go_mod(&self.settings.source, &own);
            let (resolver, keep_going) = (self.resolver(), self.settings.keep_going);
            let provider = (part.provider.as_str(), &common.shared);
            let plan = provider_plan::plan(&resolver, provider, (&go_mods, folders), keep_going)?;
            self.refuse(&plan.broken)?;
            Ok(plan)
        })?;
        let executables = self.tree.image.has_packed_executables();
        let key = Key::of(&(RECORD_SCHEMA, &common.key, &name, executables, &plan.inputs))?;
        let key = key.with(&self.unchecked)?;
        progress.step(format!("warm {name}"), Kind::Local, |step| {
            let pack = self.pack_on_common(&name, &key, step, |folder, step| {
                self.warmer(&part.provider)
                    .provider(
                        &name,
                        (&plan.go_mods, &plan.folders),
                        &plan.requirements,
                        &common.pack,
                        folder,
                        step,
                    )
                    .map_err(|error| without_damaged(&common.pack, error))
            })?;
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

    /// The pack `name`, which is made on `common`: kept, found where other runs put theirs, or made by `make`.
    pub(super) fn pack_on_common(
        &self,
        name: &str,
        key: &Key,
        step: &mut Step,
        make: impl FnOnce(&Utf8Path, &mut Step) -> Result<()>,
    ) -> Result<KeptPack> {
        self.forget("pack", key)?;
        let folder = self.work.keep("pack", key, |folder| {
            let restored = self.find(name, key, step, |artifact| {
                let (layers, programs) = (artifact.layers()?, artifact.programs()?);
                KeptPack::restore(folder, &artifact.pack_manifest()?, &layers, &programs)
            })?;
            match restored {
                Some(()) => Ok(()),
                None => make(folder, step),
            }
        })?;
        KeptPack::read(&folder)
    }

    pub(super) fn find(
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

    /// Makes way for a pack that is to be made anew: because that was asked for, or because modules are missing from
    /// the kept one, for a reason that may have passed.
    fn forget(&self, kind: &str, key: &Key) -> Result<()> {
        match self.work.kept(kind, key)? {
            Some(folder)
                if self.settings.again || !KeptPack::read(&folder)?.manifest.broken.is_empty() =>
            {
                work::retire(&folder)
            }
            _ => Ok(()),
        }
    }

    fn common_key(&self, common: &CommonPlan) -> Result<Key> {
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
            FORMAT,
            identity,
            looks,
            units,
            &common.packages,
            requirements,
        ))
    }

    /// Stops at modules that do not build, unless the others are wanted all the same.
    fn refuse(&self, broken: &[String]) -> Result<()> {
        if broken.is_empty() || self.settings.keep_going {
            Ok(())
        } else {
            let split = |reason: &String| match reason.split_once("\nhint: ") {
                Some((said, hint)) => (said.to_owned(), Some(hint.to_owned())),
                None => (reason.clone(), None),
            };
            let (said, hints): (Vec<_>, Vec<_>) = broken.iter().map(split).unzip();
            let hints: BTreeSet<String> = hints.into_iter().flatten().collect();
            let hint = if hints.is_empty() {
                "make them build with `go build`, or leave them out with --keep-going".to_owned()
            } else {
                hints.into_iter().collect::<Vec<_>>().join("\n")
            };
            Err(usage(said.join("\n"), hint))
        }
    }
}

/// What is damaged in a provider's tree came from the common one, which its entries are links to; it goes, so that the
/// next run makes it anew.
fn without_damaged(common: &KeptPack, error: anyhow::Error) -> anyhow::Error {
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
