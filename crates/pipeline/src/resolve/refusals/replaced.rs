//! Folders that go.mod and go.work name, which must be in the source: it is built at other paths than the one it has
//! here, and nothing beside it is there.

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use failure::usage;
use modules::ModFile;

use crate::resolve::go_mod::{GoMod, normal};

/// Fails if the go command, for `go_mod`, would look into a folder outside of the source.
pub fn check(go_mod: &GoMod, source: &Utf8Path) -> Result<()> {
    if go_mod.is_vendored(source) {
        return Ok(());
    }
    let read = |file: &Utf8Path| -> Result<ModFile> {
        Ok(ModFile::parse(&fs_err::read_to_string(source.join(file))?))
    };
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
    Ok(())
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
