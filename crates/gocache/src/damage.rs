//! What is wrong with an entry that should be in a cache.
//!
//! Unlike Go, which takes an output of the right size for the right one, this reads it to the end.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8PathBuf;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha256::{Sha256Hash, hash_reader};

use crate::store::if_found;
use crate::{ActionEntry, Error, Store};

/// Why an entry cannot be used, or must not be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "damage", rename_all = "kebab-case")]
pub enum Damage {
    /// There is no `-a`.
    NoEntry {
        /// Where it should be.
        file: Utf8PathBuf,
    },
    /// The `-a` is not what Go writes, or is another action's.
    BadEntry {
        /// The `-a`.
        file: Utf8PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// There is an `-a`, but no `-d`.
    NoOutput {
        /// Where it should be.
        file: Utf8PathBuf,
    },
    /// The `-d` is longer or shorter than the `-a` says.
    OutputSize {
        /// The `-d`.
        file: Utf8PathBuf,
        /// Its size.
        size_bytes: u64,
        /// The size it should have.
        expected_bytes: u64,
    },
    /// The `-d` does not have the hash that is its name. Go does not notice.
    OutputHash {
        /// The `-d`.
        file: Utf8PathBuf,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEntry { file } => write!(f, "missing: there is no {file}"),
            Self::BadEntry { file, reason } => write!(f, "corrupt: {file}: {reason}"),
            Self::NoOutput { file } => write!(f, "without its output: there is no {file}"),
            Self::OutputSize {
                file,
                size_bytes,
                expected_bytes,
            } => write!(
                f,
                "corrupt: {file} has {size_bytes} bytes instead of {expected_bytes}"
            ),
            Self::OutputHash { file } => write!(
                f,
                "corrupt: {file} has the right size, but not the hash that is its name"
            ),
        }
    }
}

impl Store {
    /// What is wrong with the entry of an action, if anything is.
    pub fn damage(&self, action: &Sha256Hash) -> Result<Option<Damage>, Error> {
        let file = self.action_path(action);
        let Some(bytes) = if_found(fs_err::read(&file))? else {
            return Ok(Some(Damage::NoEntry { file }));
        };
        let entry = match ActionEntry::parse(&bytes) {
            Ok(entry) if entry.action == *action => entry,
            Ok(entry) => {
                let reason = format!("it is the entry of action {}", entry.action);
                return Ok(Some(Damage::BadEntry { file, reason }));
            }
            Err(error) => {
                let reason = error.to_string();
                return Ok(Some(Damage::BadEntry { file, reason }));
            }
        };
        let file = self.output_path(&entry.output);
        let Some(output) = if_found(fs_err::File::open(&file))? else {
            return Ok(Some(Damage::NoOutput { file }));
        };
        let size_bytes = output.metadata()?.len();
        if size_bytes != entry.size_bytes {
            return Ok(Some(Damage::OutputSize {
                file,
                size_bytes,
                expected_bytes: entry.size_bytes,
            }));
        }
        let (hash, _) = hash_reader(output)?;
        Ok((hash != entry.output).then_some(Damage::OutputHash { file }))
    }

    /// The actions whose entries are not whole.
    pub fn damaged(&self, actions: &[Sha256Hash]) -> Result<BTreeMap<Sha256Hash, Damage>, Error> {
        let damaged = actions.par_iter().filter_map(|action| {
            let damage = self.damage(action).transpose()?;
            Some(damage.map(|damage| (*action, damage)))
        });
        damaged.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8Path;

    #[test]
    fn every_damage_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(Utf8Path::from_path(folder.path()).unwrap());
        let actions: Vec<_> = ["whole", "none", "bad", "other", "output", "size", "hash"]
            .iter()
            .map(|name| Sha256Hash::of(name.as_bytes()))
            .collect();
        let entries: Vec<_> = actions
            .iter()
            .map(|action| {
                let bytes = action.as_bytes();
                let size_bytes = bytes.len() as u64;
                store
                    .put_reader(action, None, size_bytes, &bytes[..], 1)
                    .unwrap()
            })
            .collect();
        assert!(store.damaged(&actions).unwrap().is_empty());
        let [_, none, bad, other, output, size, hash] = &entries[..] else {
            unreachable!("as many as names")
        };
        fs_err::remove_file(store.action_path(&none.action)).unwrap();
        fs_err::write(store.action_path(&bad.action), "v1").unwrap();
        fs_err::write(store.action_path(&other.action), bad.to_bytes()).unwrap();
        fs_err::remove_file(store.output_path(&output.output)).unwrap();
        fs_err::write(store.output_path(&size.output), "short").unwrap();
        fs_err::write(store.output_path(&hash.output), [0; 32]).unwrap();
        let damaged = store.damaged(&actions).unwrap();
        let expected = [
            (none, "missing: there is no "),
            (bad, "malformed"),
            (other, "it is the entry of action "),
            (output, "without its output: there is no "),
            (size, "has 5 bytes instead of 32"),
            (hash, "not the hash"),
        ];
        assert_eq!(damaged.len(), expected.len());
        for (entry, part) in expected {
            let text = damaged[&entry.action].to_string();
            assert!(text.contains(part), "{text}");
        }
    }
}
