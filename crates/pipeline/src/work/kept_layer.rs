//! A layer blob in the folder of kept work: the blob, and `layer.json` that tells its digests.

use anyhow::{Context as _, Result};
use camino::Utf8Path;
use failure::corrupt;
use oci::blob::link_or_copy;
use oci::layer::{Layer, LayerBlob};
use sha256::check_file;

use crate::work;

/// Name of the blob in its folder.
pub const FILE: &str = "layer";
const DESCRIPTION: &str = "layer.json";

/// Describes the layer whose blob is in `folder`.
pub fn write(folder: &Utf8Path, layer: &Layer) -> Result<()> {
    let json = serde_json::to_vec_pretty(layer).context("failed to serialize a layer")?;
    fs_err::write(folder.join(DESCRIPTION), json)?;
    Ok(())
}

/// Puts the only one of `layers`, which the pack `name` has, into `folder`, as [`write`] would have described it.
pub fn restore(name: &str, layers: &[LayerBlob], folder: &Utf8Path) -> Result<()> {
    let [kept] = layers else {
        return Err(corrupt(
            format!("the pack {name} has {} layers instead of one", layers.len()),
            "make it anew",
        ));
    };
    link_or_copy(&kept.blob, &folder.join(FILE))?;
    write(folder, &kept.layer)
}

/// Reads what [`write()`] wrote; damage takes the folder out of the way.
pub fn read(folder: &Utf8Path) -> Result<LayerBlob> {
    let layer = fs_err::read(folder.join(DESCRIPTION))
        .map_err(|error| error.to_string())
        .and_then(|json| {
            serde_json::from_slice(&json).map_err(|error| format!("{DESCRIPTION}: {error}"))
        });
    match layer {
        Ok(layer) => {
            let kept = LayerBlob {
                blob: folder.join(FILE),
                layer,
            };
            check(&kept, folder)?;
            Ok(kept)
        }
        Err(reason) => Err(work::discard(folder, &reason)),
    }
}

/// Makes sure that the blob still has its digest; damage takes `folder`, which holds it, out of the way.
pub fn check(kept: &LayerBlob, folder: &Utf8Path) -> Result<()> {
    check_file(&kept.blob, kept.layer.size_bytes, &kept.layer.digest)
        .map_err(|reason| work::discard(folder, &reason))
}
