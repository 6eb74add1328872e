//! The packs that all images share, made from nothing beside those that earlier runs made from nothing: equal digests.
//! Only the tools' executables are taken from the earlier runs, and the downloads: compiling them again would take as
//! long as half of all other tests. So of the pack `tools` this holds the layer, not what the compiler makes.
//!
//! Where Debian has published something since an earlier run, the first ones are made from nothing, too.

use std::collections::BTreeSet;
use std::io::Read as _;

use camino::Utf8Path;
use gocache::image_info::BASE_PACKAGES_PATH;
use xshell::{Shell, cmd};

use crate::sources::small;
use crate::support::image::{Layout, Pack};
use crate::support::kept::{Kept, Results};
use crate::support::run::{folder, shell, succeed};

fn packs(sh: &Shell, source: &Utf8Path, out: &Utf8Path) -> Vec<Pack> {
    let warm = cmd!(sh, "cargo xtask warm --source {source} --out {out}");
    succeed(warm.args(["base", "tools", "common"].map(|name| format!("--provider={name}"))));
    Layout::at(out).packs()
}

/// What the base system below `out` lists as the packages that it was made of.
fn installed(out: &Utf8Path) -> String {
    let layout = Layout::at(out);
    let base = layout
        .packs()
        .into_iter()
        .find(|pack| pack.name.starts_with("base"));
    let digest = base.unwrap().layers[0]["digest"].clone();
    let layer = fs_err::File::open(layout.blob_path(digest.as_str().unwrap())).unwrap();
    let mut archive = tar::Archive::new(zstd::Decoder::new(layer).unwrap());
    let (mut text, mut paths) = (String::new(), BTreeSet::new());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        if path == Utf8Path::new(&BASE_PACKAGES_PATH[1..]) {
            entry.read_to_string(&mut text).unwrap();
        }
        // Docker and Podman refuse a layer that has one twice.
        assert!(paths.insert(path), "{:?} is there twice", entry.path());
    }
    text
}

#[test]
fn what_all_images_share_is_the_same_when_it_is_made_again_from_nothing() {
    let (_folder, root) = folder();
    let source = root.join("source");
    small(&source);
    let sh = shell();
    let mut first = packs(&sh, &source, &root.join("first"));
    assert_eq!(first.len(), 3);

    let from_nothing = |name: &str| {
        let kept = Kept::linked(&["tool"]);
        let _cache = sh.push_env("XDG_CACHE_HOME", kept.cache_home());
        let made = packs(&sh, &source, &root.join(name));
        for step in ["base", "go", "std", "tools-layer", "common"] {
            assert_eq!(kept.made_since(&Results::new(), step), 1, "{step}");
        }
        made
    };
    let again = from_nothing("again");
    if installed(&root.join("first")) != installed(&root.join("again")) {
        first = from_nothing("today");
    }
    for (first, again) in first.iter().zip(&again) {
        assert_eq!(again.name, first.name);
        assert_eq!(again.layers, first.layers, "layers of {}", first.name);
        assert_eq!(
            again.config, first.config,
            "what {} says of itself",
            first.name
        );
    }
}
