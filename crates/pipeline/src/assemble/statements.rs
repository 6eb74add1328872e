//! What is said of an image beside it, as in-toto statements: where it came from, and what the verifier measured in it.
//!
//! A statement names the image by its digest, so it says nothing of another one, and it is written before the image has
//! its tag: who finds an image by name finds these. Nothing in them depends on the time; two builds of the same packs
//! from the same commit say the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context as _, Result};
use oci_spec::image::Descriptor;
use serde::Serialize;
use serde_json::{Value, json};
use sha256::Sha256Hash;

use crate::assemble::target::Target;
use crate::assemble::variants::Variant;
use crate::origin::{Commit, Origin};
use crate::pack::Pack;
use failure::usage;
use gocache::image_info::{lists_digest, lists_of};
use oci::platform::Platform;
use oci::referrer;

/// Media type of a statement, and type of its artifact.
pub use dsse::STATEMENT_TYPE;
/// What a statement says, as annotation of its manifest and of its blob.
pub const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
/// Where an image came from; <https://slsa.dev/spec/v1.0/provenance>.
pub const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// What the verifier measured: the report, whose schema is `base-images/iac-runner/report.schema.json`.
pub const REPORT: &str = "urn:iac-runner:verifier-report:1";
/// How images are built: of packs, by this project.
const BUILD_TYPE: &str = "urn:iac-runner:image-of-packs:1";

/// <https://in-toto.io/Statement/v1>
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statement<'a, P: Serialize> {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: [Subject<'a>; 1],
    predicate_type: &'a str,
    predicate: &'a P,
}

/// What a variant was made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MadeAs {
    /// An image.
    Image,
    /// The twin of an image that runs as the image's user.
    Nonroot,
    /// Its caches as a volume, whose layers are those of its packs under other paths.
    Volume,
}

#[derive(Serialize)]
struct Subject<'a> {
    name: &'a str,
    digest: BTreeMap<&'static str, String>,
}

/// Says of the image `name`, whose manifest is `image`, what `predicate` says.
pub fn attach(
    target: &mut dyn Target,
    (name, image): (&str, &Descriptor),
    predicate_type: &str,
    predicate: &impl Serialize,
) -> Result<()> {
    let statement = Statement {
        kind: "https://in-toto.io/Statement/v1",
        subject: [Subject {
            name,
            digest: [("sha256", image.digest().digest().to_owned())].into(),
        }],
        predicate_type,
        predicate,
    };
    let statement = serde_json::to_vec(&statement).context("failed to serialize a statement")?;
    let mut content = target.bytes(STATEMENT_TYPE.into(), &statement)?;
    let annotations = HashMap::from([(PREDICATE_TYPE.to_owned(), predicate_type.to_owned())]);
    content.set_annotations(Some(annotations.clone()));
    let mut manifest = referrer::manifest(image, STATEMENT_TYPE, content)?;
    manifest.set_annotations(Some(annotations));
    target.referrer(&manifest, image)
}

/// Where a variant came from: the packs that it is made of, each with the digest of all that it was made from, and the
/// commits that are known.
pub fn provenance(
    origin: &Origin,
    packs: &[Pack],
    variant: &Variant,
    kind: MadeAs,
    platform: &Platform,
) -> Value {
    let layers: Vec<String> = variant
        .layers
        .iter()
        .map(|layer| format!("sha256:{}", layer.layer.digest))
        .collect();
    let of_pack = |pack: &Pack| {
        let own = pack
            .layers()
            .map(|layer| format!("sha256:{}", layer.layer.digest));
        let own: Vec<String> = own.filter(|digest| layers.contains(digest)).collect();
        let description = &pack.description;
        (!own.is_empty()).then(|| {
            json!({
                "name": description.name,
                "uri": format!("pkg:generic/iac-runner-pack/{}@{}", description.name, description.key),
                "annotations": {"inputs": format!("sha256:{}", description.key), "layers": own},
            })
        })
    };
    let files = files(packs, variant)
        .map(|digest| json!([{"name": "files", "digest": {"sha256": digest.to_string()}}]));
    let mut packs: Vec<Value> = packs.iter().filter_map(of_pack).collect();
    packs.sort_by_key(|pack| pack["name"].to_string());
    let sources = origin.commits.iter().map(source);
    let dependencies: Vec<Value> = sources.chain(packs).collect();
    let mut provenance = json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "imageToml": {"sha256": origin.image_toml.to_string()},
                "platform": platform.to_string(),
                "providers": variant.providers,
                "withGo": variant.has_go,
                "kind": kind,
            },
            "internalParameters": {},
            "resolvedDependencies": dependencies,
        },
        "runDetails": {
            "builder": {
                "id": origin.builder,
                "version": {"iac-runner": env!("CARGO_PKG_VERSION")},
            },
            "metadata": origin.run.as_ref().map_or_else(|| json!({}), |run| json!({"invocationId": run})),
        },
    });
    if let Some(files) = files {
        provenance["runDetails"]["byproducts"] = files;
    }
    provenance
}

/// The digest of the lists of files by which the verifier checks the caches of `variant`, as it prints it; none where
/// there are no caches, or a pack does not tell.
fn files(packs: &[Pack], variant: &Variant) -> Option<Sha256Hash> {
    // However a layer is compressed, its content is the pack's.
    let layers = variant.layers.iter().map(|layer| layer.layer.diff_id);
    let layers: BTreeSet<Sha256Hash> = layers.collect();
    let caches = packs
        .iter()
        .filter_map(|pack| pack.description.pack.as_ref());
    let caches = caches.filter(|pack| layers.contains(&pack.caches.diff_id));
    let caches: Vec<_> = caches.collect();
    if caches.is_empty() || caches.iter().any(|pack| pack.files_sha256.is_none()) {
        return None;
    }
    let lists = caches.into_iter();
    Some(lists_digest(lists.flat_map(|pack| {
        lists_of(&pack.name, pack.files_sha256, pack.left_out_sha256)
    })))
}

/// A commit, which says what a source is only where nothing was changed since.
fn source(commit: &Commit) -> Value {
    let uri = commit
        .repository
        .as_ref()
        .map(|repository| format!("git+{repository}"));
    let mut source = json!({"name": commit.of, "annotations": {"isChanged": commit.is_changed}});
    if let Some(uri) = uri {
        source["uri"] = uri.into();
    }
    if !commit.is_changed {
        source["digest"] = json!({"gitCommit": commit.id});
    }
    source
}

/// Says of `image` what `report`, the verifier's, says that it measured in it.
///
/// # Errors
/// A report of another image is refused.
pub fn attach_report(
    target: &mut dyn Target,
    (name, image): (&str, &Descriptor),
    report: &Value,
) -> Result<()> {
    let measured = report["image"]["digest"].as_str();
    if measured == Some(image.digest().as_ref()) {
        return attach(target, (name, image), REPORT, report);
    }
    Err(usage(
        format!(
            "the report is of the image {}, and {name} is {}",
            measured.unwrap_or("that it does not name"),
            image.digest()
        ),
        "give the report that was made of this image",
    ))
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use oci::layout::reader::Layout;
    use oci::layout::writer::LayoutWriter;
    use oci_spec::image::MediaType;

    use super::*;

    #[test]
    fn a_report_is_said_of_the_image_that_it_names_and_of_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let mut layout = LayoutWriter::create(folder).unwrap();
        let [image, other] = [b"one".as_slice(), b"two"]
            .map(|it| layout.bytes(MediaType::ImageManifest, it).unwrap());
        let report = json!({"image": {"digest": image.digest().to_string()}});
        attach_report(&mut layout, ("one", &image), &report).unwrap();
        let error = attach_report(&mut layout, ("two", &other), &report).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
        let said = failure::text(&error);
        let digests = [&image, &other].map(|it| it.digest().to_string());
        assert!(digests.iter().all(|digest| said.contains(digest)), "{said}");
        assert!(attach_report(&mut layout, ("one", &image), &json!({})).is_err());
        layout.finish().unwrap();
        assert_eq!(Layout::open(folder).unwrap().manifests().len(), 1);
    }
}
