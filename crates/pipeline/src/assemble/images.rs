//! Writes images: the configuration and the manifest of each variant, and of its `-nonroot` twin, and of each volume.
//!
//! No layer is read again, and all variants share their blobs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context as _, Result};
use oci_spec::image::{Descriptor, ImageManifest, ImageManifestBuilder, MediaType};
use serde::Serialize;

use crate::assemble::image_config::{config, created, of_volume};
use crate::assemble::programs::{self, ANNOTATION, ProgramArtifact};
use crate::assemble::sbom;
use crate::assemble::statements::{self, MadeAs};
use crate::assemble::target::Target;
use crate::assemble::variants::{self, Variant};
use crate::assemble::volumes::{Maker, Volume};
use crate::image_toml::ImageToml;
use crate::names::NONROOT;
use crate::origin::Origin;
use crate::pack::{Pack, PackLayer};
use oci::blob;
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

/// What was written of a platform.
#[derive(Debug, Default, Serialize)]
pub struct Written {
    /// The volumes, the variants and their twins.
    #[serde(rename = "variants")]
    pub images: Vec<WrittenImage>,
    /// The artifacts of programs.
    pub programs: Vec<WrittenImage>,
}

/// What packs make, and where they came from.
#[derive(Debug)]
pub struct Images<'a> {
    packs: &'a [Pack],
    origin: &'a Origin,
    /// The images, without their twins; the whole one first.
    pub variants: Vec<Variant>,
    /// The artifacts of programs.
    programs: Vec<ProgramArtifact>,
    /// Caches as images of their own.
    volumes: Vec<Volume>,
}

impl<'a> Images<'a> {
    /// All that `packs` make, the whole image under the name `version`, with what `volumes` makes of them.
    ///
    /// # Errors
    /// Those of [`variants::of`], [`programs::of`] and [`Maker::of`].
    pub fn of(
        packs: &'a [Pack],
        version: &str,
        origin: &'a Origin,
        volumes: &Maker<'_>,
    ) -> Result<Self> {
        let variants = variants::of(packs, version)?;
        Ok(Self {
            packs,
            origin,
            volumes: volumes.of(&variants, version)?,
            programs: programs::of(packs, version)?,
            variants,
        })
    }

    /// For tests: volumes are of real layers.
    #[cfg(test)]
    pub fn without_volumes(
        (packs, origin): (&'a [Pack], &'a Origin),
        variants: Vec<Variant>,
        programs: Vec<ProgramArtifact>,
    ) -> Self {
        Self {
            packs,
            origin,
            variants,
            programs,
            volumes: Vec::new(),
        }
    }

    /// Writes the artifacts of programs, then the volumes, and then the variants, and the `-nonroot` twin of each; with
    /// what is said of where they came from and of what is in them.
    pub fn write(
        &self,
        target: &mut dyn Target,
        image: &ImageToml,
        platform: &Platform,
    ) -> Result<Written> {
        let mut programs = Vec::new();
        for artifact in &self.programs {
            let descriptor = programs::write(target, platform, artifact)?;
            let layers = std::slice::from_ref(&artifact.archive);
            programs.push(written(artifact.name.clone(), &descriptor, layers));
        }
        let mut images = Vec::new();
        let created = created(image)?;
        // The whole image of one provider is that provider's: it is told once where it came from, and what is in it.
        let mut told = BTreeSet::new();
        let mut add =
            |target: &mut dyn Target, (name, layers): (String, &[PackLayer]), manifest, made| {
                let descriptor = blob::manifest_descriptor(&manifest)?;
                if told.insert(descriptor.digest().to_string()) {
                    let (variant, kind) = made;
                    let provenance =
                        statements::provenance(self.origin, self.packs, variant, kind, platform);
                    let subject = (name.as_str(), &descriptor);
                    statements::attach(target, subject, statements::PROVENANCE, &provenance)?;
                    sbom::attach(target, &descriptor, layers, (platform, &created))?;
                }
                target.manifest(&name, &manifest, platform.to_oci()?)?;
                images.push(written(name, &descriptor, layers));
                anyhow::Ok(())
            };
        for Volume { name, of, layers } in &self.volumes {
            let parts = (descriptors(target, layers)?, &BTreeMap::new());
            let manifest = manifest(target, &of_volume(image, platform, layers)?, parts)?;
            let made = (of, MadeAs::Volume);
            add(target, (name.clone(), layers), manifest, made)?;
        }
        for variant in &self.variants {
            let Variant { name, layers, .. } = variant;
            let descriptors = descriptors(target, layers)?;
            let own = self.programs.iter().zip(&programs);
            let own =
                own.filter(|(artifact, _)| variant.providers.contains(&artifact.program.provider));
            let annotations: BTreeMap<String, String> = own
                .map(|(artifact, written)| {
                    let name = format!("{ANNOTATION}{}", artifact.program.folder);
                    (name, written.digest.clone())
                })
                .collect();
            for (suffix, kind) in [("", MadeAs::Image), (NONROOT, MadeAs::Nonroot)] {
                let config = config(image, platform, variant, kind == MadeAs::Nonroot)?;
                let manifest = manifest(target, &config, (descriptors.clone(), &annotations))?;
                let name = format!("{name}{suffix}");
                add(target, (name, layers), manifest, (variant, kind))?;
            }
        }
        Ok(Written { images, programs })
    }
}

fn written(name: String, descriptor: &Descriptor, layers: &[PackLayer]) -> WrittenImage {
    let sum = |bytes: fn(&Layer) -> u64| layers.iter().map(|it| bytes(&it.layer)).sum();
    WrittenImage {
        name,
        digest: descriptor.digest().to_string(),
        compressed_bytes: sum(|layer| layer.size_bytes),
        uncompressed_bytes: sum(|layer| layer.uncompressed_bytes),
    }
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
    let manifest = manifest(target, config, (layers, annotations))?;
    target.manifest(name, &manifest, platform.to_oci()?)
}

/// The manifest of an image whose layers are there, and whose configuration is written.
fn manifest(
    target: &mut dyn Target,
    config: &serde_json::Value,
    (layers, annotations): (Vec<Descriptor>, &BTreeMap<String, String>),
) -> Result<ImageManifest> {
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
    manifest.build().context("failed to describe an image")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::target::remembered::Remembered;
    use crate::fixtures::{image, origin, packs, platform};
    use sha256::Sha256Hash;

    /// What packs make without volumes.
    fn images_of<'a>(packs: &'a [Pack], origin: &'a Origin) -> Images<'a> {
        let variants = variants::of(packs, "latest").unwrap();
        let programs = programs::of(packs, "latest").unwrap();
        Images::without_volumes((packs, origin), variants, programs)
    }

    #[test]
    fn every_variant_has_a_twin_of_the_same_layers_and_another_configuration() {
        let (packs, origin) = (packs(&["civo"]), origin());
        let images = images_of(&packs, &origin);
        let mut target = Remembered::default();
        let written = images.write(&mut target, &image(), &platform()).unwrap();
        // Of one platform each manifest has a name, and nothing else has one.
        let digests = target.named.iter();
        let digests = digests.map(|(_, manifest)| blob::manifest_descriptor(manifest).unwrap());
        let digests: BTreeSet<String> = digests.map(|it| it.digest().to_string()).collect();
        assert!(target.manifests.keys().eq(&digests));
        assert!(target.indexes.is_empty());
        let written_in_order = written.programs.iter().chain(&written.images);
        let sizes: Vec<_> = written_in_order
            .map(|image| {
                (
                    image.name.as_str(),
                    image.compressed_bytes,
                    image.uncompressed_bytes,
                )
            })
            .collect();
        insta::assert_json_snapshot!(sizes);
        let (_, program) = target.named.remove(0);
        // Annotations come from a hash map.
        let program = serde_json::to_value(program).unwrap();
        insta::assert_json_snapshot!("program", program);
        let program = &written.programs[0].digest;
        for (name, image) in &target.named {
            let annotations = image.annotations().clone().unwrap_or_default();
            let found = annotations.get("iac-runner.program.civo/one");
            let has_programs = !name.starts_with("latest-tools");
            assert_eq!(found, has_programs.then_some(program), "{name}");
        }
        for pair in target.named.chunks(2) {
            let [(name, image), (twin_name, twin)] = pair else {
                panic!("an image has no twin");
            };
            assert_eq!(*twin_name, format!("{name}-nonroot"));
            assert_eq!(image.layers(), twin.layers());
            assert_ne!(image.config(), twin.config());
        }
    }

    #[test]
    fn every_image_has_its_provenance_with_the_packs_that_it_is_made_of() {
        let (packs, origin) = (packs(&["aws", "civo"]), origin());
        let images = images_of(&packs, &origin);
        let mut target = Remembered::default();
        images.write(&mut target, &image(), &platform()).unwrap();
        let images = target
            .named
            .iter()
            .filter(|(_, manifest)| manifest.artifact_type().is_none());
        let images: Vec<_> = images.collect();
        let referrers = target.of_type(statements::STATEMENT_TYPE);
        assert_eq!(referrers.len(), images.len());
        for ((name, image), referrer) in images.into_iter().zip(referrers) {
            let image = blob::manifest_descriptor(image).unwrap();
            let subject = referrer.subject().as_ref().unwrap();
            assert_eq!(subject, &image, "{name}");
            let statement = &target.blobs[referrer.layers()[0].digest().as_ref()];
            let statement: serde_json::Value = serde_json::from_slice(statement).unwrap();
            assert_eq!(statement["subject"][0]["name"], name.as_str());
            let digest = statement["subject"][0]["digest"]["sha256"].as_str();
            assert_eq!(digest, Some(image.digest().digest()));
            let files = &statement["predicate"]["runDetails"]["byproducts"][0]["digest"]["sha256"];
            let has_caches = !name.contains("-tools") && !name.contains("-run");
            assert_eq!(files.is_string(), has_caches, "{name}");
            if name == "latest-civo" {
                let lists = ["civo", "common"].map(|pack| {
                    let digest = Sha256Hash::of(format!("files of {pack}").as_bytes());
                    format!("{digest}  {pack}.sha256\n")
                });
                let digest = Sha256Hash::of(lists.concat().as_bytes()).to_string();
                assert_eq!(files.as_str(), Some(digest.as_str()));
            }
            if name == "latest-run-civo" {
                insta::assert_json_snapshot!("provenance", statement);
            }
        }
    }

    #[test]
    fn every_image_has_the_document_of_its_own_layers() {
        let (packs, origin) = (packs(&["aws", "civo"]), origin());
        let images = images_of(&packs, &origin);
        let mut target = Remembered::default();
        images.write(&mut target, &image(), &platform()).unwrap();
        let named = target.named.iter();
        let mut said = BTreeMap::new();
        for (name, image) in named.filter(|(_, manifest)| manifest.artifact_type().is_none()) {
            let image = blob::manifest_descriptor(image).unwrap();
            let documents = target.of_type(sbom::ARTIFACT_TYPE);
            let mut documents = documents
                .into_iter()
                .filter(|it| it.subject().as_ref() == Some(&image));
            let document = documents.next().unwrap();
            assert!(documents.next().is_none(), "{name}");
            let [content] = &document.layers()[..] else {
                panic!("{name} has not one document");
            };
            assert_eq!(*content.media_type(), MediaType::from(sbom::ARTIFACT_TYPE));
            let document = &target.blobs[content.digest().as_ref()];
            let document: serde_json::Value = serde_json::from_slice(document).unwrap();
            let namespace = document["documentNamespace"].as_str().unwrap();
            assert!(namespace.ends_with(image.digest().digest()), "{name}");
            let packages = document["packages"].as_array().unwrap().iter();
            let packs = packages.filter(|it| it["primaryPackagePurpose"] == "ARCHIVE");
            let packs: Vec<String> = packs
                .map(|it| it["name"].as_str().unwrap().to_owned())
                .collect();
            said.insert(name, packs);
        }
        insta::assert_json_snapshot!("documents", said);
    }

    #[test]
    fn an_image_of_a_layer_that_nobody_has_read_is_refused() {
        let (mut packs, origin) = (packs(&["civo"]), origin());
        packs[2].inventories.clear();
        let images = images_of(&packs, &origin);
        let written = images.write(&mut Remembered::default(), &image(), &platform());
        let said = format!("{:#}", written.unwrap_err());
        assert!(said.contains("caches that all providers share"), "{said}");
    }
}
