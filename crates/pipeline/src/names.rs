//! Names that packs, images and commands have in common.

use crate::pack::part::Part;
use crate::work::Key;

/// The pack of the base system, the lowest layer of every image.
pub const BASE: &str = "base";
/// The pack of Pulumi, the verifier, Go and the other tools, and what the name of the image ends with that holds
/// nothing else.
pub const TOOLS: &str = "tools";
/// What the names of images end with that have programs and no Go, before the provider's if it is those of one.
pub const RUN: &str = "run";
/// What the names of programs' artifacts have after that of the whole image.
pub const PROGRAM: &str = "program";
pub use gocache::image_info::{COMMON, REST};
/// Begins the name of a provider's pack of plugins.
pub const PLUGINS: &str = "plugins-";
/// The whole image's name in a layout, and what the names of its variants start with.
pub use oci::reference::LATEST;
/// Ends the name of a variant that runs as the image's user.
pub const NONROOT: &str = "-nonroot";
/// Ends the name of the image of a provider's caches alone, whose root is mounted.
pub const VOLUME: &str = "-volume";
/// The tool that runs programs, as `image.toml` names it.
pub const PULUMI: &str = "pulumi";
/// The verifier's place in the image.
pub const VERIFIER: &str = "/usr/local/bin/verifier";

/// Whether a provider of this name would collide with `latest-tools`, `latest-run`, a `-nonroot` twin, a volume or
/// a program, or with a pack that is no provider's.
pub fn is_reserved(provider: &str) -> bool {
    let is_of = |kind: &str| {
        let rest = provider.strip_prefix(kind);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    matches!(provider, BASE | TOOLS | COMMON | REST)
        || is_of(RUN)
        || is_of(PROGRAM)
        || provider == NONROOT.trim_start_matches('-')
        || [NONROOT, VOLUME].iter().any(|end| provider.ends_with(end))
        || provider.starts_with(PLUGINS)
}

/// Longest tag of a registry.
pub const TAG_CHARACTERS: usize = 128;

/// Longest name of a provider: the tag of its pack has the number of the part and, after a `-`, the key as well.
pub const PROVIDER_CHARACTERS: usize =
    TAG_CHARACTERS - Part::LONGEST_NUMBER.len() - "-".len() - Key::CHARACTERS;

/// Whether the tags of images and packs can carry this name of a provider.
pub fn is_taggable(provider: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    provider.len() <= PROVIDER_CHARACTERS
        && provider.bytes().next().is_some_and(is_word)
        && provider
            .bytes()
            .all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_called_what_a_tag_can_be_called() {
        let longest = "a".repeat(PROVIDER_CHARACTERS);
        for name in ["aws", "a", "_x", "open-stack_2.0", "AWS", &longest] {
            assert!(is_taggable(name), "{name}");
        }
        let too_long = "a".repeat(PROVIDER_CHARACTERS + 1);
        for name in [
            "", "a+b", ".a", "-a", "a b", "a:b", "a@b", "a/b", "a\nb", "ä", "a,b", &too_long,
        ] {
            assert!(!is_taggable(name), "{name}");
        }
    }

    #[test]
    fn the_tag_of_the_longest_name_fits() {
        let part = Part {
            provider: "a".repeat(PROVIDER_CHARACTERS),
            shard: "999/999".parse().unwrap(),
        };
        let tag = crate::pack::description::tag(&part.name(), &crate::fixtures::key("any"));
        assert_eq!(tag.len(), TAG_CHARACTERS);
        assert!(PLUGINS.len() <= Part::LONGEST_NUMBER.len());
        let reference = format!("registry.test/packs:{tag}");
        assert!(
            reference
                .parse::<oci_spec::distribution::Reference>()
                .is_ok()
        );
    }

    #[test]
    fn names_of_packs_and_variants_are_no_providers() {
        for reserved in [
            "base",
            "tools",
            "common",
            "rest",
            "nonroot",
            "aws-nonroot",
            "plugins-aws",
            "run",
            "run-x",
            "aws-volume",
            "program-x",
        ] {
            assert!(is_reserved(reserved), "{reserved}");
        }
        for free in [
            "aws", "plugins", "volume", "nonroots", "my-tools", "latest", "tools2", "runner", "",
        ] {
            assert!(!is_reserved(free), "{free}");
        }
    }
}
