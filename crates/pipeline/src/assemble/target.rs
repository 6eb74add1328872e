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

#[cfg(test)]
pub mod remembered {
    //! A target for tests.

    use std::collections::BTreeMap;

    use super::*;
    use oci::blob;
    use sha256::Sha256Hash;

    /// Remembers what comes.
    #[derive(Default)]
    pub struct Remembered {
        /// Names, in their order.
        pub order: Vec<String>,
        /// Manifests that have a name, in their order.
        pub named: Vec<(String, ImageManifest)>,
        /// All manifests but referrers, by their digests.
        pub manifests: BTreeMap<String, ImageManifest>,
        /// Indexes by their names.
        pub indexes: BTreeMap<String, ImageIndex>,
        /// What refers to manifests, in its order.
        pub referrers: Vec<ImageManifest>,
        /// Small blobs by their digests.
        pub blobs: BTreeMap<String, Vec<u8>>,
    }

    impl Target for Remembered {
        fn layer(&mut self, layer: &PackLayer) -> Result<Descriptor> {
            blob::layer_descriptor(&layer.layer)
        }

        fn bytes(&mut self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor> {
            let digest = Sha256Hash::of(bytes);
            self.blobs
                .insert(format!("sha256:{digest}"), bytes.to_vec());
            blob::descriptor(media_type, digest, bytes.len() as u64)
        }

        fn manifest(
            &mut self,
            name: &str,
            manifest: &ImageManifest,
            platform: OciPlatform,
        ) -> Result<Descriptor> {
            self.order.push(name.to_owned());
            self.named.push((name.to_owned(), manifest.clone()));
            self.unnamed(manifest, platform)
        }

        fn unnamed(
            &mut self,
            manifest: &ImageManifest,
            platform: OciPlatform,
        ) -> Result<Descriptor> {
            assert_eq!(platform.os(), &oci_spec::image::Os::Linux);
            let descriptor = blob::manifest_descriptor(manifest)?;
            let digest = descriptor.digest().to_string();
            self.manifests.insert(digest, manifest.clone());
            Ok(descriptor)
        }

        fn index(&mut self, name: &str, index: &ImageIndex) -> Result<Descriptor> {
            for manifest in index.manifests() {
                assert!(self.manifests.contains_key(manifest.digest().as_ref()));
            }
            self.order.push(name.to_owned());
            self.indexes.insert(name.to_owned(), index.clone());
            self.bytes(MediaType::ImageIndex, &blob::index_json(index)?)
        }

        fn referrer(&mut self, manifest: &ImageManifest, subject: &Descriptor) -> Result<()> {
            // Who finds an image by its name finds what is said of it.
            assert!(!self.manifests.contains_key(subject.digest().as_ref()));
            self.referrers.push(manifest.clone());
            Ok(())
        }
    }

    impl Remembered {
        /// Artifacts of this type that refer to others.
        pub fn of_type(&self, artifact_type: &str) -> Vec<&ImageManifest> {
            let artifact_type = Some(MediaType::from(artifact_type));
            let all = self.referrers.iter();
            all.filter(|it| *it.artifact_type() == artifact_type)
                .collect()
        }
    }
}
