//! The base system that `mmdebstrap` makes, as a layer and as the tree in which everything is compiled.
//!
//! The package sources are those of the suite, of a snapshot of it, or the mirror that `image.toml` names: never this
//! machine's own, whose names would end in the image and make it another one on every machine. Where `base.lock` is
//! there, its packages are what comes out, or nothing. The layer has that list of its own packages in any case, so that
//! the digest of each archive that was installed is known.
//!
//! The archive that mmdebstrap writes is kept as it is, owners included, so that the layer is right even where this
//! process could not have unpacked it so. Files that tell of the build machine are left out, and so are the keys of
//! Debian's other releases, by which nothing of this one is signed; no program keeps a setuid or setgid bit, for a
//! container's user gets no more rights than it comes with.

mod installed;
pub mod lock;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::Read;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use xshell::{Shell, cmd};

pub use self::installed::Package;
use self::installed::{LISTS, Lists};
use self::lock::Lock;
use crate::foundation::not_kept;
use crate::image_toml::ImageToml;
use crate::names::BASE;
use crate::owners::relative;
use crate::pack::store::Store;
use crate::work::kept_layer;
use crate::work::kept_tree::{self, Additions};
use crate::work::{Key, Work};
use engine::emulation;
use engine::host;
use engine::progress::{self, Step};
use failure::failed;
use gocache::image_info::BASE_PACKAGES_PATH;
use oci::layer::LayerBlob;
use oci::layer::{Compression, Layer, LayerWriter, Meta};
use oci::platform::Platform;
use oci::unpack::unpack_layers;

/// Raised when the same packages give another layer.
const FORMAT: u32 = 1;

/// Files of the build machine that mmdebstrap copies, and folders that a container gets from its runtime.
const LEFT_OUT: [&str; 4] = ["etc/hostname", "etc/resolv.conf", "dev", "proc"];

/// Folders of the keys by which packages are believed.
const KEYRINGS: [&str; 2] = ["etc/apt/trusted.gpg.d", "usr/share/keyrings"];

/// What the names of Debian's keys begin with; the release follows.
const DEBIAN_KEYS: &str = "debian-archive-";

/// Files that name the package sources, and maybe a key for each.
const SOURCE_LISTS: [&str; 2] = ["etc/apt/sources.list", "etc/apt/sources.list.d"];

/// The base system, kept.
#[derive(Debug)]
pub struct Base {
    /// Digest of everything it was made from.
    pub key: Key,
    /// Its layer; none where the base system is that of the container around this process.
    pub layer: Option<LayerBlob>,
    /// The unpacked tree.
    pub root: Utf8PathBuf,
}

impl Base {
    /// The container around this process.
    pub fn around() -> Result<Self> {
        Ok(Self {
            key: Key::of(&"the container around this process")?,
            layer: None,
            root: "/".into(),
        })
    }
}

/// Makes the base system, unless it is kept, here or in the store; with the packages of `lock`, where there is one.
pub fn make(
    work: &Work,
    image: &ImageToml,
    lock: Option<&Lock>,
    platform: &Platform,
    store: &Store,
    offline: bool,
    step: &Step,
) -> Result<Base> {
    let locked = lock.map(|lock| lock.of(platform)).transpose()?;
    let key = (
        FORMAT,
        &image.base,
        image.image.epoch,
        image.layers,
        platform.to_string(),
    );
    let key = match locked {
        None => Key::of(&key)?,
        Some(packages) => Key::of(&(key, format!("{packages:?}")))?,
    };
    let folder = work.keep("base", &key, |folder| {
        let found = store.find(work, BASE, &key, step, |artifact| {
            kept_layer::restore(BASE, &artifact.layers()?, folder)
        })?;
        if found.is_none() {
            write(image, locked, platform, folder, offline)?;
        }
        Ok(())
    })?;
    let layer = kept_layer::read(&folder)?;
    // By the layer, whose digest was checked just now: a damaged tree is unpacked again from the same one.
    let unpacked = Key::of(&layer.layer.digest)?;
    let root = kept_tree::keep(work, "root", &unpacked, Additions::MountPoints, |root| {
        unpack_layers([&layer], root)
    })?;
    Ok(Base {
        layer: Some(layer),
        root,
        key,
    })
}

fn write(
    image: &ImageToml,
    locked: Option<&BTreeSet<Package>>,
    platform: &Platform,
    folder: &Utf8Path,
    offline: bool,
) -> Result<()> {
    if offline {
        return Err(not_kept("the base system"));
    }
    let suite = &image.base.suite;
    if image.base.snapshot.is_none() {
        progress::note(format!(
            "the base system is not reproducible: it is what {suite} has today, for [base] in image.toml has no \
             snapshot"
        ));
    }
    can_install(platform)?;
    Bootstrap::of(image, platform).write(locked, platform, folder)
}

/// The packages that a base system for `platform` made now would have.
pub fn packages(image: &ImageToml, platform: &Platform) -> Result<Vec<Package>> {
    can_install(platform)?;
    let folder = tempfile::tempdir()?;
    let folder = Utf8Path::from_path(folder.path()).context("TMPDIR is not UTF-8")?;
    let archive = folder.join("base.tar");
    Bootstrap::of(image, platform).run(&archive)?;
    installed(&archive)
}

/// Makes sure that packages for `platform` can be installed here: programs of theirs run meanwhile.
fn can_install(platform: &Platform) -> Result<()> {
    emulation::require(platform)?;
    if platform.is_foreign() {
        host::require_programs(&[emulation::PROBE])?;
    }
    Ok(())
}

/// How mmdebstrap is called.
struct Bootstrap<'a> {
    image: &'a ImageToml,
    suite: &'a str,
    variant: &'static str,
    /// What Debian calls the architecture, if it is not this machine's.
    architecture: Option<String>,
    mirrors: Vec<String>,
}

impl<'a> Bootstrap<'a> {
    fn of(image: &'a ImageToml, platform: &Platform) -> Self {
        Self {
            // Of those that images are made for it has Go's names.
            architecture: platform.is_foreign().then(|| platform.arch.clone()),
            image,
            suite: &image.base.suite,
            variant: "minbase",
            mirrors: sources::mirrors(&image.base, &sources::trust()),
        }
    }

    /// Makes the layer in `folder`, of the packages `locked`, if they are.
    fn write(
        &self,
        locked: Option<&BTreeSet<Package>>,
        platform: &Platform,
        folder: &Utf8Path,
    ) -> Result<()> {
        let archive = folder.join("base.tar");
        self.run(&archive)?;
        let packages = installed(&archive)?;
        if let Some(locked) = locked {
            lock::check(locked, &packages)?;
        }
        let mut lock = Lock::default();
        lock.renew(platform, &packages);
        let blob = folder.join(kept_layer::FILE);
        let layer = write_layer(self.image, &archive, &lock, &blob)?;
        kept_layer::write(folder, &layer)?;
        fs_err::remove_file(&archive)?;
        Ok(())
    }

    /// Writes the archive, with apt's lists of packages in it.
    fn run(&self, archive: &Utf8Path) -> Result<()> {
        let Self {
            suite,
            variant,
            architecture,
            mirrors,
            ..
        } = self;
        let architecture = architecture.iter();
        let architecture = architecture.map(|name| format!("--architectures={name}"));
        let base = &self.image.base;
        let packages = base.packages.join(",");
        let exclude = base.exclude.iter();
        let exclude = exclude.map(|path| format!("--dpkgopt=path-exclude={path}"));
        let include = base.include.iter();
        let include = include.map(|path| format!("--dpkgopt=path-include={path}"));
        let sh = Shell::new()?;
        let _epoch = sh.push_env("SOURCE_DATE_EPOCH", self.image.image.epoch.to_string());
        let made = host::run(cmd!(
            sh,
            "mmdebstrap --mode=auto --variant={variant} --format=tar --skip=output/dev
                --skip=cleanup/apt/lists {architecture...} --include={packages} {exclude...} {include...} -- {suite} {archive} {mirrors...}"
        ));
        let Some(snapshot) = &base.snapshot else {
            return made.context(
                "failed to make the base system; this takes the network and some space on disk",
            );
        };
        made.map_err(|error| {
            failed(
                format!("failed to make the base system of the snapshot {snapshot}: {error:#}"),
                "it must be one that the server has; [base] snapshots in image.toml names another server",
            )
        })
    }
}

/// The packages in the archive of a base system, which has apt's lists.
fn installed(archive: &Utf8Path) -> Result<Vec<Package>> {
    let mut lists = Lists::default();
    each_entry(archive, |entry, path| {
        if let Some(text) = lists.place(path) {
            entry.read_to_string(text)?;
        }
        Ok(())
    })?;
    lists.packages()
}

fn write_layer(
    image: &ImageToml,
    archive: &Utf8Path,
    lock: &Lock,
    blob: &Utf8Path,
) -> Result<Layer> {
    let own_list = sources::in_image(&image.base);
    let (mut paths, mut source_lists) = (Vec::new(), String::new());
    each_entry(archive, |entry, path| {
        if SOURCE_LISTS.iter().any(|list| path.starts_with(list)) {
            entry.read_to_string(&mut source_lists)?;
        }
        paths.push(path.to_owned());
        Ok(())
    })?;
    if let Some(list) = &own_list {
        source_lists.clone_from(list);
    }
    let foreign_keys = foreign_keys(&paths, &image.base.suite, &source_lists);
    let above = |_: &Utf8Path| Meta {
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: image.image.epoch,
    };
    let file = |path: &Utf8Path| Meta {
        mode: 0o644,
        ..above(path)
    };
    let mut writer = LayerWriter::create(blob, Compression::Zstd, image.layers, above)?;
    each_entry(archive, |entry, path| {
        let is_left_out = LEFT_OUT.iter().any(|left_out| path.starts_with(left_out));
        // Lists of apt's are there for the digests of packages, and as old as the day.
        let is_list = path.starts_with(LISTS) && entry.header().entry_type().is_file();
        let is_left_out = is_left_out || (is_list && !path.ends_with("lock"));
        if is_left_out || foreign_keys.contains(path) {
            return Ok(());
        }
        match &own_list {
            Some(list) if path == SOURCE_LISTS[0] => {
                writer.bytes(path, list.as_bytes(), file(path))
            }
            _ => writer.copy_entry(entry, path),
        }
    })?;
    let path = relative(Utf8Path::new(BASE_PACKAGES_PATH));
    writer.bytes(path, lock.to_string().as_bytes(), file(path))?;
    writer.finish()
}

/// Hands every entry of `archive` but its root to `take`, with its path from there.
fn each_entry(
    archive: &Utf8Path,
    mut take: impl FnMut(&mut tar::Entry<'_, Reader>, &Utf8Path) -> Result<()>,
) -> Result<()> {
    let context = || format!("failed to read {archive}");
    let file = fs_err::File::open(archive)?;
    let mut tar = tar::Archive::new(Reader::with_capacity(1 << 20, file));
    for entry in tar.entries().with_context(context)? {
        let mut entry = entry.with_context(context)?;
        let path = entry.path().with_context(context)?.into_owned();
        let path = Utf8PathBuf::from_path_buf(path).map_err(|path| {
            anyhow::anyhow!(
                "{archive} holds a name that is not UTF-8: {}",
                path.display()
            )
        })?;
        let path = path.strip_prefix(".").unwrap_or(&path);
        if !path.as_str().is_empty() {
            take(&mut entry, path)?;
        }
    }
    Ok(())
}

type Reader = std::io::BufReader<fs_err::File>;

/// The keys of Debian among `paths` that are of another release than `suite`, and those of several. A folder without
/// a key of this release, whose names may be others, keeps all; so does a key that a source list names.
fn foreign_keys(paths: &[Utf8PathBuf], suite: &str, source_lists: &str) -> BTreeSet<Utf8PathBuf> {
    let mut foreign = BTreeSet::new();
    for folder in KEYRINGS {
        let keys = paths.iter().filter_map(|path| {
            let key = path.strip_prefix(folder).ok()?.as_str();
            key.strip_prefix(DEBIAN_KEYS).map(|release| (path, release))
        });
        let (own, others): (Vec<_>, Vec<_>) = keys.partition(|(_, release)| {
            release
                .strip_prefix(suite)
                .is_some_and(|rest| rest.starts_with('-'))
        });
        if own.is_empty() {
            continue;
        }
        let is_named = |path: &Utf8Path| {
            // By its stem: a list may name the link to a file that ends otherwise.
            source_lists.contains(path.with_extension("").as_str())
        };
        let others = others.into_iter().map(|(path, _)| path);
        foreign.extend(others.filter(|path| !is_named(path)).cloned());
    }
    foreign
}
