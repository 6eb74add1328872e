//! Blobs: where they come from, and what describes them.

use std::io::ErrorKind;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use failure::{corrupt, usage};
use oci_spec::image::{
    Descriptor, DescriptorBuilder, ImageIndex, ImageIndexBuilder, ImageManifest, MediaType,
    Sha256Digest,
};
use serde::de::DeserializeOwned;
use sha256::Sha256Hash;

use crate::layer::{Compression, Layer};

/// More bytes than a manifest, an index or a configuration has; they are read whole.
pub const MAX_DOCUMENT_BYTES: u64 = 32 << 20;

/// Where the blobs of an image come from.
pub trait Blobs: Sync {
    /// The file that holds `blob`, size and digest checked.
    fn fetch(&self, blob: &Descriptor) -> Result<Utf8PathBuf>;
}

/// The digest of `descriptor`, of the one kind that is used.
pub fn sha256(descriptor: &Descriptor) -> Result<Sha256Hash> {
    let digest = descriptor.as_digest_sha256();
    digest
        .and_then(|digest| digest.parse().ok())
        .ok_or_else(|| {
            usage(
                format!(
                    "{} is no SHA-256 digest, and no other kind can be checked",
                    descriptor.digest()
                ),
                "make the image anew with a tool that uses SHA-256",
            )
        })
}

/// Fails if `blob`, which is to be a `what`, is too large for one, before anybody fetches it.
pub fn check_document(blob: &Descriptor, what: &str) -> Result<()> {
    if blob.size() > MAX_DOCUMENT_BYTES {
        return Err(corrupt(
            format!(
                "{} is to be a {what}, and has {} bytes, more than {MAX_DOCUMENT_BYTES}",
                blob.digest(),
                blob.size()
            ),
            "make the image anew",
        ));
    }
    Ok(())
}

/// Reads a blob, which is JSON.
pub fn read<T: DeserializeOwned>(file: &Utf8Path, what: &str) -> Result<T> {
    let damaged = |reason: String| {
        corrupt(
            format!("{file} is no {what}: {reason}"),
            "make or push the image anew",
        )
    };
    match regular_file::read(file, MAX_DOCUMENT_BYTES) {
        Ok(json) => serde_json::from_slice(&json).map_err(|error| damaged(error.to_string())),
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(damaged(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Fetches and reads a blob, which is JSON.
pub fn read_document<T: DeserializeOwned>(
    blobs: &dyn Blobs,
    blob: &Descriptor,
    what: &str,
) -> Result<T> {
    check_document(blob, what)?;
    read(&blobs.fetch(blob)?, what)
}

/// The one JSON of a manifest: annotations come from hash maps, and through a value their order is that of their names.
pub fn manifest_json(manifest: &ImageManifest) -> Result<Vec<u8>> {
    let value = serde_json::to_value(manifest);
    value
        .and_then(|value| serde_json::to_vec(&value))
        .context("failed to serialize a manifest")
}

/// An index of these manifests.
pub fn index(manifests: Vec<Descriptor>) -> Result<ImageIndex> {
    ImageIndexBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageIndex)
        .manifests(manifests)
        .build()
        .context("failed to describe an index")
}

/// The JSON of an index, likewise.
pub fn index_json(index: &ImageIndex) -> Result<Vec<u8>> {
    let value = serde_json::to_value(index);
    value
        .and_then(|value| serde_json::to_vec(&value))
        .context("failed to serialize an index")
}

/// The descriptor of a manifest, as [`manifest_json`] writes it.
pub fn manifest_descriptor(manifest: &ImageManifest) -> Result<Descriptor> {
    let json = manifest_json(manifest)?;
    descriptor(
        MediaType::ImageManifest,
        Sha256Hash::of(&json),
        json.len() as u64,
    )
}

/// The descriptor of a layer.
pub fn layer_descriptor(layer: &Layer) -> Result<Descriptor> {
    let media_type = match layer.compression {
        Compression::Zstd => MediaType::ImageLayerZstd,
        Compression::Gzip => MediaType::ImageLayerGzip,
    };
    descriptor(media_type, layer.digest, layer.size_bytes)
}

/// The descriptor of a blob.
pub fn descriptor(
    media_type: MediaType,
    digest: Sha256Hash,
    size_bytes: u64,
) -> Result<Descriptor> {
    let digest: Sha256Digest = digest
        .to_string()
        .parse()
        .context("a digest is 64 hex digits")?;
    DescriptorBuilder::default()
        .media_type(media_type)
        .digest(digest)
        .size(size_bytes)
        .build()
        .context("failed to describe a blob")
}

/// Links `from` at `to`, or copies it where the file system has no links between the two.
pub fn link_or_copy(from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    if std::fs::hard_link(from, to).is_err() {
        fs_err::copy(from, to)?;
    }
    Ok(())
}
