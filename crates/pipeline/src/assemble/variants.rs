//! Which images packs make: all of them in one, each provider's alone, and the tools without caches.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::names::{BASE, COMMON, TOOLS};
use crate::pack::fit::check_fit;
use crate::pack::{ImageLayer, Pack};
use failure::usage;

/// An image that packs make; it has a `-nonroot` twin of the same layers.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Its tag.
    pub name: String,
    /// Its layers, the lowest first.
    pub layers: Vec<ImageLayer>,
}

/// The variants that `packs` make, in whatever order they are given: the whole image under the name `version` first.
///
/// # Errors
/// Packs that do not fit together, or of which an image cannot be made, are refused by name.
pub fn of(packs: &[Pack], version: &str) -> Result<Vec<Variant>> {
    let descriptions: Vec<_> = packs.iter().map(|pack| &pack.description).collect();
    check_fit(&descriptions)?;
    let shared = |name: &str| {
        let found = packs.iter().find(|pack| pack.description.name == name);
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
    let start: Vec<ImageLayer> = tools
        .iter()
        .cloned()
        .chain(shared(COMMON)?.layers())
        .collect();
    let mut parts: Vec<_> = packs
        .iter()
        .filter_map(|pack| Some((pack.description.part.as_ref()?, pack)))
        .collect();
    parts.sort_by_key(|(part, _)| *part);
    let mut providers: BTreeMap<&str, Vec<ImageLayer>> = BTreeMap::new();
    for (part, pack) in parts {
        providers
            .entry(&part.provider)
            .or_default()
            .extend(pack.layers());
    }
    let variant = |suffix: &str, layers| Variant {
        name: format!("{version}{suffix}"),
        layers,
    };
    let whole = start.iter().chain(providers.values().flatten()).cloned();
    let mut variants = vec![
        variant("", whole.collect()),
        variant(&format!("-{TOOLS}"), tools),
    ];
    variants.extend(providers.into_iter().map(|(provider, layers)| {
        let layers = start.iter().cloned().chain(layers).collect();
        variant(&format!("-{provider}"), layers)
    }));
    Ok(variants)
}
