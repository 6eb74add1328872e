//! Debian packages, as dpkg's database lists them, and the system that they are of.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

/// A package that is installed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DebianPackage {
    /// Its name.
    pub name: String,
    /// Its version, with epoch and revision.
    pub version: String,
    /// For which machines it is; `all` for any.
    pub architecture: String,
    /// The source package that it was built of, and its version.
    pub source: (String, String),
    /// Digest of the archive that it came in, if the image tells it.
    pub archive: Option<Sha256Hash>,
}

/// Digests of the archives that packages came in, by name, architecture and version.
pub type Archives = BTreeMap<[String; 3], Sha256Hash>;

/// Reads the list that the image has of them: platform, name, architecture, version and digest in a line, and remarks
/// behind a `#`.
pub fn archives(list: &str) -> Result<Archives> {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    let archives = lines.map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_, name, architecture, version, digest] = fields[..] else {
            bail!("{line:?} does not name a package and its archive");
        };
        let digest = digest.strip_prefix("sha256:").unwrap_or_default().parse();
        let digest = digest.with_context(|| format!("the archive of {name} has no digest"))?;
        Ok(([name, architecture, version].map(str::to_owned), digest))
    });
    archives.collect()
}

/// The packages that `status`, dpkg's database, calls installed, sorted.
pub fn installed(status: &str) -> Result<Vec<DebianPackage>> {
    let mut packages = Vec::new();
    for paragraph in status.split("\n\n") {
        let fields = fields(paragraph);
        let is_installed = fields
            .get("Status")
            .is_some_and(|status| status.split(' ').next_back() == Some("installed"));
        if !is_installed {
            continue;
        }
        let field = |name: &str| {
            let value = fields.get(name).map(|value| (*value).to_owned());
            value.with_context(|| format!("a package of dpkg has no {name}"))
        };
        let (name, version) = (field("Package")?, field("Version")?);
        // `Source: NAME (VERSION)`, where they are not those of the package.
        let source = fields.get("Source").copied().unwrap_or(&name);
        let (source, source_version) = match source.split_once(" (") {
            Some((source, version)) => (source, version.trim_end_matches(')')),
            None => (source, version.as_str()),
        };
        packages.push(DebianPackage {
            source: (source.to_owned(), source_version.to_owned()),
            architecture: field("Architecture")?,
            name,
            version,
            archive: None,
        });
    }
    packages.sort();
    Ok(packages)
}

/// The lines `NAME=value` of `os-release`.
pub fn os_release(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines
        .map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

/// The first line of each field of a paragraph.
pub(crate) fn fields(paragraph: &str) -> BTreeMap<&str, &str> {
    let lines = paragraph
        .lines()
        .filter(|line| !line.starts_with([' ', '\t']));
    let fields = lines.filter_map(|line| line.split_once(':'));
    fields.map(|(name, value)| (name, value.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_is_listed_and_nothing_else() {
        let status = "Package: b\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2-3\n\
                      Source: bb (4)\nDescription: x\n Version: 9\n\n\
                      Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n\
                      Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 7+b1\n";
        let package =
            |name: &str, version: &str, architecture: &str, source: (&str, &str)| DebianPackage {
                name: name.into(),
                version: version.into(),
                architecture: architecture.into(),
                source: (source.0.into(), source.1.into()),
                archive: None,
            };
        assert_eq!(
            installed(status).unwrap(),
            [
                package("a", "7+b1", "all", ("a", "7+b1")),
                package("b", "1:2-3", "amd64", ("bb", "4")),
            ]
        );
        assert!(installed("Package: a\nStatus: install ok installed\n").is_err());
    }

    #[test]
    fn archives_are_told_by_line_and_what_is_none_is_refused() {
        let digest = Sha256Hash::of(b"a");
        let line = format!("linux/amd64 a all 7+b1 sha256:{digest}\n");
        let found = archives(&format!("# Packages\n{line}")).unwrap();
        let key = ["a", "all", "7+b1"].map(str::to_owned);
        assert_eq!(found, Archives::from([(key, digest)]));
        for damaged in [
            line.replace("sha256:", "sha512:"),
            line.replace(" all", ""),
            "\n".into(),
        ] {
            assert!(archives(&damaged).is_err(), "{damaged:?}");
        }
    }
}
