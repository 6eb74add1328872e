//! `cargo xtask in-container`: makes the image's files with the container around this process as the tree in which
//! everything is built. The standalone `Dockerfile` runs it, because a `docker build` may not make a container itself.
//!
//! It is the same pipeline as everywhere, up to the packs, which are then unpacked: what is hashed, sealed and checked
//! for an image in a layout is so here.

use crate::flags::ALLOW_UNCHECKED;
use crate::source::Source;
use anyhow::{Context as _, Result};
use camino::Utf8PathBuf;

use crate::source;
use engine::Engine;
use engine::progress::{Kind, Progress};
use failure::usage;
use oci::unpack::unpack_layers;
use pipeline::flow;
use pipeline::flow::Settings;
use pipeline::pack::KeptPack;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub source: Source,
    /// Provider to warm; repeat for several [default: all of the source]
    #[arg(long = "provider", value_name = "P")]
    pub providers: Vec<String>,
    /// Take Go modules that no checksum database vouches for, as GOSUMDB=off, GOINSECURE and others ask; packs say so
    #[arg(long, env = ALLOW_UNCHECKED)]
    pub allow_unchecked_modules: bool,
    /// Folder that is made, and gets the files
    #[arg(long, value_name = "DIR")]
    pub out: Utf8PathBuf,
}

/// Makes the files of tools and caches below `--out`.
pub fn run(flags: &Args) -> Result<()> {
    let mut settings = Settings::new(flags.source.folder()?);
    settings.engine = Engine::CurrentContainer;
    settings.allow_unchecked = flags.allow_unchecked_modules;
    let modules = source::discover(&settings.source, None)?.modules;
    let providers = source::select(&modules, &flags.providers)?;
    fs_err::create_dir(&flags.out).map_err(|error| {
        usage(
            format!("--out {} cannot be made: {error}", flags.out),
            "name a folder that is not there",
        )
    })?;
    let mut progress = Progress::default();
    let foundation = flow::foundation(settings, &mut progress)?;
    let plugins = foundation.all_plugins(&providers, &modules, &mut progress)?;
    let tools = foundation.tools(&mut progress)?;
    let packs = foundation.packs(&modules, &providers, &mut progress)?;
    progress.step("unpack", Kind::Local, |_| {
        let mut layers = tools.on_this_machine()?;
        layers.extend(packs.kept().flat_map(KeptPack::layers));
        for pack in &plugins {
            layers.extend(pack.on_this_machine()?);
        }
        unpack_layers(&layers, &flags.out)
            .with_context(|| format!("failed to put the image's files into {}", flags.out))
    })
}
