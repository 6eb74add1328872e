//! SPDX 2.3 as JSON (<https://spdx.github.io/spdx-spec/v2.3/>).
//!
//! The hash `h1:` of a Go module is no digest of a file, but one of the digests of its files; it is written as a
//! reference of its own, and never as a checksum that nothing has.

use serde_json::{Value, json};

use crate::document::{Component, Document, Id, Kind, Relation};

/// Its media type.
pub const MEDIA_TYPE: &str = "application/spdx+json";

/// What stands where nothing is claimed.
const NOTHING_SAID: &str = "NOASSERTION";

/// The bytes of the document: those that are printed, and that an image has beside it.
pub fn bytes(document: &Document) -> Vec<u8> {
    format!("{}\n", json(document)).into_bytes()
}

/// The document.
pub fn json(document: &Document) -> Value {
    let digest = document.digest.replace(':', "-");
    let packages = document
        .components
        .iter()
        .map(|(id, component)| package(id, component));
    let described = json!({
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": name(&document.image),
    });
    let relations = document.relations.iter().map(|(from, relation, to)| {
        json!({
            "spdxElementId": name(from),
            "relationshipType": match relation {
                Relation::Contains => "CONTAINS",
                Relation::DependsOn => "DEPENDS_ON",
            },
            "relatedSpdxElement": name(to),
        })
    });
    let licenses = document.other_licenses.iter().map(|(reference, debian)| {
        json!({
            "licenseId": reference,
            "name": debian,
            "extractedText": format!(
                "What Debian calls {debian:?}; its text is in the image, in /usr/share/doc/*/copyright of the packages \
                 that name it."
            ),
        })
    });
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": document.name,
        "documentNamespace": format!("https://spdx.org/spdxdocs/iac-runner-base-{digest}"),
        "creationInfo": {
            "created": document.created,
            "creators": [format!("Tool: iac-runner-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages.collect::<Vec<_>>(),
        "relationships": std::iter::once(described).chain(relations).collect::<Vec<_>>(),
        "hasExtractedLicensingInfos": licenses.collect::<Vec<_>>(),
    })
}

fn name(id: &Id) -> String {
    format!("SPDXRef-{}", id.as_str())
}

fn package(id: &Id, component: &Component) -> Value {
    let mut references = Vec::new();
    if let Some(purl) = &component.purl {
        references.push(json!({
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl,
        }));
    }
    if let Some(h1) = &component.h1 {
        references.push(json!({
            "referenceCategory": "OTHER",
            "referenceType": "go-module-h1",
            "referenceLocator": h1,
        }));
    }
    let mut package = json!({
        "SPDXID": name(id),
        "name": component.name,
        "downloadLocation": NOTHING_SAID,
        "filesAnalyzed": false,
        "licenseConcluded": NOTHING_SAID,
        "licenseDeclared": component.licenses.as_deref().unwrap_or(NOTHING_SAID),
        "copyrightText": NOTHING_SAID,
        "primaryPackagePurpose": match component.kind {
            Kind::Image => "CONTAINER",
            Kind::Pack => "ARCHIVE",
            Kind::OperatingSystem => "OPERATING-SYSTEM",
            Kind::Library => "LIBRARY",
            Kind::Application => "APPLICATION",
        },
    });
    let optional = [
        ("versionInfo", component.version.clone().map(Value::from)),
        (
            "externalRefs",
            (!references.is_empty()).then(|| references.into()),
        ),
        (
            "checksums",
            component.sha256.map(
                |digest| json!([{"algorithm": "SHA256", "checksumValue": digest.to_string()}]),
            ),
        ),
        (
            "sourceInfo",
            component
                .built_from
                .as_ref()
                .map(|source| format!("built package from: {source}").into()),
        ),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            package[name] = value;
        }
    }
    package
}
