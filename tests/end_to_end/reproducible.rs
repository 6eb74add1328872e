//! The packs that all images share, made from nothing beside those that earlier runs made from nothing: equal digests.
//! Only the tools' executables are taken from the earlier runs, and the downloads: compiling them again would take as
//! long as half of all other tests. So of the pack `tools` this holds the layer, not what the compiler makes.

use camino::Utf8Path;
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

#[test]
fn what_all_images_share_is_the_same_when_it_is_made_again_from_nothing() {
    let (_folder, root) = folder();
    let source = root.join("source");
    small(&source);
    let sh = shell();
    let first = packs(&sh, &source, &root.join("first"));
    assert_eq!(first.len(), 3);

    let kept = Kept::linked(&["tool"]);
    sh.set_var("XDG_CACHE_HOME", kept.cache_home());
    for (first, again) in first.iter().zip(packs(&sh, &source, &root.join("again"))) {
        assert_eq!(again.name, first.name);
        assert_eq!(again.layers, first.layers, "layers of {}", first.name);
        assert_eq!(
            again.config, first.config,
            "what {} says of itself",
            first.name
        );
    }
    let made = |step: &str| kept.made_since(&Results::new(), step);
    for step in ["base", "go", "std", "tools-layer", "common"] {
        assert_eq!(made(step), 1, "{step}");
    }
}
