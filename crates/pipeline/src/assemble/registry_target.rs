//! Images and packs in a repository. A tag is written last, when everything that it leads to is there.

use anyhow::Result;
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType, Platform as OciPlatform};
use sha256::Sha256Hash;

use crate::assemble::target::Target;
use crate::pack::{BlobSource, PackLayer};
use crate::work::Work;
use engine::progress::Step;
use failure::usage;
use oci::blob::{Blobs, read, read_document};
use oci::blob::{descriptor, index_json, layer_descriptor, manifest_descriptor, manifest_json};
use oci::layout::reader::Layout;
use oci::registry::{Registry, TransferredBytes};

/// A repository that is written to.
pub struct RegistryTarget<'a> {
    registry: Registry<'a>,
    repository: &'a Reference,
    insecure: bool,
    work: &'a Work,
    step: &'a Step,
    /// Artifacts that say something of images, in the order in which they were pushed.
    said: Vec<Descriptor>,
}

impl<'a> RegistryTarget<'a> {
    /// The repository of `repository`, with whatever tag.
    pub fn open(
        repository: &'a Reference,
        insecure: bool,
        work: &'a Work,
        step: &'a Step,
    ) -> Result<Self> {
        Ok(Self {
            registry: Registry::open(repository, insecure, work.shared("blobs")?, step)?,
            repository,
            insecure,
            work,
            step,
            said: Vec::new(),
        })
    }

    /// The repository, for reading.
    pub fn registry(&self) -> &Registry<'a> {
        &self.registry
    }

    /// What this value pushed so far that says something of images: the artifacts' manifests.
    pub fn said(&self) -> &[Descriptor] {
        &self.said
    }

    /// What went over the wire so far.
    pub fn moved(&self) -> TransferredBytes {
        self.registry.transferred()
    }

    /// Pushes what `descriptor` of `layout` leads to, a manifest or an index, under `tag`; its digest.
    pub fn push(&self, layout: &Layout, descriptor: &Descriptor, tag: &str) -> Result<String> {
        let file = layout.fetch(descriptor)?;
        if *descriptor.media_type() == MediaType::ImageIndex {
            let index: ImageIndex = read(&file, "index of images")?;
            for manifest in index.manifests() {
                self.push(layout, manifest, manifest.digest().as_ref())?;
            }
            return self.tag(&fs_err::read(file)?, descriptor.media_type(), tag);
        }
        self.push_blobs(layout, &read(&file, "manifest")?, tag)?;
        self.tag(&fs_err::read(file)?, descriptor.media_type(), tag)
    }

    /// Pushes what a manifest of `layout` without a name says of its subject.
    pub fn push_referrer(&mut self, layout: &Layout, descriptor: &Descriptor) -> Result<()> {
        let manifest: ImageManifest = read_document(layout, descriptor, "manifest")?;
        let subject = manifest.subject().clone().ok_or_else(|| {
            usage(
                format!(
                    "{} has no name in the layout, and refers to nothing",
                    descriptor.digest()
                ),
                "push it with another tool",
            )
        })?;
        self.push_blobs(layout, &manifest, "what is said of images")?;
        self.referrer(&manifest, &subject)
    }

    fn push_blobs(&self, layout: &Layout, manifest: &ImageManifest, what: &str) -> Result<()> {
        for blob in manifest.layers().iter().chain([manifest.config()]) {
            self.step
                .detail(format!("{what}: {:.19}", blob.digest().to_string()));
            self.registry.push_blob(blob, &layout.fetch(blob)?, None)?;
        }
        Ok(())
    }

    fn tag(&self, manifest: &[u8], media_type: &MediaType, tag: &str) -> Result<String> {
        let pushed = self.registry.push_manifest(manifest, media_type, tag)?;
        Ok(pushed.digest().to_string())
    }

    /// Gives what is tagged `from` the tag `to`, too; `None` where there is no such tag.
    pub fn retag(&self, from: &str, to: &str) -> Result<Option<String>> {
        let Some((descriptor, manifest)) = self.registry.manifest(from)? else {
            return Ok(None);
        };
        self.tag(&manifest, descriptor.media_type(), to).map(Some)
    }
}

impl Target for RegistryTarget<'_> {
    fn layer(&mut self, layer: &PackLayer) -> Result<Descriptor> {
        let descriptor = layer_descriptor(&layer.layer)?;
        match &layer.blob {
            BlobSource::File(blob) => self.registry.push_blob(&descriptor, blob, None)?,
            BlobSource::Registry(source) => {
                let fetch = || {
                    let blobs = self.work.shared("blobs")?;
                    Registry::open(source, self.insecure, blobs, self.step)?.fetch(&descriptor)
                };
                if source.registry() == self.repository.registry() {
                    let from = source.repository();
                    self.registry.push_from(&descriptor, from, fetch)?
                } else {
                    self.registry.push_blob(&descriptor, &fetch()?, None)?
                }
            }
        };
        Ok(descriptor)
    }

    fn bytes(&mut self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor> {
        let descriptor = descriptor(media_type, Sha256Hash::of(bytes), bytes.len() as u64)?;
        self.registry.push_bytes(&descriptor, bytes)?;
        Ok(descriptor)
    }

    fn manifest(
        &mut self,
        name: &str,
        manifest: &ImageManifest,
        _platform: OciPlatform,
    ) -> Result<Descriptor> {
        let json = manifest_json(manifest)?;
        self.registry
            .push_manifest(&json, &MediaType::ImageManifest, name)
    }

    fn unnamed(&mut self, manifest: &ImageManifest, _platform: OciPlatform) -> Result<Descriptor> {
        let digest = manifest_descriptor(manifest)?.digest().to_string();
        let json = manifest_json(manifest)?;
        self.registry
            .push_manifest(&json, &MediaType::ImageManifest, &digest)
    }

    fn index(&mut self, name: &str, index: &ImageIndex) -> Result<Descriptor> {
        let json = index_json(index)?;
        self.registry
            .push_manifest(&json, &MediaType::ImageIndex, name)
    }

    fn referrer(&mut self, manifest: &ImageManifest, subject: &Descriptor) -> Result<()> {
        self.registry.push_referrer(manifest, subject)?;
        self.said.push(manifest_descriptor(manifest)?);
        Ok(())
    }
}
