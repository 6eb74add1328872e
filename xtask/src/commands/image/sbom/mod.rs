//! `cargo xtask sbom`: what is in an image, as a document for scanners, made of the image's own layers.
//!
//! Any image of ours will do, wherever it is: what is in it is what its layers say, and they are read where they lie.
//! With `--check` the image is unpacked, other programs say what is in it, and the document beside it has to be this one.

mod attached;
mod check;

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Result;
use camino::Utf8Path;
use clap::ValueEnum;

use crate::fetched::Fetched;
use crate::flags::BASE_IMAGE_LAYOUT;
use engine::progress::{Kind, Progress};
use failure::{corrupt, usage};
use oci::image::Image;
use oci::platform::Platform;
use oci::reference::ImageReference;
use oci::unpack::limits::Limits;
use pipeline::assemble::sbom::of_layer;
use pipeline::image_toml::volume;
use pipeline::pack::layer_content::{self, LayerContent};
use pipeline::work::Work;
use sbom::compose::{self, compose};
use sbom::document::Document;
use sbom::inventory::{Inventory, Places};

/// How the document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// SPDX 2.3, JSON
    Spdx,
    /// CycloneDX 1.6, JSON
    Cyclonedx,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image: DIR/oci[:TAG] in an OCI layout, HOST/REPOSITORY:TAG in a registry, docker:NAME in the local Docker
    #[arg(value_name = "IMAGE", default_value = BASE_IMAGE_LAYOUT)]
    pub image: String,
    /// How the document is written
    #[arg(long, value_enum, default_value_t = Format::Spdx)]
    pub format: Format,
    /// Unpack the image, and compare its SPDX document with what dpkg-query, `go version -m` and the folders of
    /// GOMODCACHE say, and with the document that the image has beside it; the exit code is 4 if anything is missing or
    /// was invented, or if that is another one
    #[arg(long)]
    pub check: bool,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    pub insecure: bool,
}

/// Prints the document, or what the check found.
pub fn run(flags: &Args) -> Result<()> {
    let reference = ImageReference::parse(&flags.image, Utf8Path::is_dir)?;
    let work = Work::open()?;
    let platform = Platform::host();
    let mut progress = Progress::default();
    let fetched = progress.step(format!("fetch {reference}"), Kind::Network, |step| {
        Fetched::fetch(&reference, &work, &platform, (flags.insecure, None), step)
    })?;
    let document = progress.step("read layers", Kind::Local, |_| document(&fetched, &work))?;
    if flags.check {
        let beside = progress.step("compare", Kind::Network, |step| {
            let (bytes, digest) = (sbom::spdx::bytes(&document), &fetched.image.digest);
            attached::check(&bytes, digest, &reference, (&work, flags.insecure), step)
        })?;
        let (root, scratch) = (work.scratch("image")?, work.scratch("executables")?);
        progress.step("unpack", Kind::Local, |_| fetched.image.unpack(root.path()))?;
        let said = progress.step("check", Kind::Local, |_| {
            let folders = (root.path(), scratch.path());
            check::check(&sbom::spdx::json(&document), folders, &fetched.image)
        })?;
        println!("{said}; {beside}");
        return Ok(());
    }
    let bytes = match flags.format {
        Format::Spdx => sbom::spdx::bytes(&document),
        Format::Cyclonedx => sbom::cyclonedx::bytes(&document),
    };
    std::io::stdout().write_all(&bytes)?;
    Ok(())
}

/// What is in the image.
fn document(fetched: &Fetched, work: &Work) -> Result<Document> {
    let Fetched { name, image, .. } = fetched;
    let contents = contents(name, image)?;
    let scratch = work.scratch("sbom")?;
    let compressed_bytes = image.layers.iter().map(|layer| layer.size_bytes).sum();
    let limits = Limits::of_image(compressed_bytes, scratch.path())?;
    let found = Inventory::of_all(&image.layers, &places(image), limits, scratch.path())?;
    let layers = contents.into_iter().zip(found);
    let layers: Vec<_> = layers
        .map(|(content, found)| of_layer(content, Arc::new(found)))
        .collect();
    let described = compose::Image {
        digest: image.digest.clone(),
        architecture: image.config.architecture().to_string(),
        created: image.config.created().clone().unwrap_or_default(),
    };
    compose(&described, &layers)
}

/// What each layer of the image holds, by its configuration, which may be anybody's.
fn contents(name: &str, image: &Image) -> Result<Vec<LayerContent>> {
    let contents = layer_content::of_any(&image.config).ok_or_else(|| {
        usage(
            format!("the history of {name} does not tell what its layers hold"),
            "name an image that `base-image` made",
        )
    })?;
    let (layers, told) = (image.layers.len(), contents.len());
    if layers == told {
        return Ok(contents);
    }
    // What is in a layer of which nothing is told would be missing in the document.
    Err(corrupt(
        format!("{name} has {layers} layers, and its configuration tells of {told}"),
        "pull or make the image anew",
    ))
}

/// Where the image's environment says that its caches and Go are; of a volume, whose root is mounted elsewhere, there.
fn places(image: &Image) -> Places {
    let path = |wanted: &str| {
        let (_, path) = image.env().find(|(name, _)| *name == wanted)?;
        Some(Utf8Path::new(path))
    };
    let gomodcache = path("GOMODCACHE");
    let mut root = Utf8Path::new("/");
    if layer_content::is_volume(&image.config)
        && let (Some(gomodcache), Some(gocache)) = (gomodcache, path("GOCACHE"))
        && let Some(place) = volume::place(gomodcache, gocache)
    {
        root = place;
    }
    let below = |path: &Utf8Path| path.strip_prefix(root).ok().map(Utf8Path::to_owned);
    Places {
        gomodcache: gomodcache.and_then(below),
        goroot: path("GOROOT").and_then(below),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::image::ImageLayer;

    #[test]
    fn a_layer_that_the_configuration_does_not_tell_of_is_refused() {
        let config = serde_json::json!({
            "os": "linux", "architecture": "amd64",
            "history": [{"created_by": "base system"}, {"created_by": "Pulumi, verifier"}],
            "rootfs": {"type": "layers", "diff_ids": ["sha256:0", "sha256:0"]},
        });
        let of_layers = |count: usize| {
            let layer = || ImageLayer {
                blob: "blob".into(),
                compression: None,
                size_bytes: 1,
            };
            let image = Image {
                digest: "sha256:0".into(),
                config: serde_json::from_value(config.clone()).unwrap(),
                layers: std::iter::repeat_with(layer).take(count).collect(),
            };
            contents("image", &image)
        };
        let told = [LayerContent::Base, LayerContent::Pulumi];
        assert_eq!(of_layers(2).unwrap(), told);
        for (count, said) in [(1, "has 1 layers"), (3, "has 3 layers")] {
            let error = of_layers(count).unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
            assert!(failure::text(&error).contains(said), "{error}");
        }
    }
}
