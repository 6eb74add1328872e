//! Whether packs fit together: pure functions over what is said of them.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::names::{BASE, COMMON, TOOLS};
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

/// Fails unless all these packs have the same identity; says of each that has another what differs from the first.
pub fn check_identity<'a>(packs: impl IntoIterator<Item = &'a Manifest>) -> Result<()> {
    let mut packs = packs.into_iter();
    let Some(first) = packs.next() else {
        return Ok(());
    };
    let misfits: Vec<String> = packs
        .filter_map(|pack| {
            let differences = pack.identity.differences(&first.identity);
            let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
            (!differences.is_empty())
                .then(|| format!("in {} {}", pack.name, differences.join(", ")))
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
