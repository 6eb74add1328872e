//! CycloneDX 1.6 as JSON (<https://cyclonedx.org/docs/1.6/json/>).
//!
//! Its graph has one kind of relation; what a component holds and what it was compiled of are both what it depends on.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha256::Sha256Hash;

use crate::document::{Component, Document, Id, Kind};

/// The bytes of the document, as they are printed.
pub fn bytes(document: &Document) -> Vec<u8> {
    format!("{}\n", json(document)).into_bytes()
}

/// The document.
pub fn json(document: &Document) -> Value {
    let mut graph: BTreeMap<&Id, Vec<&str>> = document
        .components
        .keys()
        .map(|id| (id, Vec::new()))
        .collect();
    for (from, _, to) in &document.relations {
        graph.entry(from).or_default().push(to.as_str());
    }
    let dependencies = graph
        .into_iter()
        .map(|(id, on)| json!({"ref": id.as_str(), "dependsOn": on}));
    let component = |id: &Id| document.components.get(id).map(|it| component(id, it));
    let others = document
        .components
        .keys()
        .filter(|id| **id != document.image);
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial_number(&document.digest),
        "version": 1,
        "metadata": {
            "timestamp": document.created,
            "tools": {"components": [{
                "type": "application",
                "name": "iac-runner",
                "version": env!("CARGO_PKG_VERSION"),
            }]},
            "component": component(&document.image),
        },
        "components": others.filter_map(component).collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
    })
}

/// A UUID of version 8, of which all but its marks is the sender's: here, what is always the same for the same image.
fn serial_number(digest: &str) -> String {
    let hex = Sha256Hash::of(digest.as_bytes()).to_string();
    format!(
        "urn:uuid:{}-{}-8{}-8{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..15],
        &hex[15..18],
        &hex[18..30]
    )
}

fn component(id: &Id, component: &Component) -> Value {
    let mut properties = Vec::new();
    let mut property = |name: &str, value: &Option<String>| {
        if let Some(value) = value {
            properties.push(json!({"name": name, "value": value}));
        }
    };
    property("iac-runner:go-module-h1", &component.h1);
    property("iac-runner:built-from", &component.built_from);
    let kind = match component.kind {
        Kind::Image => "container",
        Kind::Pack => "data",
        Kind::OperatingSystem => "operating-system",
        Kind::Library => "library",
        Kind::Application => "application",
    };
    let mut written = json!({"type": kind, "bom-ref": id.as_str(), "name": component.name});
    let optional = [
        ("version", component.version.clone().map(Value::from)),
        ("purl", component.purl.clone().map(Value::from)),
        (
            "licenses",
            component
                .licenses
                .as_ref()
                .map(|expression| json!([{"expression": expression}])),
        ),
        (
            "hashes",
            component
                .sha256
                .map(|digest| json!([{"alg": "SHA-256", "content": digest.to_string()}])),
        ),
        (
            "properties",
            (!properties.is_empty()).then(|| properties.into()),
        ),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            written[name] = value;
        }
    }
    written
}
