//! Whether packs fit together: pure functions over what is said of them.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::names::{BASE, COMMON, REST, TOOLS};
use crate::pack::description::{Description, tag};
use crate::pack::manifest::Manifest;
use crate::pack::part::Part;
use failure::usage;

/// Fails unless these packs make an image together: each once, of one platform and identity, each on what it was made
/// on, and no part of a provider missing.
pub fn check_fit(packs: &[&Description]) -> Result<()> {
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
    check_identity(packs.iter().filter_map(|described| described.pack.as_ref()))?;
    for pack in packs {
        let below = match (&pack.part, pack.name.as_str()) {
            (Some(_), _) | (None, REST) => COMMON,
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
    for plugins in packs.iter().filter_map(|pack| pack.plugins.as_ref()) {
        let is_there = packs.iter().filter_map(|pack| pack.part.as_ref());
        if !is_there
            .clone()
            .any(|part| part.provider == plugins.provider)
        {
            return Err(usage(
                format!(
                    "the plugins of {0} are given without a pack of {0}",
                    plugins.provider
                ),
                format!(
                    "add the pack {}, or leave out its plugins",
                    plugins.provider
                ),
            ));
        }
    }
    let parts: Vec<&Part> = packs.iter().filter_map(|pack| pack.part.as_ref()).collect();
    Part::check_complete(&parts)
}

/// Fails unless all these packs have the same identity; says of each that has another what differs from the first.
pub fn check_identity<'a>(packs: impl IntoIterator<Item = &'a Manifest>) -> Result<()> {
    let mut packs = packs.into_iter();
    let Some(first) = packs.next() else {
        return Ok(());
    };
    let misfits: Vec<String> = packs
        .filter_map(|pack| {
            let differences = pack.identity.differences_text(&first.identity)?;
            Some(format!("in {} {differences}", pack.name))
        })
        .collect();
    if misfits.is_empty() {
        return Ok(());
    }
    Err(usage(
        format!(
            "these packs were not made with the same settings as {}, nothing of one would hit with the other: {}",
            first.name,
            misfits.join("; ")
        ),
        "warm all of them with the same image.toml",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{key, packs};
    use crate::pack::part::Shard;

    /// What is said of `aws` and `civo` with what they stand on, after `change`.
    fn refusal(change: impl FnOnce(&mut Vec<Description>)) -> String {
        let packs = packs(&["aws", "civo"]).into_iter();
        let mut packs: Vec<Description> = packs.map(|pack| pack.description).collect();
        check_fit(&packs.iter().collect::<Vec<_>>()).expect("they fit as they were made");
        change(&mut packs);
        let error = check_fit(&packs.iter().collect::<Vec<_>>()).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
        error.to_string()
    }

    fn named<'p>(packs: &'p mut [Description], name: &str) -> &'p mut Description {
        let found = packs.iter_mut().find(|pack| pack.name == name);
        found.expect("the fixtures have it")
    }

    #[test]
    fn a_pack_made_on_another_common_is_refused() {
        let refusal = refusal(|packs| named(packs, "civo").made_on = Some(key("older")));
        let (older, there) = (tag(COMMON, &key("older")), tag(COMMON, &key("common")));
        let expected = format!("the pack civo was made on {older}, and not on the given {there}");
        assert_eq!(refusal, expected);
    }

    #[test]
    fn a_rest_made_beside_another_common_is_refused() {
        let refusal = refusal(|packs| {
            let mut rest = named(packs, "civo").clone();
            (rest.name, rest.part) = (REST.to_owned(), None);
            packs.push(rest.clone());
            let fits = check_fit(&packs.iter().collect::<Vec<_>>());
            fits.expect("it was made beside this one");
            packs.pop();
            rest.made_on = Some(key("older"));
            packs.push(rest);
        });
        assert!(
            refusal.starts_with("the pack rest was made on common-"),
            "{refusal}"
        );
    }

    #[test]
    fn tools_made_on_another_base_are_refused() {
        let refusal = refusal(|packs| named(packs, TOOLS).made_on = Some(key("older")));
        assert!(
            refusal.starts_with("the pack tools was made on base-"),
            "{refusal}"
        );
    }

    #[test]
    fn a_pack_of_another_platform_is_refused() {
        let refusal = refusal(|packs| named(packs, "civo").platform = "linux/arm64".into());
        assert_eq!(
            refusal,
            "the pack civo is for linux/arm64, and base is for linux/amd64"
        );
    }

    #[test]
    fn a_pack_of_another_identity_is_refused_with_what_differs() {
        let refusal = refusal(|packs| {
            let manifest = named(packs, "civo").pack.as_mut();
            manifest.expect("a pack of caches").identity.goflags = "-race".into();
        });
        assert!(refusal.contains("as common"), "{refusal}");
        assert!(
            refusal.contains("in civo GOFLAGS is \"-race\", not \"-trimpath"),
            "{refusal}"
        );
        assert!(!refusal.contains("aws"), "{refusal}");
    }

    #[test]
    fn a_pack_given_twice_is_refused() {
        let refusal = refusal(|packs| packs.push(packs[4].clone()));
        assert_eq!(refusal, "the pack civo was given twice");
    }

    #[test]
    fn plugins_of_a_provider_that_is_not_there_are_refused() {
        let refusal = refusal(|packs| {
            packs.push(crate::fixtures::plugins("civo", &["civo 2.4.8"]).description);
            let fits = check_fit(&packs.iter().collect::<Vec<_>>());
            fits.expect("the provider is there");
            packs.retain(|pack| pack.name != "civo");
        });
        assert_eq!(
            refusal,
            "the plugins of civo are given without a pack of civo"
        );
    }

    #[test]
    fn a_missing_part_of_a_provider_is_refused() {
        let refusal = refusal(|packs| {
            let part = named(packs, "civo").part.as_mut();
            part.expect("a provider's").shard = Shard { number: 1, of: 2 };
        });
        assert!(
            refusal.contains("civo there are the parts 1/2"),
            "{refusal}"
        );
    }
}
