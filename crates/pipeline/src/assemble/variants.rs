//! Which images packs make: all of them in one, each provider's alone, and the tools without caches; and programs
//! without Go, all of them or a provider's. The pack `rest`, which there need not be, is in the whole one alone.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use crate::names::{BASE, COMMON, PULUMI, REST, RUN, TOOLS};
use crate::pack::description::Plugins;
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
    /// Whether it has every plugin that its programs need.
    pub has_all_plugins: bool,
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
    let find = |name: &str| packs.iter().find(|pack| pack.description.name == name);
    let missing = |name: &str, who: &str| {
        usage(
            format!("the pack {name} is missing, and {who} needs it"),
            format!("make it with `cargo xtask warm --provider {name}`"),
        )
    };
    let shared = |name: &str| find(name).ok_or_else(|| missing(name, "every image"));
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
        let name = &pack.description.name;
        let [whole, executables] = [LayerContent::Programs, LayerContent::Executables]
            .map(|content| content(name.clone()).to_string());
        layers.extend(pack.layers().filter(|layer| layer.title != whole));
        if pack.programs().next().is_some() {
            let layers = programs.entry(provider).or_default();
            let of = |title: &str| pack.layers().find(|layer| layer.title == title);
            layers.extend(of(&whole).or_else(|| of(&executables)));
        }
    }
    let plugins = |of: &[&str]| {
        let packs = of
            .iter()
            .flat_map(|provider| packs_of_plugins(packs, provider));
        once_each(packs.flat_map(|(pack, _)| pack.layers()))
    };
    let are_complete = |provider: &str| {
        packs_of_plugins(packs, provider).any(|(_, plugins)| plugins.are_complete())
    };
    let described = shared(TOOLS)?.description.tools.clone();
    let variant = |suffix: &str, layers, of: &[&str]| Variant {
        name: format!("{version}{suffix}"),
        layers,
        tools: described.clone(),
        has_all_plugins: !of.is_empty() && of.iter().all(|provider| are_complete(provider)),
        has_go: true,
        providers: of.iter().map(|name| (*name).to_owned()).collect(),
    };
    let without_go = |suffix: &str, layers: Vec<PackLayer>, of: &[&str]| {
        let go = LayerContent::Tools.to_string();
        let below = tools.iter().filter(|layer| layer.title != go);
        let layers = below.cloned().chain(layers).chain(plugins(of));
        let mut variant = variant(suffix, layers.collect(), of);
        variant.tools.retain(|name, _| name == PULUMI);
        variant.has_go = false;
        variant
    };
    let rest = find(REST);
    if rest.is_none() && shared(COMMON)?.description.has_rest {
        return Err(missing(REST, "the whole image"));
    }
    let whole = start.iter().chain(providers.values().flatten()).cloned();
    let all: Vec<&str> = providers.keys().copied().collect();
    let rest = rest.into_iter().flat_map(Pack::layers);
    let whole = whole.chain(rest).chain(plugins(&all));
    let mut variants = vec![
        variant("", whole.collect(), &all),
        variant(&format!("-{TOOLS}"), tools.clone(), &[]),
    ];
    variants.extend(providers.into_iter().map(|(provider, layers)| {
        let layers = start.iter().cloned().chain(layers);
        let layers = layers.chain(plugins(&[provider])).collect();
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

/// The pack of a provider's plugins, if there is one.
fn packs_of_plugins<'p>(
    packs: &'p [Pack],
    provider: &'p str,
) -> impl Iterator<Item = (&'p Pack, &'p Plugins)> {
    let packs = packs.iter();
    let packs = packs.filter_map(|pack| Some((pack, pack.description.plugins.as_ref()?)));
    packs.filter(move |(_, plugins)| plugins.provider == provider)
}

/// The first of all layers that are the same.
fn once_each(layers: impl Iterator<Item = PackLayer>) -> Vec<PackLayer> {
    let mut seen = BTreeSet::new();
    let mut layers: Vec<PackLayer> = layers.collect();
    layers.retain(|layer| seen.insert(layer.layer.diff_id));
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{packs, plugins};
    use crate::pack::part::{Part, Shard};
    use crate::plugins::needs::LeftOut;

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
        rest.manifest.program_folders = None;
        let platform = crate::fixtures::platform();
        packs.insert(0, Pack::rest(key("rest"), key("common"), &platform, &rest));
        let titles = titles(&packs);
        assert_eq!(titles[0].1.last().unwrap(), "rest: caches");
        for (name, titles) in &titles[1..] {
            assert!(!titles.contains(&"rest: caches".to_owned()), "{name}");
        }
    }

    #[test]
    fn a_plugin_of_two_providers_is_in_each_and_once_in_the_whole_image() {
        let mut packs = packs(&["aws", "civo"]);
        packs.push(plugins("civo", &["random 4.19.1", "civo 2.4.8"]));
        packs.insert(0, plugins("aws", &["random 4.19.1"]));
        let titles = titles(&packs);
        let of = |name: &str| -> Vec<&str> {
            let (_, titles) = titles.iter().find(|(it, _)| it == name).unwrap();
            let titles = titles.iter().map(String::as_str);
            titles
                .filter(|title| title.starts_with("plugin "))
                .collect()
        };
        assert_eq!(of("v1"), ["plugin random 4.19.1", "plugin civo 2.4.8"]);
        assert_eq!(of("v1-aws"), ["plugin random 4.19.1"]);
        assert_eq!(of("v1-civo"), ["plugin random 4.19.1", "plugin civo 2.4.8"]);
        assert_eq!(of("v1-tools"), [""; 0]);
        for suffix in ["", "-aws", "-civo"] {
            assert_eq!(of(&format!("v1-run{suffix}")), of(&format!("v1{suffix}")));
        }
    }

    #[test]
    fn a_variant_has_all_plugins_if_every_one_of_its_providers_does() {
        let complete = |packs: &[Pack]| -> Vec<bool> {
            let variants = of(packs, "v1").unwrap().into_iter();
            variants.map(|variant| variant.has_all_plugins).collect()
        };
        let mut packs = packs(&["aws", "civo"]);
        assert_eq!(complete(&packs), [false; 7]);
        packs.push(plugins("civo", &["civo 2.4.8"]));
        let of_civo = [false, false, false, true, false, false, true];
        assert_eq!(complete(&packs), of_civo);
        packs.push(plugins("aws", &["aws 7.3.0"]));
        let of_both = [true, false, true, true, true, true, true];
        assert_eq!(complete(&packs), of_both);
        let left_out = |is_local| LeftOut {
            name: "own".into(),
            reason: "it is".into(),
            is_local,
        };
        for (is_local, expected) in [(true, of_both), (false, of_civo)] {
            let aws = packs[6].description.plugins.as_mut().unwrap();
            aws.left_out = vec![left_out(is_local)];
            assert_eq!(complete(&packs), expected);
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
    fn images_without_go_take_programs_from_the_layer_that_has_them() {
        let mut packs = packs(&["aws", "civo"]);
        // Those of civo are entries of the build cache.
        let civo = &mut packs[4];
        civo.description.pack.as_mut().unwrap().program_folders = None;
        civo.description.layers.pop();
        civo.blobs.pop();
        let titles = titles(&packs);
        let of = |name: &str| -> Vec<&str> {
            let (_, titles) = titles.iter().find(|(it, _)| it == name).unwrap();
            let titles = titles.iter().map(String::as_str);
            let sought = |title: &&str| title.contains("exec") || title.contains("programs");
            titles.filter(sought).collect()
        };
        assert_eq!(of("v1"), ["aws: executables", "civo: executables"]);
        assert_eq!(of("v1-aws"), ["aws: executables"]);
        assert_eq!(of("v1-run"), ["aws: programs", "civo: executables"]);
        assert_eq!(of("v1-run-aws"), ["aws: programs"]);
        assert_eq!(of("v1-run-civo"), of("v1-civo"));
    }

    #[test]
    fn packs_without_programs_make_no_image_without_go() {
        let mut packs = packs(&["aws", "civo"]);
        packs[4].description.pack.as_mut().unwrap().programs.clear();
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

    #[test]
    fn a_rest_that_was_forgotten_is_missed_by_the_whole_image() {
        let mut packs = packs(&["aws"]);
        packs[2].description.has_rest = true;
        let error = of(&packs, "v1").unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
        let said = failure::text(&error);
        let missing = "the pack rest is missing, and the whole image needs it";
        assert!(said.starts_with(missing), "{said}");
        assert!(
            said.contains("`cargo xtask warm --provider rest`"),
            "{said}"
        );
    }
}
