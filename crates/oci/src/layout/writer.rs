//! Writes an OCI image layout: blobs, and the index that names manifests.

use std::collections::HashMap;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType, Platform as OciPlatform};
use serde::Serialize;
use sha256::Sha256Hash;

use crate::blob::{descriptor, index, index_json, layer_descriptor, link_or_copy, manifest_json};
use crate::layer::Layer;
use crate::layout::reader::NAME;
use crate::referrer::EMPTY;

/// A layout that is being written; [`LayoutWriter::finish`] makes it one.
#[derive(Debug)]
pub struct LayoutWriter {
    folder: Utf8PathBuf,
    blobs: Utf8PathBuf,
    /// Those that the layout's index names.
    manifests: Vec<Descriptor>,
    /// Those that indexes name.
    unnamed: Vec<Descriptor>,
}

impl LayoutWriter {
    /// A layout in `folder`, which may be absent.
    pub fn create(folder: &Utf8Path) -> Result<Self> {
        let blobs = folder.join("blobs/sha256");
        fs_err::create_dir_all(&blobs)?;
        Ok(Self {
            folder: folder.to_owned(),
            blobs,
            manifests: Vec::new(),
            unnamed: Vec::new(),
        })
    }

    /// Adds a layer, by a link where the file system has one.
    pub fn link(&mut self, layer: &Layer, blob: &Utf8Path) -> Result<Descriptor> {
        let target = self.blobs.join(layer.digest.to_string());
        if !target.exists() {
            link_or_copy(blob, &target)?;
        }
        layer_descriptor(layer)
    }

    /// Adds a small blob.
    pub fn bytes(&mut self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor> {
        let digest = Sha256Hash::of(bytes);
        fs_err::write(self.blobs.join(digest.to_string()), bytes)?;
        descriptor(media_type, digest, bytes.len() as u64)
    }

    /// Adds a value as JSON.
    pub fn json(&mut self, media_type: MediaType, value: &impl Serialize) -> Result<Descriptor> {
        let json = serde_json::to_vec(value).context("failed to serialize a part of the image")?;
        self.bytes(media_type, &json)
    }

    /// Adds a manifest that the index names `name`.
    pub fn manifest(
        &mut self,
        name: &str,
        manifest: &ImageManifest,
        platform: Option<OciPlatform>,
    ) -> Result<Descriptor> {
        let mut descriptor = self.write(manifest, platform)?;
        descriptor.set_artifact_type(manifest.artifact_type().clone());
        Ok(self.name(descriptor, name))
    }

    /// Adds a manifest that only an index is going to name.
    pub fn unnamed(
        &mut self,
        manifest: &ImageManifest,
        platform: Option<OciPlatform>,
    ) -> Result<Descriptor> {
        let descriptor = self.write(manifest, platform)?;
        self.unnamed.push(descriptor.clone());
        Ok(descriptor)
    }

    fn write(
        &mut self,
        manifest: &ImageManifest,
        platform: Option<OciPlatform>,
    ) -> Result<Descriptor> {
        let mut descriptor = self.bytes(MediaType::ImageManifest, &manifest_json(manifest)?)?;
        descriptor.set_platform(platform);
        Ok(descriptor)
    }

    /// The manifest with this digest, of those that were added.
    pub fn find(&self, digest: &str) -> Option<&Descriptor> {
        let mut all = self.manifests.iter().chain(&self.unnamed);
        all.find(|manifest| manifest.digest().as_ref() == digest)
    }

    /// Adds an index of manifests that are there, which the layout's index names `name`.
    pub fn index(&mut self, name: &str, index: &ImageIndex) -> Result<Descriptor> {
        let descriptor = self.bytes(MediaType::ImageIndex, &index_json(index)?)?;
        Ok(self.name(descriptor, name))
    }

    fn name(&mut self, mut descriptor: Descriptor, name: &str) -> Descriptor {
        descriptor.set_annotations(Some(HashMap::from([(NAME.to_owned(), name.to_owned())])));
        self.manifests.push(descriptor.clone());
        descriptor
    }

    /// Adds the manifest of an artifact that refers to another manifest, which is how it is found: it has no name.
    pub fn referrer(&mut self, manifest: &ImageManifest) -> Result<()> {
        self.bytes(MediaType::EmptyJSON, EMPTY)?;
        let json = manifest_json(manifest)?;
        let mut descriptor = self.bytes(MediaType::ImageManifest, &json)?;
        descriptor.set_artifact_type(manifest.artifact_type().clone());
        self.manifests.push(descriptor);
        Ok(())
    }

    /// Writes the index.
    pub fn finish(mut self) -> Result<()> {
        // Who names no manifest takes the first, and means an image.
        self.manifests
            .sort_by_key(|manifest| manifest.artifact_type().is_some());
        let index = index(self.manifests)?;
        fs_err::write(
            self.folder.join("index.json"),
            serde_json::to_vec_pretty(&index)?,
        )?;
        fs_err::write(
            self.folder.join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )?;
        Ok(())
    }
}
