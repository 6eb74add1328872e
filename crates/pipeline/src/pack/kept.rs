//! A pack of caches in the folder of kept work: the blobs of its layers, and its manifest.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use oci::blob::link_or_copy;
use oci::layer::{Layer, LayerBlob};

use crate::pack::manifest::{FILE_NAME, Manifest};
use crate::work;
use crate::work::kept_layer;

/// The blob of the layer with module cache and build cache.
pub const CACHES: &str = "caches.tar.zst";
/// The blob of the layer with object code.
pub const OBJECTS: &str = "objects.tar.zst";
/// The blob of the layer with executables.
pub const EXECUTABLES: &str = "executables.tar.zst";
/// The blob of the layer with programs, where executables are compressed.
pub const PROGRAMS: &str = "programs.tar.zst";

/// A pack, and the folder that holds it.
#[derive(Debug, Clone)]
pub struct KeptPack {
    /// The folder.
    pub folder: Utf8PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
}

impl KeptPack {
    /// Reads a kept pack and makes sure that its blobs still have their digests.
    pub fn read(folder: &Utf8Path) -> Result<Self> {
        let manifest = fs_err::read(folder.join(FILE_NAME))
            .map_err(|error| error.to_string())
            .and_then(|json| {
                serde_json::from_slice(&json).map_err(|error| format!("{FILE_NAME}: {error}"))
            })
            .map_err(|reason: String| work::discard(folder, &reason))?;
        let pack = Self {
            folder: folder.to_owned(),
            manifest,
        };
        for layer in pack.layers().iter().chain(&pack.artifacts()) {
            kept_layer::check(layer, folder)?;
        }
        Ok(pack)
    }

    /// Puts a pack into `folder`, with its manifest, and the layers and the programs' artifacts that it names.
    pub fn restore(
        folder: &Utf8Path,
        manifest: &Manifest,
        layers: &[LayerBlob],
        artifacts: &[LayerBlob],
    ) -> Result<()> {
        for ((file, _), kept) in manifest.parts().zip(layers) {
            link_or_copy(&kept.blob, &folder.join(file))?;
        }
        for (program, kept) in manifest.programs.iter().zip(artifacts) {
            let file = folder.join(program.file());
            if let Some(parent) = file.parent() {
                fs_err::create_dir_all(parent)?;
            }
            link_or_copy(&kept.blob, &file)?;
        }
        manifest.write(folder)
    }

    /// All its layers, in the order in which packs have them.
    pub fn layers(&self) -> Vec<LayerBlob> {
        let parts = self.manifest.parts();
        parts
            .map(|(file, layer)| LayerBlob {
                blob: self.folder.join(file),
                layer: layer.clone(),
            })
            .collect()
    }

    /// The artifacts of its programs.
    pub fn artifacts(&self) -> Vec<LayerBlob> {
        let programs = self.manifest.programs.iter();
        programs
            .map(|program| LayerBlob {
                blob: self.folder.join(program.file()),
                layer: program.artifact.clone(),
            })
            .collect()
    }

    /// Paths of its files, relative to the root of the image.
    pub fn paths(&self) -> BTreeSet<&Utf8Path> {
        self.manifest
            .files
            .iter()
            .map(|file| file.path.as_path())
            .collect()
    }
}

impl Manifest {
    /// Its layers, in the order in which packs have them, with the names of their blobs.
    fn parts(&self) -> impl Iterator<Item = (&'static str, &Layer)> {
        [
            (CACHES, Some(&self.caches)),
            (OBJECTS, self.objects.as_ref()),
            (EXECUTABLES, self.executables.as_ref()),
            (PROGRAMS, self.program_folders.as_ref()),
        ]
        .into_iter()
        .filter_map(|(file, layer)| Some((file, layer?)))
    }
}
