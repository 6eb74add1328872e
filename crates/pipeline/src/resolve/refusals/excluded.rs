//! Why a package has no file that is built, where the go command says only that there is none.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use modules::constraints::{Build, Excluded};
use modules::source_file::{self, MAX_GO_BYTES};

use crate::foundation::tree::SOURCE;
use crate::image_toml::{Go, ImageToml};
use oci::platform::Platform;

/// What the go command says before the folder.
const SIGN: &str = "build constraints exclude all Go files in ";

/// What is wrong, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Explained {
    /// A fragment that names each file and what keeps it out.
    pub message: String,
    /// An imperative.
    pub hint: String,
}

/// Where folders of the sandbox are on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The source.
    pub source: &'a Utf8Path,
    /// The module cache.
    pub module_cache: &'a Utf8Path,
}

impl Places<'_> {
    fn here(self, image: &ImageToml, folder: &Utf8Path) -> Option<Utf8PathBuf> {
        let places = [
            (Utf8Path::new(SOURCE), self.source),
            (&image.go.gomodcache, self.module_cache),
        ];
        places
            .into_iter()
            .find_map(|(there, here)| Some(here.join(folder.strip_prefix(there).ok()?)))
    }
}

/// Explains what the go command said, if it is that constraints exclude all files of a package.
pub fn explain(
    said: &str,
    places: Places<'_>,
    image: &ImageToml,
    platform: &Platform,
) -> Result<Option<Explained>> {
    let Some((_, folder)) = said.split_once(SIGN) else {
        return Ok(None);
    };
    let folder = Utf8Path::new(folder.lines().next().unwrap_or_default());
    let Some(folder) = places.here(image, folder) else {
        return Ok(None);
    };
    in_folder(&folder, image, platform)
}

/// Explains which files of a package's folder on this machine are not built, if there are any.
pub fn in_folder(
    folder: &Utf8Path,
    image: &ImageToml,
    platform: &Platform,
) -> Result<Option<Explained>> {
    let build = Build {
        goos: platform.os.clone(),
        goarch: platform.arch.clone(),
        tags: tags(&image.go.flags),
        go_minor: image
            .go
            .version
            .split('.')
            .nth(1)
            .and_then(|it| it.parse().ok()),
    };
    let mut excluded = Vec::new();
    for file in folder.read_dir_utf8()? {
        let file = file?;
        let name = file.file_name();
        let is_source = file.path().extension() == Some("go") && !name.ends_with("_test.go");
        if !is_source || name.starts_with(['.', '_']) || !file.path().is_file() {
            continue;
        }
        // What a link leads to outside of the folder, or is larger than any code, is not read for a message.
        let (folder, path) = (folder.as_std_path(), name.as_ref());
        let Ok(Some(text)) = source_file::read(folder, path, MAX_GO_BYTES) else {
            continue;
        };
        if let Some(reason) = build.excludes(name, &String::from_utf8_lossy(&text)) {
            excluded.push((file.into_path(), reason));
        }
    }
    excluded.sort_by(|a, b| a.0.cmp(&b.0));
    Ok((!excluded.is_empty()).then(|| of(&excluded, &image.go, platform)))
}

/// The values of `-tags` in flags; the last one counts.
fn tags(flags: &[String]) -> BTreeSet<String> {
    let mut values = flags.iter().rev().filter_map(|flag| {
        let flag = flag.strip_prefix("--").or_else(|| flag.strip_prefix('-'))?;
        flag.strip_prefix("tags=")
    });
    let last = values.next().unwrap_or_default();
    last.split(',').map(str::to_owned).collect()
}

fn of(excluded: &[(Utf8PathBuf, Excluded)], go: &Go, platform: &Platform) -> Explained {
    const NAMED: usize = 5;
    let flags = &go.flags;
    let named: Vec<String> = excluded
        .iter()
        .take(NAMED)
        .map(|(file, reason)| format!("{file}: {reason}"))
        .collect();
    let message = format!("not built for {platform}: {}", named.join("; "));
    let reasons = || excluded.iter().map(|(_, reason)| reason);
    let free: BTreeSet<&str> = reasons().flat_map(Excluded::tags).collect();
    let hint = if !free.is_empty() {
        let mut all = tags(flags);
        all.extend(free.into_iter().map(str::to_owned));
        let all: Vec<String> = all.into_iter().filter(|tag| !tag.is_empty()).collect();
        let others = flags.iter().filter(|flag| !flag.contains("-tags="));
        let flags: Vec<String> = others
            .cloned()
            .chain([format!("-tags={}", all.join(","))])
            .map(|flag| format!("{flag:?}"))
            .collect();
        format!(
            "if it is to be built with that tag, set it in image.toml: [go] flags = [{}]",
            flags.join(", ")
        )
    } else if reasons().any(Excluded::is_release) {
        let go = &go.version;
        format!(
            "the image has Go {go}; raise [go] version in image.toml, or add a file for older releases"
        )
    } else if reasons().any(Excluded::is_cgo) {
        "the image has no C compiler and builds with CGO_ENABLED=0; add a file for `!cgo`, or do without C".to_owned()
    } else if reasons().any(Excluded::is_platform) {
        format!("add a file that is built for {platform}")
    } else {
        "make `go build` work with CGO_ENABLED=0 first".to_owned()
    };
    Explained { message, hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::image_toml;

    fn explained(name: &str, text: &str) -> String {
        let version = ImageToml::read(&image_toml()).unwrap().go.version;
        let folder = tempfile::tempdir().unwrap();
        let source = Utf8Path::from_path(folder.path()).unwrap();
        fs_err::create_dir(source.join("a")).unwrap();
        fs_err::write(source.join("a").join(name), text).unwrap();
        fs_err::write(source.join("a/a_test.go"), "package a").unwrap();
        let places = Places {
            source,
            module_cache: source,
        };
        let image = ImageToml::read(&image_toml()).unwrap();
        let platform = Platform {
            os: "linux".into(),
            arch: "amd64".into(),
        };
        let said = format!("{SIGN}{SOURCE}/a\nmore");
        let explained = explain(&said, places, &image, &platform).unwrap().unwrap();
        let text = format!("{}\nhint: {}", explained.message, explained.hint);
        text.replace(source.as_str(), "[SOURCE]")
            .replace(&version, "[GO]")
    }

    #[test]
    fn the_file_the_constraint_and_the_way_out_are_named() {
        let texts = [
            explained("main.go", "package main\n\nimport \"C\"\n"),
            explained("main.go", "//go:build prod && linux\n\npackage main\n"),
            explained("main.go", "//go:build windows\n\npackage main\n"),
            explained("main_darwin.go", "package main\n"),
            explained("main.go", "//go:build ignore\n\npackage main\n"),
            explained("main.go", "// +build windows\n\npackage main\n"),
            explained("main.go", "//go:build go1.99\n\npackage main\n"),
        ];
        insta::assert_snapshot!(texts.join("\n---\n"));
    }

    #[test]
    fn the_last_tags_count() {
        let flags = ["-trimpath", "-tags=a", "--tags=b,c"].map(str::to_owned);
        assert_eq!(tags(&flags), ["b", "c"].map(str::to_owned).into());
    }
}
