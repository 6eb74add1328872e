//! What is in an image, as SPDX, beside it.
//!
//! The document is the artifact's one blob as it is, and no in-toto statement: that is what scanners look for among
//! referrers (by the type of the artifact and of its blob), and what every tool reads that takes a file. A statement is
//! made of it where it is signed (`signatures/said.rs`). Which image it is of is in it, and in the manifest's `subject`.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use oci_spec::image::Descriptor;

use crate::assemble::target::Target;
use crate::pack::PackLayer;
use crate::pack::layer_content::LayerContent;
use oci::platform::Platform;
use oci::referrer;
use sbom::compose::{self, PackedLayer, Plugin, compose};
use sbom::inventory::Inventory;
use sbom::spdx;

/// Media type of the document, and type of its artifact.
pub use sbom::spdx::MEDIA_TYPE as ARTIFACT_TYPE;
/// The name of a file, which `oras pull` gives it.
const TITLE: &str = "org.opencontainers.image.title";
const FILE_NAME: &str = "sbom.spdx.json";

/// Says of `image`, whose layers are `layers` and which says that it was made at `created`, what is in it.
pub fn attach(
    target: &mut dyn Target,
    image: &Descriptor,
    layers: &[PackLayer],
    (platform, created): (&Platform, &str),
) -> Result<()> {
    let layers: Vec<PackedLayer> = layers.iter().map(packed).collect::<Result<_>>()?;
    let described = compose::Image {
        digest: image.digest().to_string(),
        architecture: platform.arch.clone(),
        created: created.to_owned(),
    };
    let document = spdx::bytes(&compose(&described, &layers)?);
    let mut content = target.bytes(ARTIFACT_TYPE.into(), &document)?;
    let title = HashMap::from([(TITLE.to_owned(), FILE_NAME.to_owned())]);
    content.set_annotations(Some(title));
    let manifest = referrer::manifest(image, ARTIFACT_TYPE, content)?;
    target.referrer(&manifest, image)
}

fn packed(layer: &PackLayer) -> Result<PackedLayer> {
    let title = &layer.title;
    let content = LayerContent::of_either(title);
    let content = content.with_context(|| format!("{title:?} tells of no layer"))?;
    let inventory = layer.inventory.clone();
    let inventory = inventory.with_context(|| format!("what is in {title:?} was not read"))?;
    Ok(of_layer(content, inventory))
}

/// A layer that holds `content`, and what was found in it.
pub fn of_layer(content: LayerContent, inventory: Arc<Inventory>) -> PackedLayer {
    PackedLayer {
        pack: content.pack(),
        inventory,
        plugin: match content {
            LayerContent::Plugin { name, version } => Some(Plugin { name, version }),
            _ => None,
        },
    }
}
