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

    use super::*;

    #[test]
    fn the_committed_copy_is_up_to_date() {
        let file = Utf8Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(SCHEMA_FILE);
        assert!(
            fs_err::read_to_string(file).unwrap() == json_schema(),
            "{SCHEMA_FILE} is out of date; renew it with `cargo xtask report-schema`"
        );
    }
}
