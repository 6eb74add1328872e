//! A list of files with their digests, in the format of `sha256sum` of coreutils, so that `sha256sum --check` reads it.
//!
//! `<64 hex digits>  <path>\n`, sorted by the bytes of the path. A path with a backslash, a line feed or a carriage
//! return has each of them escaped (`\\`, `\n`, `\r`) and a backslash at the start of its line. `sha256sum` reads more
//! spellings, but this one alone is written and accepted: reading and printing are exact inverses.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;

use camino::{Utf8Path, Utf8PathBuf};
use sha256::Sha256Hash;

use crate::Error;

const WHAT: &str = "list of digests";

/// Absolute paths with the digests of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checksums(BTreeMap<String, Sha256Hash>);

impl Checksums {
    /// Reads a list, line by line.
    pub fn read(mut reader: impl BufRead) -> Result<Self, Error> {
        let mut checksums = Self::default();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let malformed = |reason| Error::malformed(WHAT, format!("line {number} {reason}"));
            let (path, digest) = parse_line(&line).map_err(malformed)?;
            let last = checksums.0.last_key_value();
            if last.is_some_and(|(last, _)| *last >= path) {
                return Err(malformed("is not in order"));
            }
            checksums.0.insert(path, digest);
        }
        Ok(checksums)
    }

    /// Adds another list. Where the two have different digests for a file, that file is the error, and nothing is
    /// added.
    pub fn merge(&mut self, other: Self) -> Result<(), Utf8PathBuf> {
        let differs =
            |(path, digest): (&Utf8Path, _)| self.get(path).is_some_and(|own| own != digest);
        if let Some((path, _)) = other.iter().find(|file| differs(*file)) {
            return Err(path.to_owned());
        }
        self.0.extend(other.0);
        Ok(())
    }

    /// The digest of a file.
    pub fn get(&self, path: &Utf8Path) -> Option<Sha256Hash> {
        self.0.get(path.as_str()).copied()
    }

    /// Files and digests, sorted by the bytes of the path.
    pub fn iter(&self) -> impl Iterator<Item = (&Utf8Path, Sha256Hash)> {
        let files = self.0.iter();
        files.map(|(path, digest)| (Utf8Path::new(path), *digest))
    }

    /// How many files.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Utf8PathBuf, Sha256Hash)> for Checksums {
    fn from_iter<I: IntoIterator<Item = (Utf8PathBuf, Sha256Hash)>>(files: I) -> Self {
        let files = files.into_iter();
        Self(
            files
                .map(|(path, digest)| (path.into_string(), digest))
                .collect(),
        )
    }
}

impl fmt::Display for Checksums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, digest) in &self.0 {
            if path.contains(['\\', '\n', '\r']) {
                let escaped = path
                    .replace('\\', "\\\\")
                    .replace('\n', "\\n")
                    .replace('\r', "\\r");
                writeln!(f, "\\{digest}  {escaped}")?;
            } else {
                writeln!(f, "{digest}  {path}")?;
            }
        }
        Ok(())
    }
}

/// Path and digest of one line, or what is wrong with it.
fn parse_line(line: &[u8]) -> Result<(String, Sha256Hash), &'static str> {
    let text = std::str::from_utf8(line).map_err(|_| "is not UTF-8")?;
    let text = text.strip_suffix('\n').ok_or("is cut off")?;
    let (is_escaped, text) = match text.strip_prefix('\\') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (digits, name) = text.split_at_checked(64).ok_or("is too short")?;
    let digest = digits
        .parse()
        .map_err(|_| "does not begin with 64 lower-case hex digits")?;
    let name = name
        .strip_prefix("  ")
        .ok_or("has no two spaces after the digest")?;
    let path = if is_escaped {
        unescape(name).ok_or("is escaped in a way that sha256sum is not")?
    } else {
        name.to_owned()
    };
    if path.contains(['\\', '\n', '\r']) != is_escaped {
        return Err("is escaped in a way that sha256sum is not");
    }
    if !path.starts_with('/') {
        return Err("has no absolute path");
    }
    Ok((path, digest))
}

fn unescape(name: &str) -> Option<String> {
    let mut letters = name.chars();
    let mut path = String::with_capacity(name.len());
    while let Some(letter) = letters.next() {
        path.push(match letter {
            '\\' => match letters.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            other => other,
        });
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(paths: &[&str]) -> Checksums {
        paths
            .iter()
            .map(|path| ((*path).into(), Sha256Hash::of(path.as_bytes())))
            .collect()
    }

    #[test]
    fn prints_what_sha256sum_prints() {
        // `printf '' | sha256sum`, the file named as sha256sum of coreutils 9.1 prints it.
        let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let list: Checksums = ["/a/b", "/a-b", "/a\nb\\c\rd"]
            .map(|path| (path.into(), Sha256Hash::of(b"")))
            .into_iter()
            .collect();
        let expected = format!("\\{digest}  /a\\nb\\\\c\\rd\n{digest}  /a-b\n{digest}  /a/b\n");
        assert_eq!(list.to_string(), expected);
        assert_eq!(Checksums::read(expected.as_bytes()).unwrap(), list);
    }

    #[test]
    fn refuses_what_it_would_not_print() {
        let text = list(&["/a", "/b"]).to_string();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for (broken, reason) in [
            (lines[1].to_owned() + lines[0], "line 2 is not in order"),
            (lines[0].repeat(2), "line 2 is not in order"),
            (text.trim_end().to_owned(), "line 2 is cut off"),
            (text.replace("  /b", " */b"), "line 2 has no two spaces"),
            (text.replace("  /a", "  a"), "line 1 has no absolute path"),
            (text.to_uppercase(), "line 1 does not begin with"),
            (format!("\\{text}"), "line 1 is escaped"),
            (text.replace("/a", "/a\\n"), "line 1 is escaped"),
            ("\n".to_owned(), "line 1 is too short"),
        ] {
            let error = Checksums::read(broken.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{broken}: {error}");
        }
    }

    #[test]
    fn lists_merge_unless_they_disagree() {
        let mut merged = list(&["/a", "/b"]);
        merged.merge(list(&["/b", "/c"])).unwrap();
        assert_eq!(merged, list(&["/a", "/b", "/c"]));
        let other = [
            ("/c".into(), Sha256Hash::of(b"")),
            ("/d".into(), Sha256Hash::of(b"")),
        ];
        let refused = merged.merge(other.into_iter().collect()).unwrap_err();
        assert_eq!(refused, "/c");
        assert_eq!(merged, list(&["/a", "/b", "/c"]), "as before");
        assert_eq!((merged.len(), merged.is_empty()), (3, false));
    }

    proptest! {
        #[test]
        fn round_trips(paths in proptest::collection::btree_set("/[a-c/\\\\\n\ré -]{0,5}", 0..9)) {
            let list: Checksums = paths
                .iter()
                .map(|path| (path.into(), Sha256Hash::of(path.as_bytes())))
                .collect();
            prop_assert_eq!(Checksums::read(list.to_string().as_bytes()).unwrap(), list);
        }
    }
}
