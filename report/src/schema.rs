//! The report's JSON Schema, for those who read reports with other tools. It is derived from the types, and a copy is
//! committed so that it can be linked to; the copy is checked against the types in every test run.

use crate::Report;

/// The committed copy, relative to the workspace.
pub const SCHEMA_FILE: &str = "base-images/iac-runner/report.schema.json";

/// The JSON Schema of a report.
pub fn json_schema() -> String {
    let schema = schemars::schema_for!(Report);
    format!("{schema:#}\n", schema = schema.as_value())
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use serde_json::Value;

    use super::*;
    use crate::sample;

    #[test]
    fn the_committed_copy_is_up_to_date() {
        let file = Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(SCHEMA_FILE);
        assert!(
            fs_err::read_to_string(file).unwrap() == json_schema(),
            "{SCHEMA_FILE} is out of date; renew it with `cargo xtask report-schema`"
        );
    }

    #[test]
    fn reports_fit_and_others_do_not() {
        let schema: Value = serde_json::from_str(&json_schema()).unwrap();
        assert!(jsonschema::meta::is_valid(&schema));
        let schema = jsonschema::validator_for(&schema).unwrap();
        let report = serde_json::to_value(sample::report(11)).unwrap();
        assert!(schema.is_valid(&report), "{:?}", schema.validate(&report));
        for (pointer, wrong) in [
            ("/modules/0/phases/first/wall_ms/0", Value::from("fast")),
            ("/modules/0/phases/first/packages/hits", Value::from(-1)),
            ("/identity", Value::Null),
            ("/skipped/0/phase", Value::from("warmest")),
        ] {
            let mut report = report.clone();
            *report.pointer_mut(pointer).unwrap() = wrong;
            assert!(!schema.is_valid(&report), "{pointer}");
        }
    }
}
