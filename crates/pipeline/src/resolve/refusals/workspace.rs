//! A go.work above the source: the go command of this machine goes by it, and where the source is built it is not
//! there.

use camino::{Utf8Path, Utf8PathBuf};
use modules::ModFile;
use modules::source_file::{self, MAX_BYTES};

use crate::resolve::go_mod::normal;

/// The nearest go.work above `source` that uses it, or a folder of it.
pub fn above(source: &Utf8Path) -> Option<Utf8PathBuf> {
    let nearest = source
        .ancestors()
        .skip(1)
        .find(|folder| folder.join("go.work").is_file())?;
    // A link there leads to no source, and only names of folders are looked at.
    let file = fs_err::canonicalize(nearest.join("go.work")).ok()?;
    let (folder, name) = (file.parent()?, file.file_name()?);
    let bytes = source_file::read(folder, name.as_ref(), MAX_BYTES).ok()??;
    let parsed = ModFile::parse(&String::from_utf8_lossy(&bytes));
    let mut used = parsed.use_folders.iter();
    let is_used = used.any(|used| normal(&nearest.join(used)).starts_with(source));
    is_used.then(|| nearest.join("go.work"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_counts_that_uses_a_folder_of_the_source() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        let source = root.join("a/source");
        fs_err::create_dir_all(&source).unwrap();
        let file = root.join("go.work");
        assert_eq!(above(&source), None);
        for (text, counts) in [
            ("use ./a/source\n", true),
            ("use (\n\t./b\n\ta/x/../source/apis\n)\n", true),
            (&format!("use {source}/apis\n"), true),
            ("use ./b\n", false),
            ("use ./a/source-of-another\n", false),
            ("use .\n", false),
        ] {
            fs_err::write(&file, text).unwrap();
            assert_eq!(above(&source), counts.then(|| file.clone()), "{text}");
        }
        // Of several, the go command takes the nearest; one in the source is none above it.
        fs_err::write(&file, "use ./a/source\n").unwrap();
        fs_err::write(root.join("a/go.work"), "use ./other\n").unwrap();
        fs_err::write(source.join("go.work"), "use .\n").unwrap();
        assert_eq!(above(&source), None);
    }
}
