//! An image that a command names, wherever it is, with its blobs on this machine.

use anyhow::Result;
use failure::usage;

use crate::flags::open_layout;
use engine::progress::Step;
use oci::docker::save;
use oci::image::Image;
use oci::layout::reader;
use oci::platform::Platform;
use oci::reference::ImageReference;
use oci::referrer::Referrers;
use oci::registry::Registry;
use oci_spec::image::Descriptor;
use pipeline::signatures::trust::Trust;
use pipeline::work::{Scratch, Work};

/// An image, and what it is called where it is.
pub struct Fetched {
    pub name: String,
    pub image: Image,
    /// Holds the blobs, if nothing else does.
    _archive: Option<Scratch>,
}

impl Fetched {
    /// Fetches it, once it has a signature that `trust` demands.
    pub fn fetch(
        reference: &ImageReference,
        work: &Work,
        platform: &Platform,
        (insecure, trust): (bool, Option<&Trust>),
        step: &Step,
    ) -> Result<Self> {
        let fetch = |place: &dyn Referrers, name: &str, found: &Descriptor| {
            let (manifest, _) = Image::find(place, found, platform)?;
            if let Some(trust) = trust {
                trust.check(place, name, &manifest)?;
                eprintln!("{name} ({}) is signed with {trust}", manifest.digest());
            }
            Image::fetch(place, &manifest, platform)
        };
        let (name, image, archive) = match reference {
            ImageReference::Layout { folder, tag } => {
                let layout = open_layout(folder)?;
                let found = layout.find(tag.as_deref(), platform)?;
                let name = reader::name(found).unwrap_or(folder.as_str()).to_owned();
                let image = fetch(&layout, &name, found)?;
                (name, image, None)
            }
            ImageReference::Registry(reference) => {
                let registry = Registry::open(reference, insecure, work.shared("blobs")?, step)?;
                let name = reference.to_string();
                let image = fetch(&registry, &name, &registry.find()?)?;
                (name, image, None)
            }
            ImageReference::Docker(name) if trust.is_some() => {
                return Err(usage(
                    format!("the local Docker keeps no signatures of {name}"),
                    "name the image where it was pulled from",
                ));
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
