//! What a pack says of a Go module's version, in `cache/download/**/@v/*.info`.
//!
//! The go command needs the version and its time. A proxy may tell more, where the version came from above all, and one
//! and the same proxy does so at one time and not at another. So the file is written anew of these two alone: a layer
//! must not depend on who answered.

use anyhow::Result;
use camino::Utf8Path;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use failure::corrupt;

/// The two fields, in the order in which the go command writes them (`cmd/go/internal/modfetch`, `RevInfo`).
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ModuleInfo {
    version: String,
    time: Timestamp,
}

/// Whether a file of the module cache is one of these; `path` is relative to the cache.
pub fn is_module_info(path: &Utf8Path) -> bool {
    path.starts_with("cache/download")
        && path.extension() == Some("info")
        && path.parent().and_then(Utf8Path::file_name) == Some("@v")
}

/// `file`, as any other answer of the same meaning would be written.
pub fn normalized(file: &Utf8Path) -> Result<Vec<u8>> {
    let json = fs_err::read(file)?;
    let read = || serde_json::to_vec(&serde_json::from_slice::<ModuleInfo>(&json)?);
    read().map_err(|error: serde_json::Error| {
        corrupt(
            format!("{file} is no description of a Go module's version: {error}"),
            "remove it, and run the same command again to fetch it anew",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: &str = r#"{"Version":"v1.0.0","Time":"2024-10-30T16:33:24Z"}"#;

    fn written(content: &str) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path())
            .unwrap()
            .join("v1.0.0.info");
        fs_err::write(&file, content).unwrap();
        normalized(&file).map(|json| String::from_utf8(json).unwrap())
    }

    #[test]
    fn whoever_answered_the_file_is_the_same() {
        for answer in [
            SHORT,
            r#"{"Version":"v1.0.0","Time":"2024-10-30T16:33:24Z","Origin":{"VCS":"git","Hash":"5f3f"}}"#,
            r#"{"Name":"5f3f","Short":"5f3f","Version":"v1.0.0","Time":"2024-10-30T16:33:24Z"}"#,
            "{\n  \"Time\": \"2024-10-30T18:33:24+02:00\",\n  \"Version\": \"v1.0.0\"\n}\n",
        ] {
            assert_eq!(written(answer).unwrap(), SHORT, "{answer}");
        }
        let fraction = SHORT.replace("24Z", "24.5Z");
        assert_eq!(written(&fraction).unwrap(), fraction);
    }

    #[test]
    fn what_is_no_description_is_refused() {
        for content in [
            "",
            "[]",
            r#"{"Version":"v1.0.0"}"#,
            r#"{"Version":1,"Time":"now"}"#,
        ] {
            let error = written(content).unwrap_err();
            assert_eq!(
                failure::kind(&error, &[]),
                failure::Kind::Corrupt,
                "{error}"
            );
            assert!(error.to_string().contains("v1.0.0.info"), "{error}");
        }
    }

    #[test]
    fn only_what_the_download_cache_says_of_versions_is_one() {
        for (path, expected) in [
            ("cache/download/x.test/m/@v/v1.0.0.info", true),
            ("cache/download/x.test/m/@v/v1.0.0.mod", false),
            ("x.test/m@v1.0.0/cache/download/@v/v1.0.0.info", false),
            ("cache/download/x.test/m/a.info", false),
        ] {
            assert_eq!(is_module_info(path.into()), expected, "{path}");
        }
    }
}
