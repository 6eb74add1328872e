//! Writes images: the configuration and the manifest of each variant, and of its `-nonroot` twin, and of each volume.
//!
//! No layer is read again, and all variants share their blobs.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use oci_spec::image::{Descriptor, ImageManifestBuilder, MediaType};
use serde::Serialize;

use crate::assemble::image_config::{config, of_volume};
use crate::assemble::programs::{self, ANNOTATION, ProgramArtifact};
use crate::assemble::target::Target;
use crate::assemble::variants::Variant;
use crate::assemble::volumes::Volume;
use crate::image_toml::ImageToml;
use crate::names::NONROOT;
use crate::pack::PackLayer;
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

/// What was written.
#[derive(Debug, Default, Serialize)]
pub struct Written {
    /// The volumes, the variants and their twins.
    #[serde(rename = "variants")]
    pub images: Vec<WrittenImage>,
    /// The artifacts of programs.
    pub programs: Vec<WrittenImage>,
}

impl Written {
    /// All of it, in the order in which it was written.
    pub fn all(&self) -> impl Iterator<Item = &WrittenImage> {
        self.programs.iter().chain(&self.images)
    }
}

/// What packs make.
#[derive(Debug)]
pub struct Images {
    /// Images.
    pub variants: Vec<Variant>,
    /// Programs beside them.
    pub programs: Vec<ProgramArtifact>,
    /// Caches as images of their own.
    pub volumes: Vec<Volume>,
}

/// Writes the artifacts of programs, then the volumes, and then the variants, and the `-nonroot` twin of each.
pub fn write(
    target: &mut dyn Target,
    image: &ImageToml,
    platform: &Platform,
    images: &Images,
) -> Result<Written> {
    let Images {
        variants,
        programs: artifacts,
        volumes,
    } = images;
    let mut programs = Vec::new();
    for artifact in artifacts {
        let layer = &artifact.archive.layer;
        programs.push(WrittenImage {
            name: artifact.name.clone(),
            digest: programs::write(target, platform, artifact)?
                .digest()
                .to_string(),
            compressed_bytes: layer.size_bytes,
            uncompressed_bytes: layer.uncompressed_bytes,
        });
    }
    let sum = |layers: &[PackLayer], bytes: fn(&Layer) -> u64| {
        layers.iter().map(|it| bytes(&it.layer)).sum()
    };
    let described = |name: String, descriptor: &Descriptor, layers: &[PackLayer]| WrittenImage {
        name,
        digest: descriptor.digest().to_string(),
        compressed_bytes: sum(layers, |layer| layer.size_bytes),
        uncompressed_bytes: sum(layers, |layer| layer.uncompressed_bytes),
    };
    let mut written = Vec::new();
    for Volume { name, layers } in volumes {
        let parts = (descriptors(target, layers)?, &BTreeMap::new());
        let config = of_volume(image, platform, layers)?;
        let descriptor = add(target, name, &config, parts, platform)?;
        written.push(described(name.clone(), &descriptor, layers));
    }
    for variant in variants {
        let Variant { name, layers, .. } = variant;
        let descriptors = descriptors(target, layers)?;
        let own = artifacts.iter().zip(&programs);
        let own =
            own.filter(|(artifact, _)| variant.providers.contains(&artifact.program.provider));
        let annotations: BTreeMap<String, String> = own
            .map(|(artifact, written)| {
                let name = format!("{ANNOTATION}{}", artifact.program.folder);
                (name, written.digest.clone())
            })
            .collect();
        for nonroot in [false, true] {
            let name = format!("{name}{}", if nonroot { NONROOT } else { "" });
            let config = config(image, platform, variant, nonroot)?;
            let parts = (descriptors.clone(), &annotations);
            let descriptor = add(target, &name, &config, parts, platform)?;
            written.push(described(name, &descriptor, layers));
        }
    }
    Ok(Written {
        images: written,
        programs,
    })
}

fn descriptors(target: &mut dyn Target, layers: &[PackLayer]) -> Result<Vec<Descriptor>> {
    layers.iter().map(|layer| target.layer(layer)).collect()
}

/// Writes the manifest of an image whose layers are there, with these annotations.
pub fn add(
    target: &mut dyn Target,
    name: &str,
    config: &serde_json::Value,
    (layers, annotations): (Vec<Descriptor>, &BTreeMap<String, String>),
    platform: &Platform,
) -> Result<Descriptor> {
    let config =
        serde_json::to_vec(config).context("failed to serialize an image's configuration")?;
    let config = target.bytes(MediaType::ImageConfig, &config)?;
    let mut manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(layers);
    if !annotations.is_empty() {
        let annotations: HashMap<_, _> = annotations.clone().into_iter().collect();
        manifest = manifest.annotations(annotations);
    }
    let manifest = manifest.build().context("failed to describe an image")?;
    target.manifest(name, &manifest, platform.to_oci()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::variants;
    use crate::fixtures::{image, packs, platform};
    use anyhow::Result;
    use oci_spec::image::{ImageManifest, Platform as OciPlatform};
    use sha256::Sha256Hash;

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
            assert_eq!(platform.os(), &oci_spec::image::Os::Linux);
            self.0.push((name.to_owned(), manifest.clone()));
            self.bytes(MediaType::ImageManifest, &serde_json::to_vec(manifest)?)
        }
    }

    #[test]
    fn every_variant_has_a_twin_of_the_same_layers_and_another_configuration() {
        let variants = variants::of(&packs(&["civo"]), "latest").unwrap();
        let mut target = Manifests::default();
        let artifacts = programs::of(&packs(&["civo"]), "latest").unwrap();
        let images = Images {
            variants,
            programs: artifacts,
            volumes: Vec::new(),
        };
        let written = write(&mut target, &image(), &platform(), &images).unwrap();
        let sizes: Vec<_> = written
            .all()
            .map(|image| {
                (
                    image.name.as_str(),
                    image.compressed_bytes,
                    image.uncompressed_bytes,
                )
            })
            .collect();
        insta::assert_json_snapshot!(sizes);
        let (_, program) = target.0.remove(0);
        // Annotations come from a hash map.
        let program = serde_json::to_value(program).unwrap();
        insta::assert_json_snapshot!("program", program);
        let program = &written.programs[0].digest;
        for (name, image) in &target.0 {
            let annotations = image.annotations().clone().unwrap_or_default();
            let found = annotations.get("iac-runner.program.civo/one");
            let has_programs = !name.starts_with("latest-tools");
            assert_eq!(found, has_programs.then_some(program), "{name}");
        }
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
