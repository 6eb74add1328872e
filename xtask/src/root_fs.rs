//! An image's root file system, unpacked from its layers.

use anyhow::Result;
use camino::Utf8Path;
use rayon::prelude::*;

use crate::image::unpack;
use crate::kept_layer::KeptLayer;

/// Unpacks the layers of an image into the empty folder `root`.
///
/// The layers of `ground` go one over the other. Those of `packs` hold no file that another layer holds, so they are
/// unpacked side by side.
pub fn unpack(ground: &[KeptLayer], packs: &[KeptLayer], root: &Utf8Path) -> Result<()> {
    let unpack =
        |kept: &KeptLayer| unpack::unpack(&kept.blob, Some(kept.layer.compression), root).map(drop);
    ground.iter().try_for_each(unpack)?;
    packs.par_iter().try_for_each(unpack)
}
