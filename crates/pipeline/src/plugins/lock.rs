//! `plugins.lock`: the archive of each plugin, version and platform, with its digest. It is reviewed like go.sum.
//!
//! There is one text for what it says, and no other is read: a line after the other, sorted, below lines that say what
//! the file is. A digest that is there is never replaced.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use anyhow::Result;
use camino::Utf8Path;
use oci::http::check_download;
use oci::platform::Platform;
use semver::Version;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use crate::plugins::plugin::is_name;
use crate::work::files::write_whole;
use failure::{corrupt, usage};

/// What stands above the lines.
const HEAD: &str = "\
# Plugins of Pulumi that an image may have: name, version, platform, SHA-256 and size of the archive, its address.
# Renewed by `cargo xtask plugins --lock`, which never replaces a digest. A size of `-` is that of an archive whose
# digest was taken from elsewhere, and that nobody has fetched from here yet.
";

/// More bytes than any lock has.
const MAX_BYTES: u64 = 4 << 20;

/// The sizes of archives end here.
pub const MAX_ARCHIVE_BYTES: u64 = 2 << 30;

/// A plugin's archive for one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    /// The plugin's name.
    pub name: String,
    /// Its version, without a `v`.
    pub version: Version,
    /// For what it is: `linux/amd64`.
    pub platform: String,
    /// Digest of the archive.
    pub sha256: Sha256Hash,
    /// Size of the archive, where it was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// Where the archive is.
    pub url: String,
}

impl Locked {
    fn place(&self) -> Place {
        let version = self.version.clone();
        (self.name.clone(), version, self.platform.clone())
    }

    /// Its folder below those of a `PULUMI_HOME` or of the image.
    pub fn folder(&self) -> String {
        format!("resource-{}-v{}", self.name, self.version)
    }

    /// Reads one line.
    fn parse(line: &str) -> Result<Self, String> {
        let fields: Vec<&str> = line.split(' ').collect();
        let [name, version, platform, sha256, size, url] = fields[..] else {
            return Err(format!("it has {} fields instead of 6", fields.len()));
        };
        if !is_name(name) {
            return Err(format!("{name:?} is no name of a plugin"));
        }
        let version = Version::parse(version).map_err(|error| format!("{version:?}: {error}"))?;
        let is_word =
            |word: &str| !word.is_empty() && word.bytes().all(|it| it.is_ascii_alphanumeric());
        if !platform
            .split_once('/')
            .is_some_and(|(os, arch)| is_word(os) && is_word(arch))
        {
            return Err(format!("{platform:?} is no platform"));
        }
        let digest = sha256.strip_prefix("sha256:");
        let digest = digest.ok_or_else(|| format!("{sha256:?} does not begin with sha256:"))?;
        let size_bytes = match size {
            "-" => None,
            _ => Some(size.parse().map_err(|_| format!("{size:?} is no size"))?),
        };
        if size_bytes.is_some_and(|size| size > MAX_ARCHIVE_BYTES) {
            return Err(format!("no archive has {size} bytes"));
        }
        check_download(url)?;
        Ok(Self {
            name: name.to_owned(),
            version,
            platform: platform.to_owned(),
            sha256: digest.parse().map_err(|error| format!("{error}"))?,
            size_bytes,
            url: url.to_owned(),
        })
    }
}

impl Display for Locked {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            version,
            platform,
            sha256,
            url,
            ..
        } = self;
        write!(f, "{name} {version} {platform} sha256:{sha256} ")?;
        match self.size_bytes {
            Some(size) => write!(f, "{size} {url}"),
            None => write!(f, "- {url}"),
        }
    }
}

/// What a line is found by.
type Place = (String, Version, String);

/// The lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock(BTreeMap<Place, Locked>);

impl Lock {
    /// Reads `file`; a lock that is not there is empty.
    pub fn read(file: &Utf8Path) -> Result<Self> {
        if !file.exists() {
            return Ok(Self::default());
        }
        let damaged = |reason: String| {
            usage(
                format!("{file} is no lock of plugins: {reason}"),
                "take back what was changed by hand; `cargo xtask plugins --lock` writes it",
            )
        };
        let bytes =
            regular_file::read(file, MAX_BYTES).map_err(|error| damaged(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
        Self::parse(&text).map_err(damaged)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut lock = Self::default();
        let lines = text.split_terminator('\n').enumerate();
        for (number, line) in lines.skip(HEAD.lines().count()) {
            let locked = Locked::parse(line);
            let locked = locked.map_err(|reason| format!("line {}: {reason}", number + 1))?;
            lock.0.insert(locked.place(), locked);
        }
        let written = lock.to_string();
        if written == text {
            return Ok(lock);
        }
        let (mut written, mut read) = (written.split('\n'), text.split('\n'));
        let same = std::iter::from_fn(|| Some((written.next()?, read.next()?)));
        let number = 1 + same.take_while(|(written, read)| written == read).count();
        Err(format!(
            "line {number} is another one than a sorted list has there, each line once"
        ))
    }

    /// The archive of a plugin.
    pub fn find(&self, name: &str, version: &Version, platform: &Platform) -> Option<&Locked> {
        let place = (name.to_owned(), version.clone(), platform.to_string());
        self.0.get(&place)
    }

    /// Adds an archive, or its size where that was not known yet.
    ///
    /// # Errors
    /// Another digest is there, whatever is true.
    pub fn add(&mut self, mut fetched: Locked) -> Result<()> {
        let place = fetched.place();
        if let Some(known) = self.0.get(&place) {
            if known.sha256 != fetched.sha256 {
                return Err(corrupt(
                    format!(
                        "{} has the SHA-256 {}, but {LOCK} names {} for {} {} ({})",
                        fetched.url,
                        fetched.sha256,
                        known.sha256,
                        known.name,
                        known.version,
                        known.platform,
                        LOCK = super::LOCK
                    ),
                    "a released version does not change: find out which of the two is wrong before you change anything",
                ));
            }
            if let (Some(before), Some(now)) = (known.size_bytes, fetched.size_bytes)
                && before != now
            {
                return Err(corrupt(
                    format!(
                        "{} has another size than {} names",
                        fetched.url,
                        super::LOCK
                    ),
                    "correct the size in the lock",
                ));
            }
            fetched.size_bytes = fetched.size_bytes.or(known.size_bytes);
        }
        self.0.insert(place, fetched);
        Ok(())
    }

    /// Writes it to `file`, which is whole or as it was.
    pub fn write(&self, file: &Utf8Path) -> Result<()> {
        write_whole(file, &self.to_string())
    }
}

impl Display for Lock {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        self.0
            .values()
            .try_for_each(|locked| writeln!(f, "{locked}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(name: &str, version: &str, digest: &str) -> Locked {
        Locked {
            name: name.to_owned(),
            version: version.parse().unwrap(),
            platform: "linux/amd64".to_owned(),
            sha256: Sha256Hash::of(digest.as_bytes()),
            size_bytes: Some(7),
            url: format!("https://toy.test/{name}-{version}.tar.gz"),
        }
    }

    fn lock() -> Lock {
        let mut lock = Lock::default();
        for (name, version) in [("toy", "1.10.0"), ("aws", "7.3.0"), ("toy", "1.9.0")] {
            lock.add(locked(name, version, version)).unwrap();
        }
        lock
    }

    #[test]
    fn it_is_sorted_and_reads_back() {
        let mut lock = lock();
        let unknown = Locked {
            size_bytes: None,
            ..locked("toy", "2.0.0", "x")
        };
        lock.add(unknown).unwrap();
        let text = lock.to_string();
        insta::assert_snapshot!(text);
        assert_eq!(Lock::parse(&text).unwrap(), lock);
        assert_eq!(Lock::parse(HEAD).unwrap(), Lock::default());
    }

    #[test]
    fn a_text_of_another_form_is_refused_by_its_line() {
        let text = lock().to_string();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.len();
        let turned = text
            .replace(lines[last - 1], "x")
            .replace(lines[last - 2], lines[last - 1]);
        let turned = turned.replace("\nx\n", &format!("\n{}\n", lines[last - 2]));
        for (changed, line) in [
            (turned, last - 1),
            (format!("{text}{}\n", lines[last - 1]), last + 1),
            (format!("{text}\n"), last + 1),
            (text.trim_end().to_owned(), last + 1),
            (text.replace("https://", "https:// "), last - 2),
            (text.replace('\n', "\r\n"), last - 2),
            (text.replace("7.3.0 linux", "7.3.0  linux"), last - 2),
            (text.replace("7.3.0 linux", "v7.3.0 linux"), last - 2),
            (text.replace("linux/amd64", "linux"), last - 2),
            (text.replace("sha256:", "sha512:"), last - 2),
            (text.replace(" 7 ", " 07 "), last - 2),
            (text.replace(" 7 ", " 3000000000 "), last - 2),
            (text.replace("https://", "http://"), last - 2),
            (text.replace("aws 7", "../aws 7"), last - 2),
            (text.replace("# Plugins", "# Others"), 1),
            (String::new(), 1),
        ] {
            let said = Lock::parse(&changed).unwrap_err();
            assert!(
                said.starts_with(&format!("line {line}")),
                "{said}\n{changed}"
            );
        }
    }

    #[test]
    fn a_digest_is_never_replaced_and_a_size_is_added() {
        let mut lock = lock();
        let error = lock.add(locked("toy", "1.9.0", "another")).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
        let before = lock.to_string();
        assert!(!before.contains(&Sha256Hash::of(b"another").to_string()));
        let unknown = Locked {
            size_bytes: None,
            ..locked("toy", "2.0.0", "x")
        };
        lock.add(unknown).unwrap();
        lock.add(locked("toy", "2.0.0", "x")).unwrap();
        let version = "2.0.0".parse().unwrap();
        let found = lock.find("toy", &version, &crate::fixtures::platform());
        assert_eq!(found, Some(&locked("toy", "2.0.0", "x")));
    }

    #[test]
    fn it_is_written_whole_and_one_that_is_not_there_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path())
            .unwrap()
            .join("plugins.lock");
        assert_eq!(Lock::read(&file).unwrap(), Lock::default());
        lock().write(&file).unwrap();
        assert_eq!(Lock::read(&file).unwrap(), lock());
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
        fs_err::write(&file, "x").unwrap();
        let error = Lock::read(&file).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
    }

    #[test]
    fn the_lock_of_this_repository_is_one() {
        let file = crate::workspace::image_toml().with_file_name(super::super::LOCK);
        assert!(!Lock::read(&file).unwrap().0.is_empty());
    }
}
