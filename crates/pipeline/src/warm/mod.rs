//! Warming: from what a provider's modules need to its pack.
//!
//! A tree is made that holds exactly what the image will hold: the module cache of `common` and of the provider (hard
//! links into the shared one, nothing is copied), and the build cache of `common`. In it everything is built at the
//! paths and with the environment of the image; what that adds to the build cache is the provider's delta. Then the
//! tree is sealed, and every module is built again: from a read-only mount, at another path, without network. Only
//! what passes that is packed.

mod check;
mod entries;

use crate::names::COMMON;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::{
    Checksums, GoModule, HashInputs, HashLog, Identity, InputsRecord, RecordedModule, Store,
};
use modules::Module;
use rayon::prelude::*;
use sha256::Sha256Hash;

use self::entries::SortedEntries;
use crate::foundation::tree::{SCRATCH, SOURCE, Tree};
use crate::owners::relative;
use crate::pack;
use crate::pack::artifact::Artifact;
use crate::pack::{Content, DamagedModules, Pack, Timings, WarmModule};
use crate::resolve::Requirements;
use crate::resolve::go_mod::GoMod;
use crate::resolve::go_mod_files;
use crate::resolve::go_mod_files::GoModFiles;
use crate::resolve::shared::Common;
use crate::work::files::{link_files, link_tree, remove_tree};
use crate::work::{Scratch, Work};
use engine::excerpt::excerpt;
use engine::progress::{Step, millis};
use engine::sandbox::Sandbox;
use failure::{corrupt, usage};
use oci::unpack::unpack_layers;

/// Everything that warming takes from its surroundings.
#[derive(Debug, Clone, Copy)]
pub struct Warmer<'a> {
    /// Kept work.
    pub work: &'a Work,
    /// The image's tree.
    pub tree: &'a Tree,
    /// The statically linked verifier, which serves the cache in the check.
    pub verifier: &'a Utf8Path,
    /// The source.
    pub source: &'a Utf8Path,
    /// The module cache that all fetches share.
    pub go_mod: &'a Utf8Path,
    /// Modules that are built at the same time.
    pub jobs: usize,
    /// Whether a module that does not build leaves the others be.
    pub keep_going: bool,
}

/// What is built, packages first and then modules with their executables, and what belongs to it.
struct Job<'a> {
    name: &'a str,
    /// Folder below the source, and what to build there.
    packages: Vec<(Utf8PathBuf, Vec<String>)>,
    modules: Vec<&'a Module>,
    /// The go.work above each go.mod that has one.
    go_works: BTreeMap<&'a Utf8Path, &'a Utf8Path>,
    requirements: &'a Requirements,
    /// Files of the module cache.
    go_mod_files: GoModFiles,
    /// Files that are in another pack already, relative to the root of the image.
    present: BTreeSet<&'a Utf8Path>,
}

/// A module, and what its build came to.
type Built<'a> = (&'a Module, WarmModule);

/// What building a job came to.
struct BuiltJob<'a> {
    modules: Vec<Built<'a>>,
    inputs: InputsRecord,
    /// Modules that do not build, with what the go command said.
    broken: Vec<String>,
}

/// The two caches of a tree.
struct Caches {
    go_mod: Utf8PathBuf,
    go_build: Utf8PathBuf,
}

impl Caches {
    fn below(folder: &Utf8Path) -> Self {
        Self {
            go_mod: folder.join("go-mod"),
            go_build: folder.join("go-build"),
        }
    }
}

impl Warmer<'_> {
    /// Makes the common pack in `folder`, which keeps the sealed tree beside the layers: every provider starts from it.
    /// It starts from the build cache `standard_library`, if it is to hold that.
    pub fn common(
        &self,
        common: &Common,
        standard_library: Option<&Utf8Path>,
        folder: &Utf8Path,
        step: &mut Step,
    ) -> Result<()> {
        let caches = Caches::below(&folder.join("tree"));
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
        let job = Job {
            name: COMMON,
            packages,
            modules: Vec::new(),
            go_works: BTreeMap::new(),
            requirements: &common.requirements,
            go_mod_files,
            present: BTreeSet::new(),
        };
        // The go command reads the whole module graph of the go.mod it builds for; the pack need not hold that.
        let seen = Caches {
            go_mod: self.go_mod.to_owned(),
            go_build: caches.go_build.clone(),
        };
        self.build_and_pack(&job, &seen, &caches, folder, step)
    }

    /// Puts the common pack that another run made into `folder`, with the tree that its layers unpack to.
    pub fn restore_common(&self, artifact: &Artifact<'_>, folder: &Utf8Path) -> Result<()> {
        let layers = artifact.layers()?;
        Pack::restore(folder, &artifact.pack()?, &layers)?;
        let unpacked = self.work.scratch("common")?;
        unpack_layers(&layers, unpacked.path())?;
        let caches = Caches::below(&folder.join("tree"));
        fs_err::create_dir_all(folder.join("tree"))?;
        let go = &self.tree.image.go;
        for (from, to) in [
            (&go.gomodcache, &caches.go_mod),
            (&go.gocache, &caches.go_build),
        ] {
            let from = unpacked.path().join(relative(from));
            // Where the providers share no Go module, the pack adds nothing to the module cache.
            if from.is_dir() {
                fs_err::rename(from, to)?;
            } else {
                fs_err::create_dir(to)?;
            }
        }
        Ok(())
    }

    /// Makes the pack of one provider in `folder`.
    pub fn provider(
        &self,
        name: &str,
        go_mods: &[(GoMod, Vec<String>)],
        requirements: &Requirements,
        common: &Pack,
        folder: &Utf8Path,
        step: &mut Step,
    ) -> Result<()> {
        let tree = self.work.scratch(&format!("tree-{name}"))?;
        let caches = Caches::below(tree.path());
        let shared = Caches::below(&common.folder.join("tree"));
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
        let job = Job {
            name,
            packages,
            modules,
            go_works,
            requirements,
            go_mod_files,
            present: common.paths(),
        };
        self.build_and_pack(&job, &caches, &caches, folder, step)
    }

    /// Builds, seals, checks and packs `job`: in the caches `seen`, of which those in `caches` are the job's.
    fn build_and_pack(
        &self,
        job: &Job<'_>,
        seen: &Caches,
        caches: &Caches,
        folder: &Utf8Path,
        step: &mut Step,
    ) -> Result<()> {
        let mut timings = Timings::default();
        let scratch = self.work.scratch(&format!("build-{}", job.name))?;
        let started = Instant::now();
        let BuiltJob {
            modules,
            inputs,
            broken,
        } = self.build(job, seen, &scratch, step)?;
        timings.build_ms = millis(started);
        step.go_ms += timings.build_ms;

        step.detail("sealing");
        let started = Instant::now();
        let sealed = Store::at(&caches.go_build).seal(self.tree.image.cache_entry_time())?;
        timings.seal_ms = millis(started);

        let started = Instant::now();
        let check = self.check(job, &modules, seen, &scratch, step)?;
        timings.check_ms = millis(started);

        step.detail("packing");
        let go = &self.tree.image.go;
        let is_new = |cache: &Utf8Path, path: &Utf8Path| {
            !job.present.contains(relative(cache).join(path).as_path())
        };
        let delta = sealed
            .files
            .into_iter()
            .filter(|file| is_new(&go.gocache, &file.path));
        let sorted = SortedEntries::of(delta, &modules, &check, &caches.go_build)?;
        let go_mod_files = job.go_mod_files.kept.iter();
        let is_new_module =
            |module: &GoModule| is_new(&go.gomodcache, &module.download_file("ziphash"));
        let go_modules = job.requirements.required.iter();
        let content = Content {
            name: job.name.to_owned(),
            identity: self.identity(),
            modules: modules.into_iter().map(|(_, warm)| warm).collect(),
            go_modules: go_modules
                .filter(|required| is_new_module(&required.module))
                .cloned()
                .collect(),
            go_mod_files: go_mod_files
                .filter(|path| is_new(&go.gomodcache, path))
                .cloned()
                .collect(),
            left_out: self.hash_left_out(&job.go_mod_files.left_out, is_new_module)?,
            go_build_files: sorted.entries,
            executable_files: sorted.executables,
            links_not_cached: check.links_that_ran,
            broken,
            inputs,
            timings,
        };
        pack::write(
            &self.tree.image,
            content,
            &caches.go_mod,
            &caches.go_build,
            folder,
        )
        .map_err(|error| self.without_damaged(error))
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

    fn identity(&self) -> Identity {
        self.tree.image.identity(&self.tree.platform)
    }

    fn sandbox(&self, caches: &Caches, scratch: &Utf8Path) -> Sandbox {
        self.tree
            .sandbox(scratch)
            .read_only(&caches.go_mod, &self.tree.image.go.gomodcache)
    }

    /// Builds all packages at once, so that what modules share is compiled once, and then each module; puts each
    /// executable under its link action.
    fn build<'a>(
        &self,
        job: &Job<'a>,
        caches: &Caches,
        scratch: &Scratch,
        step: &Step,
    ) -> Result<BuiltJob<'a>> {
        let sandbox = self
            .sandbox(caches, scratch.path())
            .writable(&caches.go_build, &self.tree.image.go.gocache)
            .read_only(self.source, SOURCE);
        for (folder, packages) in job
            .packages
            .iter()
            .filter(|(_, packages)| !packages.is_empty())
        {
            step.detail(format!(
                "compiling for {}",
                if folder.as_str().is_empty() {
                    job.name
                } else {
                    folder.as_str()
                }
            ));
            let mut arguments = vec!["go", "build", "--"];
            arguments.extend(packages.iter().map(String::as_str));
            let done = sandbox
                .clone()
                .folder(Utf8Path::new(SOURCE).join(folder))
                .run(&arguments)?;
            // Where there are modules, their own builds say which of them a broken package breaks.
            if !done.status.success() && job.modules.is_empty() {
                return Err(usage(
                    format!(
                        "{folder}: what the providers share does not build:
{}",
                        excerpt(&done.stderr)
                    ),
                    "make it build with `go build ./...` first",
                ));
            }
        }
        let store = Store::at(&caches.go_build);
        let finished = AtomicUsize::new(0);
        let build = |module: &'a Module| {
            let built = self.build_module(module, &sandbox, scratch.path(), &store)?;
            step.detail(format!(
                "linked {} of {}",
                finished.fetch_add(1, Ordering::Relaxed) + 1,
                job.modules.len()
            ));
            Ok((module, built))
        };
        let results = self.in_parallel(&job.modules, build)?;
        let (mut modules, mut broken) = (Vec::new(), Vec::new());
        let mut record = InputsRecord::default();
        for (module, built) in results {
            match built {
                Ok((warm, inputs)) => {
                    let go_work = job.go_works.get(module.go_mod.as_path());
                    let recorded = RecordedModule {
                        go_work: go_work.map(|path| (*path).to_owned()),
                    };
                    record.add(module.path.clone(), recorded, inputs);
                    modules.push((module, warm));
                }
                Err(reason) => broken.push(reason),
            }
        }
        if !broken.is_empty() && !self.keep_going {
            return Err(anyhow::anyhow!("{}", broken.join("\n"))
                .context(format!("{} cannot be warmed", job.name)));
        }
        Ok(BuiltJob {
            modules,
            inputs: record,
            broken,
        })
    }

    fn build_module(
        &self,
        module: &Module,
        sandbox: &Sandbox,
        scratch: &Utf8Path,
        store: &Store,
    ) -> Result<Result<(WarmModule, HashInputs), String>> {
        let name = file_name(module);
        let output = format!("{SCRATCH}/{name}");
        let started = Instant::now();
        let (status, _, log) = sandbox
            .clone()
            .folder(Utf8Path::new(SOURCE).join(&module.path))
            .env([("GODEBUG", "gocachehash=1")])
            .run_with(&["go", "build", "-o", &output, "."], |stderr| {
                Ok(HashLog::scan(stderr)?)
            })?;
        if !status.success() {
            return Ok(Err(format!(
                "{} does not build:\n{}",
                module.path,
                excerpt(&log.other.join("\n"))
            )));
        }
        let executable = scratch.join(&name);
        let executable_bytes = fs_err::metadata(&executable)?.len();
        let link = log.inputs.links.get(&module.import_path);
        let link_action = link.map(|link| link.action);
        match link_action {
            Some(action) => {
                let time = i64::try_from(self.tree.image.image.cache_entry_time * 1_000_000_000)
                    .context("image.cache_entry_time is too large")?;
                store.put_file(&action, &executable, time)?;
            }
            None => fs_err::remove_file(&executable)?,
        }
        let (component, path) = (module.component.clone(), module.path.clone());
        let warm = WarmModule {
            component,
            path,
            link_action,
            executable_bytes,
            build_ms: millis(started),
        };
        Ok(Ok((warm, log.inputs)))
    }

    /// Runs `work` for each of `items`, `jobs` at a time; the results keep their order.
    fn in_parallel<'t, T: Sync, R: Send>(
        &self,
        items: &[&'t T],
        work: impl Fn(&'t T) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.jobs)
            .build()
            .context("failed to start threads for the builds")?;
        pool.install(|| items.par_iter().map(|item| work(item)).collect())
    }

    /// Damaged Go modules leave the shared module cache, so that the next run fetches them again.
    fn without_damaged(&self, error: anyhow::Error) -> anyhow::Error {
        let Some(DamagedModules(modules)) = error.downcast_ref() else {
            return error;
        };
        for module in modules {
            let zip = self.go_mod.join(module.download_file("zip"));
            let removed = remove_tree(&self.go_mod.join(module.folder())).and_then(|()| {
                if zip.exists() {
                    Ok(fs_err::remove_file(&zip)?)
                } else {
                    Ok(())
                }
            });
            if let Err(failed) = removed {
                return corrupt(
                    format!("{error}"),
                    format!(
                        "remove {} yourself ({failed:#})",
                        self.go_mod.join(module.folder())
                    ),
                );
            }
        }
        corrupt(
            format!("{error}"),
            "they were removed, run the same command again to fetch them anew",
        )
    }
}

/// A file name for what belongs to `module`, and to no other.
fn file_name(module: &Module) -> String {
    Sha256Hash::of(module.path.as_str().as_bytes()).to_string()
}
