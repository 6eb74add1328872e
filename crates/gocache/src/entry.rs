//! The action entry, `<aa>/<action>-a`: one line that says which output an action has.
//!
//! `v1 <action hex> <output hex> <size, 20 wide> <unix ns, 20 wide>\n`, 175 bytes. Go accepts a few other
//! spellings of the numbers but writes only this one, so this one alone is accepted: parsing and printing are
//! exact inverses.

use sha256::Sha256Hash;

use crate::Error;

/// Length of every action entry.
pub const ACTION_ENTRY_BYTES: usize = 175;

const WHAT: &str = "action entry";

/// Which output an action has, and when that was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionEntry {
    /// The action's ID: a hash of all its inputs.
    pub action: Sha256Hash,
    /// The output's ID: the SHA-256 of its bytes.
    pub output: Sha256Hash,
    /// The output's size.
    pub size_bytes: u64,
    /// When the entry was made, in nanoseconds since 1970. Never negative in an entry that Go accepts.
    pub time_unix_ns: i64,
}

impl ActionEntry {
    /// Reads the content of an `-a` file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let malformed = |reason: &str| Error::malformed(WHAT, reason);
        if bytes.len() != ACTION_ENTRY_BYTES {
            return Err(malformed(&format!(
                "{} bytes instead of {ACTION_ENTRY_BYTES}",
                bytes.len()
            )));
        }
        let text = std::str::from_utf8(bytes)
            .ok()
            .filter(|text| text.is_ascii());
        let text = text.ok_or_else(|| malformed("not ASCII"))?;
        let hash = |range: std::ops::Range<usize>| {
            text[range]
                .parse::<Sha256Hash>()
                .map_err(|error| malformed(&error.to_string()))
        };
        let number = |range: std::ops::Range<usize>| {
            let digits = text[range].trim_start_matches(' ');
            digits
                .parse::<i64>()
                .map_err(|_| malformed(&format!("{digits:?} is no number")))
        };
        let size_bytes = number(133..153)?;
        let entry = Self {
            action: hash(3..67)?,
            output: hash(68..132)?,
            size_bytes: u64::try_from(size_bytes).map_err(|_| malformed("negative size"))?,
            time_unix_ns: number(154..174)?,
        };
        if entry.time_unix_ns < 0 {
            return Err(malformed("negative time"));
        }
        if entry.to_bytes() != bytes {
            return Err(malformed("not written the way Go writes it"));
        }
        Ok(entry)
    }

    /// The content of the `-a` file, [`ACTION_ENTRY_BYTES`] long.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self {
            action,
            output,
            size_bytes,
            time_unix_ns,
        } = self;
        format!("v1 {action} {output} {size_bytes:>20} {time_unix_ns:>20}\n").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Written by go 1.26.8.
    const REAL: &[u8] = include_bytes!("../tests/fixtures/action-entry");

    #[test]
    fn reads_what_go_wrote() {
        let entry = ActionEntry::parse(REAL).unwrap();
        assert_eq!(
            entry.action.to_string(),
            "004c8a76eb329d9bcca688a7cc9ca109d75cb07c8c7b8719c2b30177091a06a3"
        );
        assert_eq!(entry.to_bytes(), REAL);
    }

    #[test]
    fn refuses_every_single_byte_that_breaks_the_form() {
        for place in [0, 1, 2, 67, 132, 152, 153, 173, 174] {
            let mut bytes = REAL.to_vec();
            bytes[place] = b'x';
            assert!(ActionEntry::parse(&bytes).is_err(), "byte {place}");
        }
    }

    #[test]
    fn refuses_other_lengths_signs_and_paddings() {
        let entry = ActionEntry::parse(REAL).unwrap();
        assert!(ActionEntry::parse(&REAL[..174]).is_err());
        assert!(ActionEntry::parse(&[REAL, b"\n"].concat()).is_err());
        assert!(ActionEntry::parse(b"").is_err());
        assert!(
            ActionEntry::parse(
                &ActionEntry {
                    time_unix_ns: -1,
                    ..entry
                }
                .to_bytes()
            )
            .is_err()
        );
        assert!(
            ActionEntry::parse(
                &ActionEntry {
                    size_bytes: u64::MAX,
                    ..entry
                }
                .to_bytes()
            )
            .is_err()
        );
        for size in [
            "                  +1",
            "00000000000000000001",
            "1                   ",
            "                    ",
        ] {
            let mut bytes = REAL.to_vec();
            bytes[133..153].copy_from_slice(format!("{size:>20}").as_bytes().get(..20).unwrap());
            assert!(ActionEntry::parse(&bytes).is_err(), "{size:?}");
        }
    }

    proptest! {
        #[test]
        fn round_trips(action: [u8; 32], output: [u8; 32], size in 0..=i64::MAX as u64, time in 0..=i64::MAX) {
            let entry = ActionEntry {
                action: Sha256Hash::from_bytes(action),
                output: Sha256Hash::from_bytes(output),
                size_bytes: size,
                time_unix_ns: time,
            };
            let bytes = entry.to_bytes();
            prop_assert_eq!(bytes.len(), ACTION_ENTRY_BYTES);
            prop_assert_eq!(ActionEntry::parse(&bytes).unwrap(), entry);
        }

        #[test]
        fn whatever_parses_prints_back(mut bytes in Just(REAL.to_vec()), at in 0..ACTION_ENTRY_BYTES, to: u8) {
            bytes[at] = to;
            if let Ok(entry) = ActionEntry::parse(&bytes) {
                prop_assert_eq!(entry.to_bytes(), bytes);
            }
        }
    }
}
