//! Artifacts that say something of an image: what it holds, where it came from, whether it does what it is for.
//!
//! Such an artifact is a manifest with one blob, and the image's descriptor as its `subject` (a *referrer*, since
//! version 1.1 of OCI's formats). Nothing of the image changes by it, and tools that know referrers copy and delete
//! them with it.

use anyhow::{Context as _, Result};
use oci_spec::image::{Descriptor, ImageManifest, ImageManifestBuilder, MediaType};
use sha256::Sha256Hash;

use crate::blob::descriptor;

/// The content of the blob that stands for a config where there is none.
pub const EMPTY: &[u8] = b"{}";

/// The descriptor of [`EMPTY`].
pub fn empty() -> Result<Descriptor> {
    descriptor(
        MediaType::EmptyJSON,
        Sha256Hash::of(EMPTY),
        EMPTY.len() as u64,
    )
}

/// The manifest of an artifact of this type, which is `content` and says something of `subject`.
pub fn manifest(
    subject: &Descriptor,
    artifact_type: &str,
    content: Descriptor,
) -> Result<ImageManifest> {
    // Its name in a layout is no part of what an image is.
    let mut subject = subject.clone();
    subject.set_annotations(None);
    subject.set_platform(None);
    ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .artifact_type(MediaType::from(artifact_type))
        .config(empty()?)
        .layers(vec![content])
        .subject(subject)
        .build()
        .context("failed to describe what is said of an image")
}

/// The tag whose index lists the referrers of `subject` in a registry that has no list of them by itself.
pub fn fallback_tag(subject: &Descriptor) -> String {
    subject.digest().to_string().replacen(':', "-", 1)
}
