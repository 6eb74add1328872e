//! Go: the versions of its distribution that the module proxy has. The checksum database vouches for each.

use anyhow::Result;
use oci::platform::Platform;
use toml_edit::value;

use super::{Change, Pinned, choose, newer};

/// The Go module whose versions are distributions of Go.
const MODULE: &str = "golang.org/toolchain";

pub fn raise(pinned: &mut Pinned, wanted: Option<&str>) -> Result<Vec<Change>> {
    let versions = pinned.versions(MODULE)?;
    let Platform { os, arch } = Platform::host();
    let end = format!(".{os}-{arch}");
    let of_platform = versions
        .iter()
        .filter_map(|it| it.strip_prefix("v0.0.1-go")?.strip_suffix(&end));
    let chosen = choose("Go", of_platform, wanted)?;
    let old = pinned.parsed()?.go.version;
    let new = newer(&old, &chosen, wanted);
    pinned.image["go"]["version"] = replaced(&pinned.image["go"]["version"], &new);
    let name = "go".to_owned();
    Ok(vec![Change { name, old, new }])
}

/// The value `new`, with what stands around the old one.
pub fn replaced(old: &toml_edit::Item, new: &str) -> toml_edit::Item {
    let mut item = value(new);
    if let (Some(old), Some(new)) = (old.as_value(), item.as_value_mut()) {
        *new.decor_mut() = old.decor().clone();
    }
    item
}
