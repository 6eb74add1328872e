//! Packs as OCI artifacts: what one machine made, in a form that every registry and every OCI layout can hold.
//!
//! The blobs of a pack are the layers of the image themselves, so an image is made of packs by writing a manifest. The
//! artifact's config is the pack's [`Description`]; the list of files, which only warming on top of the pack and merging
//! need, is a blob of its own. What is read here may come from anyone: whatever does not hold together is refused.

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Component, Utf8Path};
use oci_client::Reference;
use oci_spec::image::{Descriptor, ImageManifest, ImageManifestBuilder, MediaType};

use crate::pack::blobs::{BlobSource, Pack};
use crate::pack::description::{Description, NamedLayer, SCHEMA};
use crate::pack::manifest::{Manifest, PackedFile};
use failure::{corrupt, usage};
use oci::blob::{Blobs, read};
use oci::layer::LayerBlob;
use oci::layout::writer::LayoutWriter;

/// What the artifact is.
const ARTIFACT_TYPE: &str = "application/vnd.iac-runner.pack.v1";
/// Media type of a [`Description`].
const CONFIG_TYPE: &str = "application/vnd.iac-runner.pack.config.v1+json";
/// Media type of the list of a pack's files, JSON in zstd.
const FILES_TYPE: &str = "application/vnd.iac-runner.pack.files.v1+json+zstd";
/// Fast, and the list is mostly digests.
const FILES_LEVEL: i32 = 3;

/// Adds a pack whose blobs are in these files to a layout; its descriptor, named by the pack's tag.
pub fn write(pack: &Pack, layout: &mut LayoutWriter) -> Result<Descriptor> {
    let mut descriptors = Vec::new();
    for layer in pack.layers() {
        descriptors.push(layout.link(&layer.layer, layer.file()?)?);
    }
    let mut description = pack.description.clone();
    if let Some(pack) = &mut description.pack {
        let files = std::mem::take(&mut pack.files);
        let json = serde_json::to_vec(&files).context("failed to serialize a pack's files")?;
        let files = zstd::encode_all(json.as_slice(), FILES_LEVEL)
            .context("failed to compress a pack's files")?;
        descriptors.push(layout.bytes(FILES_TYPE.into(), &files)?);
    }
    let config = layout.json(CONFIG_TYPE.into(), &description)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .artifact_type(MediaType::from(ARTIFACT_TYPE))
        .config(config)
        .layers(descriptors)
        .build()
        .context("failed to describe a pack")?;
    layout.manifest(&description.tag(), &manifest, None)
}

/// A pack in a layout or in a registry.
pub struct Artifact<'a> {
    /// What it is; the pack's manifest in it lists no files.
    pub description: Description,
    manifest: ImageManifest,
    blobs: &'a dyn Blobs,
}

impl<'a> Artifact<'a> {
    /// Reads the artifact that `descriptor` leads to; `place` names it in messages.
    pub fn read(blobs: &'a dyn Blobs, descriptor: &Descriptor, place: &str) -> Result<Self> {
        let manifest: ImageManifest = read(&blobs.fetch(descriptor)?, "manifest")?;
        if manifest.config().media_type() != &MediaType::from(CONFIG_TYPE) {
            return Err(usage(
                format!(
                    "{place} is no pack, its config is of the type {}",
                    manifest.config().media_type()
                ),
                "`cargo xtask warm` makes packs",
            ));
        }
        let description: Description =
            read(&blobs.fetch(manifest.config())?, "description of a pack")?;
        if description.schema != SCHEMA {
            return Err(usage(
                format!(
                    "{place} has the format {} of packs, and this program knows only {SCHEMA}",
                    description.schema
                ),
                "make it with the same version",
            ));
        }
        let layers = manifest.layers();
        let are_described = description.layers.len() + usize::from(description.pack.is_some())
            == layers.len()
            && description.layers.iter().zip(layers).all(|(named, layer)| {
                layer.as_digest_sha256() == Some(named.layer.digest.to_string().as_str())
                    && layer.size() == named.layer.size_bytes
            });
        if !are_described {
            return Err(corrupt(
                format!("{place} does not hold the layers that it describes"),
                "make it anew",
            ));
        }
        Ok(Self {
            description,
            manifest,
            blobs,
        })
    }

    /// The layers' blobs on this machine, the lowest first.
    pub fn layers(&self) -> Result<Vec<LayerBlob>> {
        let named = self.description.layers.iter().zip(self.manifest.layers());
        let fetch = |(named, descriptor): (&NamedLayer, &Descriptor)| {
            Ok(LayerBlob {
                blob: self.blobs.fetch(descriptor)?,
                layer: named.layer.clone(),
            })
        };
        named.map(fetch).collect()
    }

    /// The pack, its blobs left in the repository where they are, or fetched onto this machine.
    pub fn pack(&self, repository: Option<&Reference>) -> Result<Pack> {
        let description = self.description.clone();
        let blobs = match repository {
            Some(repository) => {
                let source = BlobSource::Registry(repository.clone());
                vec![source; description.layers.len()]
            }
            None => {
                let layers = self.layers()?.into_iter();
                layers.map(|layer| BlobSource::File(layer.blob)).collect()
            }
        };
        Ok(Pack { description, blobs })
    }

    /// The pack's manifest with its files.
    pub fn pack_manifest(&self) -> Result<Manifest> {
        let name = &self.description.name;
        let Some(mut pack) = self.description.pack.clone() else {
            bail!("{name} is no pack of caches");
        };
        let files = self.manifest.layers().last();
        let files = files
            .filter(|files| files.media_type() == &MediaType::from(FILES_TYPE))
            .with_context(|| format!("the pack {name} lists no files"))?;
        let file = self.blobs.fetch(files)?;
        let json = zstd::decode_all(fs_err::File::open(&file)?)
            .with_context(|| format!("{file} is no zstd"))?;
        let files: Vec<PackedFile> = serde_json::from_slice(&json).map_err(|error| {
            corrupt(
                format!("{file} is no list of a pack's files: {error}"),
                "make the pack anew",
            )
        })?;
        let unsafe_path = files.iter().find(|file| !is_inside(&file.path));
        if let Some(file) = unsafe_path {
            return Err(corrupt(
                format!(
                    "the pack {name} lists {:?}, which is no path in an image",
                    file.path
                ),
                "make the pack anew",
            ));
        }
        pack.files = files;
        Ok(pack)
    }
}

/// Whether `path` stays below where it is joined to.
fn is_inside(path: &Utf8Path) -> bool {
    let mut parts = path.components();
    !path.as_str().is_empty() && parts.all(|part| matches!(part, Utf8Component::Normal(_)))
}
