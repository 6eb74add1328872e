//! Images: the configurations and manifests that make images of layers that exist already.
//!
//! Assembling writes those few small files and says which layers belong together; no layer is read again. All variants
//! share their blobs. Nothing depends on the order in which packs were made, or on today.

pub mod dockerfile;
pub mod layer_names;
pub mod registry_target;
pub mod variants;

use crate::names::NONROOT;
use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::distribution::Reference;
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, HistoryBuilder, ImageConfigurationBuilder, ImageManifest,
    ImageManifestBuilder, MediaType, Os, Platform as OciPlatform, PlatformBuilder, RootFsBuilder,
};
use serde::Serialize;

use crate::image_toml::ImageToml;
use crate::names::VERIFIER;
use oci::layer::Layer;
use oci::layout::writer::LayoutWriter;
use oci::platform::Platform;

/// A layer, what an image's history says of it, and where its blob is.
#[derive(Debug, Clone)]
pub struct PlacedLayer {
    /// For a person who reads the image's history.
    pub title: String,
    /// Digests and sizes.
    pub layer: Layer,
    /// The blob.
    pub place: Place,
}

/// Where a blob is.
#[derive(Debug, Clone)]
pub enum Place {
    /// On this machine.
    File(Utf8PathBuf),
    /// In the repository of a registry.
    Registry(Reference),
}

/// Images by name, each with its layers.
pub type Variants = Vec<(String, Vec<PlacedLayer>)>;

/// Where images are written to.
pub trait Target {
    /// Makes sure that the layer is there.
    fn layer(&mut self, layer: &PlacedLayer) -> Result<Descriptor>;
    /// Adds a small blob.
    fn bytes(&mut self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor>;
    /// Adds a manifest, all of whose blobs are there, under a name.
    fn manifest(
        &mut self,
        name: &str,
        manifest: &ImageManifest,
        platform: OciPlatform,
    ) -> Result<Descriptor>;
}

impl Target for LayoutWriter {
    fn layer(&mut self, layer: &PlacedLayer) -> Result<Descriptor> {
        match &layer.place {
            Place::File(blob) => self.link(&layer.layer, blob),
            Place::Registry(reference) => {
                bail!("{} is in {reference}, and not on this machine", layer.title)
            }
        }
    }

    fn bytes(&mut self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor> {
        LayoutWriter::bytes(self, media_type, bytes)
    }

    fn manifest(
        &mut self,
        name: &str,
        manifest: &ImageManifest,
        platform: OciPlatform,
    ) -> Result<Descriptor> {
        LayoutWriter::manifest(self, name, manifest, Some(platform))
    }
}

/// An image that was written.
#[derive(Debug, Clone, Serialize)]
pub struct Variant {
    /// Its tag; in a layout, `org.opencontainers.image.ref.name`.
    pub name: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Sum of its compressed layers in bytes.
    pub compressed_bytes: u64,
    /// Sum of its uncompressed layers in bytes.
    pub uncompressed_bytes: u64,
}

impl From<&Variant> for report::Image {
    fn from(variant: &Variant) -> Self {
        Self {
            name: variant.name.clone(),
            digest: variant.digest.clone(),
            compressed_bytes: variant.compressed_bytes,
            uncompressed_bytes: variant.uncompressed_bytes,
        }
    }
}

/// Writes the variants and the `-nonroot` twin of each.
pub fn write(
    target: &mut dyn Target,
    image: &ImageToml,
    platform: &Platform,
    variants: &[(String, Vec<PlacedLayer>)],
) -> Result<Vec<Variant>> {
    let mut written = Vec::new();
    for (name, layers) in variants {
        let descriptors = layers
            .iter()
            .map(|layer| target.layer(layer))
            .collect::<Result<Vec<_>>>()?;
        let sum = |bytes: fn(&Layer) -> u64| layers.iter().map(|it| bytes(&it.layer)).sum();
        for nonroot in [false, true] {
            let name = format!("{name}{}", if nonroot { NONROOT } else { "" });
            let config = config(image, platform, layers, nonroot)?;
            let descriptor = add(target, &name, &config, descriptors.clone(), platform)?;
            written.push(Variant {
                name,
                digest: descriptor.digest().to_string(),
                compressed_bytes: sum(|layer| layer.size_bytes),
                uncompressed_bytes: sum(|layer| layer.uncompressed_bytes),
            });
        }
    }
    Ok(written)
}

/// The environment of the image, or of its `-nonroot` twin.
pub fn env(image: &ImageToml, platform: &Platform, nonroot: bool) -> BTreeMap<String, String> {
    let mut env = image.env.clone();
    env.extend(image.go_env(platform));
    if nonroot {
        // Where GOCACHE cannot be written to the go command fails by itself; this serves it from where it is.
        env.insert("GOCACHEPROG".to_owned(), cacheprog(&image.go.gocache));
        env.insert("HOME".to_owned(), image.user.home.to_string());
        // Programs that ask for the user's name find none for the random uid of a cluster.
        env.insert("USER".to_owned(), image.user.name.clone());
    }
    env
}

/// The labels of every variant.
pub fn labels(image: &ImageToml) -> Result<BTreeMap<String, String>> {
    let created = created(image)?;
    let labels = [
        ("title", image.image.title.as_str()),
        ("description", &image.image.description),
        ("licenses", &image.image.licenses),
        ("version", env!("CARGO_PKG_VERSION")),
        ("created", &created),
    ];
    Ok(labels
        .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value.to_owned()))
        .into())
}

fn created(image: &ImageToml) -> Result<String> {
    Ok(
        jiff::Timestamp::from_second(i64::try_from(image.image.epoch)?)
            .context("image.epoch is no time")?
            .to_string(),
    )
}

/// What serves a GOCACHE that cannot be written to.
pub fn cacheprog(gocache: &Utf8Path) -> String {
    format!("{VERIFIER} cacheprog --shipped {gocache}")
}

/// Writes the manifest of an image whose layers are there.
pub fn add(
    target: &mut dyn Target,
    name: &str,
    config: &serde_json::Value,
    layers: Vec<Descriptor>,
    platform: &Platform,
) -> Result<Descriptor> {
    let config =
        serde_json::to_vec(config).context("failed to serialize an image's configuration")?;
    let config = target.bytes(MediaType::ImageConfig, &config)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(layers)
        .build()
        .context("failed to describe an image")?;
    let platform = PlatformBuilder::default()
        .os(Os::from(platform.os.as_str()))
        .architecture(Arch::from(platform.arch.as_str()))
        .build()
        .context("failed to describe the platform")?;
    target.manifest(name, &manifest, platform)
}

/// The configuration of an image, or of its `-nonroot` twin.
pub fn config(
    image: &ImageToml,
    platform: &Platform,
    layers: &[PlacedLayer],
    nonroot: bool,
) -> Result<serde_json::Value> {
    let env = env(image, platform, nonroot);
    let mut config = ConfigBuilder::default()
        .cmd(vec!["/bin/bash".to_owned()])
        .working_dir("/".to_owned());
    if nonroot {
        config = config
            .user(image.user.uid.to_string())
            .working_dir(image.user.home.to_string());
    }
    let created = created(image)?;
    let config = config
        .env(
            env.into_iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>(),
        )
        .labels(labels(image)?.into_iter().collect::<HashMap<_, _>>())
        .build()
        .context("failed to describe the image's configuration")?;
    let diff_ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("sha256:{}", layer.layer.diff_id))
        .collect();
    let rootfs = RootFsBuilder::default()
        .typ("layers".to_owned())
        .diff_ids(diff_ids)
        .build();
    let history = layers
        .iter()
        .map(|layer| {
            HistoryBuilder::default()
                .created(created.clone())
                .created_by(layer.title.clone())
                .build()
        })
        .collect::<Result<Vec<_>, _>>()
        .context("failed to describe the image's history")?;
    let built = ImageConfigurationBuilder::default()
        .created(created)
        .architecture(Arch::from(platform.arch.as_str()))
        .os(Os::from(platform.os.as_str()))
        .config(config)
        .rootfs(rootfs.context("failed to describe the image's layers")?)
        .history(history)
        .build()
        .context("failed to describe the image's configuration")?;
    // Labels come from a hash map; through a JSON value their order is that of their names.
    serde_json::to_value(&built).context("failed to serialize the image's configuration")
}
