//! This repository, where the program that runs was built from it.

use camino::{Utf8Path, Utf8PathBuf};

const IMAGE_TOML: &str = "base-images/iac-runner/image.toml";

/// The folder of this workspace.
pub fn workspace() -> Utf8PathBuf {
    let manifest = std::env::var("CARGO_MANIFEST_DIR")
        .unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let mut above = Utf8Path::new(&manifest).ancestors();
    let found = above.find(|folder| folder.join(IMAGE_TOML).is_file());
    found.map_or_else(|| manifest.clone().into(), Utf8Path::to_owned)
}

/// The description of the image that is used where the user names none.
pub fn image_toml() -> Utf8PathBuf {
    workspace().join(IMAGE_TOML)
}
