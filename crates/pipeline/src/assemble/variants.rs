//! Which images packs make: all of them in one, each provider's alone, and the tools without caches.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::assemble::{Place, PlacedLayer, Variants};
use crate::names::COMMON;
use crate::names::{BASE, TOOLS};
use crate::pack::artifact::{Config, Made, check_fit};
use failure::usage;

/// A pack, and where the blobs of its layers are.
#[derive(Debug, Clone)]
pub struct PlacedPack {
    /// What it is.
    pub config: Config,
    /// Where each layer is.
    pub places: Vec<Place>,
}

impl From<Made> for PlacedPack {
    fn from(made: Made) -> Self {
        Self {
            config: made.config,
            places: made.blobs.into_iter().map(Place::File).collect(),
        }
    }
}

impl PlacedPack {
    /// Its layers, with what an image's history says of them.
    pub fn layers(&self) -> impl Iterator<Item = PlacedLayer> {
        let layers = self.config.layers.iter().zip(&self.places);
        layers.map(|(named, place)| PlacedLayer {
            title: named.title.clone(),
            layer: named.layer.clone(),
            place: place.clone(),
        })
    }
}

/// The variants that `packs` make, in whatever order they are given: the whole image under the name `version` first.
///
/// # Errors
/// Packs that do not fit together, or of which an image cannot be made, are refused by name.
pub fn of(packs: &[PlacedPack], version: &str) -> Result<Variants> {
    check_fit(&packs.iter().map(|pack| &pack.config).collect::<Vec<_>>())?;
    let shared = |name: &str| {
        let found = packs.iter().find(|pack| pack.config.name == name);
        found.ok_or_else(|| {
            usage(
                format!("the pack {name} is missing, and every image needs it"),
                format!("make it with `cargo xtask warm --provider {name}`"),
            )
        })
    };
    let mut tools = Vec::new();
    for name in [BASE, TOOLS] {
        tools.extend(shared(name)?.layers());
    }
    let start: Vec<PlacedLayer> = tools
        .iter()
        .cloned()
        .chain(shared(COMMON)?.layers())
        .collect();
    let mut parts: Vec<_> = packs
        .iter()
        .filter_map(|pack| Some((pack.config.part.as_ref()?, pack)))
        .collect();
    parts.sort_by_key(|(part, _)| *part);
    let mut providers: BTreeMap<&str, Vec<PlacedLayer>> = BTreeMap::new();
    for (part, pack) in parts {
        providers
            .entry(&part.provider)
            .or_default()
            .extend(pack.layers());
    }
    let whole = start.iter().chain(providers.values().flatten()).cloned();
    let mut variants = vec![
        (version.to_owned(), whole.collect()),
        (format!("{version}-{TOOLS}"), tools),
    ];
    variants.extend(providers.into_iter().map(|(provider, layers)| {
        let layers = start.iter().cloned().chain(layers).collect();
        (format!("{version}-{provider}"), layers)
    }));
    Ok(variants)
}
