//! Which files packages may take in: what looks like data for tests, or like a tool, may be part of a program.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};

/// What the packages of one Go module take in beside what they compile.
#[derive(Debug)]
pub struct Embedding {
    /// Folders with a package that embeds files, whatever they are: `//go:embed` reaches everything below such a
    /// folder.
    folders: BTreeSet<Utf8PathBuf>,
    /// Whether a package uses cgo, whose linker, assembler and preprocessor take files by any path.
    cgo: bool,
}

impl Embedding {
    /// Those of the Go files among `files`, which are relative to `root`.
    pub fn of(root: &Utf8Path, files: &[Utf8PathBuf]) -> Result<Self> {
        let (mut folders, mut cgo) = (BTreeSet::new(), false);
        for file in files.iter().filter(|file| file.extension() == Some("go")) {
            let folder = file.parent().unwrap_or(Utf8Path::new(""));
            if cgo && folders.contains(folder) {
                continue;
            }
            let text = fs_err::read(root.join(file))?;
            let says = |word: &[u8]| memchr::memmem::find(&text, word).is_some();
            if says(b"//go:embed") {
                folders.insert(folder.to_owned());
            }
            cgo = cgo || may_import_c(&text);
        }
        Ok(Self { folders, cgo })
    }

    /// Whether a package may embed `file`.
    pub fn may_take(&self, file: &Utf8Path) -> bool {
        file.ancestors()
            .skip(1)
            .any(|folder| self.folders.contains(folder))
    }

    /// Whether a package may link with machine code in `file`, or embed it.
    pub fn may_link(&self, file: &Utf8Path) -> bool {
        self.cgo || self.may_take(file)
    }
}

/// Whether a Go file may import cgo's package: `C` in either kind of quotes, and after it what ends an import.
fn may_import_c(text: &[u8]) -> bool {
    [&b"\"C\""[..], b"`C`"].into_iter().any(|quoted| {
        memchr::memmem::find_iter(text, quoted).any(|at| {
            let rest = &text[at + quoted.len()..];
            let next = rest.iter().find(|byte| !b" \t\r".contains(byte));
            next.is_none_or(|byte| b"\n;)/".contains(byte))
        })
    })
}
