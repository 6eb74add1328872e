//! Which files packages may embed: what looks like data for tests may be part of a program.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};

/// Folders with a package that embeds files, whatever they are: `//go:embed` reaches everything below such a folder.
#[derive(Debug)]
pub struct Embedding(BTreeSet<Utf8PathBuf>);

impl Embedding {
    /// Those of the Go files among `files`, which are relative to `root`.
    pub fn folders(root: &Utf8Path, files: &[Utf8PathBuf]) -> Result<Self> {
        let mut folders = BTreeSet::new();
        for file in files.iter().filter(|file| file.extension() == Some("go")) {
            let folder = file.parent().unwrap_or(Utf8Path::new(""));
            if !folders.contains(folder) {
                let text = fs_err::read(root.join(file))?;
                if memchr::memmem::find(&text, b"//go:embed").is_some() {
                    folders.insert(folder.to_owned());
                }
            }
        }
        Ok(Self(folders))
    }

    /// Whether `file` lies below one of them.
    pub fn may_take(&self, file: &Utf8Path) -> bool {
        file.ancestors()
            .skip(1)
            .any(|folder| self.0.contains(folder))
    }
}
