//! `[plugins]`: whose plugins are in the image.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// `[plugins]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Plugins {
    /// Whose plugins are in the image.
    pub bake: Providers,
}

impl Plugins {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// All providers, none or some.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected true, false or a list of providers")]
pub enum Providers {
    /// All, or none.
    All(bool),
    /// These.
    Of(BTreeSet<String>),
}

impl Providers {
    /// Whether `provider` is one of them.
    pub fn has(&self, provider: &str) -> bool {
        match self {
            Self::All(all) => *all,
            Self::Of(providers) => providers.contains(provider),
        }
    }
}

impl Default for Providers {
    fn default() -> Self {
        Self::All(false)
    }
}
