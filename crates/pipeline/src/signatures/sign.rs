//! Signs what is in a repository, before it has its tag.
//!
//! All images have one signature together: its statement names the digest of each, and lies beside each. What is said
//! of an image is signed by itself. What fits the key already is not signed again, so pushing twice changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context as _, Result};
use dsse::{BUNDLE_TYPE, PublicKey, Statement};
use failure::corrupt;
use oci::blob::{Blobs, read_document};
use oci::referrer;
use oci_spec::image::{Descriptor, ImageIndex, MediaType};
use rayon::prelude::*;
use serde_json::json;

use super::SIGNATURE;
use super::cosign::{self, Signer};
use super::said::{self, Said};
use crate::assemble::registry_target::RegistryTarget;
use crate::assemble::target::Target as _;
use crate::work::Work;

/// More bytes than what is said of all images of a release has; it is held in memory.
const MAX_BYTES: u64 = 1 << 30;
/// What a bundle is, as annotations of its artifact: as cosign writes them.
const CONTENT: (&str, &str) = ("dev.sigstore.bundle.content", "dsse-envelope");
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";

/// A statement to be signed, and the images that it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ToSign {
    statement: Statement,
    beside: Vec<Descriptor>,
}

/// Signs the images and the statements, each an artifact in the repository; how many signatures that took.
pub fn sign(
    signer: &Signer,
    target: &mut RegistryTarget<'_>,
    images: &[(String, Descriptor)],
    statements: &[Descriptor],
    work: &Work,
) -> Result<usize> {
    cosign::require()?;
    let key = match signer {
        Signer::Key(key) => Some(cosign::public_key(key)?),
        Signer::Identity => None,
    };
    let registry = target.registry();
    let (mut plain, mut seen) = (Vec::new(), BTreeSet::new());
    let mut left_bytes = MAX_BYTES;
    for statement in statements {
        if seen.insert(statement.digest().to_string()) {
            plain.extend(said::plain(registry, statement, &mut left_bytes)?);
        }
    }
    let mut there = BTreeMap::new();
    let subjects = images.iter().map(|(_, image)| image);
    for subject in subjects.chain(plain.iter().map(|it| &it.subject)) {
        let digest = subject.digest().to_string();
        if let (Some(key), false) = (&key, there.contains_key(&digest)) {
            there.insert(digest, fitting(&Said::of(registry, subject)?, key));
        }
    }
    let all = to_sign(images, &plain, &there)?;
    let bundles: Vec<Vec<u8>> = all
        .par_iter()
        .map(|it| {
            let scratch = work.scratch("signature")?;
            let bundle = cosign::attest(signer, &it.statement.bytes, scratch.path())?;
            if let Some(key) = &key {
                let made = dsse::Bundle::parse(&bundle).and_then(|bundle| bundle.statement(key));
                made.context("failed to check what cosign signed")?;
            }
            anyhow::Ok(bundle)
        })
        .collect::<Result<_>>()?;
    for (ToSign { statement, beside }, bundle) in all.iter().zip(&bundles) {
        let content = target.bytes(BUNDLE_TYPE.into(), bundle)?;
        for subject in beside {
            let mut manifest = referrer::manifest(subject, BUNDLE_TYPE, content.clone())?;
            let annotations = [CONTENT, (PREDICATE_TYPE, &statement.predicate_type)];
            let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned()));
            manifest.set_annotations(Some(HashMap::from(annotations)));
            target.registry().push_referrer(&manifest, subject)?;
        }
    }
    Ok(all.len())
}

/// The images in `place`, each once, and the manifests that the indexes among them name.
pub fn with_parts(
    place: &dyn Blobs,
    images: &[(String, Descriptor)],
) -> Result<Vec<(String, Descriptor)>> {
    let mut all: Vec<(String, Descriptor)> = Vec::new();
    for (name, image) in images {
        let mut found = vec![image.clone()];
        if *image.media_type() == MediaType::ImageIndex {
            let index: ImageIndex = read_document(place, image, "index of images")?;
            found.extend(index.manifests().iter().cloned());
        }
        for image in found {
            if !all
                .iter()
                .any(|(_, there)| there.digest() == image.digest())
            {
                all.push((name.clone(), image));
            }
        }
    }
    Ok(all)
}

/// The statements of `said` that fit the key.
fn fitting(said: &Said, key: &PublicKey) -> Vec<Statement> {
    let bundles = said.bundles.iter().filter_map(|it| it.bundle.as_ref().ok());
    bundles
        .filter_map(|bundle| bundle.statement(key).ok())
        .collect()
}

/// What is to be signed of the images and of what is said of them, with the statements that are `signed` already, by the
/// digest of the image that they lie beside.
fn to_sign(
    images: &[(String, Descriptor)],
    plain: &[said::Plain],
    signed: &BTreeMap<String, Vec<Statement>>,
) -> Result<Vec<ToSign>> {
    let is_signed = |image: &Descriptor, fits: &dyn Fn(&Statement) -> bool| {
        let of_image = signed.get(image.digest().as_ref()).into_iter().flatten();
        let sha256 = image.digest().digest();
        of_image.filter(|it| it.is_of(sha256)).any(fits)
    };
    let mut all = Vec::new();
    let unsigned = images
        .iter()
        .filter(|(_, image)| !is_signed(image, &|it| it.predicate_type == SIGNATURE));
    let (subjects, beside): (Vec<_>, Vec<_>) = unsigned
        .map(|(name, image)| {
            let digest = json!({"sha256": image.digest().digest()});
            (json!({"name": name, "digest": digest}), image.clone())
        })
        .unzip();
    if !beside.is_empty() {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": subjects,
            "predicateType": SIGNATURE,
            "predicate": {},
        });
        let statement = Statement::parse(statement.to_string().as_bytes());
        let statement = statement.context("failed to write a statement")?;
        all.push(ToSign { statement, beside });
    }
    for said::Plain {
        digest,
        subject,
        bytes,
    } in plain
    {
        let read = Statement::parse(bytes);
        let statement = read
            .map_err(|error| corrupt(format!("{digest}: {error}"), "delete it in the registry"))?;
        if statement.subjects != [subject.digest().digest()] {
            return Err(corrupt(
                format!(
                    "the statement {digest} lies beside {} and is of {}",
                    subject.digest(),
                    statement.subjects.join(" and ")
                ),
                "delete it in the registry",
            ));
        }
        if !is_signed(subject, &|it| it.bytes == *bytes) {
            let beside = vec![subject.clone()];
            all.push(ToSign { statement, beside });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::layout::reader::Layout;
    use oci::layout::writer::LayoutWriter;
    use sha256::Sha256Hash;

    fn image(name: &str) -> (String, Descriptor) {
        let digest = Sha256Hash::of(name.as_bytes());
        let image = oci::blob::descriptor(MediaType::ImageManifest, digest, 1).unwrap();
        (name.to_owned(), image)
    }

    fn plain(beside: &Descriptor, of: &Descriptor) -> said::Plain {
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"digest": {"sha256": of.digest().digest()}}],
            "predicateType": "urn:origin",
        });
        said::Plain {
            digest: "sha256:said".to_owned(),
            subject: beside.clone(),
            bytes: statement.to_string().into_bytes(),
        }
    }

    #[test]
    fn images_have_one_signature_and_each_statement_its_own_and_none_a_second_one() {
        let images = ["v1", "v1-civo"].map(image);
        let said = [plain(&images[1].1, &images[1].1)];
        let none = BTreeMap::new();
        let all = to_sign(&images, &said, &none).unwrap();
        let of: Vec<_> = all
            .iter()
            .map(|it| (it.statement.predicate_type.as_str(), it.beside.len()))
            .collect();
        assert_eq!(of, [(SIGNATURE, 2), ("urn:origin", 1)]);
        assert!(
            images
                .iter()
                .all(|(_, image)| all[0].statement.is_of(image.digest().digest()))
        );
        assert_eq!(all[1].statement.bytes, said[0].bytes);
        let statements: Vec<_> = all.into_iter().map(|it| it.statement).collect();
        let digest = |(_, image): &(String, Descriptor)| image.digest().to_string();
        let mut signed = BTreeMap::from([(digest(&images[1]), statements.clone())]);
        let left = to_sign(&images, &said, &signed).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].statement.subjects, [images[0].1.digest().digest()]);
        signed.insert(digest(&images[0]), statements);
        assert_eq!(to_sign(&images, &said, &signed).unwrap(), []);
        // What was signed of others counts for nothing.
        let other = [image("other")];
        assert_eq!(to_sign(&other, &[], &signed).unwrap().len(), 1);
    }

    #[test]
    fn a_statement_of_another_image_is_not_signed() {
        let [one, two] = ["one", "two"].map(image);
        let error = to_sign(&[], &[plain(&one.1, &two.1)], &BTreeMap::new()).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
        let said = failure::text(&error);
        assert!(
            [one, two]
                .iter()
                .all(|it| said.contains(it.1.digest().digest())),
            "{said}"
        );
    }

    #[test]
    fn an_index_is_signed_with_the_manifests_in_it_and_each_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = camino::Utf8Path::from_path(folder.path()).unwrap();
        let mut writer = LayoutWriter::create(folder).unwrap();
        let parts = ["amd64", "arm64"].map(|name| image(name).1);
        let index = json!({"schemaVersion": 2, "manifests": parts});
        let index = writer.json(MediaType::ImageIndex, &index).unwrap();
        writer.finish().unwrap();
        let layout = Layout::open(folder).unwrap();
        let named = |name: &str, image: &Descriptor| (name.to_owned(), image.clone());
        let images = [
            named("v1", &index),
            named("v1-again", &index),
            named("x", &parts[0]),
        ];
        let all = with_parts(&layout, &images).unwrap();
        let expected = [
            named("v1", &index),
            named("v1", &parts[0]),
            named("v1", &parts[1]),
        ];
        assert_eq!(all, expected);
    }
}
