//! An image's root file system, unpacked from its layers.

use anyhow::Result;
use camino::Utf8Path;

use crate::image::unpack;
use crate::kept_layer::KeptLayer;

/// Unpacks layers one over the other into the empty folder `root`. Not side by side: two packs may hold the same file.
pub fn unpack<'a>(layers: impl IntoIterator<Item = &'a KeptLayer>, root: &Utf8Path) -> Result<()> {
    let mut layers = layers.into_iter();
    layers.try_for_each(|kept| {
        unpack::unpack(&kept.blob, Some(kept.layer.compression), root).map(drop)
    })
}
