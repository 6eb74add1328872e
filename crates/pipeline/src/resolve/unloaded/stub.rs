//! What stays of a Go module of which nothing is loaded.
//!
//! Pulumi's language host asks for the folder of every required Go module and looks for a `pulumi-plugin.json` in it:
//! at its root, in its folders, and in those of `go` (`readPulumiPluginJSON` in pulumi-language-go's `main.go`). The go
//! command wants its go.mod where a folder takes its place. And whoever passes on a part of a Go module passes on its
//! licence.

use camino::Utf8Path;

/// What tells the language host of a plugin.
const PLUGIN: &str = "pulumi-plugin.json";

/// How the names of files begin that say what one may do with a Go module, in capitals.
const LICENCES: [&str; 7] = [
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "PATENTS",
    "UNLICENSE",
];

/// Whether `file`, relative to its Go module's folder, stays. What is compiled never does: a package of which some
/// files are there would be another one.
pub fn stays(file: &Utf8Path) -> bool {
    let is_licence = |name: &str| {
        let name = name.to_ascii_uppercase();
        LICENCES.iter().any(|begin| name.starts_with(begin))
    };
    let parts: Vec<&str> = file.iter().collect();
    match parts[..] {
        [PLUGIN | "go.mod"] | [_, PLUGIN] | ["go", _, PLUGIN] => true,
        [name] => is_licence(name) && !gocache::is_source(file),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_language_host_and_lawyers_read_stays() {
        for (file, expected) in [
            ("go.mod", true),
            ("LICENSE", true),
            ("License.txt", true),
            ("COPYING.LESSER", true),
            ("NOTICE.md", true),
            ("pulumi-plugin.json", true),
            ("go/pulumi-plugin.json", true),
            ("go/civo/pulumi-plugin.json", true),
            ("go/civo/inner/pulumi-plugin.json", false),
            ("civo/pulumi-plugin.json", true),
            ("python/civo/pulumi-plugin.json", false),
            ("license.go", false),
            ("go.sum", false),
            ("inner/go.mod", false),
            ("inner/LICENSE", false),
            ("civo.go", false),
            ("README.md", false),
            ("", false),
        ] {
            assert_eq!(stays(file.into()), expected, "{file}");
        }
    }
}
