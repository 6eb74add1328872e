//! Executables of a sealed build cache, compressed as they are shipped.

use anyhow::{Context as _, Result};
use gocache::Store;
use gocache::executables::{self, Linked};

use crate::pack::manifest::PackedFile;
use crate::warm::lean::write_frames;
use crate::warm::plan::{BuiltModule, CacheFolders};
use crate::warm::warmer::Warmer;

impl Warmer<'_> {
    /// Compresses the executables of `modules`, which are in the build cache `store`, for the pack `name`, in the order
    /// of their programs. Returns the files, relative to the folder of executables in `caches`.
    pub(super) fn pack_executables(
        &self,
        name: &str,
        modules: &[BuiltModule<'_>],
        store: &Store,
        caches: &CacheFolders,
    ) -> Result<Vec<PackedFile>> {
        let mut linked = Vec::new();
        for (module, warm) in modules {
            let Some(action) = warm.link_action else {
                continue;
            };
            let program = module.program().to_owned();
            let entry = store
                .get(&action)?
                .with_context(|| format!("the executable of {program} was removed"))?;
            linked.push(Linked { program, entry });
        }
        linked.sort_by(|one, other| one.program.cmp(&other.program));
        if linked.is_empty() {
            return Ok(Vec::new());
        }
        let folder = &caches.executables;
        fs_err::create_dir_all(folder)?;
        let level = self.tree.image.layers.zstd_level;
        write_frames(folder, name, |data| {
            executables::pack(store, &linked, level, data)
        })
    }
}
