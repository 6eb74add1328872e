//! Which packages a base system has, by the lists of dpkg and apt in it.
//!
//! dpkg knows what is installed, but not the digests of the archives that it came from. Those are in apt's lists, by
//! which apt believed the archives: signed lists name the digest of each list of packages, and that names theirs.

use std::collections::BTreeMap;

use anyhow::Result;
use camino::Utf8Path;
use failure::corrupt;
use sha256::Sha256Hash;

/// Where dpkg keeps what is installed.
const STATUS: &str = "var/lib/dpkg/status";
/// Where apt keeps the lists of what there is.
pub const LISTS: &str = "var/lib/apt/lists";
/// How the name of such a list ends.
const PACKAGES: &str = "_Packages";

/// A package, as it is installed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Of which architecture it is: the platform's, or `all`.
    pub architecture: String,
    /// Its version.
    pub version: String,
    /// Digest of the archive that it came in.
    pub sha256: Sha256Hash,
}

/// The texts that tell it, as they are found in an archive.
#[derive(Debug, Default)]
pub struct Lists {
    status: String,
    available: Vec<String>,
}

impl Lists {
    /// Where to put the text of the file `path`, if it is one of them.
    pub fn place(&mut self, path: &Utf8Path) -> Option<&mut String> {
        if path == STATUS {
            return Some(&mut self.status);
        }
        if path.starts_with(LISTS) && path.as_str().ends_with(PACKAGES) {
            self.available.push(String::new());
            return self.available.last_mut();
        }
        None
    }

    /// The packages, sorted.
    pub fn packages(&self) -> Result<Vec<Package>> {
        let mut installed: BTreeMap<[&str; 3], Option<Sha256Hash>> = BTreeMap::new();
        for paragraph in paragraphs(&self.status) {
            if field(paragraph, "Status") == Some("install ok installed") {
                installed.extend(id(paragraph).map(|id| (id, None)));
            }
        }
        for paragraph in self.available.iter().flat_map(|list| paragraphs(list)) {
            let Some(found) = id(paragraph).and_then(|id| installed.get_mut(&id)) else {
                continue;
            };
            let sha256 = field(paragraph, "SHA256").and_then(|text| text.parse().ok());
            if found.is_some() && *found != sha256 {
                let [name, architecture, version] = id(paragraph).unwrap_or_default();
                return Err(corrupt(
                    format!("the package sources have two {name} {version} ({architecture})"),
                    "name package sources that agree, in [base] of image.toml",
                ));
            }
            *found = sha256;
        }
        let packages = installed.into_iter().map(|(id, sha256)| {
            let [name, architecture, version] = id.map(str::to_owned);
            let sha256 = sha256.ok_or_else(|| {
                corrupt(
                    format!("no package source has the digest of {name} {version}"),
                    "name package sources that have SHA256 sums, in [base] of image.toml",
                )
            })?;
            Ok(Package {
                name,
                architecture,
                version,
                sha256,
            })
        });
        packages.collect()
    }
}

/// Texts between empty lines.
fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    let all = text.split("\n\n").map(|it| it.trim_matches('\n'));
    all.filter(|paragraph| !paragraph.is_empty())
}

/// The value of a field that has one line.
fn field<'t>(paragraph: &'t str, name: &str) -> Option<&'t str> {
    let mut lines = paragraph.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(known, _)| *known == name)?;
    Some(value.trim())
}

fn id(paragraph: &str) -> Option<[&str; 3]> {
    let [Some(name), Some(architecture), Some(version)] =
        ["Package", "Architecture", "Version"].map(|name| field(paragraph, name))
    else {
        return None;
    };
    Some([name, architecture, version])
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS_TEXT: &str = "\
Package: git
Status: install ok installed
Architecture: amd64
Version: 1:2.39
Description: short
 Version: 9 is in a text

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: apt
Status: install ok installed
Architecture: amd64
Version: 2.6
";

    fn available(name: &str, version: &str, digest: &str) -> String {
        let sha256 = Sha256Hash::of(digest.as_bytes());
        format!("Package: {name}\nArchitecture: amd64\nVersion: {version}\nSHA256: {sha256}\n\n")
    }

    fn lists(available: &[String]) -> Lists {
        let mut lists = Lists::default();
        *lists.place(STATUS.into()).unwrap() = STATUS_TEXT.to_owned();
        for (number, text) in available.iter().enumerate() {
            let path = format!("{LISTS}/{number}_main_binary-amd64_Packages");
            lists.place(Utf8Path::new(&path)).unwrap().push_str(text);
        }
        assert!(lists.place("var/lib/apt/lists/lock".into()).is_none());
        assert!(lists.place("etc/passwd".into()).is_none());
        lists
    }

    #[test]
    fn each_package_has_the_digest_of_its_version_from_whichever_source() {
        let main = available("git", "1:2.38", "old") + &available("apt", "2.6", "apt");
        let updates = available("git", "1:2.39", "git") + &available("apt", "2.6", "apt");
        let found = lists(&[main, updates]).packages().unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.name.as_str(), it.version.as_str(), it.sha256))
            .collect();
        let digest = |text: &str| Sha256Hash::of(text.as_bytes());
        assert_eq!(
            found,
            [
                ("apt", "2.6", digest("apt")),
                ("git", "1:2.39", digest("git"))
            ]
        );
    }

    #[test]
    fn a_package_without_a_digest_or_with_two_is_an_error_that_names_it() {
        let git = available("git", "1:2.39", "git");
        for other in [
            available("apt", "2.5", "apt"),
            available("apt", "2.6", "a") + &available("apt", "2.6", "b"),
        ] {
            let error = lists(&[git.clone(), other]).packages().unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
            assert!(error.to_string().contains("apt 2.6"), "{error}");
        }
    }
}
