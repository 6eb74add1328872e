//! Signatures: of images and packs, and of what is said of them.
//!
//! Signing is cosign's: with a key, or for the identity of the workflow that it runs in. What is signed is a statement
//! in each case, so a signature is found where statements are, beside its image. Whoever names a key, or an identity,
//! to trust takes no image without a signature that fits, and none beside which something else is said.
//!
//! - [`said`]: what lies beside an image, of which nothing is believed.
//! - [`trust`]: whose signatures are believed, and whether an image has one.
//! - [`cosign`]: the program.
//! - [`sign`]: signing what is in a repository before it has its tag.

pub mod cosign;
pub mod said;
pub mod sign;
pub mod trust;

#[cfg(test)]
mod tests;

/// What a signature says of its image: nothing but that. It is the type that cosign gives its own.
pub const SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
