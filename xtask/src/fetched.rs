//! An image that a command names, wherever it is, with its blobs on this machine.

use anyhow::Result;

use crate::flags::open_layout;
use engine::progress::Step;
use oci::docker::save;
use oci::image::Image;
use oci::layout::reader;
use oci::platform::Platform;
use oci::reference::ImageReference;
use oci::registry::Registry;
use pipeline::work::{Scratch, Work};

/// An image, and what it is called where it is.
pub struct Fetched {
    pub name: String,
    pub image: Image,
    /// Holds the blobs, if nothing else does.
    _archive: Option<Scratch>,
}

impl Fetched {
    /// Fetches it.
    pub fn fetch(
        reference: &ImageReference,
        work: &Work,
        platform: &Platform,
        insecure: bool,
        step: &Step,
    ) -> Result<Self> {
        let (name, image, archive) = match reference {
            ImageReference::Layout { folder, tag } => {
                let layout = open_layout(folder)?;
                let found = layout.find(tag.as_deref(), platform)?;
                let name = reader::name(found).unwrap_or(folder.as_str()).to_owned();
                (name, Image::fetch(&layout, found, platform)?, None)
            }
            ImageReference::Registry(reference) => {
                let registry = Registry::open(reference, insecure, work.shared("blobs")?, step)?;
                let image = Image::fetch(&registry, &registry.find()?, platform)?;
                (reference.to_string(), image, None)
            }
            ImageReference::Docker(name) => {
                let archive = work.scratch("docker")?;
                let image = save::fetch(name, archive.path(), platform)?;
                (name.clone(), image, Some(archive))
            }
        };
        Ok(Self {
            name,
            image,
            _archive: archive,
        })
    }
}
