//! Warming: from what a provider's modules need to its pack.
//!
//! A tree is made that holds exactly what the image will hold: the module cache of `common` and of the provider (hard
//! links into the shared one, nothing is copied), and the build cache of `common`. In it everything is built at the
//! paths and with the environment of the image; what that adds to the build cache is the provider's delta. Then the
//! tree is sealed, what is shipped of it is made ([`lean`]), and every module is built again: from a read-only mount, at another path, without network. Only
//! what passes that is packed.
//!
//! The steps are files of their own: [`compile`], [`rebuild`] with the [`check`] of what it finds, [`entries`]. Here
//! they are put in their order.

mod check;
mod compile;
mod entries;
mod executables;
mod killed;
mod lean;
mod plan;
mod rebuild;
mod share;
mod warmer;

pub use share::Share;
pub use warmer::Warmer;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::OBJECTS_PATH;
use gocache::{Checksums, GoModule, Store};
use rayon::prelude::*;

use self::entries::SortedEntries;
use self::plan::{Built, CacheFolders, WarmPlan};
use crate::names::COMMON;
use crate::owners::relative;
use crate::pack::KeptPack;
use crate::pack::artifact::Artifact;
use crate::pack::go_modules;
use crate::pack::manifest::Timings;
use crate::pack::write;
use crate::pack::write::Content;
use crate::resolve::common_plan::CommonPlan;
use crate::resolve::go_mod::GoMod;
use crate::resolve::go_mod_files;
use crate::resolve::go_mod_files::GoModFiles;
use crate::resolve::requirements::Requirements;
use crate::work::files::{link_files, link_tree};
use engine::progress::{Step, millis};
use oci::unpack::unpack_layers;

impl Warmer<'_> {
    /// Makes the common pack in `folder`, which keeps the sealed tree beside the layers: every provider starts from it.
    /// It starts from the build cache `standard_library`, if it is to hold that.
    pub fn common(
        &self,
        common: &CommonPlan,
        standard_library: Option<&Utf8Path>,
        folder: &Utf8Path,
        step: &mut Step,
    ) -> Result<()> {
        let caches = CacheFolders::below(&folder.join("tree"));
        let go_mod_files = self.go_mod_files(&common.requirements)?;
        link_files(self.go_mod, &go_mod_files.kept, &caches.go_mod)?;
        Store::create(&caches.go_build)?;
        if let Some(standard_library) = standard_library {
            link_tree(standard_library, &caches.go_build)?;
        }
        let packages = common
            .units
            .iter()
            .map(|unit| (unit.go_mod.folder().to_owned(), unit.packages.clone()))
            .collect();
        let plan = WarmPlan {
            name: COMMON,
            packages,
            modules: Vec::new(),
            go_works: BTreeMap::new(),
            requirements: &common.requirements,
            go_mod_files,
            present: BTreeSet::new(),
            shared: None,
        };
        // The go command reads the whole module graph of the go.mod it builds for; the pack need not hold that.
        let seen = CacheFolders {
            go_mod: self.go_mod.to_owned(),
            ..caches.clone()
        };
        self.build_and_pack(&plan, &seen, &caches, folder, step)
    }

    /// Puts the common pack that another run made into `folder`, with the tree that its layers unpack to.
    pub fn restore_common(&self, artifact: &Artifact<'_>, folder: &Utf8Path) -> Result<()> {
        let layers = artifact.layers()?;
        KeptPack::restore(folder, &artifact.pack_manifest()?, &layers)?;
        let unpacked = self.work.scratch("common")?;
        unpack_layers(&layers, unpacked.path())?;
        let caches = CacheFolders::below(&folder.join("tree"));
        fs_err::create_dir_all(folder.join("tree"))?;
        let image = &self.tree.image;
        let shipped = if image.is_lean() {
            &caches.lean
        } else {
            &caches.go_build
        };
        for (from, to) in [
            (&image.go.gomodcache, &caches.go_mod),
            (&image.go.gocache, shipped),
            (&OBJECTS_PATH.into(), &caches.objects),
        ] {
            let from = unpacked.path().join(relative(from));
            // Where the providers share no Go module, the pack adds nothing to the module cache.
            if from.is_dir() {
                fs_err::rename(from, to)?;
            } else {
                fs_err::create_dir(to)?;
            }
        }
        if image.is_lean() {
            self.unship(&caches)?;
        }
        Ok(())
    }

    /// Makes the pack of one provider in `folder`.
    pub fn provider(
        &self,
        name: &str,
        go_mods: &[(GoMod, Vec<String>)],
        requirements: &Requirements,
        common: &KeptPack,
        folder: &Utf8Path,
        step: &mut Step,
    ) -> Result<()> {
        let tree = self.work.scratch(&format!("tree-{name}"))?;
        let caches = CacheFolders::below(tree.path());
        let shared = CacheFolders::below(&common.folder.join("tree"));
        let go_mod_files = self.go_mod_files(requirements)?;
        link_files(self.go_mod, &go_mod_files.kept, &caches.go_mod)?;
        link_tree(&shared.go_mod, &caches.go_mod)?;
        Store::create(&caches.go_build)?;
        link_tree(&shared.go_build, &caches.go_build)?;
        let packages = go_mods
            .iter()
            .map(|(go_mod, packages)| (go_mod.folder().to_owned(), packages.clone()))
            .collect();
        let modules = go_mods
            .iter()
            .flat_map(|(go_mod, _)| &go_mod.modules)
            .collect();
        let go_works = go_mods
            .iter()
            .filter_map(|(go_mod, _)| Some((go_mod.path.as_path(), go_mod.go_work.as_deref()?)))
            .collect();
        let plan = WarmPlan {
            name,
            packages,
            modules,
            go_works,
            requirements,
            go_mod_files,
            present: common.paths(),
            shared: Some(common.folder.join("tree")),
        };
        self.build_and_pack(&plan, &caches, &caches, folder, step)
    }

    /// Builds, seals, checks and packs `plan`: in the caches `seen`, of which those in `caches` are the plan's.
    fn build_and_pack(
        &self,
        plan: &WarmPlan<'_>,
        seen: &CacheFolders,
        caches: &CacheFolders,
        folder: &Utf8Path,
        step: &mut Step,
    ) -> Result<()> {
        let mut timings = Timings::default();
        let scratch = self.work.scratch(&format!("build-{}", plan.name))?;
        let started = Instant::now();
        let Built {
            modules,
            inputs,
            packages,
            broken,
            peak_memory_bytes,
        } = self.build(plan, seen, &scratch, step)?;
        timings.build_ms = millis(started);
        timings.peak_memory_bytes = peak_memory_bytes;
        step.go_ms += timings.build_ms;

        step.detail("sealing");
        let started = Instant::now();
        let sealed = Store::at(&caches.go_build).seal(self.tree.image.cache_entry_time())?;
        timings.seal_ms = millis(started);
        let shipped = self.ship(plan, sealed, caches, &packages, step)?;
        timings.pack_ms = shipped.pack_ms;

        let started = Instant::now();
        let seen = CacheFolders {
            go_build: shipped.go_build.clone(),
            objects: caches.objects.clone(),
            ..seen.clone()
        };
        let used = self.rebuild(plan, &modules, &seen, &scratch, step)?;
        timings.check_ms = millis(started);

        step.detail("packing");
        let go = &self.tree.image.go;
        let is_new = |cache: &Utf8Path, path: &Utf8Path| {
            !plan.present.contains(relative(cache).join(path).as_path())
        };
        let delta = shipped
            .sealed
            .files
            .into_iter()
            .filter(|file| is_new(&go.gocache, &file.path));
        let mut sorted = SortedEntries::of(delta, &modules, &used, &shipped.go_build)?;
        let mut executables = &shipped.go_build;
        if self.tree.image.has_packed_executables() {
            let started = Instant::now();
            let store = Store::at(&shipped.go_build);
            sorted.executables = self.pack_executables(plan.name, &modules, &store, caches)?;
            executables = &caches.executables;
            timings.pack_ms += millis(started);
        }
        let go_mod_files = plan.go_mod_files.kept.iter();
        let is_new_module =
            |module: &GoModule| is_new(&go.gomodcache, &module.download_file("ziphash"));
        let go_modules = plan.requirements.required.iter();
        let content = Content {
            name: plan.name.to_owned(),
            identity: self.tree.image.identity(&self.tree.platform),
            modules: modules.into_iter().map(|(_, warm)| warm).collect(),
            go_modules: go_modules
                .filter(|required| is_new_module(&required.module))
                .cloned()
                .collect(),
            unchecked: self.unchecked.to_vec(),
            go_mod_files: go_mod_files
                .filter(|path| is_new(&go.gomodcache, path))
                .cloned()
                .collect(),
            left_out: self.hash_left_out(&plan.go_mod_files.left_out, is_new_module)?,
            go_build_files: sorted.entries,
            object_files: shipped.objects,
            executable_files: sorted.executables,
            links_not_cached: used.links_that_ran,
            broken,
            inputs,
            timings,
        };
        write::write(
            &self.tree.image,
            content,
            &write::From {
                go_mod: &caches.go_mod,
                go_build: &shipped.go_build,
                objects: &caches.objects,
                executables,
            },
            folder,
        )
        .map_err(|error| go_modules::remove_damaged(self.work, self.go_mod, error))
    }

    /// The digests of what is left out of Go modules that `are_wanted`.
    fn hash_left_out(
        &self,
        files: &[Utf8PathBuf],
        are_wanted: impl Fn(&GoModule) -> bool + Sync,
    ) -> Result<Checksums> {
        let is_wanted =
            |path: &&Utf8PathBuf| GoModule::of_extracted(path).is_some_and(|it| are_wanted(&it));
        let hash = |path: &Utf8PathBuf| {
            let (digest, _) = sha256::hash_file(&self.go_mod.join(path))?;
            Ok((self.tree.image.go.gomodcache.join(path), digest))
        };
        let hashed: Result<Vec<_>> = files.par_iter().filter(is_wanted).map(hash).collect();
        Ok(hashed?.into_iter().collect())
    }

    fn go_mod_files(&self, requirements: &Requirements) -> Result<GoModFiles> {
        go_mod_files::of(self.go_mod, requirements, self.tree.image.go.test_data)
    }
}
