//! What a failure means for the caller: its kind, which decides the exit code, what is wrong, and what to do about it.
//!
//! Scripts rely on the exit codes, so there is one table of them, for both binaries. Libraries whose errors are types
//! of their own say of each which kind it is ([`Classify`]); an error that nobody knows is an ordinary failure. The
//! first cause in the chain of an `anyhow` error that has a kind decides.
//!
//! The hint stands apart from the message: a message is a fragment that may stand in the middle of a chain of contexts,
//! a hint is what the user does next, and is shown last.

#![warn(missing_docs)]

use std::error::Error as StdError;
use std::fmt::Write as _;

use anyhow::Error;

/// Kinds of failures, which scripts tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something could not be done.
    Failed,
    /// The command line or the input is at fault.
    Usage,
    /// All was measured, and a target was missed.
    Missed,
    /// Data that was right once is not any more.
    Corrupt,
}

/// What `--help` says of the exit codes.
pub const EXIT_CODES: &str =
    "Exit codes: 0 fine, 1 failed, 2 bad usage or input, 3 a target was missed, 4 corrupt data";

impl Kind {
    /// The exit code of the process.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Missed => 3,
            Self::Corrupt => 4,
        }
    }
}

/// A failure of a known kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Decides the exit code.
    pub kind: Kind,
    /// What is wrong, as a fragment.
    pub message: String,
    /// What to do about it, as an imperative.
    pub hint: Option<String>,
}

fn failure(kind: Kind, message: String, hint: Option<String>) -> Error {
    Failure {
        kind,
        message,
        hint,
    }
    .into()
}

/// An error that the user mends by other input, and how.
pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Error {
    failure(Kind::Usage, message.into(), Some(hint.into()))
}

/// An error about data that is damaged, and what to do about it.
pub fn corrupt(message: impl Into<String>, hint: impl Into<String>) -> Error {
    failure(Kind::Corrupt, message.into(), Some(hint.into()))
}

/// An error about something that could not be done, and what may help.
pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Error {
    failure(Kind::Failed, message.into(), Some(hint.into()))
}

/// An error about a target that was missed.
pub fn missed(message: impl Into<String>) -> Error {
    failure(Kind::Missed, message.into(), None)
}

/// Which kind an error of a library is, if the library knows it.
pub type Classify = fn(&(dyn StdError + 'static)) -> Option<Kind>;

/// The kind of `error`, whose causes may be [`Failure`]s or errors that `libraries` know.
pub fn kind(error: &Error, libraries: &[Classify]) -> Kind {
    let of_cause = |cause: &(dyn StdError + 'static)| {
        let own = cause.downcast_ref::<Failure>().map(|failure| failure.kind);
        own.or_else(|| libraries.iter().find_map(|classify| classify(cause)))
    };
    error.chain().find_map(of_cause).unwrap_or(Kind::Failed)
}

/// What the user reads of `error`: the chain of its messages and, on lines of their own, what to do. Whoever is quoted
/// in it, it is [`printable`].
pub fn text(error: &Error) -> String {
    let mut text = format!("{error:#}");
    let hints = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<Failure>()?.hint.as_deref());
    for hint in hints {
        write!(text, "\nhint: {hint}").expect("a string takes all that is written to it");
    }
    printable(&text)
}

/// Text from outside as it may be shown: nothing in it moves a terminal's cursor, turns text around, or ends a parser.
pub fn printable(text: &str) -> String {
    let is_bad = |c: char| !matches!(c, '\n' | '\t') && is_hidden(c);
    text.replace("\r\n", "\n").replace(is_bad, "\u{FFFD}")
}

/// The same on one line.
pub fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

/// Whether a character does something instead of being seen.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FFFE}' | '\u{FFFF}')
        // They turn the text that follows around.
        || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_that_has_a_kind_decides() {
        #[derive(Debug, thiserror::Error)]
        #[error("an error of a library")]
        struct OfLibrary;
        let classify: Classify = |cause| cause.is::<OfLibrary>().then_some(Kind::Corrupt);
        for (error, expected) in [
            (usage("no such provider", "name another"), Kind::Usage),
            (corrupt("x", "y").context("z"), Kind::Corrupt),
            (missed("x"), Kind::Missed),
            (failed("x", "y"), Kind::Failed),
            (anyhow::anyhow!("x"), Kind::Failed),
            (Error::from(OfLibrary).context("z"), Kind::Corrupt),
        ] {
            assert_eq!(kind(&error, &[classify]), expected, "{error:#}");
        }
        assert_eq!(kind(&OfLibrary.into(), &[]), Kind::Failed);
    }

    #[test]
    fn each_kind_has_an_exit_code_of_its_own() {
        let kinds = [Kind::Failed, Kind::Usage, Kind::Missed, Kind::Corrupt];
        assert_eq!(kinds.map(Kind::exit_code), [1, 2, 3, 4]);
    }

    #[test]
    fn nothing_that_is_quoted_drives_the_terminal() {
        let hostile = "a\u{1b}]0;title\u{7}\r\u{9b}2J\u{202e}b\r\nc\td";
        let clean = "a\u{fffd}]0;title\u{fffd}\u{fffd}\u{fffd}2J\u{fffd}b\nc\td";
        assert_eq!(printable(hostile), clean);
        assert_eq!(one_line(hostile), clean.replace(['\n', '\t'], " "));
        let error = usage(hostile, hostile).context(hostile);
        assert_eq!(text(&error), format!("{clean}: {clean}\nhint: {clean}"));
    }

    #[test]
    fn the_hint_comes_last() {
        let error = usage("there is no provider x", "name one of a, b").context("failed to warm");
        assert_eq!(
            text(&error),
            "failed to warm: there is no provider x\nhint: name one of a, b"
        );
    }
}
