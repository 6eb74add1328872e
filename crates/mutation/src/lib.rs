//! Valid inputs with faults in them, for the property tests of what reads the files of others.
//!
//! Random bytes are refused by the first look at them. What gets further is almost right: a few bytes are changed,
//! lost, moved or put in, or the end is missing. Now and then nothing is changed, so that a test can tell what a
//! reader must take.

#![warn(missing_docs)]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What is put into text: what parsers stumble over.
const TOKENS: [&[u8]; 24] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"-1",
    b"0",
    b"1e400",
    b"1e-400",
    b"18446744073709551616",
    b"\n",
    b"\r\n",
    b"\0",
    b"\x1b[2J",
    b"../",
    b"/",
    b"//",
    b"(",
    b"\xff",
    b"\xef\xbb\xbf",
];

#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Set(Index, u8),
    Insert(Index, &'static [u8]),
    Remove(Index, usize),
    /// From one place to another, where it is put in.
    Copy(Index, Index, usize),
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<Index>;
    prop_oneof![
        4 => (place(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, 1 << bit)),
        2 => (place(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        4 => (place(), select(&TOKENS[..])).prop_map(|(at, token)| Change::Insert(at, token)),
        2 => (place(), 1..64_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        2 => (place(), place(), 1..600_usize)
            .prop_map(|(from, to, length)| Change::Copy(from, to, length)),
        1 => place().prop_map(Change::Cut),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    let size = bytes.len();
    match change {
        Change::Flip(at, bits) => bytes[at.index(size)] ^= bits,
        Change::Set(at, byte) => bytes[at.index(size)] = *byte,
        Change::Insert(at, token) => {
            let at = at.index(size + 1);
            bytes.splice(at..at, token.iter().copied());
        }
        Change::Remove(at, length) => {
            let at = at.index(size);
            bytes.drain(at..size.min(at + length));
        }
        Change::Copy(from, to, length) => {
            let (from, to) = (from.index(size), to.index(size + 1));
            let copied = bytes[from..size.min(from + length)].to_vec();
            bytes.splice(to..to, copied);
        }
        Change::Cut(at) => bytes.truncate(at.index(size)),
    }
}

/// What `valid` yields, with up to six faults.
pub fn mutated(valid: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (valid, vec(change(), 0..=6)).prop_map(|(mut bytes, changes)| {
        for change in &changes {
            apply(&mut bytes, change);
        }
        bytes
    })
}

/// The same for text; what is no UTF-8 any more is replaced.
pub fn mutated_text(valid: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    mutated(valid.prop_map(String::into_bytes))
        .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    #[test]
    fn some_stay_valid_and_most_do_not() {
        let mut runner = TestRunner::deterministic();
        let strategy = mutated(Just(b"{\"a\": 1}".to_vec()));
        let mut same = 0;
        for _ in 0..1000 {
            let tree = strategy.new_tree(&mut runner).expect("it yields");
            same += usize::from(tree.current() == b"{\"a\": 1}");
        }
        assert!((50..500).contains(&same), "{same}");
    }
}
