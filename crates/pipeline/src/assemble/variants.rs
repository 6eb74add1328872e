//! Which images packs make: all of them in one, each provider's alone, and the tools without caches; and programs
//! without Go, all of them or a provider's, where executables are not compressed. The pack `rest`, which there need not
//! be, is in the whole one alone.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::names::{BASE, COMMON, PULUMI, REST, RUN, TOOLS};
use crate::pack::fit::check_fit;
use crate::pack::layer_content::LayerContent;
use crate::pack::{Pack, PackLayer};
use failure::usage;

/// An image that packs make; it has a `-nonroot` twin of the same layers.
#[derive(Debug, Clone)]
pub struct Variant {
    /// Its tag.
    pub name: String,
    /// Its layers, the lowest first.
    pub layers: Vec<PackLayer>,
    /// Versions and sources of its tools, by name.
    pub tools: BTreeMap<String, String>,
    /// Whether it has Go, and caches for it.
    pub has_go: bool,
    /// Those whose programs it has.
    pub providers: BTreeSet<String>,
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
    let start: Vec<PackLayer> = tools
        .iter()
        .cloned()
        .chain(shared(COMMON)?.layers())
        .collect();
    let mut parts: Vec<_> = packs
        .iter()
        .filter_map(|pack| Some((pack.description.part.as_ref()?, pack)))
        .collect();
    parts.sort_by_key(|(part, _)| *part);
    let mut providers: BTreeMap<&str, Vec<PackLayer>> = BTreeMap::new();
    let mut programs: BTreeMap<&str, Vec<PackLayer>> = BTreeMap::new();
    for (part, pack) in parts {
        let provider = part.provider.as_str();
        let layers = providers.entry(provider).or_default();
        layers.extend(pack.layers());
        if pack.programs().next().is_some() {
            let layers = programs.entry(provider).or_default();
            layers.extend(pack.layers().filter(is_of_programs));
        }
    }
    let described = shared(TOOLS)?.description.tools.clone();
    let variant = |suffix: &str, layers, of: &[&str]| Variant {
        name: format!("{version}{suffix}"),
        layers,
        tools: described.clone(),
        has_go: true,
        providers: of.iter().map(|name| (*name).to_owned()).collect(),
    };
    let without_go = |suffix: &str, layers: Vec<PackLayer>, of: &[&str]| {
        let below = tools
            .iter()
            .filter(|layer| !is(layer, &LayerContent::Tools));
        let mut variant = variant(suffix, below.cloned().chain(layers).collect(), of);
        variant.tools.retain(|name, _| name == PULUMI);
        variant.has_go = false;
        variant
    };
    let rest = packs
        .iter()
        .filter(|pack| pack.description.name == REST)
        .flat_map(Pack::layers);
    let whole = start.iter().chain(providers.values().flatten()).cloned();
    let whole = whole.chain(rest);
    let all: Vec<&str> = providers.keys().copied().collect();
    let mut variants = vec![
        variant("", whole.collect(), &all),
        variant(&format!("-{TOOLS}"), tools.clone(), &[]),
    ];
    variants.extend(providers.into_iter().map(|(provider, layers)| {
        let layers = start.iter().cloned().chain(layers).collect();
        variant(&format!("-{provider}"), layers, &[provider])
    }));
    if !programs.is_empty() {
        let layers = programs.values().flatten().cloned().collect();
        variants.push(without_go(&format!("-{RUN}"), layers, &all));
    }
    variants.extend(
        programs.into_iter().map(|(provider, layers)| {
            without_go(&format!("-{RUN}-{provider}"), layers, &[provider])
        }),
    );
    Ok(variants)
}

fn is(layer: &PackLayer, content: &LayerContent) -> bool {
    LayerContent::parse(&layer.title).as_ref() == Some(content)
}

/// Whether a provider's programs take this layer of it.
fn is_of_programs(layer: &PackLayer) -> bool {
    let content = LayerContent::parse(&layer.title);
    matches!(content, Some(LayerContent::Executables(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::packs;
    use crate::pack::part::{Part, Shard};

    /// Each variant with the titles of its layers.
    fn titles(packs: &[Pack]) -> Vec<(String, Vec<String>)> {
        let variants = of(packs, "v1").unwrap().into_iter();
        variants
            .map(|variant| {
                let titles = variant.layers.into_iter().map(|layer| layer.title);
                (variant.name, titles.collect())
            })
            .collect()
    }

    #[test]
    fn all_packs_the_tools_alone_and_each_provider_are_images() {
        insta::assert_json_snapshot!(titles(&packs(&["aws", "civo"])));
    }

    #[test]
    fn the_order_of_the_packs_does_not_matter() {
        let mut turned = packs(&["aws", "civo"]);
        let expected = titles(&turned);
        turned.reverse();
        assert_eq!(titles(&turned), expected);
    }

    #[test]
    fn the_whole_image_alone_has_the_rest() {
        let mut packs = packs(&["aws", "civo"]);
        let key = crate::fixtures::key;
        let mut rest = crate::fixtures::kept("rest");
        (rest.manifest.executables, rest.manifest.objects) = (None, None);
        let platform = crate::fixtures::platform();
        packs.insert(0, Pack::rest(key("rest"), key("common"), &platform, &rest));
        let titles = titles(&packs);
        assert_eq!(titles[0].1.last().unwrap(), "rest: caches");
        for (name, titles) in &titles[1..] {
            assert!(!titles.contains(&"rest: caches".to_owned()), "{name}");
        }
    }

    #[test]
    fn the_parts_of_a_provider_are_one_image() {
        let mut parts = packs(&["civo.2of2", "civo.1of2"]);
        for (number, pack) in [2, 1].into_iter().zip(&mut parts[3..]) {
            pack.description.part = Some(Part {
                provider: "civo".into(),
                shard: Shard { number, of: 2 },
            });
        }
        let titles = titles(&parts);
        let names: Vec<&str> = titles.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["v1", "v1-tools", "v1-civo", "v1-run", "v1-run-civo"]
        );
        assert_eq!(
            titles[2].1[4..],
            [
                "object code that all providers share",
                "civo.1of2: caches",
                "civo.1of2: object code",
                "civo.1of2: executables",
                "civo.2of2: caches",
                "civo.2of2: object code",
                "civo.2of2: executables",
            ]
        );
    }

    #[test]
    fn programs_that_are_compressed_make_no_image_without_go() {
        let mut packs = packs(&["aws", "civo"]);
        let compressed = packs[4].description.pack.as_mut().unwrap();
        compressed.programs.clear();
        packs[4].artifacts.clear();
        let titles = titles(&packs);
        let names: Vec<&str> = titles.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "v1",
            "v1-tools",
            "v1-aws",
            "v1-civo",
            "v1-run",
            "v1-run-aws",
        ];
        assert_eq!(names, expected);
        assert_eq!(titles[4].1, titles[5].1);
    }

    #[test]
    fn packs_that_every_image_needs_and_packs_that_do_not_fit_are_refused_by_name() {
        for (number, missing) in ["base", "tools", "common"].into_iter().enumerate() {
            let mut packs = packs(&["aws"]);
            packs.remove(number);
            let error = of(&packs, "v1").unwrap_err().to_string();
            let expected = format!("the pack {missing} is missing, and every image needs it");
            assert_eq!(error, expected);
        }
        let mut packs = packs(&["aws"]);
        packs[3].description.platform = "linux/arm64".into();
        let error = of(&packs, "v1").unwrap_err().to_string();
        assert!(error.contains("the pack aws is for linux/arm64"), "{error}");
    }
}
