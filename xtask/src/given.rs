//! What a command is given: the source with its modules, and what of this repository it uses.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use modules::{Discovery, Module};

use crate::artifact::{BASE, TOOLS};
use crate::cli;
use crate::failure::usage;
use crate::oci::NONROOT;
use crate::warm::COMMON;

/// The folder of this workspace.
pub fn workspace() -> Utf8PathBuf {
    let manifest = std::env::var("CARGO_MANIFEST_DIR")
        .unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Utf8Path::new(&manifest)
        .parent()
        .map_or_else(|| manifest.clone().into(), Utf8Path::to_owned)
}

/// The description of the image that is used where the user names none.
pub fn image_toml() -> Utf8PathBuf {
    workspace().join("base-images/iac-runner/image.toml")
}

/// The source that the flags name, as an absolute path.
pub fn source(flags: &cli::Source) -> Result<Utf8PathBuf> {
    let source = flags
        .source
        .clone()
        .unwrap_or_else(|| workspace().join("catalog"));
    source.canonicalize_utf8().map_err(|error| {
        usage(format!(
            "the source {source} cannot be read: {error}; name a folder with --source"
        ))
    })
}

/// The modules of `source`; what was skipped, and why, goes to standard error.
pub fn discover(source: &Utf8Path) -> Result<Discovery> {
    let found = modules::discover(source)?;
    for skipped in &found.skipped {
        eprintln!("skipped {}: {}", skipped.path, skipped.reason);
    }
    if found.modules.is_empty() {
        return Err(usage(format!(
            "{source} holds no modules: no folder apis/**/provider/<provider>/**/iac/pulumi with a Go main package"
        )));
    }
    Ok(found)
}

/// The providers that were asked for, or all of `modules`; sorted.
pub fn select(modules: &[Module], wanted: &[String]) -> Result<Vec<String>> {
    let known: BTreeSet<&str> = modules
        .iter()
        .map(|module| module.provider.as_str())
        .collect();
    let list = known.iter().copied().collect::<Vec<_>>().join(", ");
    if let Some(name) = known.iter().find(|name| is_reserved(name)) {
        return Err(usage(format!(
            "the provider `{name}` has a name that a variant or a pack of ours has; rename its folder"
        )));
    }
    for provider in wanted {
        if !known.contains(provider.as_str()) {
            return Err(usage(format!(
                "there is no provider `{provider}` in the source; there are: {list}"
            )));
        }
    }
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    Ok(known
        .into_iter()
        .filter(|provider| wanted.is_empty() || wanted.contains(provider))
        .map(str::to_owned)
        .collect())
}

/// Whether a provider of this name would collide with `latest-tools`, with a `-nonroot` twin, or with a pack that is no
/// provider's.
fn is_reserved(provider: &str) -> bool {
    matches!(provider, BASE | TOOLS | "nonroot" | COMMON) || provider.ends_with(NONROOT)
}
