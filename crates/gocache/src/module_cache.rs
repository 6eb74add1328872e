//! The module cache (`GOMODCACHE`) as data: where the parts of a Go module are, and the hash that go.sum gives it.
//!
//! Only names and hashes; what to do with the files is the caller's. Source: `cmd/go/internal/modfetch/cache.go`,
//! `golang.org/x/mod/module` (escaping) and `golang.org/x/mod/sumdb/dirhash` (the `h1:` hash).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sha256::Sha256Hash;

/// A Go module at a version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GoModule {
    /// Module path.
    pub path: String,
    /// Canonical version, with its `v`.
    pub version: String,
}

impl GoModule {
    /// The Go module whose extracted folder `path`, relative to the module cache, is or lies in.
    pub fn of_extracted(path: &Utf8Path) -> Option<Self> {
        let (module, rest) = path.as_str().split_once('@')?;
        let version = rest.split('/').next()?;
        if module.starts_with("cache/") {
            return None;
        }
        Some(Self {
            path: unescape(module)?,
            version: unescape(version)?,
        })
    }

    /// Folder of the extracted module, relative to the module cache.
    pub fn folder(&self) -> Utf8PathBuf {
        format!("{}@{}", escape(&self.path), escape(&self.version)).into()
    }

    /// File of the download cache with the extension `extension` (`info`, `mod`, `ziphash`, …), relative to the
    /// module cache.
    pub fn download_file(&self, extension: &str) -> Utf8PathBuf {
        format!(
            "cache/download/{}/@v/{}.{extension}",
            escape(&self.path),
            escape(&self.version)
        )
        .into()
    }
}

impl std::fmt::Display for GoModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.path, self.version)
    }
}

/// Capital letters become `!` and the small letter, so that paths survive file systems that ignore case.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii_uppercase() {
            escaped.push('!');
        }
        escaped.push(letter.to_ascii_lowercase());
    }
    escaped
}

/// The inverse of [`escape`]; none for what it does not yield.
fn unescape(text: &str) -> Option<String> {
    let mut letters = text.chars();
    let mut unescaped = String::with_capacity(text.len());
    while let Some(letter) = letters.next() {
        unescaped.push(match letter {
            '!' => letters
                .next()
                .filter(char::is_ascii_lowercase)?
                .to_ascii_uppercase(),
            'A'..='Z' => return None,
            other => other,
        });
    }
    Some(unescaped)
}

/// Files that the go command compiles, or that what it compiles includes (go/build, `matchFile`).
const SOURCE_EXTENSIONS: [&str; 20] = [
    "go", "c", "cc", "cpp", "cxx", "m", "h", "hh", "hpp", "hxx", "f", "F", "for", "f90", "s", "S",
    "sx", "swig", "swigcxx", "syso",
];

/// Whether the go command compiles a file of this name, or includes it in what it compiles.
pub fn is_source(path: &Utf8Path) -> bool {
    path.extension()
        .is_some_and(|extension| SOURCE_EXTENSIONS.contains(&extension))
}

/// Whether a file of a Go module is data for its tests, or for whoever works on it: it lies in a folder that the go
/// command passes over (`go help packages`: `testdata`, and what begins with a dot or an underscore) and is no source.
/// Source may be imported from there all the same, by its path. `path` is relative to the module's folder.
///
/// A package above may still embed the file.
pub fn is_test_data(path: &Utf8Path) -> bool {
    let is_passed_over =
        |part: &str| part == "testdata" || part.starts_with('.') || part.starts_with('_');
    let mut folders = path.iter().rev().skip(1);
    folders.any(is_passed_over) && !is_source(path) && path.file_name() != Some("go.mod")
}

/// The `h1:` hash of a module, from its files' names (relative to the module's folder, in any order) and digests.
pub fn h1<'a>(module: &GoModule, files: impl IntoIterator<Item = (&'a str, Sha256Hash)>) -> String {
    let mut lines: Vec<(String, Sha256Hash)> = files
        .into_iter()
        .map(|(name, digest)| (format!("{module}/{name}"), digest))
        .collect();
    lines.sort();
    let mut hasher = Sha256::new();
    for (name, digest) in lines {
        hasher.update(format!("{digest}  {name}\n"));
    }
    format!("h1:{}", STANDARD.encode(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module() -> GoModule {
        GoModule {
            path: "github.com/BurntSushi/toml".into(),
            version: "v1.2.0-RC1".into(),
        }
    }

    #[test]
    fn capital_letters_are_escaped() {
        assert_eq!(
            module().folder(),
            "github.com/!burnt!sushi/toml@v1.2.0-!r!c1"
        );
        assert_eq!(
            module().download_file("info"),
            "cache/download/github.com/!burnt!sushi/toml/@v/v1.2.0-!r!c1.info"
        );
    }

    #[test]
    fn what_is_extracted_tells_its_module() {
        let of = |path: &str| GoModule::of_extracted(path.into());
        assert_eq!(of(module().folder().as_str()), Some(module()));
        assert_eq!(
            of(module().folder().join("a@b/c.go").as_str()),
            Some(module())
        );
        for path in [
            "cache/download/x@v1/a",
            "github.com/x",
            "X@v1",
            "!1@v1",
            "x!@v1",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }

    #[test]
    fn h1_is_that_of_dirhash() {
        // A module of one file, hashed by hand:
        // printf '%s  m@v1/a\n' "$(printf content | sha256sum | cut -d' ' -f1)" | openssl dgst -sha256 -binary | base64
        let digest = sha256::hash_reader(&b"content"[..]).unwrap().0;
        let module = GoModule {
            path: "m".into(),
            version: "v1".into(),
        };
        assert_eq!(
            h1(&module, [("a", digest)]),
            "h1:qtnYxd2mndw2SbZAh2wAysOEZUfkJTZMNqGEt1RWW2Q="
        );
    }

    #[test]
    fn data_in_folders_that_go_passes_over() {
        for (path, expected) in [
            ("testdata/a.gz", true),
            ("a/testdata/b/LICENSE", true),
            (".bin/x/tool", true),
            ("_examples/a.json", true),
            ("testdata/a.go", false),
            ("testdata/go.mod", false),
            ("testdata/asm.h", false),
            ("a/testdata", false),
            ("a/.version", false),
            ("_a.json", false),
            ("a/testdatas/b", false),
        ] {
            assert_eq!(is_test_data(path.into()), expected, "{path}");
        }
    }
}
