//! Images from anywhere: an OCI layout, a registry, the local Docker.
//!
//! Each place only has to hand out blobs by their descriptors ([`Blobs`]); what an image is made of is read here, once
//! for all. No blob is used before its digest was checked.

pub mod docker;
pub mod layout;
pub mod reference;
pub mod registry;
pub mod unpack;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::Sha256Hash;
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::usage;
use crate::image_toml::Platform;
use crate::layer::Compression;

/// Indexes inside of indexes; more than one is never seen.
const MAX_NESTED: usize = 4;

/// An image whose blobs are on this machine.
#[derive(Debug)]
pub struct Image {
    /// Digest of the manifest, `sha256:…`; from a Docker that keeps no manifests, the image ID.
    pub digest: String,
    /// The configuration.
    pub config: ImageConfiguration,
    /// The layers, the lowest first.
    pub layers: Vec<Layer>,
}

/// A layer of an image.
#[derive(Debug)]
pub struct Layer {
    /// The blob.
    pub blob: Utf8PathBuf,
    /// How the tar is compressed, if it is.
    pub compression: Option<Compression>,
    /// Size of the blob in bytes.
    pub size_bytes: u64,
}

/// Where the blobs of an image come from.
pub trait Blobs: Sync {
    /// The file that holds `blob`, size and digest checked.
    fn fetch(&self, blob: &Descriptor) -> Result<Utf8PathBuf>;
}

impl Image {
    /// The image for `platform` that `descriptor` leads to, of a manifest or of an index.
    pub fn fetch(blobs: &dyn Blobs, descriptor: &Descriptor, platform: &Platform) -> Result<Self> {
        let mut descriptor = descriptor.clone();
        let mut file = blobs.fetch(&descriptor)?;
        for _ in 0..MAX_NESTED {
            // Docker's media types and those of OCI differ, and manifests may leave theirs out; the shape tells.
            if read::<Value>(&file, "JSON")?["manifests"].is_null() {
                break;
            }
            let index: ImageIndex = read(&file, "index of images")?;
            let manifests: Vec<&Descriptor> = index.manifests().iter().collect();
            descriptor = pick(&manifests, platform)?.clone();
            file = blobs.fetch(&descriptor)?;
        }
        let manifest: ImageManifest = read(&file, "manifest of an image")?;
        let config = blobs.fetch(manifest.config())?;
        let config = read(&config, "configuration of an image")?;
        let layers = manifest
            .layers()
            .par_iter()
            .map(|layer| {
                Ok(Layer {
                    compression: compression(layer.media_type())?,
                    blob: blobs.fetch(layer)?,
                    size_bytes: layer.size(),
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            digest: descriptor.digest().to_string(),
            config,
            layers,
        })
    }

    /// Unpacks the layers one over the other into the empty folder `root`; the sum of their files' bytes.
    pub fn unpack(&self, root: &Utf8Path) -> Result<u64> {
        let layers = self.layers.iter();
        let sizes = layers.map(|layer| unpack::unpack(&layer.blob, layer.compression, root));
        sizes.sum()
    }

    /// Fails unless this machine can run the image.
    pub fn check_platform(&self, platform: &Platform) -> Result<()> {
        let (os, arch) = (self.config.os(), self.config.architecture());
        if is_for(platform, &os.to_string(), &arch.to_string()) {
            Ok(())
        } else {
            Err(usage(format!(
                "the image is for {os}/{arch}, and this machine is {platform}; name an image for {platform}"
            )))
        }
    }

    /// The environment that the image gives to its processes.
    pub fn env(&self) -> impl Iterator<Item = (&str, &str)> {
        let config = self.config.config().as_ref();
        let env = config.and_then(|config| config.env().as_deref());
        env.unwrap_or_default()
            .iter()
            .filter_map(|variable| variable.split_once('='))
    }
}

/// The digest of `descriptor`, of the one kind that is used.
fn sha256(descriptor: &Descriptor) -> Result<Sha256Hash> {
    let digest = descriptor.as_digest_sha256();
    digest
        .and_then(|digest| digest.parse().ok())
        .ok_or_else(|| {
            usage(format!(
                "{} is no SHA-256 digest, and no other kind can be checked",
                descriptor.digest()
            ))
        })
}

/// The manifest for `platform`; the only one need not say what it is for.
fn pick<'a>(manifests: &[&'a Descriptor], platform: &Platform) -> Result<&'a Descriptor> {
    if let [only] = manifests
        && only.platform().is_none()
    {
        return Ok(only);
    }
    let platforms = || {
        manifests.iter().filter_map(|manifest| {
            let found = manifest.platform().as_ref()?;
            Some((
                *manifest,
                found.os().to_string(),
                found.architecture().to_string(),
            ))
        })
    };
    let found = platforms().find(|(_, os, arch)| is_for(platform, os, arch));
    found.map(|(manifest, ..)| manifest).ok_or_else(|| {
        let there: Vec<String> = platforms()
            .map(|(_, os, arch)| format!("{os}/{arch}"))
            .collect();
        usage(format!(
            "there is no image for {platform}, only for {}",
            there.join(", ")
        ))
    })
}

fn is_for(platform: &Platform, os: &str, arch: &str) -> bool {
    os == platform.os && arch == platform.arch
}

fn compression(layer: &MediaType) -> Result<Option<Compression>> {
    Ok(match layer.as_ref() {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => None,
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Some(Compression::Gzip),
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Some(Compression::Zstd),
        other => {
            return Err(usage(format!(
                "a layer is of the type {other}, which cannot be unpacked; a layer is a tar, as it is, in gzip or in zstd"
            )));
        }
    })
}

/// Reads a blob, which is JSON.
pub fn read<T: DeserializeOwned>(file: &Utf8Path, what: &str) -> Result<T> {
    serde_json::from_slice(&fs_err::read(file)?).with_context(|| format!("{file} is no {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::image::{Arch, Os, PlatformBuilder, Sha256Digest};

    fn manifest(platform: Option<(&str, &str)>, digit: &str) -> Descriptor {
        let digest: Sha256Digest = digit.repeat(64).parse().unwrap();
        let mut descriptor = Descriptor::new(MediaType::ImageManifest, 1, digest);
        descriptor.set_platform(platform.map(|(os, arch)| {
            PlatformBuilder::default()
                .os(Os::from(os))
                .architecture(Arch::from(arch))
                .build()
                .unwrap()
        }));
        descriptor
    }

    #[test]
    fn the_platform_decides() {
        let arm = Platform {
            os: "linux".into(),
            arch: "arm64".into(),
        };
        let manifests = [
            manifest(Some(("linux", "amd64")), "1"),
            manifest(Some(("linux", "arm64")), "2"),
            manifest(Some(("unknown", "unknown")), "3"),
        ];
        let all: Vec<&Descriptor> = manifests.iter().collect();
        assert_eq!(pick(&all, &arm).unwrap(), &manifests[1]);
        let error = pick(&all[..1], &arm).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no image for linux/arm64, only for linux/amd64"
        );
        let only = manifest(None, "4");
        assert_eq!(pick(&[&only], &arm).unwrap(), &only);
    }

    #[test]
    fn layers_are_tars() {
        for (media_type, expected) in [
            ("application/vnd.oci.image.layer.v1.tar", None),
            (
                "application/vnd.oci.image.layer.v1.tar+zstd",
                Some(Compression::Zstd),
            ),
            (
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                Some(Compression::Gzip),
            ),
        ] {
            assert_eq!(compression(&media_type.into()).unwrap(), expected);
        }
        assert!(compression(&"application/vnd.oci.empty.v1+json".into()).is_err());
    }
}
