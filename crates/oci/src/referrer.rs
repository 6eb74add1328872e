//! Artifacts that say something of an image: what it holds, where it came from, whether it does what it is for.
//!
//! Such an artifact is a manifest with one blob, and the image's descriptor as its `subject` (a *referrer*, since
//! version 1.1 of OCI's formats). Nothing of the image changes by it, and tools that know referrers copy and delete
//! them with it.

use anyhow::{Context as _, Result};
use failure::corrupt;
use oci_spec::image::{Descriptor, ImageManifest, ImageManifestBuilder, MediaType};
use sha256::Sha256Hash;

use crate::blob::{Blobs, descriptor};

/// The content of the blob that stands for a config where there is none.
pub const EMPTY: &[u8] = b"{}";

/// More than anybody says of one image.
pub(crate) const MAX_REFERRERS: usize = 1000;

/// Where it is known what is said of images.
pub trait Referrers: Blobs {
    /// The manifests of all that is said to be said of `subject`, whoever says so.
    fn referrers(&self, subject: &Descriptor) -> Result<Vec<Descriptor>>;
}

/// A list of what is said of `subject`, unless it has too many entries to look at.
pub(crate) fn bounded(all: Vec<Descriptor>, subject: &Descriptor) -> Result<Vec<Descriptor>> {
    if all.len() <= MAX_REFERRERS {
        return Ok(all);
    }
    Err(corrupt(
        format!(
            "more than {MAX_REFERRERS} artifacts refer to {}",
            subject.digest()
        ),
        "delete those that nobody needs",
    ))
}

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
