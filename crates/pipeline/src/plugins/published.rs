//! Digests of published archives, from a table: for machines that do not reach the servers of plugins.
//!
//! A line has a name, a version, a platform (`linux/amd64`), the SHA-256 in hex and, where it is known, the size in
//! bytes, with tabs between them; `#` begins a comment, and the first line may name the columns. Nothing of an archive
//! is seen here, so the digest alone is what an image is later built by: whoever has another archive is refused.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use oci::platform::Platform;
use semver::Version;
use sha256::Sha256Hash;

use crate::plugins::address;
use crate::plugins::lock::{Locked, MAX_ARCHIVE_BYTES};
use crate::plugins::plugin::Plugin;
use failure::usage;

/// More bytes than any table has.
const MAX_BYTES: u64 = 4 << 20;

/// What the columns may be called in the first line.
const COLUMNS: [&str; 5] = ["name", "version", "platform", "sha256", "size"];

/// A table of digests.
#[derive(Debug)]
pub struct Published {
    file: Utf8PathBuf,
    archives: BTreeMap<Place, Archive>,
}

/// Name, version and platform.
type Place = (String, Version, String);

#[derive(Debug, Clone, Copy, PartialEq)]
struct Archive {
    sha256: Sha256Hash,
    size_bytes: Option<u64>,
}

impl Published {
    /// Reads the table `file`.
    pub fn read(file: &Utf8Path) -> Result<Self> {
        let refused = |reason: String| {
            let hint = "a line has a name, a version, a platform, a SHA-256 and, if you know it, a size in bytes, with \
                        tabs between them";
            usage(format!("{file} is no table of digests: {reason}"), hint)
        };
        let bytes =
            regular_file::read(file, MAX_BYTES).map_err(|error| refused(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|error| refused(error.to_string()))?;
        Ok(Self {
            file: file.to_owned(),
            archives: parse(&text).map_err(refused)?,
        })
    }

    /// What the lock is to say of the archive of `plugin` for `platform`.
    pub fn find(&self, plugin: &Plugin, platform: &Platform) -> Result<Locked> {
        let url = address::of_locked(plugin, platform)?;
        let place = (
            plugin.name.clone(),
            plugin.version.clone(),
            platform.to_string(),
        );
        let Some(archive) = self.archives.get(&place) else {
            bail!("{} has no digest of it", self.file);
        };
        let (name, version, platform) = place;
        Ok(Locked {
            name,
            version,
            platform,
            sha256: archive.sha256,
            size_bytes: archive.size_bytes,
            url,
        })
    }
}

fn parse(text: &str) -> Result<BTreeMap<Place, Archive>, String> {
    let mut archives = BTreeMap::new();
    let lines = (1..).zip(text.lines());
    let mut lines = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .peekable();
    lines.next_if(|(_, line)| COLUMNS[..4].join("\t") == *line || COLUMNS.join("\t") == *line);
    for (number, line) in lines {
        let said = |reason: String| format!("line {number}: {reason}");
        let (place, archive) = parse_line(line).map_err(said)?;
        let name = format!("{} {} for {}", place.0, place.1, place.2);
        if archives
            .insert(place, archive)
            .is_some_and(|before| before != archive)
        {
            return Err(said(format!("{name} was another archive before")));
        }
    }
    Ok(archives)
}

fn parse_line(line: &str) -> Result<(Place, Archive), String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let (name, version, platform, sha256, size) = match fields[..] {
        [name, version, platform, sha256] => (name, version, platform, sha256, None),
        [name, version, platform, sha256, size] => (name, version, platform, sha256, Some(size)),
        _ => return Err(format!("it has {} fields instead of 4 or 5", fields.len())),
    };
    let version = Version::parse(version).map_err(|error| format!("{version:?}: {error}"))?;
    let sha256 = sha256
        .parse()
        .map_err(|error| format!("{sha256:?}: {error}"))?;
    let size_bytes = match size {
        None => None,
        Some(size) => Some(size.parse().map_err(|_| format!("{size:?} is no size"))?),
    };
    if size_bytes.is_some_and(|size| size > MAX_ARCHIVE_BYTES) {
        return Err(format!("no archive has {} bytes", size.unwrap_or_default()));
    }
    let place = (name.to_owned(), version, platform.to_owned());
    Ok((place, Archive { sha256, size_bytes }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plugins::fetch::from_table;
    use crate::plugins::lock::Lock;

    const HEAD: &str = "# where they are from\nname\tversion\tplatform\tsha256\n";

    fn digest(content: &str) -> String {
        Sha256Hash::of(content.as_bytes()).to_string()
    }

    fn table(lines: &[String]) -> (tempfile::TempDir, Result<Published>) {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path())
            .unwrap()
            .join("table.tsv");
        fs_err::write(&file, format!("{HEAD}{}\n", lines.join("\n"))).unwrap();
        let read = Published::read(&file);
        (folder, read)
    }

    fn line(version: &str, arch: &str, content: &str) -> String {
        format!("toy\t{version}\tlinux/{arch}\t{}", digest(content))
    }

    fn plugins(versions: &[&str]) -> BTreeSet<Plugin> {
        let plugin =
            |version: &&str| Plugin::new("toy", version, Some("https://toy.test")).unwrap();
        versions.iter().map(plugin).collect()
    }

    #[test]
    fn the_lock_gets_the_digests_and_the_addresses_and_what_is_missing_is_named() {
        let (amd64, arm64) = (line("1.0.0", "amd64", "a"), line("1.0.0", "arm64", "b"));
        let lines = [amd64, format!("{arm64}\t77"), line("2.0.0", "amd64", "c")];
        let (_folder, table) = table(&lines);
        let mut lock = Lock::default();
        let failures = from_table(&table.unwrap(), &mut lock, &plugins(&["1.0.0", "2.0.0"]));
        let text = lock.to_string();
        let url = "https://toy.test/pulumi-resource-toy";
        for line in [
            format!(
                "\ntoy 1.0.0 linux/amd64 sha256:{} - {url}-v1.0.0-linux-amd64.tar.gz\n",
                digest("a")
            ),
            format!(
                "\ntoy 1.0.0 linux/arm64 sha256:{} 77 {url}-v1.0.0-linux-arm64.tar.gz\n",
                digest("b")
            ),
            format!("\ntoy 2.0.0 linux/amd64 sha256:{} - ", digest("c")),
        ] {
            assert!(text.contains(&line), "{text}");
        }
        assert_eq!(text.matches("\ntoy ").count(), 3);
        let said = format!("{:#}", failures[0]);
        assert!(
            said.starts_with("the plugin toy 2.0.0 for linux/arm64: ")
                && said.contains("no digest of it"),
            "{said}"
        );
        assert_eq!(failures.len(), 1);
    }

    #[test]
    fn a_digest_of_the_lock_is_never_replaced_and_its_size_stays() {
        let lock_of = |lines: &[String], lock: &mut Lock| {
            from_table(&table(lines).1.unwrap(), lock, &plugins(&["1.0.0"]))
        };
        let sized = |arch, content| format!("{}\t77", line("1.0.0", arch, content));
        let mut lock = Lock::default();
        assert!(lock_of(&[sized("amd64", "a"), sized("arm64", "b")], &mut lock).is_empty());
        let before = lock.clone();
        let same = [line("1.0.0", "amd64", "a"), line("1.0.0", "arm64", "b")];
        assert!(lock_of(&same, &mut lock).is_empty());
        assert_eq!(lock, before, "a table without sizes takes none away");
        let failures = lock_of(&[sized("amd64", "x"), sized("arm64", "b")], &mut lock);
        assert_eq!(failures.len(), 1);
        assert_eq!(
            failure::kind(&failures[0], &[]),
            failure::Kind::Corrupt,
            "{:#}",
            failures[0]
        );
        assert_eq!(lock, before);
    }

    #[test]
    fn a_table_of_another_form_is_refused_by_its_line() {
        let good = line("1.0.0", "amd64", "a");
        for (bad, reason) in [
            (
                line("1.0.0", "amd64", "b"),
                "toy 1.0.0 for linux/amd64 was another archive before",
            ),
            (good.replace('\t', " "), "it has 1 fields instead of 4 or 5"),
            (format!("{good}\t7\t8"), "it has 6 fields instead of 4 or 5"),
            (line("v1", "amd64", "a"), "\"v1\": "),
            (good.replace(&digest("a"), "abc"), "\"abc\": "),
            (format!("{good}\t-7"), "\"-7\" is no size"),
            (
                format!("{good}\t3000000000"),
                "no archive has 3000000000 bytes",
            ),
        ] {
            let error = table(&[good.clone(), bad]).1.unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
            let said = error.to_string();
            assert!(said.contains(&format!("line 4: {reason}")), "{said}");
        }
        table(&[good.clone(), good]).1.unwrap();
    }
}
