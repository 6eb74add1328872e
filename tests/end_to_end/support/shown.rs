//! What a user reads, held by snapshots. What differs from machine to machine and from day to day is a placeholder.
//!
//! `INSTA_UPDATE=always cargo test -p end-to-end -- NAME` writes them anew, to be read before they are committed; where
//! `CI` is set nothing is written.

use insta::Settings;
use serde_json::Value;

use super::run::workspace;

/// Folders that may be anywhere, and come before that of the workspace: its path may begin theirs.
const FOLDERS: [(&str, &str); 2] = [
    (r"/[\w/.-]*/\.tmp\w{6}", "[FOLDER]"),
    (
        r"/[\w/.-]*/iac-runner/(\w+)/[0-9a-f]{64}",
        "[KEPT]/$1/[KEY]",
    ),
];

/// What else is replaced in every snapshot, in this order.
const PLACEHOLDERS: [(&str, &str); 11] = [
    (r"\b[0-9a-f]{64}\b", "[DIGEST]"),
    (r"sha256:[0-9a-f]{12}\b", "sha256:[DIGEST]"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "[TIME]"),
    (r"go1\.\d\d\.\d+|\b1\.2[5-9]\.\d+\b", "[GO]"),
    // A place in image.toml.
    (r"at line \d+", "at line [N]"),
    (r"(?m)^\d+ \|", "[N] |"),
    // What the network and its proxy say.
    (r"(?s)\ngo env GOROOT failed .*", "\n[WHAT GO SAYS]"),
    (r#""size": \d+"#, r#""size": "[SIZE]""#),
    (r#"_ms": \d+"#, r#"_ms": "[MS]""#),
    (r"v?\d+\.\d+\.\d+(-\w+)?", "[VERSION]"),
    // Where Pulumi comes from depends on whether the server of its releases can be reached.
    (
        r"\[VERSION\] \((release|module-proxy)\)",
        "[VERSION] ([SOURCE])",
    ),
];

/// Compares `text` with the snapshot `name`.
pub fn shown(name: &str, text: &str) {
    let mut settings = Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path("../snapshots");
    let workspace = regex_of(workspace().as_str());
    let filters = FOLDERS
        .into_iter()
        .chain([(workspace.as_str(), "[WORKSPACE]")])
        .chain(PLACEHOLDERS);
    for (pattern, placeholder) in filters {
        settings.add_filter(pattern, placeholder);
    }
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// Compares tables with the snapshot `name`. Of their cells, sizes and times are left out, for which a column may be
/// wider or, where a run had nothing to do, empty.
pub fn shown_tables(name: &str, text: &str) {
    let is_measured = |cell: &str| {
        cell.is_empty()
            || [" s", " kB", " MB", " GB"]
                .iter()
                .any(|unit| cell.ends_with(unit))
    };
    let row = |line: &str| {
        let Some(cells) = line.strip_prefix('|').and_then(|it| it.strip_suffix('|')) else {
            return line.to_owned();
        };
        let cells = cells.split('|').map(str::trim).map(|cell| match cell {
            measured if is_measured(measured) => "…",
            rule if rule.starts_with("--") => "--",
            cell => cell,
        });
        format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
    };
    let lines: Vec<String> = text.lines().map(row).collect();
    shown(name, &lines.join("\n"));
}

/// Compares JSON with the snapshot `name`.
pub fn shown_json(name: &str, json: &Value) {
    shown(name, &serde_json::to_string_pretty(json).unwrap());
}

/// The error in what a command said, without the steps before it.
pub fn error(said: &str) -> &str {
    let start = said.find("error: ");
    &said[start.unwrap_or_else(|| panic!("no error in:\n{said}"))..]
}

/// A pattern for `text` itself.
fn regex_of(text: &str) -> String {
    let escaped = |letter: char| match letter {
        '/' | '-' | '_' => letter.to_string(),
        letter if letter.is_alphanumeric() => letter.to_string(),
        letter => format!("\\{letter}"),
    };
    text.chars().map(escaped).collect()
}
