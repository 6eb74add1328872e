//! What a failure means for the caller: the exit codes that scripts rely on.
//!
//! Every error that is not one of these is an ordinary failure (exit 1). A [`Failure`] anywhere in the chain of an
//! `anyhow` error decides; the message of the chain is what the user reads.

use std::process::ExitCode;

/// A failure with an exit code of its own.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line or the source is at fault; exit 2.
    #[error("{0}")]
    Usage(String),
    /// A target was missed; exit 3.
    #[error("{0}")]
    Gate(String),
    /// Data that was right once is not any more; exit 4.
    #[error("{0}")]
    Corrupt(String),
}

/// An error that the user can mend by other input.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    Failure::Usage(message.into()).into()
}

/// An error about a target that was missed.
pub fn gate(message: impl Into<String>) -> anyhow::Error {
    Failure::Gate(message.into()).into()
}

/// An error about data that is damaged.
pub fn corrupt(message: impl Into<String>) -> anyhow::Error {
    Failure::Corrupt(message.into()).into()
}

/// The exit code for `error`.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let failure = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Failure>());
    if let Some(failure) = failure {
        return ExitCode::from(match failure {
            Failure::Usage(_) => 2,
            Failure::Gate(_) => 3,
            Failure::Corrupt(_) => 4,
        });
    }
    if error.chain().any(|cause| {
        cause
            .downcast_ref::<modules::Error>()
            .is_some_and(modules::Error::is_user_input)
            || cause
                .downcast_ref::<report::Error>()
                .is_some_and(report::Error::is_user_input)
    }) {
        return ExitCode::from(2);
    }
    let corrupt_cache = error.chain().any(|cause| {
        cause
            .downcast_ref::<gocache::Error>()
            .is_some_and(gocache::Error::is_corrupt)
            || cause
                .downcast_ref::<report::Error>()
                .is_some_and(report::Error::is_corrupt)
    });
    ExitCode::from(if corrupt_cache { 4 } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn the_failure_in_the_chain_decides() {
        let wrapped = Err::<(), _>(usage("no such provider"))
            .context("discover")
            .unwrap_err();
        assert_eq!(
            format!("{:?}", exit_code(&wrapped)),
            format!("{:?}", ExitCode::from(2))
        );
        assert_eq!(
            format!("{:?}", exit_code(&corrupt("x"))),
            format!("{:?}", ExitCode::from(4))
        );
        assert_eq!(
            format!("{:?}", exit_code(&anyhow::anyhow!("x"))),
            format!("{:?}", ExitCode::from(1))
        );
    }
}
