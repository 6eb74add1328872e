//! `cargo xtask docker-context`: an image taken apart into a build context, for those who build with Docker.
//!
//! The layers are linked, not copied, as archives that `ADD` unpacks; the Dockerfile adds exactly those, and takes
//! environment, user and labels from the image itself. Nothing is built, and nothing but the layout is read.

use crate::flags::ImageLayout;
use anyhow::{Context as _, Result};
use camino::Utf8PathBuf;

use failure::usage;
use oci::blob::link_or_copy;
use oci::image::Image;
use oci::layer::Compression;
use oci::layout::reader;
use oci::platform::Platform;
use pipeline::assemble::dockerfile;
use pipeline::assemble::dockerfile::Settings;
use pipeline::names::NONROOT;
use pipeline::pack::layer_content;
use pipeline::pack::layer_content::{LayerContent, TOOLS_ALONE};
use pipeline::work::out::Out;

/// By which a context of ours is known.
const MARKERS: [&str; 2] = ["Dockerfile", "tools.tar"];

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub layout: ImageLayout,
    /// The image's tag [default: the only one, or `latest`]
    #[arg(long, value_name = "NAME")]
    pub tag: Option<String>,
    /// Where the build context goes
    #[arg(long, value_name = "DIR", default_value = "target/docker-context")]
    pub out: Utf8PathBuf,
}

/// Writes the context.
pub fn run(flags: &Args) -> Result<()> {
    let out = Out::of(&flags.out, "a build context", &MARKERS)?;
    let platform = Platform::host();
    let layout = flags.layout.open()?;
    let descriptor = layout.find(flags.tag.as_deref(), &platform)?;
    let name = reader::name(descriptor).unwrap_or_default().to_owned();
    if name.ends_with(NONROOT) {
        return Err(usage(
            format!("{name} is a twin, which the Dockerfile makes of its image"),
            "name the image with --tag",
        ));
    }
    let image = Image::fetch(&layout, descriptor, &platform)?;
    let twin = layout.find(Some(&format!("{name}{NONROOT}")), &platform)?;
    let twin = Image::fetch(&layout, twin, &platform)?;
    let parts = layer_content::of(&image.config)
        .with_context(|| format!("{name} in {} cannot be taken apart", flags.layout.image))?;

    let folder = out.begin()?;
    for (holds, layer) in parts.iter().zip(&image.layers) {
        let archive = folder.join(holds.archive());
        if let Some(parent) = archive.parent() {
            fs_err::create_dir_all(parent)?;
        }
        link_or_copy(&layer.blob, &archive)?;
    }
    let packs: Vec<LayerContent> = parts
        .into_iter()
        .filter(|holds| !TOOLS_ALONE.contains(holds))
        .collect();
    let text = dockerfile::merged(&settings(&image, &twin)?, &packs);
    fs_err::write(folder.join("Dockerfile"), text)?;
    out.complete()?;
    println!(
        "build it with: docker build --tag iac-runner-base {}",
        out.place()
    );
    if image
        .layers
        .iter()
        .any(|layer| layer.compression == Some(Compression::Zstd))
    {
        println!(
            "Docker before version 23 reads no zstd; for it, make the image with `base-image --compression gzip`"
        );
    }
    Ok(())
}

fn settings(image: &Image, twin: &Image) -> Result<Settings> {
    let env = |image: &Image| {
        image
            .env()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    };
    let user = twin.config.config().as_ref();
    let user = user.and_then(|config| config.user().as_deref());
    let uid = user
        .and_then(|user| user.parse().ok())
        .with_context(|| format!("the twin of the image names no user ID, but {user:?}"))?;
    let labels = image.config.config().as_ref();
    let labels = labels.and_then(|config| config.labels().clone());
    Ok(Settings {
        env: env(image),
        nonroot_env: env(twin),
        uid,
        labels: labels.into_iter().flatten().collect(),
    })
}
