//! The examples of manifests, against the schemas that Kubernetes and the operator publish.
//!
//! `*.schema.json` are those of the projects, without descriptions, defaults, and fields that no example has; what they
//! do not know is refused here, as `kubectl` refuses it.

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::support::run::workspace;

/// Each example with its schema.
const EXAMPLES: [(&str, &str); 2] = [
    ("pod.yaml", include_str!("pod.schema.json")),
    ("stack.yaml", include_str!("stack.schema.json")),
];

/// An example's manifest.
pub fn example(name: &str) -> Value {
    let file = workspace()
        .join("base-images/iac-runner/examples")
        .join(name);
    serde_yaml_ng::from_str(&fs_err::read_to_string(file).unwrap()).unwrap()
}

/// A schema that takes no field that it does not name.
fn strict(schema: &str) -> Validator {
    fn close(schema: &mut Value) {
        let is_open = |schema: &Map<String, Value>| {
            let keeps = "x-kubernetes-preserve-unknown-fields";
            schema.contains_key("additionalProperties") || schema.contains_key(keeps)
        };
        match schema {
            Value::Object(fields) => {
                if fields.get("properties").is_some_and(Value::is_object) && !is_open(fields) {
                    fields.insert("additionalProperties".to_owned(), json!(false));
                }
                fields.values_mut().for_each(close);
            }
            Value::Array(all) => all.iter_mut().for_each(close),
            _ => {}
        }
    }
    let mut schema = serde_json::from_str(schema).unwrap();
    close(&mut schema);
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn examples_are_what_the_published_schemas_take() {
    for (name, schema) in EXAMPLES {
        let schema = strict(schema);
        let example = example(name);
        let wrong: Vec<String> = schema
            .iter_errors(&example)
            .map(|it| format!("{it:?}"))
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        // What is wrong far down in it would be found.
        let text = serde_json::to_string(&example).unwrap();
        for (right, wrong) in [
            ("\"pullPolicy\"", "\"pullpolicy\""),
            ("\"mountPath\":\"/var/cache\"", "\"mountPath\":7"),
            ("\"image\":{\"", "\"images\":{\""),
        ] {
            let changed: Value = serde_json::from_str(&text.replace(right, wrong)).unwrap();
            assert_ne!(changed, example, "{name}: {right}");
            assert!(!schema.is_valid(&changed), "{name}: {wrong}");
        }
    }
}
