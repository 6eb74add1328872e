//! `[volume]`: whose caches are images of their own, and what the go command of another image has to be told of them.

use std::collections::BTreeMap;

use anyhow::Result;
use camino::Utf8Path;
use failure::usage;
use gocache::image_info::{OBJECTS_PATH, TOOLEXEC, volume};
use oci::platform::Platform;
use serde::Deserialize;

use super::{ImageToml, Providers};

/// `[volume]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Whose caches are images of their own, whose root is mounted.
    pub providers: Providers,
}

impl Volume {
    /// Whether any provider's may be.
    pub fn is_wanted(&self) -> bool {
        self.providers != Providers::All(false)
    }
}

/// Where a volume of these caches is mounted: the folder that has all of them, if there is one.
pub fn place<'p>(gomodcache: &'p Utf8Path, gocache: &Utf8Path) -> Option<&'p Utf8Path> {
    let others = [gocache, Utf8Path::new(OBJECTS_PATH)];
    let above = gomodcache.ancestors().skip(1);
    // The root is no place to mount anything at.
    let mut above = above.filter(|folder| folder.parent().is_some());
    above.find(|folder| others.iter().all(|cache| cache.starts_with(folder)))
}

impl ImageToml {
    /// Where a volume of caches is mounted.
    pub fn volume_place(&self) -> Result<&Utf8Path> {
        let (gomodcache, gocache) = (&self.go.gomodcache, &self.go.gocache);
        place(gomodcache, gocache).ok_or_else(|| {
            usage(
                format!(
                    "no folder has all of {gomodcache}, {gocache} and {OBJECTS_PATH}, where a volume would be mounted"
                ),
                "name such paths in [go], or leave out [volume]",
            )
        })
    }

    /// The environment by which the go command of another image finds the caches of a volume. No program runs from
    /// a volume everywhere, but the other image's shell reads a script in it.
    pub fn volume_env(&self, platform: &Platform) -> Result<BTreeMap<String, String>> {
        let folder = self.volume_place()?.join(volume::FOLDER);
        let script = format!("/bin/sh {}", folder.join(volume::SCRIPT));
        let mut env = self.go_env(platform);
        // A go command finds its own; another one would be no better for being called so.
        env.remove("GOROOT");
        let goflags = self.goflags_with(&format!("{script} {TOOLEXEC}"));
        let served = format!("{script} cacheprog --shipped {}", self.go.gocache);
        env.extend([
            ("GOFLAGS".to_owned(), goflags),
            ("GOCACHEPROG".to_owned(), served),
        ]);
        Ok(env)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{image, platform};

    #[test]
    fn a_volume_is_mounted_at_the_folder_that_has_all_caches() {
        let mut image = image();
        for (gomodcache, gocache, place) in [
            (
                "/var/cache/go-mod",
                "/var/cache/go-build",
                Some("/var/cache"),
            ),
            (
                "/var/cache/a/go-mod",
                "/var/cache/b/go-build",
                Some("/var/cache"),
            ),
            ("/var/cache/go-mod", "/var/go-build", Some("/var")),
            ("/var/cache/go-mod", "/go-build", None),
            ("/go-mod", "/var/go-build", None),
        ] {
            (image.go.gomodcache, image.go.gocache) = (gomodcache.into(), gocache.into());
            let found = image.volume_place().ok();
            assert_eq!(found.map(Utf8Path::as_str), place, "{gomodcache} {gocache}");
        }
    }

    #[test]
    fn a_volume_without_a_place_is_refused_where_it_is_wanted() {
        let shipped = fs_err::read_to_string(crate::workspace::image_toml()).unwrap();
        let moved = shipped.replace("\"/var/cache/go-mod\"", "\"/go-mod\"");
        assert_ne!(moved, shipped);
        ImageToml::parse(&moved).unwrap();
        let wanted = moved.replace("providers = false", "providers = [\"civo\"]");
        let said = failure::text(&ImageToml::parse(&wanted).unwrap_err());
        assert!(said.contains("no folder has all of /go-mod"), "{said}");
    }

    #[test]
    fn nothing_in_the_environment_is_a_program_of_the_volume() {
        let env = image().volume_env(&platform()).unwrap();
        let script = "/bin/sh /var/iac-runner/verifier.sh";
        assert_eq!(
            env["GOCACHEPROG"],
            format!("{script} cacheprog --shipped /var/build")
        );
        let flags = "-trimpath -gcflags=all=-dwarf=false -ldflags=-s";
        assert_eq!(
            env["GOFLAGS"],
            format!("{flags} \"-toolexec={script} toolexec\"")
        );
        let names: Vec<&str> = env.keys().map(String::as_str).collect();
        insta::assert_snapshot!(
            names.join(" "),
            @"CGO_ENABLED GOAMD64 GOCACHE GOCACHEPROG GOFLAGS GOMODCACHE GOTOOLCHAIN"
        );
    }
}
