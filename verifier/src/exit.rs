//! Exit codes, and which error has which.

use std::fmt;

use anyhow::Error;

/// Something failed: a module did not build, a file could not be written.
pub const FAILED: u8 = 1;
/// The command line or the source has to be changed.
pub const BAD_INPUT: u8 = 2;
/// All was measured, and a target was missed.
pub const TARGET_MISSED: u8 = 3;
/// A cache holds what it should not.
pub const CORRUPT: u8 = 4;

/// An error that the user mends by changing the command line or the source.
#[derive(Debug)]
pub struct BadInput(pub String);

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadInput {}

/// The exit code of an error.
pub fn code_of(error: &Error) -> u8 {
    let code = |cause: &(dyn std::error::Error + 'static)| {
        if cause.is::<BadInput>()
            || cause
                .downcast_ref::<modules::Error>()
                .is_some_and(modules::Error::is_user_input)
            || cause
                .downcast_ref::<report::Error>()
                .is_some_and(report::Error::is_user_input)
        {
            return Some(BAD_INPUT);
        }
        let corrupt = cause
            .downcast_ref::<gocache::Error>()
            .is_some_and(gocache::Error::is_corrupt)
            || cause
                .downcast_ref::<report::Error>()
                .is_some_and(report::Error::is_corrupt);
        corrupt.then_some(CORRUPT)
    };
    error.chain().find_map(code).unwrap_or(FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_decides() {
        assert_eq!(code_of(&anyhow::anyhow!("x")), FAILED);
        assert_eq!(
            code_of(&Error::from(BadInput("x".into())).context("y")),
            BAD_INPUT
        );
        let source = modules::Error::Source {
            path: "x".into(),
            reason: "y",
        };
        assert_eq!(code_of(&source.into()), BAD_INPUT);
        let corrupt = gocache::Error::Corrupt {
            path: "x".into(),
            reason: "y".into(),
        };
        assert_eq!(code_of(&Error::from(corrupt).context("z")), CORRUPT);
        let report = report::Error::Input {
            path: "x".into(),
            reason: "y".into(),
        };
        assert_eq!(code_of(&report.into()), BAD_INPUT);
        let history = report::Error::Damaged {
            path: "x".into(),
            reason: "y".into(),
        };
        assert_eq!(code_of(&history.into()), CORRUPT);
        let io = gocache::Error::Io(std::io::Error::other("x"));
        assert_eq!(code_of(&io.into()), FAILED);
    }
}
