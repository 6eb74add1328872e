//! The OCI image layout: blobs that exist already, and the few small ones that make images of them.
//!
//! Assembling writes configs, manifests and the index, and links the layers; no layer is read again. All variants
//! stand in one index and share their blobs. Nothing depends on the order in which packs were made, or on today.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::Sha256Hash;
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, DescriptorBuilder, HistoryBuilder, ImageConfigurationBuilder,
    ImageIndexBuilder, ImageManifestBuilder, MediaType, Os, PlatformBuilder, RootFsBuilder,
    Sha256Digest,
};
use serde::Serialize;

use crate::image_toml::{ImageToml, Platform};
use crate::kept_layer::KeptLayer;
use crate::layer::Compression;
use crate::warm::VERIFIER;
use crate::work::link_or_copy;

/// Ends the name of a variant that runs as the image's user.
pub const NONROOT: &str = "-nonroot";

/// A layer with what its history entry says of it.
#[derive(Debug, Clone)]
pub struct NamedLayer {
    /// For a person who reads the image's history.
    pub name: String,
    /// The blob.
    pub layer: KeptLayer,
}

/// An image in the layout.
#[derive(Debug, Clone, Serialize)]
pub struct Variant {
    /// `org.opencontainers.image.ref.name`.
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

/// Writes a layout of `variants` (name and layers) and of the `-nonroot` twin of each to the folder `layout`.
pub fn write(
    layout: &Utf8Path,
    image: &ImageToml,
    platform: &Platform,
    variants: &[(String, Vec<NamedLayer>)],
) -> Result<Vec<Variant>> {
    let blobs = layout.join("blobs/sha256");
    fs_err::create_dir_all(&blobs)?;
    let writer = Writer {
        blobs,
        image,
        platform,
    };
    let mut written = Vec::new();
    let mut manifests = Vec::new();
    for (name, layers) in variants {
        for layer in layers {
            writer.link(&layer.layer)?;
        }
        for nonroot in [false, true] {
            let name = if nonroot {
                format!("{name}{NONROOT}")
            } else {
                name.clone()
            };
            let descriptor = writer.manifest(&name, layers, nonroot)?;
            written.push(Variant {
                name,
                digest: descriptor.digest().to_string(),
                compressed_bytes: layers
                    .iter()
                    .map(|layer| layer.layer.layer.size_bytes)
                    .sum(),
                uncompressed_bytes: layers
                    .iter()
                    .map(|layer| layer.layer.layer.uncompressed_bytes)
                    .sum(),
            });
            manifests.push(descriptor);
        }
    }
    let index = ImageIndexBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests);
    let index = index.build().context("failed to describe the layout")?;
    fs_err::write(
        layout.join("index.json"),
        serde_json::to_vec_pretty(&index)?,
    )?;
    fs_err::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
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

struct Writer<'a> {
    blobs: Utf8PathBuf,
    image: &'a ImageToml,
    platform: &'a Platform,
}

impl Writer<'_> {
    fn link(&self, layer: &KeptLayer) -> Result<()> {
        let target = self.blobs.join(layer.layer.digest.to_string());
        if target.exists() {
            Ok(())
        } else {
            link_or_copy(&layer.blob, &target)
        }
    }

    fn blob(&self, media_type: MediaType, value: &impl Serialize) -> Result<Descriptor> {
        let json = serde_json::to_vec(value).context("failed to serialize a part of the image")?;
        let (digest, size_bytes) = gocache::hash_reader(json.as_slice())?;
        fs_err::write(self.blobs.join(digest.to_string()), json)?;
        descriptor(media_type, digest, size_bytes)
    }

    fn manifest(&self, name: &str, layers: &[NamedLayer], nonroot: bool) -> Result<Descriptor> {
        let config = self.blob(
            MediaType::ImageConfig,
            &config(self.image, self.platform, layers, nonroot)?,
        )?;
        let descriptors = layers
            .iter()
            .map(|layer| {
                let media_type = match layer.layer.layer.compression {
                    Compression::Zstd => MediaType::ImageLayerZstd,
                    Compression::Gzip => MediaType::ImageLayerGzip,
                };
                descriptor(
                    media_type,
                    layer.layer.layer.digest,
                    layer.layer.layer.size_bytes,
                )
            })
            .collect::<Result<Vec<_>>>()?;
        let manifest = ImageManifestBuilder::default()
            .schema_version(2u32)
            .media_type(MediaType::ImageManifest)
            .config(config)
            .layers(descriptors)
            .build()
            .context("failed to describe an image")?;
        let mut descriptor = self.blob(MediaType::ImageManifest, &manifest)?;
        let platform = PlatformBuilder::default()
            .os(Os::from(self.platform.os.as_str()))
            .architecture(Arch::from(self.platform.arch.as_str()))
            .build();
        descriptor.set_platform(Some(platform.context("failed to describe the platform")?));
        descriptor.set_annotations(Some(HashMap::from([(
            "org.opencontainers.image.ref.name".to_owned(),
            name.to_owned(),
        )])));
        Ok(descriptor)
    }
}

/// The configuration of an image, or of its `-nonroot` twin.
pub fn config(
    image: &ImageToml,
    platform: &Platform,
    layers: &[NamedLayer],
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
        .map(|layer| format!("sha256:{}", layer.layer.layer.diff_id))
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
                .created_by(layer.name.clone())
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

fn descriptor(media_type: MediaType, digest: Sha256Hash, size_bytes: u64) -> Result<Descriptor> {
    let digest: Sha256Digest = digest
        .to_string()
        .parse()
        .context("a digest is 64 hex digits")?;
    DescriptorBuilder::default()
        .media_type(media_type)
        .digest(digest)
        .size(size_bytes)
        .build()
        .context("failed to describe a blob")
}
