//! Warming: from what a provider's modules need to its pack.
//!
//! A tree is made that holds exactly what the image will hold: the module cache of `common` and of the provider (hard
//! links into the shared one, nothing is copied), and the build cache of `common`. In it everything is built at the
//! paths and with the environment of the image; what that adds to the build cache is the provider's delta. Then the
//! tree is sealed, what is shipped of it is made ([`lean`]), and every module is built again: from a read-only mount,
//! at another path, without network. Only what passes that is packed.
//!
//! The steps are files of their own: [`compile`], [`rebuild`] with the [`check`] of what it finds, [`entries`]. Here
//! they are put in their order.

mod check;
mod compile;
mod entries;
mod executables;
mod go_modules;
mod killed;
mod lean;
mod plan;
mod rebuild;
mod rest;
pub mod share;
mod warmer;

pub use share::Share;
pub use warmer::Warmer;

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use camino::Utf8Path;
use gocache::Store;
use gocache::image_info::OBJECTS_PATH;

use self::entries::SortedEntries;
use self::go_modules::{Below, NewGoModules};
use self::plan::{Built, CacheFolders, WarmPlan};
use crate::names::COMMON;
use crate::owners::relative;
use crate::pack::KeptPack;
use crate::pack::artifact::Artifact;
use crate::pack::go_modules::remove_damaged;
use crate::pack::manifest::Timings;
use crate::pack::programs::{self, Folders};
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
            below: Below::default(),
            shared: None,
            programs: Folders::default(),
        };
        // The go command reads the whole module graph of the go.mod it builds for; the pack need not hold that.
        let seen = CacheFolders {
            go_mod: self.go_mod.to_owned(),
            ..caches.clone()
        };
        self.build_and_pack(&plan, [&seen, &seen], &caches, folder, step)
    }

    /// Puts the common pack that another run made into `folder`, with the tree that its layers unpack to.
    pub fn restore_common(&self, artifact: &Artifact<'_>, folder: &Utf8Path) -> Result<()> {
        let layers = artifact.layers()?;
        KeptPack::restore(folder, &artifact.pack_manifest()?, &layers, &[])?;
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
            lean::unship(&caches)?;
        }
        Ok(())
    }

    /// Makes the pack of one provider in `folder`; its programs are in `programs` of the image.
    pub fn provider(
        &self,
        name: &str,
        (go_mods, programs): (&[(GoMod, Vec<String>)], &Folders),
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
            below: Below::of(common),
            shared: Some(shared),
            programs: programs.clone(),
        };
        // The index of a Go module is kept by its path alone, and so must not be that of a stub, which other images
        // have all of.
        let whole = CacheFolders {
            go_mod: self.go_mod.to_owned(),
            ..caches.clone()
        };
        let built_in = if requirements.stubs.is_empty() {
            &caches
        } else {
            &whole
        };
        self.build_and_pack(&plan, [built_in, &caches], &caches, folder, step)
    }

    /// Builds `plan` in one of two caches, seals, checks in the other, and packs: of what these show, what is in
    /// `caches` is the plan's.
    fn build_and_pack(
        &self,
        plan: &WarmPlan<'_>,
        [built_in, checked_in]: [&CacheFolders; 2],
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
        } = self.build(plan, built_in, &scratch, step)?;
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
        let checked_in = CacheFolders {
            go_build: shipped.go_build.clone(),
            objects: caches.objects.clone(),
            ..checked_in.clone()
        };
        let used = self.rebuild(plan, &modules, &checked_in, &scratch, step)?;
        timings.check_ms = millis(started);

        step.detail("packing");
        let go = &self.tree.image.go;
        let delta = shipped
            .sealed
            .files
            .into_iter()
            .filter(|file| plan.below.lacks(&go.gocache, &file.path));
        let mut sorted = SortedEntries::of(delta, &modules, &used, &shipped.go_build)?;
        let store = Store::at(&shipped.go_build);
        let mut executables = &shipped.go_build;
        if self.tree.image.has_packed_executables() {
            let started = Instant::now();
            sorted.executables = self.pack_executables(plan.name, &modules, &store, caches)?;
            executables = &caches.executables;
            timings.pack_ms += millis(started);
        }
        let links = modules.iter();
        let links: Vec<_> = links
            .map(|(module, warm)| (*module, warm.link_action))
            .collect();
        let programs = programs::of(self.source, &links, &plan.programs, &store)?;
        let new = NewGoModules::of(
            &self.tree.image,
            plan.requirements,
            &plan.go_mod_files,
            &plan.below,
            self.go_mod,
        )?;
        let content = Content {
            name: plan.name.to_owned(),
            identity: self.tree.image.identity(&self.tree.platform),
            modules: modules.into_iter().map(|(_, warm)| warm).collect(),
            go_modules: new.go_modules,
            stubs: new.stubs,
            unchecked: self.unchecked.to_vec(),
            go_mod_files: new.files,
            left_out: new.left_out,
            go_build_files: sorted.entries,
            object_files: shipped.objects,
            executable_files: sorted.executables,
            programs,
            links_not_cached: used.links_that_ran,
            broken,
            inputs,
            timings,
        };
        write::write(
            &self.tree.image,
            content,
            &write::Folders {
                go_mod: &caches.go_mod,
                go_build: &shipped.go_build,
                objects: &caches.objects,
                executables,
            },
            folder,
        )
        .map_err(|error| remove_damaged(self.work, self.go_mod, error))
    }

    fn go_mod_files(&self, requirements: &Requirements) -> Result<GoModFiles> {
        go_mod_files::of(self.go_mod, requirements, self.tree.image.go.test_data)
    }
}
