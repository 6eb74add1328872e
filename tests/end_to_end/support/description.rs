//! Descriptions of images that differ from ours in one setting.

use camino::{Utf8Path, Utf8PathBuf};

use super::run::{workspace, write};

/// Ours, with `to` in place of `from`, in `folder`.
pub fn changed(folder: &Utf8Path, from: &str, to: &str) -> Utf8PathBuf {
    let place = workspace().join("base-images/iac-runner");
    let text = fs_err::read_to_string(place.join("image.toml")).unwrap();
    let changed = text.replace(from, to);
    assert_ne!(changed, text);
    write(folder, "image.toml", &changed);
    // Not by another path: it is part of what tools are made from.
    let tools = folder.join("tools");
    if !tools.is_symlink() {
        fs_err::os::unix::fs::symlink(place.join("tools"), tools).unwrap();
    }
    folder.join("image.toml")
}

/// With volumes of all providers.
pub fn with_volumes(folder: &Utf8Path) -> Utf8PathBuf {
    changed(folder, "providers = false", "providers = true")
}
