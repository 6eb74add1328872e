//! Go's official distribution, at the path where the image has it.
//!
//! The machine's own go command fetches it as a Go module and checks it against the checksum database. The times of
//! its files are part of the keys under which Go indexes the standard library, so they are set here once: to those
//! that the image's layer carries.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};

use crate::failure::usage;
use crate::host;
use crate::image_toml::{ImageToml, Platform};
use crate::work::{Key, Work};

/// The distribution's folder, the `GOROOT` of the image.
pub fn make(work: &Work, image: &ImageToml, platform: &Platform) -> Result<Utf8PathBuf> {
    let key = Key::of(&(&image.go.version, image.image.epoch, platform.to_string()))?;
    let folder = work.keep("go", &key, |folder| {
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
