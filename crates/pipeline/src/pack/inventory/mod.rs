//! What the layers of packs have, for the documents of the images that are made of them.
//!
//! A layer is read once, where it is made, and what was found is kept by the digest of its blob: so it is of that blob,
//! whoever made it. Packs take it along in their artifacts, for whoever makes images of packs in a registry does not
//! fetch their layers.

pub mod encoding;

use std::sync::Arc;

use anyhow::Result;
use camino::Utf8Path;
use rayon::prelude::*;
use sbom::inventory::{FORMAT, Inventory, Places};

use self::encoding::{MAX_BYTES, decode, encode};
use crate::image_toml::ImageToml;
use crate::owners::relative;
use crate::pack::Pack;
use crate::work::{self, Key, Work};
use oci::image::ImageLayer;
use oci::layer::LayerBlob;
use oci::unpack::limits::Limits;

/// The kind of kept work.
const KIND: &str = "inventory";
const FILE: &str = "inventory";

/// Reads layers, or finds what others have found in them.
#[derive(Debug)]
pub struct Reader<'a> {
    work: &'a Work,
    places: Places,
}

impl<'a> Reader<'a> {
    /// Of the layers of `image`.
    pub fn new(work: &'a Work, image: &ImageToml) -> Self {
        let place = |folder| Some(relative(folder).to_owned());
        Self {
            work,
            places: Places {
                gomodcache: place(&image.go.gomodcache),
                goroot: place(&image.go.goroot),
            },
        }
    }

    /// Of layers that have the module cache in another place, and no Go.
    pub fn with_module_cache(work: &'a Work, gomodcache: &Utf8Path) -> Self {
        Self {
            work,
            places: Places {
                gomodcache: Some(gomodcache.to_owned()),
                goroot: None,
            },
        }
    }

    /// Says of each of `packs` what its layers have, where it does not bring that along.
    ///
    /// # Errors
    /// A pack in a registry that does not is an error.
    pub fn complete(&self, packs: &mut [Pack]) -> Result<()> {
        for pack in packs.iter_mut().filter(|pack| pack.inventories.is_empty()) {
            let layers = pack.on_this_machine()?;
            let found = layers.par_iter().map(|layer| self.of(layer));
            pack.inventories = found.collect::<Result<_>>()?;
        }
        Ok(())
    }

    /// What `layer` has.
    pub fn of(&self, layer: &LayerBlob) -> Result<Arc<Inventory>> {
        let LayerBlob { blob, layer } = layer;
        let key = Key::of(&(KIND, FORMAT, layer.digest, &self.places))?;
        let folder = self.work.keep(KIND, &key, |folder| {
            let scratch = self.work.scratch(KIND)?;
            let limits = Limits::of_image(layer.size_bytes, scratch.path())?;
            let layer = ImageLayer {
                blob: blob.clone(),
                compression: Some(layer.compression),
                size_bytes: layer.size_bytes,
            };
            let found = Inventory::of(&layer, &self.places, limits, scratch.path())?;
            fs_err::write(folder.join(FILE), encode(&[Arc::new(found)])?)?;
            Ok(())
        })?;
        let kept = fs_err::read(folder.join(FILE))
            .map_err(|error| error.to_string())
            .and_then(|bytes| decode(&bytes, MAX_BYTES))
            .and_then(|kept| kept.ok_or_else(|| "it is of another format".into()))
            .and_then(|kept| <[_; 1]>::try_from(kept).map_err(|_| "it is not of one layer".into()));
        let [kept] = kept.map_err(|reason| work::discard(&folder, &reason))?;
        Ok(kept)
    }
}
