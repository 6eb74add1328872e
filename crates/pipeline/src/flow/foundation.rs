//! What caches are made in and with: the base system, Go and the verifier, and the two packs that hold them.
//!
//! Caches for another platform are made in the base system and with the Go of this machine's, which compiles for any
//! other at its own speed. What the packs then hold is made for that platform when they are: only that takes an
//! emulator, and a compiler of the verifier.

use std::cell::OnceCell;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
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
use engine::progress::{self, Kind, Progress, Step};
use engine::sandbox::{self, RootFs};
use engine::together::{self, Part};
use engine::{Engine, host, memory};
use failure::usage;
use oci::platform::Platform;

/// What caches are made in and with.
#[derive(Debug)]
pub struct Foundation {
    /// Kept work.
    pub work: Work,
    /// The tree in which everything is built.
    pub tree: Tree,
    /// The verifier of this machine.
    pub verifier: Utf8PathBuf,
    /// The module cache that all fetches share.
    pub go_mod: Utf8PathBuf,
    /// Settings of this machine by which Go modules were not checked; see [`unchecked`].
    pub(super) unchecked: Vec<String>,
    pub(super) settings: Settings,
    /// What ships, of the image's platform.
    base: OnceCell<Base>,
    verifier_of_image: OnceCell<Utf8PathBuf>,
}

/// Makes base system, toolchain and verifier.
pub fn foundation(settings: Settings, progress: &mut Progress) -> Result<Foundation> {
    let image = described_image(&settings)?;
    let (platform, host) = (settings.platform.clone(), Platform::host());
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
                go = Some(go::make(&work, &image, &host, &settings)?);
                Ok(())
            }),
        ),
        (
            "verifier".to_owned(),
            Box::new(|_| {
                let made = verifier::make(&work, &workspace(), &host, settings.offline)?;
                verifier = Some(made);
                Ok(())
            }),
        ),
    ];
    if has_base {
        let make: Part<'_> = (
            "base system".to_owned(),
            Box::new(|step| {
                base = Some(make_base(&work, &image, &host, &settings, step)?);
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
                sandbox::load_root_fs(layer, &host)
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
    let (shipped_base, verifier_of_image) = if tree.platform.is_foreign() {
        (OnceCell::new(), OnceCell::new())
    } else {
        (OnceCell::from(base), OnceCell::from(verifier.clone()))
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
        verifier,
        settings,
        base: shipped_base,
        verifier_of_image,
    })
}

/// What `image.toml` says, with what the flags say instead.
fn described_image(settings: &Settings) -> Result<ImageToml> {
    let Settings {
        platform, engine, ..
    } = settings;
    if platform.is_foreign() && *engine != Engine::Native {
        return Err(usage(
            format!("packs for {platform} are made by the native engine alone"),
            "leave out --engine, or build on a machine of that platform",
        ));
    }
    let mut image = ImageToml::read(&settings.image)?;
    if let Some(level) = settings.zstd_level {
        image.layers.zstd_level = level;
    }
    Ok(image)
}

fn make_base(
    work: &Work,
    image: &ImageToml,
    platform: &Platform,
    settings: &Settings,
    step: &Step,
) -> Result<Base> {
    let Settings { store, offline, .. } = settings;
    let lock = Lock::read(&settings.image.with_file_name(LOCK))?;
    base::make(work, image, lock.as_ref(), platform, store, *offline, step)
}

/// What `cell` holds, made if it holds nothing yet.
fn made_once<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if cell.get().is_none() {
        let new = make()?;
        return Ok(cell.get_or_init(|| new));
    }
    cell.get().context("it was made")
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
    pub fn base(&self, progress: &mut Progress) -> Result<Pack> {
        let base = self.shipped_base(progress)?;
        let layer = base.layer.as_ref();
        let layer = layer.context("the container around this process is no pack")?;
        Ok(Pack::base(
            base.key.clone(),
            &self.tree.platform,
            layer.clone(),
        ))
    }

    /// The base system of the image.
    fn shipped_base(&self, progress: &mut Progress) -> Result<&Base> {
        let Self { work, tree, .. } = self;
        let platform = &tree.platform;
        made_once(&self.base, || {
            progress.step(format!("base system, {platform}"), Kind::Network, |step| {
                make_base(work, &tree.image, platform, &self.settings, step)
            })
        })
    }

    /// The verifier that the image has.
    pub fn verifier_of_image(&self, progress: &mut Progress) -> Result<&Utf8Path> {
        let platform = &self.tree.platform;
        let made = made_once(&self.verifier_of_image, || {
            progress.step(format!("verifier, {platform}"), Kind::Network, |_| {
                let made =
                    verifier::make(&self.work, &workspace(), platform, self.settings.offline)?;
                progress::note(format_args!(
                    "the verifier for {platform} was cross-compiled"
                ));
                Ok(made)
            })
        })?;
        Ok(made)
    }

    /// The Go that the image has.
    fn go_of_image(&self, progress: &mut Progress) -> Result<Utf8PathBuf> {
        let Self { work, tree, .. } = self;
        let (platform, image) = (&tree.platform, &tree.image);
        if !platform.is_foreign() {
            return Ok(tree.go.clone());
        }
        let version = &image.go.version;
        progress.step(format!("Go {version}, {platform}"), Kind::Network, |_| {
            go::make(work, image, platform, &self.settings)
        })
    }

    /// Makes the pack of Go, the tools and the verifier.
    pub fn tools(&self, progress: &mut Progress) -> Result<Pack> {
        // First: where it cannot be made, that is told before anything is compiled.
        let verifier = self.verifier_of_image(progress)?;
        let go = self.go_of_image(progress)?;
        let base = self.shipped_base(progress)?;
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
            let parts = tools::Parts {
                root: &base.root,
                go: &go,
                verifier,
            };
            tools::layers(&maker, parts, &self.settings.store, step)
        })?;
        Ok(Pack::tools(
            key,
            base.key.clone(),
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
