//! Names that packs, images and commands have in common.

/// The pack of the base system, the lowest layer of every image.
pub const BASE: &str = "base";
/// The pack of Go, the tools and the verifier, and what the name of the image ends with that holds nothing else.
pub const TOOLS: &str = "tools";
/// The pack of what all providers share.
pub const COMMON: &str = "common";
/// The whole image's name in a layout, and what the names of its variants start with.
pub use oci::reference::LATEST;
/// Ends the name of a variant that runs as the image's user.
pub const NONROOT: &str = "-nonroot";
/// The verifier's place in the image.
pub const VERIFIER: &str = "/usr/local/bin/verifier";

/// Whether a provider of this name would collide with `latest-tools`, with a `-nonroot` twin, or with a pack that is no
/// provider's.
pub fn is_reserved(provider: &str) -> bool {
    matches!(provider, BASE | TOOLS | COMMON)
        || provider == NONROOT.trim_start_matches('-')
        || provider.ends_with(NONROOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_packs_and_variants_are_no_providers() {
        for reserved in ["base", "tools", "common", "nonroot", "aws-nonroot"] {
            assert!(is_reserved(reserved), "{reserved}");
        }
        for free in ["aws", "nonroots", "my-tools", "latest", "tools2", ""] {
            assert!(!is_reserved(free), "{free}");
        }
    }
}
