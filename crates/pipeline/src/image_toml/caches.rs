//! `[caches]`, `[common]` and `[modules]`: what the caches have, and in which form.

use serde::{Deserialize, Serialize};

/// `[caches]`.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Caches {
    /// What the archives of packages hold.
    pub form: Form,
    /// How executables are kept.
    #[serde(default)]
    pub executables: Executables,
}

/// How the image keeps the executables of its programs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Executables {
    /// Compressed beside the build cache, where archives are export-only; the program of `-toolexec` unpacks them.
    #[default]
    Packed,
    /// As entries of the build cache.
    Raw,
}

/// What the archives of packages hold in the image's build cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Export data; the object code is beside them, compressed, for links.
    #[default]
    Lean,
    /// Everything.
    Plain,
}

/// `[common]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    /// Import paths, and `std`.
    pub packages: Vec<String>,
}

/// `[modules]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Modules {
    /// What becomes of Go modules that a provider requires and does not load.
    pub unloaded: Unloaded,
}

impl Modules {
    /// Keys are of what is said, and an image that says nothing has the keys of one from before there was a choice.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands on a reference"
    )]
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of Go modules that a provider requires and does not load, where one go.mod serves several providers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unloaded {
    /// Their files are in the whole image alone.
    #[default]
    Rest,
    /// Every image has them.
    Keep,
}
