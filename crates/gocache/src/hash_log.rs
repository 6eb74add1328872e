//! What `GODEBUG=gocachehash=1 go build` prints to standard error: the full IDs of actions, and what they are made of.
//!
//! Nothing else tells the IDs of links: the action graph and the executable's build ID hold only the first 15 bytes.
//! Each hash starts with `HASH[<name>]`, repeats that with `: "<quoted input>"` for each input, and ends with
//! `HASH[<name>]: <hex>`; the name is `build <import path>` or `link <import path>`. Files and subkeys are logged as
//! `HASH <file>: <hex>` and `HASH subkey …`. Everything else on standard error is a message of Go's own.
//!
//! The log is some hundred bytes an input, several megabytes a module, so it is scanned as it comes.

use std::collections::BTreeSet;
use std::io::BufRead;

use sha256::Sha256Hash;

use crate::Error;
use crate::hash_inputs::{Collector, HashInputs};

/// Messages kept; a build that fails in a thousand places is understood after the first few.
const OTHER_LINES: usize = 200;

/// What is needed of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HashLog {
    /// IDs of packages and links, and what they are made of.
    pub inputs: HashInputs,
    /// IDs under which the package index was looked up.
    pub index_ids: BTreeSet<Sha256Hash>,
    /// Go's own messages: the first 200 lines that are not part of the log.
    pub other: Vec<String>,
}

impl HashLog {
    /// Reads to the end. Where an ID is printed more than once, the last one holds.
    pub fn scan(mut reader: impl BufRead) -> Result<Self, Error> {
        let mut other = Vec::new();
        let mut inputs = Collector::default();
        let mut index_ids = BTreeSet::new();
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            let text = line.trim_ascii_end();
            if let Some(id) = text.strip_prefix(b"HASH[moduleIndex]: ") {
                // An input is quoted, so it is no ID.
                if let Some(id) = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()) {
                    index_ids.insert(id);
                }
            } else if let Some(hashed) = text.strip_prefix(b"HASH[") {
                inputs.add(&String::from_utf8_lossy(hashed));
            } else if !(text.is_empty() || text.starts_with(b"HASH ")) && other.len() < OTHER_LINES
            {
                other.push(String::from_utf8_lossy(text).into_owned());
            }
            line.clear();
        }
        Ok(Self {
            inputs: inputs.finish(),
            index_ids,
            other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_link_in_a_real_log() {
        let log = HashLog::scan(&include_bytes!("../tests/fixtures/gocachehash.log")[..]).unwrap();
        let (program, link) = log.inputs.links.first_key_value().unwrap();
        assert_eq!(program, "example.com/tiny");
        assert_eq!(
            link.action.to_string(),
            "b467513695b154a0a4c777f0da13677a36b3a4cc6eb5a42c8b94beaf84ab74a7"
        );
        assert_eq!(log.inputs.links.len(), 1);
        assert_eq!(log.other, [""; 0]);
    }

    #[test]
    fn keeps_messages_and_survives_bytes_that_are_no_text() {
        let text = b"go: downloading x v1\nHASH /f: open: no such file\n\nHASH[x\xff]\n\
                     # pkg\xff\r\nmain.go:1: bad\n\tmore";
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
