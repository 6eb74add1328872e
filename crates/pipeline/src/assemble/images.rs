//! Writes images: the configuration and the manifest of each variant, and of its `-nonroot` twin.
//!
//! No layer is read again, and all variants share their blobs.

use anyhow::{Context as _, Result};
use oci_spec::image::{Arch, Descriptor, ImageManifestBuilder, MediaType, Os, PlatformBuilder};
use serde::Serialize;

use crate::assemble::image_config::config;
use crate::assemble::target::Target;
use crate::assemble::variants::Variant;
use crate::image_toml::ImageToml;
use crate::names::NONROOT;
use oci::layer::Layer;
use oci::platform::Platform;

/// An image that was written.
#[derive(Debug, Clone, Serialize)]
pub struct WrittenImage {
    /// Its tag; in a layout, `org.opencontainers.image.ref.name`.
    pub name: String,
    /// Digest of its manifest.
    pub digest: String,
    /// Sum of its compressed layers in bytes.
    pub compressed_bytes: u64,
    /// Sum of its uncompressed layers in bytes.
    pub uncompressed_bytes: u64,
}

impl From<&WrittenImage> for report::Image {
    fn from(image: &WrittenImage) -> Self {
        Self {
            name: image.name.clone(),
            digest: image.digest.clone(),
            compressed_bytes: image.compressed_bytes,
            uncompressed_bytes: image.uncompressed_bytes,
        }
    }
}

/// Writes the variants, and the `-nonroot` twin of each.
pub fn write(
    target: &mut dyn Target,
    image: &ImageToml,
    platform: &Platform,
    variants: &[Variant],
) -> Result<Vec<WrittenImage>> {
    let mut written = Vec::new();
    for variant in variants {
        let Variant { name, layers, .. } = variant;
        let descriptors = layers
            .iter()
            .map(|layer| target.layer(layer))
            .collect::<Result<Vec<_>>>()?;
        let sum = |bytes: fn(&Layer) -> u64| layers.iter().map(|it| bytes(&it.layer)).sum();
        for nonroot in [false, true] {
            let name = format!("{name}{}", if nonroot { NONROOT } else { "" });
            let config = config(image, platform, variant, nonroot)?;
            let descriptor = add(target, &name, &config, descriptors.clone(), platform)?;
            written.push(WrittenImage {
                name,
                digest: descriptor.digest().to_string(),
                compressed_bytes: sum(|layer| layer.size_bytes),
                uncompressed_bytes: sum(|layer| layer.uncompressed_bytes),
            });
        }
    }
    Ok(written)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::variants;
    use crate::fixtures::{image, packs, platform};
    use anyhow::Result;
    use oci_spec::image::{ImageManifest, Platform as OciPlatform};
    use sha256::Sha256Hash;

    use crate::pack::PackLayer;

    /// Remembers manifests by their names.
    #[derive(Default)]
    struct Manifests(Vec<(String, ImageManifest)>);

    impl Target for Manifests {
        fn layer(&mut self, layer: &PackLayer) -> Result<Descriptor> {
            oci::blob::layer_descriptor(&layer.layer)
        }

        fn bytes(&mut self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor> {
            oci::blob::descriptor(media_type, Sha256Hash::of(bytes), bytes.len() as u64)
        }

        fn manifest(
            &mut self,
            name: &str,
            manifest: &ImageManifest,
            platform: OciPlatform,
        ) -> Result<Descriptor> {
            assert_eq!(platform.os(), &Os::Linux);
            self.0.push((name.to_owned(), manifest.clone()));
            self.bytes(MediaType::ImageManifest, &serde_json::to_vec(manifest)?)
        }
    }

    #[test]
    fn every_variant_has_a_twin_of_the_same_layers_and_another_configuration() {
        let variants = variants::of(&packs(&["civo"]), "latest").unwrap();
        let mut target = Manifests::default();
        let written = write(&mut target, &image(), &platform(), &variants).unwrap();
        let sizes: Vec<_> = written
            .iter()
            .map(|image| {
                (
                    image.name.as_str(),
                    image.compressed_bytes,
                    image.uncompressed_bytes,
                )
            })
            .collect();
        insta::assert_json_snapshot!(sizes);
        for pair in target.0.chunks(2) {
            let [(name, image), (twin_name, twin)] = pair else {
                panic!("an image has no twin");
            };
            assert_eq!(*twin_name, format!("{name}-nonroot"));
            assert_eq!(image.layers(), twin.layers());
            assert_ne!(image.config(), twin.config());
        }
    }
}
