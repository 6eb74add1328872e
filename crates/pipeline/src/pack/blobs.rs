//! A pack with its blobs: what an image is made of, by whoever has it, this machine or a registry.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::distribution::Reference;

use crate::names::{BASE, PLUGINS, TOOLS};
use crate::pack::description::{Description, NamedLayer, Plugins};
use crate::pack::kept::KeptPack;
use crate::pack::layer_content::LayerContent;
use crate::pack::part::Part;
use crate::pack::programs::PackedProgram;
use crate::work::Key;
use oci::layer::{Layer, LayerBlob};
use oci::platform::Platform;
use sbom::inventory::Inventory;

/// Where a blob is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BlobSource {
    /// On this machine.
    File(Utf8PathBuf),
    /// In the repository of a registry.
    Registry(Reference),
}

/// A pack, and where the blobs of its layers are.
#[derive(Debug, Clone)]
pub struct Pack {
    /// What it is. On the machine that made it, the manifest in it lists the pack's files.
    pub description: Description,
    /// The blob of each of its layers, in their order.
    pub blobs: Vec<BlobSource>,
    /// The blob of the artifact of each of its programs, in their order.
    pub artifacts: Vec<BlobSource>,
    /// What each of its layers has, in their order; nothing where they were not read
    /// ([`Reader::complete`](crate::pack::inventory::Reader::complete)).
    pub inventories: Vec<Arc<Inventory>>,
}

/// A layer of an image: its digests and sizes, what the history says of it, and where its blob is.
#[derive(Debug, Clone)]
pub struct PackLayer {
    /// For a person who reads the image's history.
    pub title: String,
    /// Digests and sizes.
    pub layer: Layer,
    /// The blob.
    pub blob: BlobSource,
    /// What it has, where that was read.
    pub inventory: Option<Arc<Inventory>>,
}

impl Pack {
    /// The base system.
    pub fn base(key: Key, platform: &Platform, layer: LayerBlob) -> Self {
        let description = Description::new(BASE, key, platform);
        Self::of_layers(description, [(LayerContent::Base, layer)])
    }

    /// Pulumi with the verifier, and Go with the other tools, with the users of the base system that has the key `base`.
    pub fn tools(
        key: Key,
        base: Key,
        platform: &Platform,
        layers: [LayerBlob; 2],
        tools: BTreeMap<String, String>,
    ) -> Self {
        let description = Description {
            made_on: Some(base),
            tools,
            ..Description::new(TOOLS, key, platform)
        };
        let contents = [LayerContent::Pulumi, LayerContent::Tools];
        Self::of_layers(description, contents.into_iter().zip(layers))
    }

    /// What all providers share; `has_rest` says whether something is left over for the pack `rest`.
    pub fn common(key: Key, has_rest: bool, platform: &Platform, kept: &KeptPack) -> Self {
        let description = Description {
            has_rest,
            ..Description::new(&kept.manifest.name, key, platform)
        };
        Self::of_caches(description, kept)
    }

    /// A provider's pack, made on the `common` with this key.
    pub fn provider(
        part: Part,
        key: Key,
        common: Key,
        platform: &Platform,
        kept: &KeptPack,
    ) -> Self {
        let description = Description {
            part: Some(part),
            made_on: Some(common),
            ..Description::new(&kept.manifest.name, key, platform)
        };
        Self::of_caches(description, kept)
    }

    /// Go modules that nobody loads, made on the `common` with this key.
    pub fn rest(key: Key, common: Key, platform: &Platform, kept: &KeptPack) -> Self {
        let description = Description {
            made_on: Some(common),
            ..Description::new(&kept.manifest.name, key, platform)
        };
        Self::of_caches(description, kept)
    }

    /// Plugins, each a layer.
    pub fn plugins(
        key: Key,
        platform: &Platform,
        plugins: Plugins,
        layers: Vec<LayerBlob>,
    ) -> Self {
        let contents = plugins.locked.iter().map(|it| LayerContent::Plugin {
            name: it.name.clone(),
            version: it.version.to_string(),
        });
        let contents: Vec<LayerContent> = contents.collect();
        let name = format!("{PLUGINS}{}", plugins.provider);
        let description = Description {
            plugins: Some(plugins),
            ..Description::new(&name, key, platform)
        };
        Self::of_layers(description, contents.into_iter().zip(layers))
    }

    fn of_caches(mut description: Description, kept: &KeptPack) -> Self {
        let name = &description.name;
        let manifest = &kept.manifest;
        let contents = [
            Some(LayerContent::Caches(name.clone())),
            manifest
                .objects
                .as_ref()
                .map(|_| LayerContent::Objects(name.clone())),
            manifest
                .executables
                .as_ref()
                .map(|_| LayerContent::Executables(name.clone())),
            manifest
                .program_folders
                .as_ref()
                .map(|_| LayerContent::Programs(name.clone())),
        ];
        description.pack = Some(kept.manifest.clone());
        let artifacts = kept.artifacts().into_iter();
        Self {
            artifacts: artifacts.map(|kept| BlobSource::File(kept.blob)).collect(),
            ..Self::of_layers(
                description,
                contents.into_iter().flatten().zip(kept.layers()),
            )
        }
    }

    fn of_layers(
        mut description: Description,
        layers: impl IntoIterator<Item = (LayerContent, LayerBlob)>,
    ) -> Self {
        let mut blobs = Vec::new();
        for (content, LayerBlob { blob, layer }) in layers {
            let title = content.to_string();
            description.layers.push(NamedLayer { title, layer });
            blobs.push(BlobSource::File(blob));
        }
        Self {
            description,
            blobs,
            artifacts: Vec::new(),
            inventories: Vec::new(),
        }
    }

    /// Its layers, the lowest first.
    pub fn layers(&self) -> impl Iterator<Item = PackLayer> {
        let layers = self.description.layers.iter().zip(&self.blobs);
        layers.enumerate().map(|(number, (named, blob))| PackLayer {
            title: named.title.clone(),
            layer: named.layer.clone(),
            blob: blob.clone(),
            inventory: self.inventories.get(number).cloned(),
        })
    }

    /// Its programs, each with its artifact.
    pub fn programs(&self) -> impl Iterator<Item = (&PackedProgram, PackLayer)> {
        let programs = self.description.pack.iter();
        let programs = programs.flat_map(|pack| &pack.programs);
        programs.zip(&self.artifacts).map(|(program, blob)| {
            let artifact = PackLayer {
                title: program.program.name(),
                layer: program.artifact.clone(),
                blob: blob.clone(),
                inventory: None,
            };
            (program, artifact)
        })
    }

    /// Its layers, all of them on this machine.
    pub fn on_this_machine(&self) -> Result<Vec<LayerBlob>> {
        self.layers().map(|layer| layer.on_this_machine()).collect()
    }
}

impl PackLayer {
    /// The file of its blob.
    ///
    /// # Errors
    /// A blob in a registry has none.
    pub fn file(&self) -> Result<&Utf8Path> {
        match &self.blob {
            BlobSource::File(file) => Ok(file),
            BlobSource::Registry(reference) => {
                bail!("{} is in {reference}, and not on this machine", self.title)
            }
        }
    }

    /// The layer with its blob on this machine.
    pub fn on_this_machine(&self) -> Result<LayerBlob> {
        Ok(LayerBlob {
            blob: self.file()?.to_owned(),
            layer: self.layer.clone(),
        })
    }
}
