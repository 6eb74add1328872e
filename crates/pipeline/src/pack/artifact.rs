//! Packs as OCI artifacts: what one machine made, in a form that every registry and every OCI layout can hold.
//!
//! The blobs of a pack are the layers of the image themselves, so an image is made of packs by writing a manifest. The
//! artifact's config tells all that this takes, in a few kilobytes; the list of files, which only warming on top of the
//! pack and merging need, is a blob of its own. Not only the caches are packs: `base` and `tools` are the two lowest
//! layers of every image.
//!
//! A pack is found by what it was made from: its name and the digest of its inputs are its tag.

use crate::names::{BASE, COMMON, TOOLS};
use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::image::{Descriptor, ImageManifest, ImageManifestBuilder, MediaType};
use serde::{Deserialize, Serialize};

use crate::assemble::layer_names::Holds;
use crate::pack::part::Part;
use crate::pack::{Manifest, Pack, PackedFile};
use crate::work::Key;
use failure::{corrupt, usage};
use oci::blob::{Blobs, read};
use oci::layer::Layer;
use oci::layer::LayerBlob;
use oci::layout::writer::LayoutWriter;
use oci::platform::Platform;

/// What the artifact is.
const ARTIFACT_TYPE: &str = "application/vnd.iac-runner.pack.v1";
/// Media type of a [`Config`].
const CONFIG_TYPE: &str = "application/vnd.iac-runner.pack.config.v1+json";
/// Media type of the list of a pack's files, JSON in zstd.
const FILES_TYPE: &str = "application/vnd.iac-runner.pack.files.v1+json+zstd";
/// Fast, and the list is mostly digests.
const FILES_LEVEL: i32 = 3;
/// Version of the config's shape.
const SCHEMA: u32 = 1;

/// The artifact's config: everything about a pack but its bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    /// Version of this format.
    pub schema: u32,
    /// `base`, `tools`, `common`, or that of a provider's pack.
    pub name: String,
    /// The provider, and which part of it; none for what all providers share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// Digest of everything that it was made from.
    pub key: Key,
    /// The pack that it only fits on, by its key: for a provider's that of `common`, for the tools' that of `base`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_on: Option<Key>,
    /// For what it was made.
    pub platform: String,
    /// Its layers, the lowest first.
    pub layers: Vec<NamedLayer>,
    /// The pack's manifest without its files; none for `base` and `tools`, which add nothing to the caches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<Manifest>,
}

/// A layer, with what an image's history says of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamedLayer {
    /// For a person who reads the image's history.
    pub title: String,
    /// Digests and sizes.
    pub layer: Layer,
}

/// A pack on this machine, about to become an artifact.
#[derive(Debug, Clone)]
pub struct Made {
    /// What it is; the pack's manifest in it has its files.
    pub config: Config,
    /// The blobs of its layers, in their order.
    pub blobs: Vec<Utf8PathBuf>,
}

impl Made {
    /// The base system.
    pub fn base(key: Key, platform: &Platform, layer: &LayerBlob) -> Self {
        Self::layer(BASE, key, None, platform, &Holds::Base, layer)
    }

    /// Go, the tools and the verifier, with the users of the base system that has the key `base`.
    pub fn tools(key: Key, base: Key, platform: &Platform, layer: &LayerBlob) -> Self {
        Self::layer(TOOLS, key, Some(base), platform, &Holds::Tools, layer)
    }

    fn layer(
        name: &str,
        key: Key,
        made_on: Option<Key>,
        platform: &Platform,
        holds: &Holds,
        kept: &LayerBlob,
    ) -> Self {
        Self {
            config: Config {
                schema: SCHEMA,
                name: name.to_owned(),
                part: None,
                key,
                made_on,
                platform: platform.to_string(),
                layers: vec![NamedLayer {
                    title: holds.to_string(),
                    layer: kept.layer.clone(),
                }],
                pack: None,
            },
            blobs: vec![kept.blob.clone()],
        }
    }

    /// What all providers share.
    pub fn common(key: Key, platform: &Platform, pack: &Pack) -> Self {
        Self::pack(key, None, None, platform, pack)
    }

    /// A provider's pack, made on the `common` with this key.
    pub fn provider(part: Part, key: Key, common: Key, platform: &Platform, pack: &Pack) -> Self {
        Self::pack(key, Some(common), Some(part), platform, pack)
    }

    fn pack(
        key: Key,
        made_on: Option<Key>,
        part: Option<Part>,
        platform: &Platform,
        pack: &Pack,
    ) -> Self {
        let layers = pack.layers();
        let name = &pack.manifest.name;
        let parts = [Holds::Caches, Holds::Executables];
        let titles = parts.map(|part| part(name.clone()).to_string());
        Self {
            config: Config {
                schema: SCHEMA,
                name: pack.manifest.name.clone(),
                part,
                key,
                made_on,
                platform: platform.to_string(),
                layers: titles
                    .into_iter()
                    .zip(&layers)
                    .map(|(title, kept)| NamedLayer {
                        title,
                        layer: kept.layer.clone(),
                    })
                    .collect(),
                pack: Some(pack.manifest.clone()),
            },
            blobs: layers.into_iter().map(|kept| kept.blob).collect(),
        }
    }

    /// Its layers, the lowest first.
    pub fn layers(&self) -> impl Iterator<Item = LayerBlob> {
        let layers = self.config.layers.iter().zip(&self.blobs);
        layers.map(|(named, blob)| LayerBlob {
            blob: blob.clone(),
            layer: named.layer.clone(),
        })
    }

    /// Adds the artifact to a layout; its descriptor, named by the pack's tag.
    pub fn write(&self, layout: &mut LayoutWriter) -> Result<Descriptor> {
        let mut config = self.config.clone();
        let mut descriptors = Vec::new();
        for (named, blob) in config.layers.iter().zip(&self.blobs) {
            descriptors.push(layout.link(&named.layer, blob)?);
        }
        if let Some(pack) = &mut config.pack {
            let files = std::mem::take(&mut pack.files);
            let json = serde_json::to_vec(&files).context("failed to serialize a pack's files")?;
            let files = zstd::encode_all(json.as_slice(), FILES_LEVEL)
                .context("failed to compress a pack's files")?;
            descriptors.push(layout.bytes(FILES_TYPE.into(), &files)?);
        }
        let tag = config.tag();
        let config = layout.json(CONFIG_TYPE.into(), &config)?;
        let manifest = ImageManifestBuilder::default()
            .schema_version(2u32)
            .media_type(MediaType::ImageManifest)
            .artifact_type(MediaType::from(ARTIFACT_TYPE))
            .config(config)
            .layers(descriptors)
            .build()
            .context("failed to describe a pack")?;
        layout.manifest(&tag, &manifest, None)
    }
}

impl Config {
    /// The tag under which a pack is kept: its name and its inputs.
    pub fn tag(&self) -> String {
        tag(&self.name, &self.key)
    }
}

/// The tag of the pack `name` with this key.
pub fn tag(name: &str, key: &Key) -> String {
    format!("{name}-{key}")
}

/// A pack in a layout or in a registry.
pub struct Artifact<'a> {
    /// What it is; the pack's manifest in it lists no files.
    pub config: Config,
    manifest: ImageManifest,
    blobs: &'a dyn Blobs,
}

impl<'a> Artifact<'a> {
    /// Reads the artifact that `descriptor` leads to; `place` names it in messages.
    pub fn read(blobs: &'a dyn Blobs, descriptor: &Descriptor, place: &str) -> Result<Self> {
        let manifest: ImageManifest = read(&blobs.fetch(descriptor)?, "manifest")?;
        if manifest.config().media_type() != &MediaType::from(CONFIG_TYPE) {
            return Err(usage(
                format!(
                    "{place} is no pack, its config is of the type {}",
                    manifest.config().media_type()
                ),
                "`cargo xtask warm` makes packs",
            ));
        }
        let config: Config = read(&blobs.fetch(manifest.config())?, "description of a pack")?;
        if config.schema != SCHEMA {
            return Err(usage(
                format!(
                    "{place} has the format {} of packs, and this program knows only {SCHEMA}",
                    config.schema
                ),
                "make it with the same version",
            ));
        }
        let layers = manifest.layers();
        let are_described = config.layers.len() + usize::from(config.pack.is_some())
            == layers.len()
            && config.layers.iter().zip(layers).all(|(named, layer)| {
                layer.as_digest_sha256() == Some(named.layer.digest.to_string().as_str())
                    && layer.size() == named.layer.size_bytes
            });
        if !are_described {
            return Err(corrupt(
                format!("{place} does not hold the layers that it describes"),
                "make it anew",
            ));
        }
        Ok(Self {
            config,
            manifest,
            blobs,
        })
    }

    /// The layers' blobs on this machine, the lowest first.
    pub fn layers(&self) -> Result<Vec<LayerBlob>> {
        let named = self.config.layers.iter().zip(self.manifest.layers());
        let fetch = |(named, descriptor): (&NamedLayer, &Descriptor)| {
            Ok(LayerBlob {
                blob: self.blobs.fetch(descriptor)?,
                layer: named.layer.clone(),
            })
        };
        named.map(fetch).collect()
    }

    /// The pack's manifest with its files.
    pub fn pack(&self) -> Result<Manifest> {
        let name = &self.config.name;
        let Some(mut pack) = self.config.pack.clone() else {
            bail!("{name} is no pack of caches");
        };
        let files = self.manifest.layers().last();
        let files = files
            .filter(|files| files.media_type() == &MediaType::from(FILES_TYPE))
            .with_context(|| format!("the pack {name} lists no files"))?;
        let file = self.blobs.fetch(files)?;
        let json = zstd::decode_all(fs_err::File::open(&file)?)
            .with_context(|| format!("{file} is no zstd"))?;
        let files: Vec<PackedFile> = serde_json::from_slice(&json).map_err(|error| {
            corrupt(
                format!("{file} is no list of a pack's files: {error}"),
                "make the pack anew",
            )
        })?;
        let unsafe_path = files.iter().find(|file| !is_inside(&file.path));
        if let Some(file) = unsafe_path {
            return Err(corrupt(
                format!(
                    "the pack {name} lists {:?}, which is no path in an image",
                    file.path
                ),
                "make the pack anew",
            ));
        }
        pack.files = files;
        Ok(pack)
    }
}

/// Whether `path` stays below where it is joined to.
fn is_inside(path: &Utf8Path) -> bool {
    let mut parts = path.components();
    !path.as_str().is_empty() && parts.all(|part| matches!(part, camino::Utf8Component::Normal(_)))
}

/// Fails unless these packs make an image together: each once, of one platform and identity, each on what it was made
/// on, and no part of a provider missing.
pub fn check_fit(packs: &[&Config]) -> Result<()> {
    let mut names = BTreeSet::new();
    for pack in packs {
        if !names.insert(&pack.name) {
            return Err(usage(
                format!("the pack {} was given twice", pack.name),
                "name each pack once",
            ));
        }
    }
    for pack in packs {
        if pack.platform != packs[0].platform {
            return Err(usage(
                format!(
                    "the pack {} is for {}, and {} is for {}",
                    pack.name, pack.platform, packs[0].name, packs[0].platform
                ),
                "an image is for one platform",
            ));
        }
    }
    check_identity(packs.iter().filter_map(|config| config.pack.as_ref()))?;
    for pack in packs {
        let below = match (&pack.part, pack.name.as_str()) {
            (Some(_), _) => COMMON,
            (None, TOOLS) => BASE,
            _ => continue,
        };
        let found = packs.iter().find(|other| other.name == below);
        if let (Some(found), Some(wanted)) = (found, &pack.made_on)
            && found.key != *wanted
        {
            return Err(usage(
                format!(
                    "the pack {} was made on {}, and not on the given {}",
                    pack.name,
                    tag(below, wanted),
                    found.tag()
                ),
                "warm it again with that one",
            ));
        }
    }
    let parts: Vec<&Part> = packs.iter().filter_map(|pack| pack.part.as_ref()).collect();
    Part::check_complete(&parts)
}

/// Fails unless all these packs have the same identity; says what differs.
pub fn check_identity<'a>(packs: impl IntoIterator<Item = &'a Manifest>) -> Result<()> {
    let mut packs = packs.into_iter();
    let Some(first) = packs.next() else {
        return Ok(());
    };
    for pack in packs {
        if let Some(differences) = pack.identity.differences_text(&first.identity) {
            return Err(usage(
                format!(
                    "the packs {} and {} have different identities, nothing of one would hit with the other: \
                     {differences}",
                    first.name, pack.name,
                ),
                "warm both with the same image.toml",
            ));
        }
    }
    Ok(())
}
