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

/// Puts `layers`, which the pack `name` has, into the folders `parts` of `folder`.
pub fn restore_parts(
    name: &str,
    layers: &[LayerBlob],
    folder: &Utf8Path,
    parts: &[&str],
) -> Result<()> {
    if layers.len() != parts.len() {
        let (found, wanted) = (layers.len(), parts.len());
        return Err(corrupt(
            format!("the pack {name} has {found} layers instead of {wanted}"),
            "make it anew",
        ));
    }
    for (layer, part) in layers.iter().zip(parts) {
        let folder = folder.join(part);
        fs_err::create_dir(&folder)?;
        restore(name, std::slice::from_ref(layer), &folder)?;
    }
    Ok(())
}

/// Reads what [`write()`] wrote; damage takes the folder out of the way.
pub fn read(folder: &Utf8Path) -> Result<LayerBlob> {
    read_undamaged(folder).map_err(|reason| work::discard(folder, &reason))
}

/// Reads what [`write()`] wrote; what is wrong with it is an error.
pub fn read_undamaged(folder: &Utf8Path) -> Result<LayerBlob, String> {
    let json = fs_err::read(folder.join(DESCRIPTION)).map_err(|error| error.to_string())?;
    let layer: Layer =
        serde_json::from_slice(&json).map_err(|error| format!("{DESCRIPTION}: {error}"))?;
    let blob = folder.join(FILE);
    check_file(&blob, layer.size_bytes, &layer.digest)?;
    Ok(LayerBlob { blob, layer })
}

/// Makes sure that the blob still has its digest; damage takes `folder`, which holds it, out of the way.
pub fn check(kept: &LayerBlob, folder: &Utf8Path) -> Result<()> {
    check_file(&kept.blob, kept.layer.size_bytes, &kept.layer.digest)
        .map_err(|reason| work::discard(folder, &reason))
}
