//! Go's official distribution, at the path where the image has it.
//!
//! The machine's own go command fetches it as a Go module and checks it against the checksum database. The times of
//! its files are part of the keys under which Go indexes the standard library, so they are set here once: to those
//! that the image's layer carries.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

use crate::failure::usage;
use crate::host;
use crate::image_toml::{ImageToml, Platform};
use crate::work::{Key, Work};

/// The distribution's folder, the `GOROOT` of the image.
pub fn make(
    work: &Work,
    image: &ImageToml,
    platform: &Platform,
    offline: bool,
) -> Result<Utf8PathBuf> {
    let key = Key::of(&(&image.go.version, image.image.epoch, platform.to_string()))?;
    let folder = work.keep("go", &key, |folder| {
        if offline {
            bail!(
                "Go {} is not kept yet; run once without --offline",
                image.go.version
            );
        }
        let download = work.scratch("toolchain")?;
        let fetched = fetch(&image.go.version, download.path())?;
        copy(
            &fetched,
            &folder.join("go"),
            UNIX_EPOCH + Duration::from_secs(image.image.epoch),
        )
    })?;
    Ok(folder.join("go"))
}

const UNIX_EPOCH: SystemTime = SystemTime::UNIX_EPOCH;

/// What the go command and module proxies say of a version that they do not have.
const UNKNOWN: [&str; 4] = [
    "not available",
    "invalid toolchain",
    "invalid GOTOOLCHAIN",
    "404 Not Found",
];

fn fetch(version: &str, cache: &Utf8Path) -> Result<Utf8PathBuf> {
    if host::find("go").is_none() {
        return Err(usage(
            "the go command is missing on this machine; any Go from 1.21 on will do",
        ));
    }
    let printed = host::output(
        host::command("go")
            .args(["env", "GOROOT"])
            .env("GOTOOLCHAIN", format!("go{version}"))
            .env("GOMODCACHE", cache)
            .env("GOFLAGS", "-modcacherw")
            .env("GOWORK", "off")
            .current_dir(cache),
    );
    match printed {
        Ok(goroot) if !goroot.trim().is_empty() => {
            let goroot = Utf8PathBuf::from(goroot.trim());
            if !goroot.starts_with(cache) {
                // The go command does not fetch the version that it is itself.
                return fetch_own_version(version, cache);
            }
            let found = fs_err::read_to_string(goroot.join("VERSION"))?;
            if found.lines().next() == Some(&format!("go{version}")) {
                return Ok(goroot);
            }
            Err(usage(format!(
                "asked for Go {version}, got {}; name a full version in image.toml",
                found.trim()
            )))
        }
        Ok(_) => Err(usage(
            "the machine's go command is older than 1.21 and cannot fetch toolchains",
        )),
        Err(error) if UNKNOWN.iter().any(|sign| error.to_string().contains(sign)) => {
            Err(usage(format!(
                "there is no Go {version} to be had; correct [go] version in image.toml\n{error}"
            )))
        }
        Err(error) => Err(error).with_context(|| format!("failed to fetch Go {version}")),
    }
}

/// The distribution of the version that the machine's own go command has: the Go module, made ready for use as the go
/// command does it (source: `cmd/go/internal/toolchain/select.go`).
fn fetch_own_version(version: &str, cache: &Utf8Path) -> Result<Utf8PathBuf> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Downloaded {
        dir: Utf8PathBuf,
    }
    let Platform { os, arch } = Platform::host();
    let printed = host::output(
        host::command("go")
            .args([
                "mod",
                "download",
                "-json",
                &format!("golang.org/toolchain@v0.0.1-go{version}.{os}-{arch}"),
            ])
            .env("GOMODCACHE", cache)
            .env("GOFLAGS", "-modcacherw")
            .env("GOWORK", "off")
            .current_dir(cache),
    )?;
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

fn copy(from: &Utf8Path, to: &Utf8Path, time: SystemTime) -> Result<()> {
    for entry in walkdir::WalkDir::new(from).sort_by_file_name() {
        let entry = entry.with_context(|| format!("failed to list {from}"))?;
        let source = Utf8Path::from_path(entry.path())
            .with_context(|| format!("{} is not UTF-8", entry.path().display()))?;
        let target = to.join(
            source
                .strip_prefix(from)
                .expect("walkdir yields what is below its root"),
        );
        if entry.file_type().is_dir() {
            fs_err::create_dir_all(&target)?;
        } else {
            fs_err::copy(source, &target)?;
            fs_err::File::open(&target)?
                .into_parts()
                .0
                .set_modified(time)
                .with_context(|| format!("failed to set the time of {target}"))?;
        }
    }
    Ok(())
}
