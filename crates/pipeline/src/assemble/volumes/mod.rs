//! A provider's caches as an image whose root is mounted where they were made, beside a stock image of the same Go.
//!
//! Its layers are those of the provider's image under other paths, so other blobs: they are read and written anew, for
//! the providers that `image.toml` names. Nothing is compiled for it, and what was written once is kept by the digest
//! of what it was made of. The layers of what all providers share are the same in all volumes.

mod content;

use std::cell::Cell;
use std::collections::BTreeMap;

use anyhow::Result;
use camino::Utf8PathBuf;
use gocache::image_info::volume::Volume as Described;
use gocache::image_info::{ImageInfo, SCHEMA};

use self::content::Content;
use crate::assemble::variants::Variant;
use crate::image_toml::ImageToml;
use crate::names::VOLUME;
use crate::owners::relative;
use crate::pack::inventory::Reader;
use crate::pack::layer_content::LayerContent;
use crate::pack::write::compressed_already;
use crate::pack::{BlobSource, PackLayer};
use crate::work::{Key, Work, kept_layer};
use engine::progress::Step;
use oci::blob::{Blobs as _, layer_descriptor};
use oci::layer::CompressionSettings;
use oci::platform::Platform;
use oci::registry::Registry;

/// The kind of kept work.
const KIND: &str = "volume";

/// Raised when what is in a layer changes although its inputs do not.
const FORMAT: u32 = 1;

/// An image whose root is mounted.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Its tag.
    pub name: String,
    /// The image whose caches it has.
    pub of: Variant,
    /// Its layers, the lowest first.
    pub layers: Vec<PackLayer>,
}

/// Makes volumes.
pub struct Maker<'a> {
    work: &'a Work,
    image: &'a ImageToml,
    platform: &'a Platform,
    insecure: bool,
    step: &'a Step,
    received_bytes: Cell<u64>,
}

impl<'a> Maker<'a> {
    /// For one command; `insecure` says whether plain HTTP is spoken with registries that have packs.
    pub fn new(
        work: &'a Work,
        image: &'a ImageToml,
        platform: &'a Platform,
        insecure: bool,
        step: &'a Step,
    ) -> Self {
        Self {
            work,
            image,
            platform,
            insecure,
            step,
            received_bytes: Cell::new(0),
        }
    }

    /// Bytes that came from registries so far.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.get()
    }

    /// The volumes of providers whose images are among `variants`, in their order, where the whole image is called
    /// `version`.
    pub fn of(&self, variants: &[Variant], version: &str) -> Result<Vec<Volume>> {
        let volumes = wanted(self.image, variants, version);
        volumes
            .map(|variant| {
                let layers = variant.layers.iter().map(|layer| self.layer(layer));
                let layers: Result<Vec<Option<PackLayer>>> = layers.collect();
                Ok(Volume {
                    name: format!("{}{VOLUME}", variant.name),
                    of: variant.clone(),
                    layers: layers?.into_iter().flatten().collect(),
                })
            })
            .collect()
    }

    /// What becomes of a layer of an image; nothing of one that has no caches.
    fn layer(&self, layer: &PackLayer) -> Result<Option<PackLayer>> {
        let Some((is_verifier, settings)) = taken(self.image, &layer.title) else {
            return Ok(None);
        };
        let content = if is_verifier {
            Content::Verifier(Box::new(self.info()?))
        } else {
            Content::Caches
        };
        let place = self.image.volume_place()?;
        let from = &layer.layer;
        let made_of = (from.diff_id, from.compression, settings, place);
        let key = Key::of(&(KIND, FORMAT, made_of, &content))?;
        let folder = self.work.keep(KIND, &key, |folder| {
            self.step.detail(LayerContent::in_volume(&layer.title));
            let blob = self.blob(layer)?;
            let to = folder.join(kept_layer::FILE);
            let written = content.write(self.image, (&blob, from), &to, settings)?;
            kept_layer::write(folder, &written)
        })?;
        let kept = kept_layer::read(&folder)?;
        let gomodcache = relative(&self.image.go.gomodcache).strip_prefix(relative(place))?;
        let inventory = Reader::with_module_cache(self.work, gomodcache).of(&kept)?;
        Ok(Some(PackLayer {
            title: LayerContent::in_volume(&layer.title),
            layer: kept.layer,
            blob: BlobSource::File(kept.blob),
            inventory: Some(inventory),
        }))
    }

    /// The file of a layer's blob, fetched if it is in a registry.
    fn blob(&self, layer: &PackLayer) -> Result<Utf8PathBuf> {
        let source = match &layer.blob {
            BlobSource::File(file) => return Ok(file.clone()),
            BlobSource::Registry(source) => source,
        };
        let blobs = self.work.shared("blobs")?;
        let registry = Registry::open(source, self.insecure, blobs, self.step)?;
        let file = registry.fetch(&layer_descriptor(&layer.layer)?)?;
        let received = registry.transferred().received_bytes;
        self.received_bytes
            .set(self.received_bytes.get() + received);
        Ok(file)
    }

    /// What a volume says of itself.
    fn info(&self) -> Result<ImageInfo> {
        let image = self.image;
        let env = image.volume_env(self.platform)?;
        let mut identity = image.identity(self.platform);
        identity.goflags.clone_from(&env["GOFLAGS"]);
        Ok(ImageInfo {
            schema: SCHEMA,
            identity,
            versions: BTreeMap::from([
                ("go".to_owned(), image.go.version.clone()),
                ("verifier".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ]),
            tool_sources: BTreeMap::new(),
            owner_uid: Some(image.user.uid),
            cache_entry_time: Some(image.image.cache_entry_time),
            source: image.source.clone(),
            volume: Some(Described {
                place: image.volume_place()?.to_owned(),
                env,
            }),
        })
    }
}

/// The images of providers whose caches are wanted as volumes.
fn wanted<'v>(
    image: &ImageToml,
    variants: &'v [Variant],
    version: &str,
) -> impl Iterator<Item = &'v Variant> {
    variants.iter().filter(move |variant| {
        let mut providers = variant.providers.iter();
        let is_of = |provider: &String| variant.name == format!("{version}-{provider}");
        let is_wanted = |provider: &String| image.volume.providers.has(provider);
        variant.has_go && providers.any(|provider| is_of(provider) && is_wanted(provider))
    })
}

/// Whether a volume has something of the layer with this title: and then whether that is the verifier, and how it is
/// compressed.
fn taken(image: &ImageToml, title: &str) -> Option<(bool, CompressionSettings)> {
    let already = compressed_already(image);
    match LayerContent::parse(title)? {
        LayerContent::Pulumi => Some((true, image.layers)),
        LayerContent::Objects(_) => Some((false, already)),
        LayerContent::Executables(_) if image.has_packed_executables() => Some((false, already)),
        LayerContent::Caches(_) | LayerContent::Executables(_) => Some((false, image.layers)),
        LayerContent::Base
        | LayerContent::Tools
        | LayerContent::Programs(_)
        | LayerContent::Plugin { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::variants;
    use crate::fixtures::{image, packs};
    use crate::image_toml::Providers;

    #[test]
    fn each_provider_that_is_named_has_a_volume() {
        let variants = variants::of(&packs(&["aws", "civo"]), "v1").unwrap();
        let mut image = image();
        let civo = Providers::Of(["civo".to_owned(), "other".to_owned()].into());
        for (providers, expected) in [
            (Providers::All(false), &[][..]),
            (Providers::All(true), &["v1-aws", "v1-civo"]),
            (civo, &["v1-civo"]),
        ] {
            image.volume.providers = providers;
            let names: Vec<&str> = wanted(&image, &variants, "v1")
                .map(|it| it.name.as_str())
                .collect();
            assert_eq!(names, expected);
        }
        // The whole image has one provider alone, and is no provider's.
        let variants = variants::of(&packs(&["civo"]), "rc-civo").unwrap();
        image.volume.providers = Providers::All(true);
        let names: Vec<&str> = wanted(&image, &variants, "rc-civo")
            .map(|it| it.name.as_str())
            .collect();
        assert_eq!(names, ["rc-civo-civo"]);
    }

    #[test]
    fn a_volume_takes_caches_and_the_verifier() {
        let variants = variants::of(&packs(&["civo"]), "v1").unwrap();
        let layers = variants.iter().flat_map(|variant| &variant.layers);
        let titles: std::collections::BTreeSet<&str> =
            layers.map(|layer| layer.title.as_str()).collect();
        let image = image();
        let taken = |is_verifier| -> Vec<&str> {
            let of = |title: &&&str| taken(&image, title).map(|it| it.0) == Some(is_verifier);
            titles.iter().filter(of).copied().collect()
        };
        assert_eq!(taken(true), ["Pulumi, verifier"]);
        let caches = [
            "caches that all providers share",
            "civo: caches",
            "civo: executables",
            "civo: object code",
            "object code that all providers share",
        ];
        assert_eq!(taken(false), caches);
    }
}
