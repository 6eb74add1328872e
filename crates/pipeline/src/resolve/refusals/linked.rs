//! Links out of the source in what the go command could not read: it calls a file absent that is there on this machine.

use camino::{Utf8Path, Utf8PathBuf};
use modules::{Error, source_file};

/// That a path, or a package of the source's `own` Go modules, of which `said` speaks leads out of the source, if it
/// does.
pub fn explain(said: &str, source: &Utf8Path, own: &[(String, Utf8PathBuf)]) -> Option<String> {
    let is_end = |it: char| it.is_whitespace() || "\"'`();,:".contains(it);
    let folders = said.split(is_end).flat_map(|word| {
        let below = |(path, folder): &(String, Utf8PathBuf)| {
            let rest = Utf8Path::new(word).strip_prefix(path).ok()?;
            Some(folder.join(rest))
        };
        let here = Utf8Path::new(word).strip_prefix(source).ok();
        own.iter()
            .filter_map(below)
            .chain(here.map(Utf8Path::to_owned))
            .collect::<Vec<_>>()
    });
    folders
        .into_iter()
        .find_map(|folder| leads_out(source, &folder))
}

/// That `path`, or a Go file in it, leads out of the source.
fn leads_out(source: &Utf8Path, path: &Utf8Path) -> Option<String> {
    let located =
        |path: &Utf8Path| match source_file::locate(source.as_std_path(), path.as_std_path()) {
            Err(error @ Error::Outside(_)) => Some(error.to_string()),
            _ => None,
        };
    located(path).or_else(|| {
        let entries = source.join(path).read_dir_utf8().ok()?;
        let mut files: Vec<Utf8PathBuf> = entries
            .filter_map(|entry| Some(path.join(entry.ok()?.file_name())))
            .filter(|file| file.extension() == Some("go"))
            .collect();
        files.sort();
        files.iter().find_map(|file| located(file))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err::os::unix::fs::symlink;

    #[test]
    fn the_link_is_named_of_which_the_go_command_does_not_speak() {
        let temporary = tempfile::tempdir().unwrap();
        let source = Utf8Path::from_path(temporary.path()).unwrap();
        for folder in ["pkg/lib/sub", "pkg/sound"] {
            fs_err::create_dir_all(source.join(folder)).unwrap();
        }
        symlink("/elsewhere/x.go", source.join("pkg/lib/x.go")).unwrap();
        symlink("/elsewhere", source.join("pkg/lib/out")).unwrap();
        symlink("x.go", source.join("pkg/sound/y.go")).unwrap();
        let own = [("example.com/lib".to_owned(), "pkg/lib".into())];
        let explain = |said: &str| explain(said, source, &own);
        for (said, link) in [
            (format!("open {source}/pkg/lib/x.go: no such file"), "x.go"),
            (format!("no Go files in {source}/pkg/lib"), "x.go"),
            (
                "module example.com/lib@latest found (v0), but does not contain package example.com/lib".into(),
                "x.go",
            ),
            (
                "no required module provides package example.com/lib/out/a; to add it".into(),
                "out",
            ),
        ] {
            let found = explain(&said).unwrap();
            let expected = format!("\"pkg/lib/{link}\": a link to /elsewhere");
            assert!(found.contains(&expected), "{found}");
        }
        for said in [
            format!("no Go files in {source}/pkg/sound"),
            format!("{source}/pkg/lib/sub/a.go:1:2: syntax error"),
            "no required module provides package example.com/library/out".into(),
            "package out is not in std".into(),
        ] {
            assert_eq!(explain(&said), None, "{said}");
        }
    }
}
