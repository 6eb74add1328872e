//! Texts that are almost a go.mod or a go.work: none is a crash, what is wrong is named by a line that is there, and
//! what was read comes back when it is written down.

use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::sample::select;

use crate::ModFile;
use mutation::mutated_text;

const GO_MOD: &str = r#"// A comment.
module example.com/m // and another

go 1.25.0
toolchain go1.26.0

require (
    example.com/a v1.2.3
    "example.com/quoted" v0.0.0-20240101000000-0123456789ab // indirect
)
require example.com/b/v2 v2.0.0+incompatible
exclude example.com/c v1.0.0
replace (
    example.com/a => ../a
    example.com/b/v2 v2.0.0 => example.com/fork v1.0.0
)
retract [v1.0.0, v1.1.0] // broken
tool example.com/a/cmd
godebug default=go1.24
"#;

const GO_WORK: &str = "go 1.25\n\nuse (\n\t.\n\t./pkg\r\n)\nreplace example.com/a v1.0.0 => ./a\n";

/// The lines of a go.mod that say what `file` requires and which tools it has.
fn written(file: &ModFile) -> String {
    let mut text = String::new();
    for required in &file.require {
        let module = &required.module;
        let comment = if required.indirect {
            " // indirect"
        } else {
            ""
        };
        writeln!(
            text,
            "require \"{}\" \"{}\"{comment}",
            module.path, module.version
        )
        .unwrap();
    }
    for tool in &file.tool {
        writeln!(text, "tool \"{tool}\"").unwrap();
    }
    text
}

fn is_plain(word: &str) -> bool {
    let is_plain = |it: char| it.is_ascii_graphic() && !matches!(it, '"' | '`' | '\\');
    word.chars().all(is_plain)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_go_mod_is_read_and_its_errors_have_lines(
        text in mutated_text(select(vec![GO_MOD.to_owned(), GO_WORK.to_owned()]))
    ) {
        let file = ModFile::parse(&text);
        let lines = text.split('\n').count();
        for error in &file.errors {
            prop_assert!((1..=lines).contains(&error.line), "{} of {}", error, lines);
        }
        prop_assert_eq!(&ModFile::parse(&text), &file);
        // What is said twice counts once.
        let twice = ModFile::parse(&format!("{text}\n{text}"));
        if file.errors.is_empty() && twice.errors.is_empty() {
            prop_assert_eq!(&twice.tool, &file.tool);
            prop_assert_eq!(&twice.exclude, &file.exclude);
        }
        let words = file.require.iter().flat_map(|it| [&it.module.path, &it.module.version]);
        if words.chain(&file.tool).all(|word| is_plain(word)) {
            let again = ModFile::parse(&written(&file));
            prop_assert_eq!(again.require, file.require.clone());
            prop_assert_eq!(again.tool, file.tool.clone());
        }
        for folder in file.relative_folders() {
            prop_assert!(!folder.starts_with('/'));
        }
    }
}

mod tests {
    use super::*;

    #[test]
    fn what_the_faults_are_put_into_has_none() {
        for text in [GO_MOD, GO_WORK] {
            assert_eq!(ModFile::parse(text).errors, []);
        }
        assert_eq!(ModFile::parse(GO_MOD).require.len(), 3);
    }
}
