//! Images from anywhere: an OCI layout, a registry, the local Docker.
//!
//! Each place only has to hand out blobs by their descriptors ([`Blobs`]); what an image is made of is read here, once
//! for all. No blob is used before its digest was checked.

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use rayon::prelude::*;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::blob::{Blobs, check_document, read, read_document};
use crate::layer::Compression;
use crate::platform::{Platform, is_for, pick};
use crate::unpack;
use crate::unpack::limits::Limits;
use failure::usage;

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
    pub layers: Vec<ImageLayer>,
}

/// A layer of an image.
#[derive(Debug)]
pub struct ImageLayer {
    /// The blob.
    pub blob: Utf8PathBuf,
    /// How the tar is compressed, if it is.
    pub compression: Option<Compression>,
    /// Size of the blob in bytes.
    pub size_bytes: u64,
}

impl Image {
    /// The manifest of the image for `platform` that `descriptor` leads to, of a manifest or of an index; and the file
    /// that holds it.
    pub fn find(
        blobs: &dyn Blobs,
        descriptor: &Descriptor,
        platform: &Platform,
    ) -> Result<(Descriptor, Utf8PathBuf)> {
        let mut descriptor = descriptor.clone();
        let mut file = blobs.fetch(&descriptor)?;
        for _ in 0..MAX_NESTED {
            // Docker's media types and those of OCI differ, and manifests may leave theirs out; the shape tells.
            if read::<Shape>(&file, "JSON")?.manifests.is_none() {
                break;
            }
            let index: ImageIndex = read(&file, "index of images")?;
            let manifests: Vec<&Descriptor> = index.manifests().iter().collect();
            descriptor = pick(&manifests, platform)?.clone();
            check_document(&descriptor, "manifest of an image")?;
            file = blobs.fetch(&descriptor)?;
        }
        Ok((descriptor, file))
    }

    /// The image for `platform` that `descriptor` leads to, of a manifest or of an index.
    pub fn fetch(blobs: &dyn Blobs, descriptor: &Descriptor, platform: &Platform) -> Result<Self> {
        let (descriptor, file) = Self::find(blobs, descriptor, platform)?;
        let manifest: ImageManifest = read(&file, "manifest of an image")?;
        let config = read_document(blobs, manifest.config(), "configuration of an image")?;
        let layers = manifest
            .layers()
            .par_iter()
            .map(|layer| {
                Ok(ImageLayer {
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

    /// Unpacks the layers one over the other into the empty folder `root`; the sum of their files' bytes, which is an
    /// error beyond [`Limits::of_image`].
    pub fn unpack(&self, root: &Utf8Path) -> Result<u64> {
        let compressed_bytes = self.layers.iter().map(|layer| layer.size_bytes).sum();
        let limits = Limits::of_image(compressed_bytes, root)?;
        self.layers.iter().try_fold(0, |sum, layer| {
            let left = limits.less(sum);
            Ok(sum + unpack::unpack(&layer.blob, layer.compression, root, left)?)
        })
    }

    /// Fails unless it is for `platform`.
    pub fn check_platform(&self, platform: &Platform) -> Result<()> {
        let (os, arch) = (self.config.os(), self.config.architecture());
        if is_for(platform, &os.to_string(), &arch.to_string()) {
            Ok(())
        } else {
            Err(usage(
                format!("the image is for {os}/{arch}, and not for {platform}"),
                format!("name an image for {platform}"),
            ))
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

/// What an index has and a manifest has not.
#[derive(Deserialize)]
struct Shape {
    manifests: Option<IgnoredAny>,
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
            return Err(usage(
                format!("a layer is of the type {other}, which cannot be unpacked"),
                "a layer is a tar, as it is, in gzip or in zstd",
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blobs of a folder, each named by its digest, that are as many bytes as their descriptors say.
    struct Fetched(Utf8PathBuf, std::sync::Mutex<Vec<u64>>);

    impl Blobs for Fetched {
        fn fetch(&self, blob: &Descriptor) -> Result<Utf8PathBuf> {
            self.1.lock().unwrap().push(blob.size());
            Ok(self.0.join(blob.as_digest_sha256().unwrap()))
        }
    }

    #[test]
    fn documents_are_of_a_size_and_are_documents() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let digest = "a".repeat(64);
        let descriptor = |size: u64| {
            serde_json::json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": format!("sha256:{digest}"), "size": size,
                "platform": {"os": "linux", "architecture": "amd64"},
            })
        };
        let platform = Platform {
            os: "linux".into(),
            arch: "amd64".into(),
        };
        let huge = 3 << 30;
        let manifest = serde_json::json!({
            "schemaVersion": 2, "config": descriptor(huge), "layers": [],
        });
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [descriptor(huge)]});
        let nested = serde_json::json!({"schemaVersion": 2, "manifests": [descriptor(1)]});
        for (content, reason, fetched) in [
            (manifest.to_string(), "more than 33554432", 1),
            (index.to_string(), "more than 33554432", 1),
            (
                nested.to_string(),
                "no manifest of an image",
                1 + MAX_NESTED,
            ),
            ("{".to_owned(), "no JSON", 1),
            ("{}".to_owned(), "no manifest of an image", 1),
        ] {
            fs_err::write(folder.join(&digest), content).unwrap();
            let blobs = Fetched(folder.to_owned(), std::sync::Mutex::default());
            let top: Descriptor = serde_json::from_value(descriptor(1)).unwrap();
            let error = Image::fetch(&blobs, &top, &platform).unwrap_err();
            let said = failure::text(&error);
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt, "{said}");
            assert!(said.contains(reason), "{said}");
            assert_eq!(blobs.1.into_inner().unwrap().len(), fetched, "{said}");
        }
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
