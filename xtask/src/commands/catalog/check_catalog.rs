//! `cargo xtask check-catalog`: what whoever starts from the catalog relies on. Everything is checked before the
//! command fails, and each check says what it found.

use crate::source::Source;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use modules::ModFile;
use walkdir::WalkDir;
use xshell::{Shell, cmd};

use engine::host;
use failure::usage;

/// The linter, as the go command fetches and runs it.
const STATICCHECK: &str = "honnef.co/go/tools/cmd/staticcheck@v0.8.2";

/// What the go command is asked of each Go module.
const CHECKS: [&[&str]; 3] = [
    &["vet", "./..."],
    &["run", STATICCHECK, "./..."],
    &["test", "./..."],
];

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub source: Source,
}

/// Checks every Go module of the source; what fails is named.
pub fn run(flags: &Args) -> Result<()> {
    let source = flags.source.folder()?;
    let go_mods = go_mods(&source)?;
    if go_mods.is_empty() {
        return Err(usage(
            format!("there is no go.mod in {source}"),
            "name a catalog with --source",
        ));
    }
    let mut failed = Vec::new();
    let differences = differences(&requirements(&source, &go_mods)?);
    if differences.is_empty() {
        eprintln!(
            "each dependency has one version in all {} go.mods",
            go_mods.len()
        );
    } else {
        eprint!("{differences}");
        failed.push("versions differ between go.mods".to_owned());
    }
    let sh = Shell::new()?;
    for go_mod in &go_mods {
        let folder = go_mod.parent().unwrap_or(Utf8Path::new(""));
        let _folder = sh.push_dir(source.join(folder));
        for check in CHECKS {
            let shown = format!("go {} in {folder}", check.join(" "));
            eprintln!("{shown}");
            if !host::status(cmd!(sh, "go {check...}"))?.success() {
                failed.push(shown);
            }
        }
    }
    if !failed.is_empty() {
        bail!("failed:\n{}", failed.join("\n"));
    }
    Ok(())
}

/// Every go.mod below `source` that is not hidden from Go, relative to it, sorted.
fn go_mods(source: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
    let is_looked_into = |entry: &walkdir::DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0
            || !(name.starts_with(['.', '_'])
                || ["vendor", "testdata", "node_modules"].contains(&name.as_ref()))
    };
    let mut found = Vec::new();
    for entry in WalkDir::new(source)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(is_looked_into)
    {
        let entry = entry.with_context(|| format!("failed to list {source}"))?;
        if entry.file_name() == "go.mod" && entry.file_type().is_file() {
            let path = Utf8PathBuf::try_from(entry.into_path())?;
            found.push(path.strip_prefix(source)?.to_owned());
        }
    }
    Ok(found)
}

/// The go.mods that require a version of a Go module.
type Requirements = BTreeMap<String, BTreeMap<String, Vec<Utf8PathBuf>>>;

fn requirements(source: &Utf8Path, go_mods: &[Utf8PathBuf]) -> Result<Requirements> {
    let mut found = Requirements::new();
    for path in go_mods {
        let file = source.join(path);
        let parsed = ModFile::parse(&fs_err::read_to_string(&file)?);
        if let Some(error) = parsed.errors.first() {
            bail!("failed to read {file}: {error}");
        }
        for required in parsed.require {
            let required = required.module;
            let versions = found.entry(required.path).or_default();
            versions
                .entry(required.version)
                .or_default()
                .push(path.clone());
        }
    }
    Ok(found)
}

/// Go modules that are required in several versions, with the go.mods of each; empty if there is none.
fn differences(requirements: &Requirements) -> String {
    let mut text = String::new();
    for (module, versions) in requirements
        .iter()
        .filter(|(_, versions)| versions.len() > 1)
    {
        writeln!(text, "{module} has several versions:").expect("a String takes everything");
        for (version, go_mods) in versions {
            let go_mods: Vec<&str> = go_mods.iter().map(|path| path.as_str()).collect();
            writeln!(text, "  {version} in {}", go_mods.join(", "))
                .expect("a String takes everything");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_differ_are_named_with_their_go_mods() {
        let source = tempfile::tempdir().unwrap();
        let source = Utf8Path::from_path(source.path()).unwrap();
        let go_mod = |folder: &str, version: &str| {
            fs_err::create_dir_all(source.join(folder)).unwrap();
            let text = format!(
                "module example.com/{folder}\n\nrequire (\n\t\
                 example.com/a v1.0.0\n\texample.com/b {version} // indirect\n)\n"
            );
            fs_err::write(source.join(folder).join("go.mod"), text).unwrap();
        };
        for (folder, version) in [
            ("one", "v1.0.0"),
            ("two", "v1.1.0"),
            ("three", "v1.1.0"),
            ("testdata", "v2.0.0"),
        ] {
            go_mod(folder, version);
        }
        let go_mods = go_mods(source).unwrap();
        assert_eq!(go_mods, ["one/go.mod", "three/go.mod", "two/go.mod"]);
        assert_eq!(
            differences(&requirements(source, &go_mods).unwrap()),
            "example.com/b has several versions:\n  v1.0.0 in one/go.mod\n  v1.1.0 in three/go.mod, two/go.mod\n"
        );
        go_mod("one", "v1.1.0");
        assert_eq!(differences(&requirements(source, &go_mods).unwrap()), "");
    }
}
