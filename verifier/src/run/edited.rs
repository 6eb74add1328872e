//! A scratch copy of a module in which one thing is changed, as a developer would change it: what that costs.
//!
//! The source may be read-only and large, so what is copied is what the build reads: the folders of the source's own
//! packages that the module imports, and every go.mod, go.sum and go.work that the go command looks at.

use std::collections::BTreeSet;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};

use crate::go;
use crate::process::Environment;

/// What is added to a file of the module's own package: it changes what is compiled, not what the program does.
const CHANGE: &str = "\n\nvar verifierChange = \"changed\"\n\n\
    func init() {\n\tif verifierChange == \"\" {\n\t\tpanic(verifierChange)\n\t}\n}\n";

/// One line for each thing that a build of `.` reads, after its kind.
const PACKAGES: &str = "{{if not .Standard}}{{$dir := .Dir}}dir {{.Dir}}\n\
                        {{range .EmbedFiles}}embed {{$dir}}/{{.}}\n{{end}}\
                        {{if not .DepOnly}}{{range .GoFiles}}main {{.}}\n{{end}}{{end}}{{end}}";

/// Go modules, each with its go.mod; a replacement's is that of the folder.
const GO_MODULES: &str = "{{with .Replace}}{{.GoMod}}{{else}}{{.GoMod}}{{end}}";

/// Copies what the module at `path` of `source` needs to `copy`, with one change; the module's folder there is
/// returned.
pub fn copy(
    source: &Utf8Path,
    path: &Utf8Path,
    copy: &Utf8Path,
    environment: &Environment,
) -> anyhow::Result<Utf8PathBuf> {
    let folder = source.join(path);
    let list = |arguments: &[&str]| -> anyhow::Result<String> {
        let listed = go::run(arguments, &folder, environment)?;
        String::from_utf8(listed.stdout).context("the go command named a file that is not UTF-8")
    };
    let packages = list(&["list", "-deps", "-f", PACKAGES, "."])?;
    let go_modules = list(&["list", "-m", "-f", GO_MODULES, "all"])?;

    let mut files: BTreeSet<Utf8PathBuf> = BTreeSet::new();
    let mut changed = None;
    for line in packages.lines().filter(|line| !line.is_empty()) {
        match line.split_once(' ') {
            Some(("dir", folder)) if Utf8Path::new(folder).starts_with(source) => {
                files.extend(files_in(folder.into())?);
            }
            Some(("embed", file)) if Utf8Path::new(file).starts_with(source) => {
                files.insert(file.into());
            }
            Some(("main", file)) if changed.is_none() => changed = Some(file.to_owned()),
            _ => {}
        }
    }
    for go_mod in go_modules.lines().map(Utf8Path::new) {
        if go_mod.starts_with(source) {
            files.extend([go_mod.to_owned(), go_mod.with_extension("sum")]);
        }
    }
    for folder in folder
        .ancestors()
        .take_while(|folder| folder.starts_with(source))
    {
        files.extend(
            [
                "go.mod",
                "go.sum",
                "go.work",
                "go.work.sum",
                "vendor/modules.txt",
            ]
            .map(|name| folder.join(name)),
        );
    }
    for file in files.iter().filter(|file| file.is_file()) {
        let to = copy.join(file.strip_prefix(source).unwrap_or(file));
        fs_err::create_dir_all(to.parent().unwrap_or(copy))?;
        fs_err::copy(file, &to)?;
    }
    let changed = changed.context("the module has no Go file")?;
    let changed = copy.join(path).join(changed);
    let text = fs_err::read_to_string(&changed)?;
    // The copy of a read-only file is read-only.
    fs_err::remove_file(&changed)?;
    fs_err::write(&changed, text + CHANGE)?;
    Ok(copy.join(path))
}

fn files_in(folder: &Utf8Path) -> anyhow::Result<Vec<Utf8PathBuf>> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(
                Utf8PathBuf::from_path_buf(path)
                    .map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))?,
            );
        }
    }
    Ok(files)
}
