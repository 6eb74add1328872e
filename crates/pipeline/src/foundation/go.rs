//! Go's official distribution, at the path where the image has it.
//!
//! The machine's own go command fetches it as a Go module and checks it against the checksum database. The times of
//! its files are part of the keys under which Go indexes the standard library, so they are set here once: to those
//! that the image's layer carries.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use xshell::{Shell, cmd};

use crate::flow::settings::Settings;
use crate::foundation::not_kept;
use crate::image_toml::ImageToml;
use crate::resolve::embedding::Embedding;
use crate::resolve::unchecked;
use crate::work::files::files_below;
use crate::work::kept_tree::{self, Additions};
use crate::work::{Key, Work};
use engine::host;
use failure::usage;
use oci::platform::Platform;

/// The distribution's folder, the `GOROOT` of the image.
pub fn make(
    work: &Work,
    image: &ImageToml,
    platform: &Platform,
    settings: &Settings,
) -> Result<Utf8PathBuf> {
    let tests = image.go.test_data;
    let key = Key::of(&(
        &image.go.version,
        image.image.epoch,
        platform.to_string(),
        tests,
    ))?;
    kept_tree::keep(work, "go", &key, Additions::None, |folder| {
        if settings.offline {
            return Err(not_kept(&format!("Go {}", image.go.version)));
        }
        let download = work.scratch("toolchain")?;
        let version = &image.go.version;
        let fetched = fetch(version, platform, download.path(), settings.allow_unchecked)?;
        copy(
            &fetched,
            folder,
            tests,
            UNIX_EPOCH + Duration::from_secs(image.image.epoch),
        )
    })
}

const UNIX_EPOCH: SystemTime = SystemTime::UNIX_EPOCH;

/// What the go command and module proxies say of a version that they do not have.
const UNKNOWN: [&str; 4] = [
    "not available",
    "invalid toolchain",
    "invalid GOTOOLCHAIN",
    "404 Not Found",
];

fn fetch(
    version: &str,
    platform: &Platform,
    cache: &Utf8Path,
    allow_unchecked: bool,
) -> Result<Utf8PathBuf> {
    if host::find("go").is_none() {
        return Err(usage(
            "the go command is missing on this machine",
            "any Go from 1.21 on will do",
        ));
    }
    let sh = shell(cache)?;
    // With what `go env -w` wrote, which is not in the environment.
    let printed = host::read(cmd!(sh, "go env -json"))?;
    let known: BTreeMap<String, String> =
        serde_json::from_str(&printed).context("`go env -json` printed no JSON")?;
    unchecked::allowed(allow_unchecked, |name| known.get(name).cloned())?;
    if platform.is_foreign() {
        return download(version, platform, cache)
            .with_context(|| format!("failed to fetch Go {version} for {platform}"));
    }
    let toolchain = format!("go{version}");
    let printed = host::read(cmd!(sh, "go env GOROOT").env("GOTOOLCHAIN", &toolchain));
    match printed {
        Ok(goroot) if !goroot.trim().is_empty() => {
            let goroot = Utf8PathBuf::from(goroot.trim());
            if !goroot.starts_with(cache) {
                // The go command does not fetch the version that it is itself.
                return download(version, platform, cache);
            }
            let found = fs_err::read_to_string(goroot.join("VERSION"))?;
            if found.lines().next() == Some(&toolchain) {
                return Ok(goroot);
            }
            Err(usage(
                format!("asked for Go {version}, got {}", found.trim()),
                "name a full version in image.toml",
            ))
        }
        Ok(_) => Err(usage(
            "the machine's go command is older than 1.21 and cannot fetch toolchains",
            "install a newer one",
        )),
        Err(error) if UNKNOWN.iter().any(|sign| error.to_string().contains(sign)) => Err(usage(
            format!("there is no Go {version} to be had"),
            format!("correct [go] version in image.toml\n{error}"),
        )),
        Err(error) => Err(error).with_context(|| format!("failed to fetch Go {version}")),
    }
}

/// Where the go command fetches into `cache`, and looks at no settings of a workspace.
fn shell(cache: &Utf8Path) -> Result<Shell> {
    let sh = Shell::new()?;
    sh.change_dir(cache);
    sh.set_var("GOMODCACHE", cache);
    sh.set_var("GOFLAGS", "-modcacherw");
    sh.set_var("GOWORK", "off");
    Ok(sh)
}

/// The distribution of the version that the machine's own go command has, or for another platform: the Go module, made
/// ready for use as the go command does it (source: `cmd/go/internal/toolchain/select.go`).
fn download(version: &str, platform: &Platform, cache: &Utf8Path) -> Result<Utf8PathBuf> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Downloaded {
        dir: Utf8PathBuf,
    }
    let Platform { os, arch } = platform;
    let sh = shell(cache)?;
    let module = format!("golang.org/toolchain@v0.0.1-go{version}.{os}-{arch}");
    let printed = host::read(cmd!(sh, "go mod download -json {module}"))?;
    let Downloaded { dir } =
        serde_json::from_str(&printed).context("the go command printed no JSON")?;
    for folder in ["bin", "pkg/tool"] {
        for entry in walkdir::WalkDir::new(dir.join(folder)) {
            let entry = entry.with_context(|| format!("failed to list {dir}"))?;
            if entry.file_type().is_file() {
                fs_err::set_permissions(entry.path(), Permissions::from_mode(0o755))?;
            }
        }
    }
    for folder in ["src", "src/cmd"] {
        let hidden = dir.join(folder).join("_go.mod");
        if hidden.is_file() {
            fs_err::rename(&hidden, hidden.with_file_name("go.mod"))?;
        }
    }
    Ok(dir)
}

/// Copies the distribution, with or without its own tests and the data for them.
fn copy(from: &Utf8Path, to: &Utf8Path, tests: bool, time: SystemTime) -> Result<()> {
    for below in wanted(from, tests)? {
        let target = to.join(&below);
        fs_err::create_dir_all(target.parent().expect("it is below `to`"))?;
        fs_err::copy(from.join(below), &target)?;
        fs_err::File::open(&target)?
            .into_parts()
            .0
            .set_modified(time)
            .with_context(|| format!("failed to set the time of {target}"))?;
    }
    Ok(())
}

/// The files of the distribution `goroot` that the image has, relative to it, sorted.
fn wanted(goroot: &Utf8Path, tests: bool) -> Result<Vec<Utf8PathBuf>> {
    let mut files = files_below(goroot)?;
    if tests {
        return Ok(files);
    }
    let is_data = |path: &Utf8Path| path.iter().any(|part| part == "testdata");
    files.retain(|path| !path.as_str().ends_with("_test.go"));
    let (data, mut rest): (Vec<_>, Vec<_>) = files.into_iter().partition(|path| is_data(path));
    let embedding = Embedding::of(goroot, &rest)?;
    rest.extend(data.into_iter().filter(|path| embedding.may_take(path)));
    rest.sort();
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_and_their_data_are_left_out_unless_a_package_embeds_them() {
        let folder = tempfile::tempdir().unwrap();
        let goroot = Utf8Path::from_path(folder.path()).unwrap();
        for (path, content) in [
            ("VERSION", "go1.0"),
            ("src/a/a.go", "package a\n"),
            ("src/a/a_test.go", "package a\n\n//go:embed testdata\n"),
            ("src/a/testdata/data", ""),
            ("src/a/testdata/b/b.go", "package b\n\n//go:embed *\n"),
            ("src/c/c.go", "package c\n\n//go:embed testdata/*\n"),
            ("src/c/testdata/data", ""),
        ] {
            let file = goroot.join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, content).unwrap();
        }
        let files = wanted(goroot, false).unwrap();
        let expected = ["VERSION", "src/a/a.go", "src/c/c.go", "src/c/testdata/data"];
        assert_eq!(files, expected.map(Utf8Path::new));
        assert_eq!(wanted(goroot, true).unwrap().len(), 7);
    }
}
