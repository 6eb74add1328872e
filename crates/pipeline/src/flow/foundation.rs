//! What caches are made in and with: the base system, Go and the verifier, and the two packs that hold them.

use anyhow::{Context as _, Result};
use camino::Utf8PathBuf;
use gocache::objects;
use modules::Module;

use crate::flow::settings::Settings;
use crate::foundation::base::Base;
use crate::foundation::base::lock::{LOCK, Lock};
use crate::foundation::tool_source::OfThisMachine;
use crate::foundation::tree::Tree;
use crate::foundation::{base, executables, go, tool_source, tools, verifier};
use crate::image_toml::{self, ImageToml};
use crate::pack::Pack;
use crate::pack::store::Store;
use crate::resolve::go_mod::by_go_mod;
use crate::resolve::go_settings::GoSettings;
use crate::resolve::resolver::Resolver;
use crate::resolve::unchecked;
use crate::warm::{Share, Warmer};
use crate::work::Work;
use crate::workspace::workspace;
use engine::progress::{self, Kind, Progress};
use engine::sandbox::{self, RootFs};
use engine::together::{self, Part};
use engine::{Engine, host, memory};
use oci::platform::Platform;

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
    /// Settings of this machine by which Go modules were not checked; see [`unchecked`].
    pub(super) unchecked: Vec<String>,
    pub(super) settings: Settings,
}

/// Makes base system, toolchain and verifier.
pub fn foundation(settings: Settings, progress: &mut Progress) -> Result<Foundation> {
    let mut image = ImageToml::read(&settings.image)?;
    if let Some(level) = settings.zstd_level {
        image.layers.zstd_level = level;
    }
    let platform = Platform::host();
    let unchecked = if settings.offline {
        Vec::new()
    } else {
        let go_settings = GoSettings::read();
        unchecked::allowed(settings.allow_unchecked, |name| go_settings.value(name))?
    };
    let work = Work::open()?;
    let has_base = settings.engine != Engine::CurrentContainer;
    if has_base {
        settings.engine.require()?;
    }
    let (mut base, mut go, mut verifier) = (None, None, None);
    let mut parts: Vec<Part<'_>> = vec![
        (
            format!("Go {}", image.go.version),
            Box::new(|_| {
                go = Some(go::make(&work, &image, &platform, &settings)?);
                Ok(())
            }),
        ),
        (
            "verifier".to_owned(),
            Box::new(|_| {
                verifier = Some(verifier::make(&work, &workspace(), settings.offline)?);
                Ok(())
            }),
        ),
    ];
    if has_base {
        let make: Part<'_> = (
            "base system".to_owned(),
            Box::new(|step| {
                let Settings { store, offline, .. } = &settings;
                let lock = Lock::read(&settings.image.with_file_name(LOCK))?;
                let lock = lock.as_ref();
                let made = base::make(&work, &image, lock, &platform, store, *offline, step)?;
                base = Some(made);
                Ok(())
            }),
        );
        parts.push(make);
    }
    together::steps(
        progress,
        "base system, Go and verifier",
        Kind::Network,
        parts,
    )?;
    let base = base.map_or_else(Base::around, Ok)?;
    let go = go.context("Go was made")?;
    let verifier = verifier.context("the verifier was built")?;
    let engine = match &base.layer {
        None => RootFs::CurrentContainer,
        Some(layer) if settings.engine == Engine::Docker => {
            progress.step("base system into Docker", Kind::Local, |_| {
                sandbox::load_root_fs(layer, &platform)
            })?
        }
        Some(_) => RootFs::Directory(base.root.clone()),
    };
    let toolexec = if image.is_lean() {
        Some(toolexec(&work)?)
    } else {
        None
    };
    let tree = Tree {
        root: base.root.clone(),
        engine,
        go,
        image,
        platform,
        toolexec,
    };
    Ok(Foundation {
        // Of its own: what is in the other one was checked.
        go_mod: work.shared(if unchecked.is_empty() {
            "go-mod"
        } else {
            "go-mod-unchecked"
        })?,
        unchecked,
        work,
        tree,
        base,
        verifier,
        settings,
    })
}

/// The program of `-toolexec` that caches are made with.
fn toolexec(work: &Work) -> Result<Utf8PathBuf> {
    let file = work.lasting("toolexec-")?.join("toolexec");
    objects::write_script(&file)?;
    Ok(file)
}

impl Foundation {
    /// Where packs of other runs are found.
    pub fn store(&self) -> &Store {
        &self.settings.store
    }

    /// The pack of the base system.
    pub fn base(&self) -> Result<Pack> {
        let layer = self.base.layer.as_ref();
        let layer = layer.context("the container around this process is no pack")?;
        let key = self.base.key.clone();
        Ok(Pack::base(key, &self.tree.platform, layer.clone()))
    }

    /// Makes the pack of Go, the tools and the verifier.
    pub fn tools(&self, progress: &mut Progress) -> Result<Pack> {
        let description = self.settings.image.parent();
        let mut image = self.tree.image.clone();
        // They are in no tool.
        image.plugins = image_toml::Plugins::default();
        let releases = OfThisMachine {
            work: &self.work,
            offline: self.settings.offline,
        };
        let (platform, forced) = (&self.tree.platform, self.settings.tools);
        for note in tool_source::decide(&mut image, platform, forced, &releases)? {
            progress::note(&note);
        }
        let maker = executables::Maker {
            work: &self.work,
            tree: &self.tree,
            image: &image,
            description: description.context("image.toml stands in a folder")?,
            go_mod: &self.go_mod,
            offline: self.settings.offline,
        };
        let (key, layers) = progress.step("tools", Kind::Network, |step| {
            tools::layers(&maker, &self.verifier, &self.settings.store, step)
        })?;
        let base = self.base.key.clone();
        Ok(Pack::tools(
            key,
            base,
            &self.tree.platform,
            layers,
            tools::described(&image),
        ))
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

    pub(super) fn resolver(&self) -> Resolver<'_> {
        Resolver {
            work: &self.work,
            tree: &self.tree,
            source: &self.settings.source,
            go_mod: &self.go_mod,
            unchecked: &self.unchecked,
            offline: self.settings.offline,
        }
    }

    /// What makes the pack of `provider`, or `common`.
    pub(super) fn warmer(&self, provider: &str) -> Warmer<'_> {
        let recorded = self.settings.times.providers.get(provider);
        let peak = recorded.and_then(|time| time.peak_memory_bytes);
        let memory = memory::memory();
        let share = match self.settings.jobs {
            Some(jobs) => Share::wanted(jobs, memory, peak),
            None => Share::of(host::processors(), memory, peak),
        };
        Warmer {
            work: &self.work,
            tree: &self.tree,
            verifier: &self.verifier,
            source: &self.settings.source,
            go_mod: &self.go_mod,
            unchecked: &self.unchecked,
            share,
            keep_going: self.settings.keep_going,
        }
    }
}
