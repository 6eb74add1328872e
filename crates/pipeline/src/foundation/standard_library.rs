//! The build cache of the standard library alone, from which others start: it is the same for the common pack of every
//! source, and for every tool.

use std::time::Instant;

use anyhow::{Result, bail};
use camino::Utf8PathBuf;
use gocache::Store;

use crate::foundation::tree::{SCRATCH, Tree};
use crate::work;
use crate::work::{Key, Work};
use engine::progress::{Step, millis};

/// The pattern of all its packages.
pub const STD: &str = "std";

/// The sealed cache: kept, or made now. Its files are there to be linked into other caches, so each is hashed against
/// its name whenever the cache is asked for; a damaged one is taken out of the way.
pub fn make(work: &Work, tree: &Tree, step: &mut Step) -> Result<Utf8PathBuf> {
    let (made, go_ms) = beside(work, tree, step)?;
    step.go_ms += go_ms;
    Ok(made)
}

/// The same, in a step that does other things meanwhile; and how long the go command took, in milliseconds.
pub fn beside(work: &Work, tree: &Tree, step: &Step) -> Result<(Utf8PathBuf, u64)> {
    let mut go_ms = 0;
    let image = &tree.image;
    let identity = image.identity(&tree.platform);
    // The package index goes by the times of GOROOT's files.
    let key = Key::of(&(identity, image.image.epoch, image.image.cache_entry_time))?;
    let folder = work.keep(STD, &key, |folder| {
        step.detail("compiling the standard library");
        let go_build = folder.join("go-build");
        Store::create(&go_build)?;
        let scratch = work.scratch(STD)?;
        let started = Instant::now();
        let sandbox = tree.sandbox(scratch.path()).folder(SCRATCH);
        let done = sandbox
            .writable(&go_build, &image.go.gocache)
            .run(&["go", "build", STD])?;
        go_ms = millis(started);
        if !done.status.success() {
            bail!("the standard library does not build:\n{}", done.stderr);
        }
        // Sealed before another run can link it: sealing replaces entries.
        Store::at(&go_build).seal(image.cache_entry_time())?;
        Ok(())
    })?;
    let go_build = folder.join("go-build");
    match Store::at(&go_build).seal(image.cache_entry_time()) {
        Ok(_) => Ok((go_build, go_ms)),
        Err(error) if error.kind() == Some(failure::Kind::Corrupt) => {
            Err(work::discard(&folder, &error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}
