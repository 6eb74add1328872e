//! Where images are written to: a layout in a folder, or a repository (`registry_target.rs`).

use anyhow::Result;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType, Platform as OciPlatform};

use crate::pack::PackLayer;
use oci::layout::writer::LayoutWriter;

/// Where images are written to.
pub trait Target {
    /// Makes sure that the layer is there.
    fn layer(&mut self, layer: &PackLayer) -> Result<Descriptor>;
    /// Adds a small blob.
    fn bytes(&mut self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor>;
    /// Adds a manifest, all of whose blobs are there, under a name.
    fn manifest(
        &mut self,
        name: &str,
        manifest: &ImageManifest,
        platform: OciPlatform,
    ) -> Result<Descriptor>;
    /// Adds a manifest, all of whose blobs are there, that an index is going to name.
    fn unnamed(&mut self, manifest: &ImageManifest, platform: OciPlatform) -> Result<Descriptor>;
    /// Adds an index, all of whose manifests are there, under a name.
    fn index(&mut self, name: &str, index: &ImageIndex) -> Result<Descriptor>;
    /// Adds the manifest of an artifact that refers to `subject`, which need not be there yet.
    fn referrer(&mut self, manifest: &ImageManifest, subject: &Descriptor) -> Result<()>;
}

impl Target for LayoutWriter {
    fn layer(&mut self, layer: &PackLayer) -> Result<Descriptor> {
        self.link(&layer.layer, layer.file()?)
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

    fn unnamed(&mut self, manifest: &ImageManifest, platform: OciPlatform) -> Result<Descriptor> {
        LayoutWriter::unnamed(self, manifest, Some(platform))
    }

    fn index(&mut self, name: &str, index: &ImageIndex) -> Result<Descriptor> {
        LayoutWriter::index(self, name, index)
    }

    fn referrer(&mut self, manifest: &ImageManifest, _subject: &Descriptor) -> Result<()> {
        LayoutWriter::referrer(self, manifest)
    }
}
