//! `[base]`: the base system.

use anyhow::Result;
use failure::usage;
use serde::{Deserialize, Serialize};

/// `[base]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Debian suite.
    pub suite: String,
    /// Package source other than the suite's own; it is the image's, too.
    pub mirror: Option<String>,
    /// The time of a snapshot of Debian's archive, of which the packages are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The server of snapshots, if not Debian's: below it are `debian/<time>` and `debian-security/<time>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<String>,
    /// Packages beside the minimal system.
    pub packages: Vec<String>,
    /// Paths that dpkg does not unpack.
    pub exclude: Vec<String>,
    /// Paths that dpkg unpacks all the same.
    pub include: Vec<String>,
}

impl Base {
    /// Fails for a value that mmdebstrap or dpkg would not take for what it is here: an option, or two settings.
    pub(super) fn check(&self) -> Result<()> {
        let mirror = self.mirror.iter();
        let words = [&self.suite].into_iter().map(|word| ("suite", word));
        let words = words
            .chain(mirror.map(|word| ("mirror", word)))
            .chain(self.snapshots.iter().map(|word| ("snapshots", word)))
            .chain(self.packages.iter().map(|word| ("packages", word)));
        let is_no_word = |word: &str| {
            word.is_empty()
                || word.starts_with('-')
                || word.contains(|it: char| it.is_whitespace() || it.is_control())
        };
        let excluded = self.exclude.iter().map(|path| ("exclude", path));
        let mut paths = excluded.chain(self.include.iter().map(|path| ("include", path)));
        let is_no_path = |path: &str| path.is_empty() || path.contains(char::is_control);
        let refused = words
            .into_iter()
            .find(|(_, word)| is_no_word(word))
            .map(|found| (found, "write one word that does not begin with `-`"));
        let refused = refused.or_else(|| {
            let found = paths.find(|(_, path)| is_no_path(path))?;
            Some((found, "write one path on one line"))
        });
        if let Some(((name, value), hint)) = refused {
            return Err(usage(format!("base.{name} cannot be {value:?}"), hint));
        }
        match &self.snapshot {
            Some(snapshot) if !is_snapshot(snapshot) => Err(usage(
                format!("base.snapshot cannot be {snapshot:?}"),
                "write a time as \"20260101T000000Z\"",
            )),
            Some(_) if self.mirror.is_some() => Err(usage(
                "base.mirror and base.snapshot exclude each other",
                "name a server of snapshots with base.snapshots",
            )),
            None if self.snapshots.is_some() => Err(usage(
                "base.snapshots has no base.snapshot",
                "add the time of one",
            )),
            _ => Ok(()),
        }
    }
}

/// Whether `text` is the time of a snapshot.
pub fn is_snapshot(text: &str) -> bool {
    jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text)
        .is_ok_and(|time| time.strftime("%Y%m%dT%H%M%SZ").to_string() == text)
}
