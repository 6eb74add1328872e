//! The document that an image has beside it, against what its layers say.
//!
//! It is believed to be of the image by nothing but that: bytes made of the layers anew, of which it has to be the same.

use anyhow::Result;
use oci_spec::image::{Descriptor, ImageManifest, MediaType};
use sha256::Sha256Hash;

use crate::flags::open_layout;
use engine::progress::Step;
use failure::corrupt;
use oci::blob::{self, read_document};
use oci::reference::ImageReference;
use oci::referrer::Referrers;
use oci::registry::Registry;
use pipeline::assemble::sbom::ARTIFACT_TYPE;
use pipeline::work::Work;

/// Looks for `document` beside the image with this digest, where `reference` names it; what was found.
///
/// # Errors
/// An image that has other documents beside it, and not this one, is an error, and so is damage.
pub fn check(
    document: &[u8],
    digest: &str,
    reference: &ImageReference,
    (work, insecure): (&Work, bool),
    step: &Step,
) -> Result<String> {
    let image = match digest.strip_prefix("sha256:").map(str::parse) {
        // What it says is its size is not looked at.
        Some(Ok(digest)) => blob::descriptor(MediaType::ImageManifest, digest, 0)?,
        _ => return Ok("no document is beside it".to_owned()),
    };
    match reference {
        ImageReference::Layout { folder, .. } => compare(document, &image, &open_layout(folder)?),
        ImageReference::Registry(reference) => {
            let registry = Registry::open(reference, insecure, work.shared("blobs")?, step)?;
            compare(document, &image, &registry)
        }
        ImageReference::Docker(_) => Ok("Docker keeps no document beside it".to_owned()),
    }
}

fn compare(document: &[u8], image: &Descriptor, place: &dyn Referrers) -> Result<String> {
    let wanted = Sha256Hash::of(document);
    let artifact_type = Some(MediaType::from(ARTIFACT_TYPE));
    let (mut same, mut others) = (0, Vec::new());
    for listed in place.referrers(image)? {
        if *listed.artifact_type() != artifact_type {
            continue;
        }
        let manifest: ImageManifest = read_document(place, &listed, "manifest of a document")?;
        let subject = manifest.subject().as_ref().map(Descriptor::digest);
        let contents = manifest.layers().iter().map(blob::sha256);
        let contents = contents.collect::<Result<Vec<_>>>()?;
        if subject == Some(image.digest()) && contents == [wanted] {
            place.fetch(&manifest.layers()[0])?;
            same += 1;
        } else {
            others.push(listed.digest().to_string());
        }
    }
    match (same, others.as_slice()) {
        (0, []) => Ok("no document is beside it".to_owned()),
        (0, others) => Err(corrupt(
            format!(
                "the image {} has a document beside it that is not that of its layers: {}",
                image.digest(),
                others.join(", ")
            ),
            "do not believe it; `cargo xtask sbom` prints the one of its layers",
        )),
        (_, []) => Ok("the document beside it is the same".to_owned()),
        (_, others) => Ok(format!(
            "the document beside it is the same, and there are others: {}",
            others.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use oci::layout::reader::Layout;
    use oci::layout::writer::LayoutWriter;
    use oci::referrer;

    use super::*;

    /// What is said of a document `ours` of an image that has these beside it, each with whether it is said to be of
    /// that image; the last byte of the first one is another by then if it `is_damaged`.
    fn compared(documents: &[(&str, bool)], is_damaged: bool) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let folder = Utf8Path::from_path(folder.path()).expect("a name");
        let mut layout = LayoutWriter::create(folder)?;
        let [image, other] = [b"image".as_slice(), b"other"]
            .map(|it| layout.bytes(MediaType::ImageManifest, it).expect("a blob"));
        for (document, is_ours) in documents {
            let content = layout.bytes(ARTIFACT_TYPE.into(), document.as_bytes())?;
            let subject = if *is_ours { &image } else { &other };
            layout.referrer(&referrer::manifest(subject, ARTIFACT_TYPE, content)?)?;
        }
        layout.finish()?;
        if is_damaged {
            let blob = Sha256Hash::of(documents[0].0.as_bytes());
            fs_err::write(folder.join("blobs/sha256").join(blob.to_string()), "ourz")?;
        }
        compare(b"ours", &image, &Layout::open(folder)?)
    }

    #[test]
    fn the_document_beside_an_image_is_the_one_of_its_layers_or_refused() {
        for (documents, expected) in [
            (&[][..], Some("no document is beside it")),
            (&[("ours", false)], Some("no document is beside it")),
            (
                &[("ours", true)],
                Some("the document beside it is the same"),
            ),
            (
                &[("ours", true), ("x", true)],
                Some("the same, and there are others: sha256:"),
            ),
            (&[("that of another", true)], None),
        ] {
            let said = compared(documents, false);
            match (said, expected) {
                (Ok(said), Some(expected)) => assert!(said.contains(expected), "{said}"),
                (Err(error), None) => {
                    assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
                }
                (said, _) => panic!("{documents:?}: {said:?}"),
            }
        }
        let error = compared(&[("ours", true)], true).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
        let said = failure::text(&error);
        assert!(
            said.contains(&Sha256Hash::of(b"ours").to_string()),
            "{said}"
        );
    }
}
