//! Folders that go.mod and go.work name, which must be in the source: it is built at other paths than the one it has
//! here, and nothing beside it is there.

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use failure::usage;
use modules::{ModFile, source_file};

use crate::resolve::go_mod::{GoMod, VENDORED, normal, read, sums_of};

/// Fails if the go command, for `go_mod`, would look into a folder outside of the source.
pub fn check(go_mod: &GoMod, source: &Utf8Path) -> Result<()> {
    for file in go_mod.go_work.iter().chain([&go_mod.path]) {
        for beside in [
            file.clone(),
            sums_of(file),
            file.with_file_name("vendor"),
            file.with_file_name(VENDORED),
        ] {
            refuse_link(source, &beside)?;
        }
    }
    if go_mod.is_vendored(source) {
        return Ok(());
    }
    let read = |file: &Utf8Path| -> Result<ModFile> { Ok(ModFile::parse(&read(source, file)?)) };
    // Those whose directives count: in a workspace, of all that it uses.
    let mut main = vec![(go_mod.path.clone(), read(&go_mod.path)?)];
    if let Some(go_work) = &go_mod.go_work {
        let workspace = read(go_work)?;
        for folder in &workspace.use_folders {
            refuse(source, go_work, "uses", folder)?;
            let file = normal(&go_work.with_file_name(folder).join("go.mod"));
            if file != go_mod.path && source.join(&file).is_file() {
                let parsed = read(&file)?;
                main.push((file, parsed));
            }
        }
        main.push((go_work.clone(), workspace));
    }
    let is_required = |path: &str| {
        let mut required = main.iter().flat_map(|(_, parsed)| &parsed.require);
        required.any(|it| it.module.path == path)
    };
    for (file, parsed) in &main {
        for replacement in &parsed.replace {
            let (old, new) = (&replacement.old.path, &replacement.new);
            if new.version.is_empty() && is_required(old) {
                refuse(source, file, &format!("replaces {old} by"), &new.path)?;
            }
        }
    }
    Ok(())
}

/// Fails if `path` of the source is a link out of it, or behind one.
fn refuse_link(source: &Utf8Path, path: &Utf8Path) -> Result<()> {
    source_file::locate(source.as_std_path(), path.as_std_path())?;
    Ok(())
}

fn refuse(source: &Utf8Path, file: &Utf8Path, does: &str, folder: &str) -> Result<()> {
    let named = Utf8Path::new(folder);
    if named.is_absolute() {
        let hint = match named.strip_prefix(source) {
            Ok(inside) => format!("write `{}`", relative(file, inside)),
            Err(_) => HINT.to_owned(),
        };
        return Err(usage(
            format!(
                "{file} {does} the absolute path {folder}, which is not there where a source is built"
            ),
            hint,
        ));
    }
    let folder_here = normal(&file.with_file_name(folder));
    if folder_here.starts_with("..") {
        return Err(usage(
            format!("{file} {does} {folder}, which leads out of the source {source}"),
            HINT,
        ));
    }
    refuse_link(source, &folder_here.join("go.mod"))?;
    refuse_link(source, &folder_here.join("go.sum"))
}

const HINT: &str =
    "name a source that holds both with --source, or require a version of it instead";

/// The folder `inside` of the source, as `file` calls it.
fn relative(file: &Utf8Path, inside: &Utf8Path) -> Utf8PathBuf {
    let above = file.parent().unwrap_or(Utf8Path::new(""));
    let shared = above
        .components()
        .zip(inside.components())
        .take_while(|(one, other)| one == other)
        .count();
    let up = above.components().skip(shared).map(|_| "..");
    let path: Utf8PathBuf = up
        .chain(inside.components().skip(shared).map(|it| it.as_str()))
        .collect();
    if path.starts_with("..") {
        path
    } else {
        Utf8Path::new(".").join(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_out_of_the_source_is_refused_by_its_name() {
        let outside = tempfile::tempdir().unwrap();
        let outside = Utf8Path::from_path(outside.path()).unwrap();
        for name in ["go.work", "go.sum", "go.mod", "modules.txt"] {
            fs_err::write(outside.join(name), "module x\n").unwrap();
        }
        for (path, to) in [
            ("go.work", outside.join("go.work")),
            ("go.work.sum", outside.join("go.sum")),
            ("vendor", outside.to_owned()),
            ("apis/a/vendor", outside.to_owned()),
            ("apis/a/vendor/modules.txt", outside.join("modules.txt")),
            ("apis/a/go.sum", outside.join("go.sum")),
            ("pkg/lib", outside.to_owned()),
            ("pkg/lib/go.mod", outside.join("go.mod")),
            ("pkg/used", outside.to_owned()),
            ("pkg", "../..".into()),
        ] {
            let temporary = tempfile::tempdir().unwrap();
            let source = Utf8Path::from_path(temporary.path()).unwrap();
            let write = |file: &str, text: &str| {
                let file = source.join(file);
                fs_err::create_dir_all(file.parent().unwrap()).unwrap();
                fs_err::write(file, text).unwrap();
            };
            write(
                "apis/a/go.mod",
                "module a\nrequire x v1.0.0\nreplace x => ../../pkg/lib\n",
            );
            if path != "go.work" {
                write("go.work", "use (\n\t./apis/a\n\t./pkg/used\n)\n");
            }
            let link = source.join(path);
            fs_err::create_dir_all(link.parent().unwrap()).unwrap();
            fs_err::os::unix::fs::symlink(&to, &link).unwrap();
            let go_mod = GoMod {
                path: "apis/a/go.mod".into(),
                go_work: Some("go.work".into()),
                modules: Vec::new(),
            };
            let error = check(&go_mod, source).unwrap_err();
            let kind = failure::kind(&error, &[modules::Error::classify]);
            assert_eq!(kind, failure::Kind::Usage, "{path}");
            let said = format!("\"{path}\": a link to {to}");
            assert!(error.to_string().contains(&said), "{path}: {error}");
        }
    }

    #[test]
    fn what_leads_out_is_named_as_what_it_is() {
        let temporary = tempfile::tempdir().unwrap();
        let source = Utf8Path::from_path(temporary.path()).unwrap();
        let said = |go_mod: &str, go_work: Option<&str>| {
            let folder = source.join("apis/a");
            fs_err::create_dir_all(&folder).unwrap();
            fs_err::write(folder.join("go.mod"), go_mod).unwrap();
            if let Some(text) = go_work {
                fs_err::write(source.join("go.work"), text).unwrap();
            }
            let go_mod = GoMod {
                path: "apis/a/go.mod".into(),
                go_work: go_work.map(|_| "go.work".into()),
                modules: Vec::new(),
            };
            let error = check(&go_mod, source).err()?;
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
            Some(failure::text(&error).replace(source.as_str(), "[SOURCE]"))
        };
        let required = "module a\nrequire x.y/z v1.0.0\n";
        let texts = [
            said(
                &format!("{required}replace x.y/z => {source}/pkg/z\n"),
                None,
            ),
            said(
                &format!("{required}replace x.y/z => {source}/apis/a/z\n"),
                None,
            ),
            said(&format!("{required}replace x.y/z => /elsewhere\n"), None),
            said(&format!("{required}replace x.y/z => ../../../z\n"), None),
            said("module a\n", Some("use ../outside\n")),
            said(required, Some("use apis/a\nreplace x.y/z => /z\n")),
        ];
        let texts: Vec<String> = texts.into_iter().map(Option::unwrap).collect();
        insta::assert_snapshot!(texts.join("\n---\n"));
        for sound in [
            "module a\nreplace x.y/z => ../../../z\n",
            &format!("{required}replace x.y/z => ../../z\n"),
            &format!("{required}replace x.y/z => x.y/w v1.0.0\n"),
        ] {
            assert_eq!(said(sound, None), None, "{sound}");
        }
    }
}
