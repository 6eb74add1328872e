//! What is said of a pack, without its bytes: the config of its OCI artifact.
//!
//! It tells in a few kilobytes all that it takes to make an image of packs. A pack is found by what it was made from:
//! its name and the digest of its inputs are its tag.

use std::collections::BTreeMap;

use oci::layer::Layer;
use oci::platform::Platform;
use serde::{Deserialize, Serialize};

use crate::pack::manifest::Manifest;
use crate::pack::part::Part;
use crate::plugins::lock::Locked;
use crate::plugins::needs::LeftOut;
use crate::work::Key;

/// Version of the shape of a [`Description`].
pub const SCHEMA: u32 = 2;

/// Everything about a pack but its bytes and the list of its files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Description {
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
    /// Whether the whole image needs the pack `rest`, too; said of `common`, which that is made beside.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_rest: bool,
    /// Versions and sources of the tools in it (`3.276.0 (module-proxy)`), by name; none but for `tools`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tools: BTreeMap<String, String>,
    /// The plugins in it, and whose they are; none but for packs of plugins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugins: Option<Plugins>,
    /// For what it was made.
    pub platform: String,
    /// Its layers, the lowest first.
    pub layers: Vec<NamedLayer>,
    /// The pack's manifest without its files; none for `base` and `tools`, which add nothing to the caches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<Manifest>,
}

/// What a pack of plugins holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plugins {
    /// Whose programs need them.
    pub provider: String,
    /// Their archives, with addresses and digests; each is a layer, in this order.
    pub locked: Vec<Locked>,
    /// What these programs name as plugins, and no image has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

impl Plugins {
    /// Whether Pulumi need not fetch anything for these programs.
    pub fn are_complete(&self) -> bool {
        self.left_out.iter().all(|it| it.is_local)
    }
}

/// A layer, with what an image's history says of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NamedLayer {
    /// For a person who reads the image's history.
    pub title: String,
    /// Digests and sizes.
    pub layer: Layer,
}

impl Description {
    /// Of a pack without layers, made on nothing.
    pub fn new(name: &str, key: Key, platform: &Platform) -> Self {
        Self {
            schema: SCHEMA,
            name: name.to_owned(),
            part: None,
            key,
            made_on: None,
            has_rest: false,
            tools: BTreeMap::new(),
            plugins: None,
            platform: platform.to_string(),
            layers: Vec::new(),
            pack: None,
        }
    }

    /// The tag under which a pack is kept: its name and its inputs.
    pub fn tag(&self) -> String {
        tag(&self.name, &self.key)
    }
}

/// The tag of the pack `name` with this key.
pub fn tag(name: &str, key: &Key) -> String {
    format!("{name}-{key}")
}
