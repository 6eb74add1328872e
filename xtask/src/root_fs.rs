//! An image's root file system, unpacked from its layers.

use anyhow::Result;
use camino::Utf8Path;
use rayon::prelude::*;

use crate::kept_layer::KeptLayer;
use crate::layer;
use crate::sandbox::MOUNT_POINTS;

/// Unpacks the layers of an image into the empty folder `root`, with the mount points that a sandbox needs.
///
/// The layers of `ground` go one over the other. Those of `packs` hold no file that another layer holds, so they are
/// unpacked side by side.
pub fn unpack(ground: &[KeptLayer], packs: &[KeptLayer], root: &Utf8Path) -> Result<()> {
    let unpack = |kept: &KeptLayer| layer::unpack(&kept.blob, kept.layer.compression, root);
    ground.iter().try_for_each(unpack)?;
    packs.par_iter().try_for_each(unpack)?;
    for point in MOUNT_POINTS {
        fs_err::create_dir_all(root.join(point))?;
    }
    Ok(())
}
