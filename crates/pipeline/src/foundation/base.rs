//! The base system that `mmdebstrap` makes, as a layer and as the tree in which everything is compiled.
//!
//! The package sources are those of the suite, or the mirror that `image.toml` names: never this machine's own, whose
//! names would end in the image and make it another one on every machine.
//!
//! The archive that mmdebstrap writes is kept as it is, owners included, so that the layer is right even where this
//! process could not have unpacked it so. Files that tell of the build machine are left out.

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use xshell::{Shell, cmd};

use crate::image_toml::ImageToml;
use crate::names::BASE;
use crate::pack::store::Store;
use crate::work::kept_layer;
use crate::work::kept_tree::{self, Additions};
use crate::work::{Key, Work};
use engine::host;
use engine::progress::Step;
use oci::layer::LayerBlob;
use oci::layer::{Compression, Layer, LayerWriter, Meta};
use oci::platform::Platform;
use oci::unpack::unpack_layers;

/// Files of the build machine that mmdebstrap copies, and folders that a container gets from its runtime.
const LEFT_OUT: [&str; 4] = ["etc/hostname", "etc/resolv.conf", "dev", "proc"];

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

/// Makes the base system, unless it is kept, here or in the store.
pub fn make(
    work: &Work,
    image: &ImageToml,
    platform: &Platform,
    store: &Store,
    offline: bool,
    step: &Step,
) -> Result<Base> {
    let key = Key::of(&(
        &image.base,
        image.image.epoch,
        image.layers,
        platform.to_string(),
    ))?;
    let folder = work.keep("base", &key, |folder| {
        let found = store.find(work, BASE, &key, step, |artifact| {
            kept_layer::restore(BASE, &artifact.layers()?, folder)
        })?;
        if found.is_none() {
            write(image, folder, offline)?;
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

fn write(image: &ImageToml, folder: &Utf8Path, offline: bool) -> Result<()> {
    if offline {
        bail!("the base system is not kept yet; run once without --offline");
    }
    let archive = folder.join("base.tar");
    debootstrap(image, &archive)?;
    let layer = write_layer(image, &archive, &folder.join(kept_layer::FILE))?;
    kept_layer::write(folder, &layer)?;
    fs_err::remove_file(&archive)?;
    Ok(())
}

fn debootstrap(image: &ImageToml, archive: &Utf8Path) -> Result<()> {
    let base = &image.base;
    let (suite, mirror) = (&base.suite, &base.mirror);
    let packages = base.packages.join(",");
    let exclude = base.exclude.iter();
    let exclude = exclude.map(|path| format!("--dpkgopt=path-exclude={path}"));
    let include = base.include.iter();
    let include = include.map(|path| format!("--dpkgopt=path-include={path}"));
    let sh = Shell::new()?;
    let _epoch = sh.push_env("SOURCE_DATE_EPOCH", image.image.epoch.to_string());
    host::run(cmd!(
        sh,
        "mmdebstrap --mode=auto --variant=minbase --format=tar --skip=output/dev --include={packages}
            {exclude...} {include...} -- {suite} {archive} {mirror...}"
    ))
    .context("failed to make the base system; this takes the network and some space on disk")
}

fn write_layer(image: &ImageToml, archive: &Utf8Path, blob: &Utf8Path) -> Result<Layer> {
    let context = || format!("failed to read {archive}");
    let above = |_: &Utf8Path| Meta {
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: image.image.epoch,
    };
    let mut writer = LayerWriter::create(blob, Compression::Zstd, image.layers, above)?;
    let mut tar = tar::Archive::new(std::io::BufReader::with_capacity(
        1 << 20,
        fs_err::File::open(archive)?,
    ));
    for entry in tar.entries().with_context(context)? {
        let mut entry = entry.with_context(context)?;
        let path = entry.path().with_context(context)?.into_owned();
        let path = Utf8PathBuf::from_path_buf(path).map_err(|path| {
            anyhow::anyhow!(
                "{archive} holds a name that is not UTF-8: {}",
                path.display()
            )
        })?;
        let path = path.strip_prefix(".").unwrap_or(&path).to_owned();
        if path.as_str().is_empty() || LEFT_OUT.iter().any(|left_out| path.starts_with(left_out)) {
            continue;
        }
        writer.copy_entry(&mut entry, &path)?;
    }
    writer.finish()
}
