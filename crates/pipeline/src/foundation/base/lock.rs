//! `base.lock`: the packages of the base system with their versions and digests, by platform. It is reviewed like
//! go.sum: where it is there, a base system with other packages is an error.
//!
//! There is one text for what it says, and no other is read: a line after the other, sorted, below lines that say what
//! the file is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use anyhow::Result;
use camino::Utf8Path;
use failure::usage;
use oci::platform::Platform;

use super::installed::Package;
use crate::work::files::write_whole;

/// Its name, beside `image.toml`.
pub const LOCK: &str = "base.lock";

/// What renews it.
const COMMAND: &str = "cargo xtask bump base";

/// What stands above the lines.
const HEAD: &str = "\
# Packages of the base system: platform, name, architecture, version, SHA-256 of the archive. A base system with others
# is an error. Renewed by `cargo xtask bump base`.
";

/// More bytes than any lock has.
const MAX_BYTES: u64 = 4 << 20;

/// How many packages a message names.
const NAMED: usize = 5;

/// The lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock(BTreeMap<String, BTreeSet<Package>>);

/// A package that is another one than it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The package.
    pub name: String,
    /// The version that it had, if it was there.
    pub old: Option<String>,
    /// The version that it has, if it is there.
    pub new: Option<String>,
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match (&self.old, &self.new) {
            (Some(old), Some(new)) if old == new => write!(f, "{name} {old}: another archive"),
            (Some(old), Some(new)) => write!(f, "{name} {old} → {new}"),
            (Some(old), None) => write!(f, "{name} {old}: gone"),
            (None, new) => write!(f, "{name} {}: new", new.as_deref().unwrap_or_default()),
        }
    }
}

impl Lock {
    /// Reads `file`, if it is there.
    pub fn read(file: &Utf8Path) -> Result<Option<Self>> {
        if !file.exists() {
            return Ok(None);
        }
        let damaged = |reason: String| {
            usage(
                format!("{file} is no lock of packages: {reason}"),
                format!("take back what was changed by hand; `{COMMAND}` writes it"),
            )
        };
        let bytes =
            regular_file::read(file, MAX_BYTES).map_err(|error| damaged(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
        Self::parse(&text).map(Some).map_err(damaged)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut lock = Self::default();
        let lines = text.split_terminator('\n').enumerate();
        for (number, line) in lines.skip(HEAD.lines().count()) {
            let fields: Vec<&str> = line.split(' ').collect();
            let at = |reason: String| format!("line {}: {reason}", number + 1);
            let [platform, name, architecture, version, sha256] = fields[..] else {
                return Err(at(format!("it has {} fields instead of 5", fields.len())));
            };
            let sha256 = sha256.strip_prefix("sha256:").unwrap_or_default().parse();
            let sha256 = sha256.map_err(|error| at(format!("{error}")))?;
            lock.0
                .entry(platform.to_owned())
                .or_default()
                .insert(Package {
                    name: name.to_owned(),
                    architecture: architecture.to_owned(),
                    version: version.to_owned(),
                    sha256,
                });
        }
        if lock.to_string() == text {
            Ok(lock)
        } else {
            Err("its lines are not sorted, each once, below those that say what it is".to_owned())
        }
    }

    /// The packages of a platform.
    ///
    /// # Errors
    /// It has none.
    pub fn of(&self, platform: &Platform) -> Result<&BTreeSet<Package>> {
        self.0.get(&platform.to_string()).ok_or_else(|| {
            usage(
                format!("{LOCK} has no packages for {platform}"),
                format!("`{COMMAND}` on such a machine adds them"),
            )
        })
    }

    /// Those that it has packages for, and this machine's.
    pub fn platforms(&self) -> BTreeSet<Platform> {
        let known = self.0.keys().filter_map(|name| name.parse().ok());
        known.chain(std::iter::once(Platform::host())).collect()
    }

    /// Puts `packages` in the place of those of `platform`; what that changes.
    pub fn renew(&mut self, platform: &Platform, packages: &[Package]) -> Vec<Change> {
        let new: BTreeSet<Package> = packages.iter().cloned().collect();
        let old = self.0.insert(platform.to_string(), new);
        changes(&old.unwrap_or_default(), packages)
    }

    /// Writes it to `file`, which is whole or as it was.
    pub fn write(&self, file: &Utf8Path) -> Result<()> {
        write_whole(file, &self.to_string())
    }
}

/// Fails if `packages`, of which a base system was made, are not those that are locked.
pub fn check(locked: &BTreeSet<Package>, packages: &[Package]) -> Result<()> {
    let changes = changes(locked, packages);
    if changes.is_empty() {
        return Ok(());
    }
    let mut named: Vec<String> = changes
        .iter()
        .take(NAMED)
        .map(ToString::to_string)
        .collect();
    if changes.len() > NAMED {
        named.push(format!("and {} more", changes.len() - NAMED));
    }
    Err(usage(
        format!(
            "the package sources have other packages than {LOCK}: {}",
            named.join(", ")
        ),
        format!(
            "`{COMMAND}` takes them over; [base] snapshot in image.toml has the same ones every day"
        ),
    ))
}

fn changes(old: &BTreeSet<Package>, new: &[Package]) -> Vec<Change> {
    let by_name = |packages: &mut dyn Iterator<Item = &Package>| -> BTreeMap<_, _> {
        let named = packages.map(|it| ((it.name.clone(), it.architecture.clone()), it.clone()));
        named.collect()
    };
    let (old, new) = (by_name(&mut old.iter()), by_name(&mut new.iter()));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name));
    let version =
        |of: &BTreeMap<_, Package>, name| of.get(name).map(|it: &Package| it.version.clone());
    differing
        .map(|name| Change {
            name: name.0.clone(),
            old: version(&old, name),
            new: version(&new, name),
        })
        .collect()
}

impl Display for Lock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        for (platform, packages) in &self.0 {
            for Package {
                name,
                architecture,
                version,
                sha256,
            } in packages
            {
                writeln!(
                    f,
                    "{platform} {name} {architecture} {version} sha256:{sha256}"
                )?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::platform;
    use sha256::Sha256Hash;

    fn package(name: &str, version: &str, archive: &str) -> Package {
        Package {
            name: name.to_owned(),
            architecture: "amd64".to_owned(),
            version: version.to_owned(),
            sha256: Sha256Hash::of(archive.as_bytes()),
        }
    }

    fn packages() -> Vec<Package> {
        vec![
            package("git", "1:2.39", "git"),
            package("apt", "2.6", "apt"),
        ]
    }

    #[test]
    fn it_is_sorted_reads_back_and_no_other_text_is_read() {
        let mut lock = Lock::default();
        lock.renew(&platform(), &packages());
        let text = lock.to_string();
        insta::assert_snapshot!(text);
        assert_eq!(Lock::parse(&text).unwrap(), lock);
        assert_eq!(Lock::parse(HEAD).unwrap(), Lock::default());
        let last = text.lines().last().unwrap();
        for changed in [
            format!("{text}{last}\n"),
            format!("{text}\n"),
            text.replace("sha256:", "sha512:"),
            text.replace("amd64 2.6", "amd64  2.6"),
            text.replace('\n', "\r\n"),
            text.replace("linux/amd64 apt", "linux/amd64 zlib"),
            text.replace("# Packages", "# Others"),
            String::new(),
        ] {
            assert!(Lock::parse(&changed).is_err(), "{changed}");
        }
    }

    #[test]
    fn other_packages_are_refused_by_their_names() {
        let mut lock = Lock::default();
        lock.renew(&platform(), &packages());
        let locked = lock.of(&platform()).unwrap();
        check(locked, &packages()).unwrap();
        let others = [
            package("git", "1:2.40", "new"),
            package("less", "1", "less"),
        ];
        let error = check(locked, &others).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
        insta::assert_snapshot!(failure::text(&error));
        let other_archive = [package("apt", "2.6", "x"), package("git", "1:2.39", "git")];
        let error = check(locked, &other_archive).unwrap_err();
        assert!(
            error.to_string().ends_with("apt 2.6: another archive"),
            "{error}"
        );
        let many: Vec<Package> = (0..9)
            .map(|it| package(&it.to_string(), "1", "x"))
            .collect();
        let error = check(locked, &many).unwrap_err().to_string();
        assert!(error.ends_with("3 1: new, 4 1: new, and 6 more"), "{error}");
        let arm = Platform {
            os: "linux".to_owned(),
            arch: "arm64".to_owned(),
        };
        let error = lock.of(&arm).unwrap_err().to_string();
        assert!(error.contains("linux/arm64"), "{error}");
    }

    #[test]
    fn what_was_renewed_is_told() {
        let mut lock = Lock::default();
        assert_eq!(lock.renew(&platform(), &packages()).len(), 2);
        assert_eq!(lock.renew(&platform(), &packages()), []);
        let changes = lock.renew(&platform(), &[package("git", "1:2.40", "new")]);
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(changes, ["apt 2.6: gone", "git 1:2.39 → 1:2.40"]);
    }

    #[test]
    fn one_that_is_not_there_is_none_and_a_written_one_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path()).unwrap().join(LOCK);
        assert_eq!(Lock::read(&file).unwrap(), None);
        let mut lock = Lock::default();
        lock.renew(&platform(), &packages());
        lock.write(&file).unwrap();
        assert_eq!(Lock::read(&file).unwrap(), Some(lock));
        fs_err::write(&file, "x").unwrap();
        let error = Lock::read(&file).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
    }
}
