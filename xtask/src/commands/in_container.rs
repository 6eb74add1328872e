//! `cargo xtask in-container`: makes the image's files with the container around this process as the tree in which
//! everything is built. The standalone `Dockerfile` runs it, because a `docker build` may not make a container itself.
//!
//! It is the same pipeline as everywhere, up to the packs, which are then unpacked: what is hashed, sealed and checked
//! for an image in a layout is so here.

use anyhow::{Context as _, Result};

use crate::engine::Engine;
use crate::failure::usage;
use crate::pack::Pack;
use crate::pipeline::{self, Settings};
use crate::progress::{Kind, Progress};
use crate::{cli, given, root_fs};

/// Makes the files of tools and caches below `--out`.
pub fn run(flags: &cli::InContainer) -> Result<()> {
    let mut settings = Settings::new(given::source(&flags.source)?);
    settings.engine = Engine::Here;
    let modules = given::discover(&settings.source)?.modules;
    let providers = given::select(&modules, &flags.providers)?;
    fs_err::create_dir(&flags.out).map_err(|error| {
        usage(format!(
            "--out {} cannot be made: {error}; name a folder that is not there",
            flags.out
        ))
    })?;
    let mut progress = Progress::default();
    let foundation = pipeline::foundation(settings, &mut progress)?;
    let tools = foundation.tools(&mut progress)?;
    let (common, packs) = foundation.packs(&modules, &providers, &mut progress)?;
    progress.step("unpack", Kind::Local, |_| {
        let packs = std::iter::once(&common.pack).chain(packs.iter().map(|pack| &pack.pack));
        let layers: Vec<_> = tools.layers().chain(packs.flat_map(Pack::layers)).collect();
        root_fs::unpack(&layers, &flags.out)
            .with_context(|| format!("failed to put the image's files into {}", flags.out))
    })
}
