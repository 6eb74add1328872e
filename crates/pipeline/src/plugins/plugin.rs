//! The plugin behind a Go module, found as Pulumi's language host for Go finds it (`getPackage` in pulumi-language-go's
//! `main.go`): by the `pulumi-plugin.json` of the Go module, or else by its path and version.

use camino::{Utf8Path, Utf8PathBuf};
use semver::Version;
use serde::{Deserialize, Serialize};

/// What tells of a plugin, in a Go module.
pub const FILE: &str = "pulumi-plugin.json";

/// Go modules of this prefix are SDKs even where nothing tells of a plugin.
const SDK: &str = "github.com/pulumi/pulumi-";

/// More bytes than the file has; a parameter in it may be long.
const MAX_BYTES: u64 = 1 << 20;

/// A plugin that makes resources, in one version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Plugin {
    /// Its name, without `pulumi-resource-`.
    pub name: String,
    /// Without a `v`.
    pub version: Version,
    /// Where its archives are, where that is not the server of Pulumi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
}

impl Plugin {
    /// A plugin of Pulumi's own server.
    ///
    /// # Errors
    /// The reason why there can be none of this name and version.
    pub fn new(name: &str, version: &str, server: Option<&str>) -> Result<Self, String> {
        if !is_name(name) {
            return Err(format!("{name:?} is no name of a plugin"));
        }
        Ok(Self {
            name: name.to_owned(),
            version: tolerant(version).ok_or_else(|| format!("{version:?} is no version"))?,
            server: server.filter(|it| !it.is_empty()).map(str::to_owned),
        })
    }
}

/// As Pulumi names folders of plugins; at least two characters, none of which leads to another folder.
pub fn is_name(name: &str) -> bool {
    let is_in = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_outer = |byte: Option<u8>| byte.is_some_and(|it| it.is_ascii_alphanumeric());
    name.len() > 1
        && name.len() <= 100
        && name.bytes().all(is_in)
        && is_outer(name.bytes().next())
        && is_outer(name.bytes().next_back())
}

/// What `pulumi-plugin.json` says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    resource: bool,
    name: String,
    version: String,
    server: String,
}

/// The plugin behind the Go module `path` of a `version`, whose file says `json`; none for a Go module that is no SDK.
///
/// # Errors
/// The reason why Pulumi passes over it.
pub fn of_go_module(
    path: &str,
    version: &str,
    json: Option<&[u8]>,
) -> Result<Option<Plugin>, String> {
    let said: Option<Said> = json
        .map(serde_json::from_slice)
        .transpose()
        .map_err(|error| format!("its {FILE} cannot be read: {error}"))?;
    let said = match said {
        None if !path.starts_with(SDK) => return Ok(None),
        Some(said) if !said.resource => return Ok(None),
        said => said.unwrap_or_default(),
    };
    // github.com/pulumi/pulumi-aws/sdk/v7: aws
    let by_path = || path.strip_prefix(SDK)?.split('/').next();
    let name = match said.name.as_str() {
        "" => by_path().ok_or_else(|| format!("its {FILE} names no plugin"))?,
        name => name,
    };
    let version = match said.version.as_str() {
        "" => version,
        version => version,
    };
    Plugin::new(name, &released(version)?, Some(&said.server)).map(Some)
}

/// The content of the file in the Go module in `folder`, at the first of the places where Pulumi looks. No link is
/// followed.
///
/// # Errors
/// A file that is there and cannot be read.
pub fn read(folder: &Utf8Path) -> Result<Option<Vec<u8>>, String> {
    let go = folder.join("go");
    let mut places = vec![folder.to_owned(), go.clone()];
    places.extend(folders_in(&go));
    places.extend(folders_in(folder));
    for place in places {
        let file = place.join(FILE);
        let is_folder = |path: &Utf8Path| path.symlink_metadata().is_ok_and(|it| it.is_dir());
        if (place == folder || is_folder(&place)) && file.symlink_metadata().is_ok() {
            let content = regular_file::read(&file, MAX_BYTES);
            return content.map(Some).map_err(|error| error.to_string());
        }
    }
    Ok(None)
}

fn folders_in(folder: &Utf8Path) -> Vec<Utf8PathBuf> {
    let entries = folder.symlink_metadata().is_ok_and(|it| it.is_dir());
    let entries = entries.then(|| folder.read_dir_utf8().ok()).flatten();
    let mut folders: Vec<_> = entries
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(camino::Utf8DirEntry::into_path)
        .collect();
    folders.sort();
    folders
}

/// The version of a plugin that there is for this one of a Go module: a commit after 1.29.0 is called
/// `v1.29.1-0.20200403140640-efb5e2a48a86`, and has the plugin of 1.29.0.
fn released(version: &str) -> Result<String, String> {
    let parsed = tolerant(version).ok_or_else(|| format!("{version:?} is no version"))?;
    if !is_pseudo(version) {
        return Ok(version.to_owned());
    }
    let Version {
        major,
        minor,
        patch,
        ..
    } = parsed;
    if (major, minor, patch) == (0, 0, 0) {
        return Err(format!("{version:?} follows no release"));
    }
    Ok(format!("{major}.{minor}.{}", patch.saturating_sub(1)))
}

/// Whether the go command made the version of a commit: `….YYYYMMDDhhmmss-COMMIT` after a `0`.
fn is_pseudo(version: &str) -> bool {
    let version = version.split('+').next().unwrap_or_default();
    let Some((rest, commit)) = version.rsplit_once('-') else {
        return false;
    };
    let is_commit = !commit.is_empty() && commit.bytes().all(|it| it.is_ascii_alphanumeric());
    let Some((before, time)) = rest.split_at_checked(rest.len().saturating_sub(14)) else {
        return false;
    };
    let is_time = time.len() == 14 && time.bytes().all(|it| it.is_ascii_digit());
    let follows = |end: &str| before.ends_with(end);
    let of_none = version.starts_with('v') && before.ends_with(".0.0-");
    is_commit
        && is_time
        && version.starts_with('v')
        && (of_none || follows("-0.") || follows(".0."))
}

/// A version as Pulumi reads it: with a `v` or without, and with what is missing taken for 0.
fn tolerant(text: &str) -> Option<Version> {
    let text = text.trim();
    let text = text.strip_prefix('v').unwrap_or(text);
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(end);
    let mut parts: Vec<String> = Vec::new();
    for part in numbers.split('.') {
        let number: u64 = part.parse().ok().filter(|_| !part.starts_with('+'))?;
        parts.push(number.to_string());
    }
    if parts.len() < 3 && !rest.is_empty() {
        return None;
    }
    parts.resize(3.max(parts.len()), "0".to_owned());
    Version::parse(&format!("{}{rest}", parts.join("."))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CIVO: &str = "github.com/pulumi/pulumi-civo/sdk/v2";

    fn found(path: &str, version: &str, json: Option<&str>) -> String {
        match of_go_module(path, version, json.map(str::as_bytes)) {
            Ok(None) => "none".to_owned(),
            Ok(Some(it)) => format!(
                "{} {} {}",
                it.name,
                it.version,
                it.server.unwrap_or_default()
            ),
            Err(reason) => reason,
        }
    }

    #[test]
    fn the_file_counts_more_than_path_and_version() {
        for (path, version, json, expected) in [
            ("example.com/uuid", "v1.0.0", None, "none"),
            (CIVO, "v2.4.8", None, "civo 2.4.8 "),
            (CIVO, "v2.4.8", Some(r#"{"resource": false}"#), "none"),
            (CIVO, "v2.4.8", Some(r#"{"resource": true}"#), "civo 2.4.8 "),
            (
                "example.com/sdk",
                "v0.0.0",
                Some(
                    r#"{"resource": true, "name": "toy", "version": "v1.2", "server": "https://toy.test"}"#,
                ),
                "toy 1.2.0 https://toy.test",
            ),
            (
                "github.com/pulumi/pulumi-aws/sdk/go",
                "v1.29.1-0.20200403140640-efb5e2a48a86",
                None,
                "aws 1.29.0 ",
            ),
        ] {
            assert_eq!(found(path, version, json), expected, "{path} {json:?}");
        }
    }

    #[test]
    fn what_pulumi_passes_over_has_a_reason() {
        for (version, json, reason) in [
            ("v1.0.0", r"{", "cannot be read"),
            ("v1.0.0", r#"{"resource": true}"#, "names no plugin"),
            (
                "v1.0.0",
                r#"{"resource": true, "name": "../up"}"#,
                "no name",
            ),
            ("v1.0.0", r#"{"resource": true, "name": "a/b"}"#, "no name"),
            (
                "v1.0.0",
                r#"{"resource": true, "name": "ab", "version": "1.x"}"#,
                "no version",
            ),
            (
                "v1.0.0",
                r#"{"resource": true, "name": "ab", "version": "1.0.0-/.."}"#,
                "no version",
            ),
            (
                "v0.0.0-20200403140640-efb5e2a48a86",
                r#"{"resource": true, "name": "ab"}"#,
                "no release",
            ),
        ] {
            let said = found("example.com/sdk", version, Some(json));
            assert!(said.contains(reason), "{json}: {said}");
        }
    }

    #[test]
    fn a_version_is_read_as_pulumi_reads_it() {
        for (text, expected) in [
            ("v4.18.4", Some("4.18.4")),
            (" 7 ", Some("7.0.0")),
            ("1.02.3", Some("1.2.3")),
            ("1.0.0-alpha.0+dev", Some("1.0.0-alpha.0+dev")),
            ("1.2.3.4", None),
            ("1.2-rc", None),
            ("", None),
            ("-1.0.0", None),
        ] {
            let found = tolerant(text).map(|version| version.to_string());
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
        for (version, expected) in [
            ("v1.29.1-0.20200403140640-efb5e2a48a86", true),
            ("v0.0.0-20200403140640-efb5e2a48a86", true),
            ("v1.2.3-rc.1.0.20200403140640-efb5e2a48a86", true),
            ("v1.2.3-rc.1", false),
            ("v1.2.3-20200403140640-rc", false),
            ("1.29.1-0.20200403140640-efb5e2a48a86", false),
        ] {
            assert_eq!(is_pseudo(version), expected, "{version}");
        }
    }

    #[test]
    fn the_file_is_found_where_pulumi_looks_and_no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let secret = root.join("secret");
        fs_err::create_dir_all(&secret).unwrap();
        fs_err::write(secret.join(FILE), "secret").unwrap();
        let module = root.join("module");
        let places = ["zone", "go/b", "go/a", "go", "."];
        fs_err::create_dir_all(module.join("deep/er")).unwrap();
        fs_err::write(module.join("deep/er").join(FILE), "deep").unwrap();
        fs_err::os::unix::fs::symlink(&secret, module.join("aaa")).unwrap();
        assert_eq!(read(&module).unwrap(), None);
        for place in places {
            fs_err::create_dir_all(module.join(place)).unwrap();
            fs_err::write(module.join(place).join(FILE), place).unwrap();
            assert_eq!(read(&module).unwrap().unwrap(), place.as_bytes());
        }
        fs_err::remove_file(module.join(FILE)).unwrap();
        fs_err::os::unix::fs::symlink(secret.join(FILE), module.join(FILE)).unwrap();
        assert!(read(&module).unwrap_err().contains("no regular file"));
    }
}
