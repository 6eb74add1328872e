//! The full IDs of link actions and of look-ups of the package index, read from what `GODEBUG=gocachehash=1` makes the
//! go command print to standard error.
//!
//! Nothing else tells them: the action graph and the executable's build ID hold only the first 15 bytes. Each
//! hash starts with `HASH[<name>]`, repeats that with `: "<quoted input>"` for each input, and ends with
//! `HASH[<name>]: <hex>`; the name of a link action's is `link <import path>`. Files and subkeys are logged as
//! `HASH <file>: <hex>` and `HASH subkey …`. Everything else on standard error is a message of Go's own.
//!
//! The log is some hundred bytes an input, several megabytes a module, so it is scanned as it comes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;

use crate::{Error, Sha256Hash};

/// Messages kept; a build that fails in a thousand places is understood after the first few.
const OTHER_LINES: usize = 200;

/// What is needed of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HashLog {
    /// The action ID of each link, by the main package's import path.
    pub link_ids: BTreeMap<String, Sha256Hash>,
    /// The IDs under which the package index was looked up.
    pub index_ids: BTreeSet<Sha256Hash>,
    /// Go's own messages: the first 200 lines that are not part of the log.
    pub other: Vec<String>,
}

impl HashLog {
    /// Reads to the end. Where a link's ID is printed more than once, the last one holds.
    pub fn scan(mut reader: impl BufRead) -> Result<Self, Error> {
        let mut log = Self::default();
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            log.add(&line);
            line.clear();
        }
        Ok(log)
    }

    fn add(&mut self, line: &[u8]) {
        let line = line.trim_ascii_end();
        if let Some(rest) = line.strip_prefix(b"HASH[link ") {
            if let Some((package, id)) = std::str::from_utf8(rest).ok().and_then(link_id) {
                self.link_ids.insert(package.to_owned(), id);
            }
        } else if let Some(id) = line.strip_prefix(b"HASH[moduleIndex]: ") {
            // An input is quoted, so it is no ID.
            if let Some(id) = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()) {
                self.index_ids.insert(id);
            }
        } else if !(line.is_empty()
            || line.starts_with(b"HASH[")
            || line.starts_with(b"HASH ")
            || self.other.len() == OTHER_LINES)
        {
            self.other.push(String::from_utf8_lossy(line).into_owned());
        }
    }
}

/// The import path and ID in what follows `HASH[link `, if the line is the hash's last.
fn link_id(rest: &str) -> Option<(&str, Sha256Hash)> {
    let (package, id) = rest.split_once("]: ")?;
    Some((package, id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "b467513695b154a0a4c777f0da13677a36b3a4cc6eb5a42c8b94beaf84ab74a7";

    #[test]
    fn finds_the_link_in_a_real_log() {
        let log = HashLog::scan(&include_bytes!("../tests/fixtures/gocachehash.log")[..]).unwrap();
        assert_eq!(
            log.link_ids,
            BTreeMap::from([("example.com/tiny".to_owned(), ID.parse().unwrap())])
        );
        assert_eq!(log.other, [""; 0]);
    }

    #[test]
    fn the_last_id_holds_and_quoted_inputs_are_none() {
        let other_id = ID.replace('b', "c");
        let text = format!(
            "HASH[link a]: {other_id}\nHASH[link a]: {ID}\nHASH[link a]: \"{other_id}\"\nHASH[link b]\nHASH[link b]: {}\n",
            &ID[..30]
        );
        let log = HashLog::scan(text.as_bytes()).unwrap();
        assert_eq!(
            log.link_ids,
            BTreeMap::from([("a".to_owned(), ID.parse().unwrap())])
        );
    }

    #[test]
    fn keeps_messages_and_survives_bytes_that_are_no_text() {
        let text = b"go: downloading x v1\nHASH /f: open: no such file\n\nHASH[x\xff]\n# pkg\xff\r\nmain.go:1: bad\n\tmore";
        let log = HashLog::scan(&text[..]).unwrap();
        assert_eq!(
            log.other,
            [
                "go: downloading x v1",
                "# pkg\u{fffd}",
                "main.go:1: bad",
                "\tmore"
            ]
        );
    }

    #[test]
    fn messages_are_bounded() {
        let log = HashLog::scan("x\n".repeat(OTHER_LINES + 1).as_bytes()).unwrap();
        assert_eq!(log.other.len(), OTHER_LINES);
    }
}
