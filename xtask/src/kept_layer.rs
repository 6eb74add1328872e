//! A layer blob in the folder of kept work: the blob, and `layer.json` that tells its digests.

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};

use crate::artifact::Artifact;
use crate::failure::corrupt;
use crate::layer::Layer;
use crate::work;

/// Name of the blob in its folder.
pub const FILE: &str = "layer";
const DESCRIPTION: &str = "layer.json";

/// A layer, and where its blob is.
#[derive(Debug, Clone)]
pub struct KeptLayer {
    /// The blob.
    pub blob: Utf8PathBuf,
    /// Its digests and sizes.
    pub layer: Layer,
}

/// Describes the layer whose blob is in `folder`.
pub fn write(folder: &Utf8Path, layer: &Layer) -> Result<()> {
    let json = serde_json::to_vec_pretty(layer).context("failed to serialize a layer")?;
    fs_err::write(folder.join(DESCRIPTION), json)?;
    Ok(())
}

/// Puts the only layer of `artifact` into `folder`, as [`write`] would have described it.
pub fn restore(artifact: &Artifact<'_>, folder: &Utf8Path) -> Result<()> {
    let layers = artifact.layers()?;
    let [kept] = layers.as_slice() else {
        return Err(corrupt(format!(
            "the pack {} has {} layers instead of one; make it anew",
            artifact.config.name,
            layers.len()
        )));
    };
    work::link_or_copy(&kept.blob, &folder.join(FILE))?;
    write(folder, &kept.layer)
}

impl KeptLayer {
    /// Reads what [`write`] wrote; damage takes the folder out of the way.
    pub fn read(folder: &Utf8Path) -> Result<Self> {
        let layer = fs_err::read(folder.join(DESCRIPTION))
            .map_err(|error| error.to_string())
            .and_then(|json| {
                serde_json::from_slice(&json).map_err(|error| format!("{DESCRIPTION}: {error}"))
            });
        match layer {
            Ok(layer) => Self {
                blob: folder.join(FILE),
                layer,
            }
            .checked(folder),
            Err(reason) => Err(work::discard(folder, &reason)),
        }
    }

    /// Makes sure that the blob still has its digest; damage takes `folder`, which holds it, out of the way.
    pub fn checked(self, folder: &Utf8Path) -> Result<Self> {
        match work::check_file(&self.blob, self.layer.size_bytes, &self.layer.digest) {
            Ok(()) => Ok(self),
            Err(reason) => Err(work::discard(folder, &reason)),
        }
    }
}
