//! What one matrix job warms: a provider, or one of several parts of a provider that is too long for one job.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use failure::usage;

/// A part of a provider's modules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    /// The provider.
    pub provider: String,
    /// Which part.
    #[serde(rename = "share")]
    pub shard: Shard,
}

/// Which part of how many, `1/1` for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    /// From 1.
    pub number: usize,
    /// Number of parts.
    pub of: usize,
}

impl Shard {
    /// All modules of a provider.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// Most parts of a provider; a workflow may have a quarter as many jobs.
    pub const MOST: usize = 999;
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('/')
            .and_then(|(number, of)| {
                let shard = Self {
                    number: number.parse().ok()?,
                    of: of.parse().ok()?,
                };
                let is_one = (1..=shard.of).contains(&shard.number) && shard.of <= Self::MOST;
                is_one.then_some(shard)
            })
            .ok_or_else(|| {
                let most = Self::MOST;
                format!("{text:?} is no part; write NUMBER/OF, for example 1/3, of {most} at most")
            })
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

impl Part {
    /// What the longest name of a pack has after its provider.
    pub const LONGEST_NUMBER: &str = ".999of999";

    /// All of a provider.
    pub fn whole(provider: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            shard: Shard::WHOLE,
        }
    }

    /// The name of its pack: the provider's, with the part where there are several.
    pub fn name(&self) -> String {
        match self.shard {
            Shard::WHOLE => self.provider.clone(),
            Shard { number, of } => format!("{}.{number}of{of}", self.provider),
        }
    }

    /// The provider of the pack with this name.
    pub fn provider_of(pack: &str) -> &str {
        let is_part = |shard: &str| {
            shard
                .split_once("of")
                .is_some_and(|(number, of)| format!("{number}/{of}").parse::<Shard>().is_ok())
        };
        match pack.rsplit_once('.') {
            Some((provider, shard)) if is_part(shard) => provider,
            _ => pack,
        }
    }

    /// Fails where a part of a provider is missing among `parts`, or where parts of different divisions are mixed.
    pub fn check_complete(parts: &[&Self]) -> Result<()> {
        let mut providers: BTreeMap<&str, Vec<Shard>> = BTreeMap::new();
        for part in parts {
            providers
                .entry(&part.provider)
                .or_default()
                .push(part.shard);
        }
        for (provider, mut shards) in providers {
            shards.sort_by_key(|shard| (shard.of, shard.number));
            let of = shards[0].of;
            let expected = (1..=of).map(|number| Shard { number, of });
            if !expected.eq(shards.iter().copied()) {
                let given: Vec<String> = shards.iter().map(ToString::to_string).collect();
                return Err(usage(
                    format!(
                        "of the provider {provider} there are the parts {}",
                        given.join(", ")
                    ),
                    "all parts of one division are needed, each once",
                ));
            }
        }
        Ok(())
    }
}

/// Shares out items of these `weights` among `parts`, so that the heaviest part is as light as it gets by giving the
/// heaviest item first, always to the lightest part; for each item its part, from 0. The same weights give the same
/// parts.
pub fn balance(weights: &[u64], parts: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|&item| (std::cmp::Reverse(weights[item]), item));
    let mut loads = vec![(0_u64, 0_usize); parts];
    let mut assigned = vec![0; weights.len()];
    for item in order {
        // By number of items next, so that items that weigh nothing are spread, too.
        let lightest = (0..parts).min_by_key(|&part| (loads[part], part));
        let lightest = lightest.unwrap_or_default();
        loads[lightest].0 += weights[item];
        loads[lightest].1 += 1;
        assigned[item] = lightest;
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_a_name_and_reads_back() {
        assert_eq!(Part::whole("aws").name(), "aws");
        let shard: Shard = "2/3".parse().unwrap();
        let part = Part {
            provider: "aws".into(),
            shard,
        };
        assert_eq!(part.name(), "aws.2of3");
        assert_eq!(Part::provider_of("aws.2of3"), "aws");
        let last: Shard = format!("{0}/{0}", Shard::MOST).parse().unwrap();
        let part_of = |shard| Part {
            provider: String::new(),
            shard,
        };
        assert_eq!(part_of(last).name(), Part::LONGEST_NUMBER);
        for whole in ["aws", "own.cloud", "own.1of0", "of", ".", "a.of"] {
            assert_eq!(Part::provider_of(whole), whole);
        }
        let json = serde_json::to_string(&part).unwrap();
        assert_eq!(serde_json::from_str::<Part>(&json).unwrap(), part);
        for wrong in ["", "0/1", "3/2", "1", "a/b", "1/0", "1/1000"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn weights_are_balanced_and_nothing_is_lost() {
        assert_eq!(balance(&[5, 4, 3, 3, 3], 2), [0, 1, 1, 0, 1]);
        assert_eq!(balance(&[0, 0, 0, 0], 2), [0, 1, 0, 1]);
        assert_eq!(balance(&[7], 3), [0]);
        assert_eq!(balance(&[], 3), Vec::<usize>::new());
    }

    #[test]
    fn a_missing_part_is_named() {
        let part = |shard: &str| Part {
            provider: "aws".into(),
            shard: shard.parse().unwrap(),
        };
        let check = |shards: &[&str]| {
            let parts: Vec<Part> = shards.iter().map(|shard| part(shard)).collect();
            Part::check_complete(&parts.iter().collect::<Vec<_>>())
        };
        check(&["1/1"]).unwrap();
        check(&["2/2", "1/2"]).unwrap();
        check(&[]).unwrap();
        for wrong in [
            &["1/2"][..],
            &["1/2", "1/2"],
            &["1/2", "2/3"],
            &["1/1", "1/2", "2/2"],
        ] {
            let error = check(wrong).unwrap_err().to_string();
            assert!(error.contains("aws") && error.contains(wrong[0]), "{error}");
        }
    }
}
