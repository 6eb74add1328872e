//! What lies beside an image: statements as they are, and bundles of signed ones, whoever put them there.
//!
//! A document of what is in an image is no statement, for scanners read none; one is made of it here, in one way only, so
//! that it can be signed and found again like the others.

use std::io::ErrorKind;

use anyhow::Result;
use camino::Utf8PathBuf;
use dsse::{BUNDLE_TYPE, Bundle, STATEMENT_TYPE};
use failure::corrupt;
use oci::blob::{Blobs, read_document};
use oci::referrer::Referrers;
use oci_spec::image::{Descriptor, ImageManifest, MediaType};
use serde::de::IgnoredAny;

/// More bytes than all that is said of one image has; it is held in memory.
const MAX_BYTES: u64 = 256 << 20;
/// Types of the contents that are known here, and of the artifacts that have them.
const KNOWN: [&str; 3] = [STATEMENT_TYPE, BUNDLE_TYPE, sbom::spdx::MEDIA_TYPE];
/// What is said by a document of what is in an image; cosign calls it `spdxjson`.
const SPDX: &str = "https://spdx.dev/Document";

/// What lies beside an image.
#[derive(Debug, Default)]
pub struct Said {
    /// Statements without a signature.
    pub statements: Vec<Plain>,
    /// Bundles, of which not even the form was checked.
    pub bundles: Vec<Signed>,
}

/// A statement without a signature, or what stands for one.
#[derive(Debug)]
pub struct Plain {
    /// Digest of its artifact, `sha256:…`.
    pub digest: String,
    /// Of what it is said.
    pub subject: Descriptor,
    /// The statement's bytes.
    pub bytes: Vec<u8>,
}

/// What should be a bundle.
#[derive(Debug)]
pub struct Signed {
    /// Digest of its artifact, `sha256:…`.
    pub digest: String,
    /// The bundle.
    pub bundle: Result<Bundle, dsse::Error>,
    /// The file that it is in.
    pub file: Utf8PathBuf,
}

/// An artifact that says something.
enum Artifact {
    Plain(Box<Plain>),
    Signed(Signed),
}

impl Said {
    /// What is said of `subject` in `place`.
    ///
    /// # Errors
    /// A blob that does not have its digest is an error, and so is what the place lists as said of this image and was
    /// said of another.
    pub fn of(place: &dyn Referrers, subject: &Descriptor) -> Result<Self> {
        let mut said = Self::default();
        let mut left_bytes = MAX_BYTES;
        for referrer in place.referrers(subject)? {
            take(&mut left_bytes, &referrer, subject)?;
            let manifest: ImageManifest = read_document(place, &referrer, "manifest")?;
            let of = manifest.subject().as_ref().map(Descriptor::digest);
            if of != Some(subject.digest()) {
                return Err(corrupt(
                    format!(
                        "{} is listed as said of {}, and was said of {}",
                        referrer.digest(),
                        subject.digest(),
                        of.map_or("nothing".to_owned(), ToString::to_string)
                    ),
                    "delete it there",
                ));
            }
            match artifact(place, &referrer, &manifest, &mut left_bytes)? {
                Some(Artifact::Plain(plain)) => said.statements.push(*plain),
                Some(Artifact::Signed(signed)) => said.bundles.push(signed),
                None => {}
            }
        }
        Ok(said)
    }
}

/// The statement without a signature that the artifact `referrer` is; none where it is something else. Its bytes are
/// taken from `left_bytes`; more than these are an error.
pub fn plain(
    place: &dyn Blobs,
    referrer: &Descriptor,
    left_bytes: &mut u64,
) -> Result<Option<Plain>> {
    let manifest: ImageManifest = read_document(place, referrer, "manifest")?;
    let read = artifact(place, referrer, &manifest, left_bytes)?;
    Ok(match read {
        Some(Artifact::Plain(plain)) => Some(*plain),
        _ => None,
    })
}

/// Takes the bytes of `content`, which is said of `subject`, from those that may still be read.
fn take(left_bytes: &mut u64, content: &Descriptor, subject: &Descriptor) -> Result<()> {
    *left_bytes = left_bytes.checked_sub(content.size()).ok_or_else(|| {
        corrupt(
            format!(
                "more is said of {} than anybody reads, with {}",
                subject.digest(),
                content.digest()
            ),
            "delete there what nobody needs",
        )
    })?;
    Ok(())
}

/// Reads what is of a type that is known here; others may say of an image what they like.
///
/// # Errors
/// What claims to be of such a type, and is not one content of it, is an error: another reader may take it for one.
fn artifact(
    place: &dyn Blobs,
    referrer: &Descriptor,
    manifest: &ImageManifest,
    left_bytes: &mut u64,
) -> Result<Option<Artifact>> {
    let Some(subject) = manifest.subject() else {
        return Ok(None);
    };
    let digest = referrer.digest().to_string();
    let is_known = |media_type: &MediaType| KNOWN.contains(&media_type.as_ref());
    let contents = manifest.layers().iter().map(Descriptor::media_type);
    let mut types = manifest.artifact_type().iter().chain(contents);
    let content = match manifest.layers().as_slice() {
        [content] if is_known(content.media_type()) => content,
        _ if types.any(is_known) => {
            return Err(corrupt(
                format!("{digest} is called a statement, and does not have the form of one"),
                "delete it there",
            ));
        }
        _ => return Ok(None),
    };
    take(left_bytes, content, subject)?;
    let media_type = content.media_type().to_string();
    let file = place.fetch(content)?;
    let bytes = regular_file::read(&file, content.size()).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => corrupt(error.to_string(), "fetch it again"),
        _ => error.into(),
    })?;
    if media_type == BUNDLE_TYPE {
        return Ok(Some(Artifact::Signed(Signed {
            digest,
            bundle: Bundle::parse(&bytes),
            file,
        })));
    }
    let bytes = if media_type == STATEMENT_TYPE {
        bytes
    } else {
        around(subject, &digest, &bytes)?
    };
    Ok(Some(Artifact::Plain(Box::new(Plain {
        digest,
        subject: subject.clone(),
        bytes,
    }))))
}

/// The statement that `document`, in the artifact `digest`, is in `subject`; the document in it is as it was, byte by
/// byte.
pub(super) fn around(subject: &Descriptor, digest: &str, document: &[u8]) -> Result<Vec<u8>> {
    serde_json::from_slice::<IgnoredAny>(document).map_err(|error| {
        corrupt(
            format!(
                "the document {digest} of what is in an image, of {}: {error}",
                subject.digest()
            ),
            "delete it there",
        )
    })?;
    let head = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"{}"}}}}],"predicateType":"{SPDX}","predicate":"#,
        subject.digest().digest()
    );
    Ok([head.as_bytes(), document, b"}"].concat())
}
