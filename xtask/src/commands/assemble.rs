//! `cargo xtask assemble`: from packs to images, in a folder, or in a registry, where nothing but manifests is sent.

use anyhow::Result;
use oci_client::Reference;
use serde::Serialize;

use crate::artifact::Artifact;
use crate::cli;
use crate::failure::usage;
use crate::given;
use crate::given_packs::GivenPacks;
use crate::image::reference;
use crate::image_toml::{ImageToml, Platform};
use crate::layout_writer::LayoutWriter;
use crate::oci::{self, LATEST, Place, Variant};
use crate::out::Out;
use crate::progress::{Kind, Progress, human_bytes};
use crate::registry_target::RegistryTarget;
use crate::store::Store;
use crate::summary;
use crate::variants::{self, PlacedPack};
use crate::work::Work;

/// What was made, for scripts.
#[derive(Debug, Serialize)]
struct Assembled {
    variants: Vec<Variant>,
    /// Content that went to registries and came from them.
    moved_bytes: u64,
}

/// Makes the images, and says which.
pub fn run(flags: &cli::Assemble) -> Result<()> {
    let image = flags.image.clone();
    let image = ImageToml::read(&image.unwrap_or_else(given::image_toml))?;
    let platform = Platform::host();
    let out = flags.out.as_deref().map(Out::layout).transpose()?;
    let push = flags.push.as_deref().map(tagged).transpose()?;
    let work = Work::open()?;
    let mut progress = Progress::default();
    let assembled = progress.step("assemble", Kind::Local, |step| {
        let mut given = GivenPacks::new(&work, flags.insecure, step);
        let mut packs = Vec::new();
        let store = Store::parse(flags.from.as_deref(), flags.insecure)?;
        let of_run = match &store {
            Store::Nowhere => Vec::new(),
            _ => store.packs_of(flags.run.as_deref(), &work, step)?,
        };
        for name in flags.packs.iter().chain(&of_run) {
            given.each(name, |artifact, place| {
                let place =
                    place.filter(|place| out.is_none() && is_reachable(place, push.as_ref()));
                packs.push(placed(artifact, place)?);
                Ok(())
            })?;
        }
        check_image(&packs, &image, &platform)?;
        let mut written = Vec::new();
        if let Some(out) = &out {
            let mut layout = LayoutWriter::create(out.begin()?)?;
            let variants = variants::of(&packs, LATEST)?;
            written = oci::write(&mut layout, &image, &platform, &variants)?;
            layout.finish()?;
            out.complete()?;
        }
        let mut moved_bytes = given.received_bytes();
        if let Some((repository, tag)) = &push {
            let mut target = RegistryTarget::open(repository, flags.insecure, &work, step)?;
            let mut variants = variants::of(&packs, tag)?;
            // The tag that people wait for comes last.
            variants.rotate_left(1);
            written = oci::write(&mut target, &image, &platform, &variants)?;
            let moved = target.moved();
            moved_bytes += moved.sent_bytes + moved.received_bytes;
        }
        Ok(Assembled {
            variants: written,
            moved_bytes,
        })
    })?;
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&assembled)?);
    } else {
        let moved = human_bytes(assembled.moved_bytes);
        println!(
            "{}\n\nmoved {moved} over the network",
            summary::variants(&assembled.variants)
        );
    }
    Ok(())
}

/// A repository, and a tag in it.
pub fn tagged(text: &str) -> Result<(Reference, String)> {
    let named = || {
        let (repository, tag) = text.rsplit_once(':')?;
        (!tag.contains('/')).then_some((repository, tag))
    };
    let (repository, tag) = named().ok_or_else(|| {
        usage(format!(
            "{text} names no tag of a registry; write HOST/REPOSITORY:TAG"
        ))
    })?;
    let repository = reference::repository(repository)?;
    // The client knows what a tag may be.
    let whole: Reference = text
        .parse()
        .map_err(|error| usage(format!("{text} is no reference: {error}")))?;
    let tag = whole.tag().unwrap_or(tag).to_owned();
    Ok((repository, tag))
}

/// Whether the registry that is pushed to can take a blob from `place` by itself.
fn is_reachable(place: &Reference, push: Option<&(Reference, String)>) -> bool {
    push.is_some_and(|(repository, _)| repository.registry() == place.registry())
}

fn placed(artifact: &Artifact<'_>, place: Option<&Reference>) -> Result<PlacedPack> {
    let config = artifact.config.clone();
    let places = if let Some(place) = place {
        vec![Place::Registry(place.clone()); config.layers.len()]
    } else {
        let layers = artifact.layers()?.into_iter();
        layers.map(|kept| Place::File(kept.blob)).collect()
    };
    Ok(PlacedPack { config, places })
}

/// Fails unless `image.toml` describes the image that these packs were made for: its environment is that of the image.
fn check_image(packs: &[PlacedPack], image: &ImageToml, platform: &Platform) -> Result<()> {
    let ours = image.identity(platform);
    for pack in packs {
        let Some(manifest) = &pack.config.pack else {
            continue;
        };
        let differences = manifest.identity.differences(&ours);
        if !differences.is_empty() {
            let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
            return Err(usage(format!(
                "the pack {} was made with another image.toml than this one: {}; nothing would hit",
                pack.config.name,
                differences.join("; ")
            )));
        }
    }
    Ok(())
}
