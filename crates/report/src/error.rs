//! What can go wrong with a file that a caller names, in the kinds that the binaries give exit codes.

use camino::{Utf8Path, Utf8PathBuf};
use failure::Kind;

use crate::check::Fault;

/// An error of this crate. Each names its file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// The file is not what it was named as; another one has to be named.
    #[error("{path} {reason}")]
    Input {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong, as the rest of the sentence.
        reason: String,
    },

    /// The file was right once and is not any more.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// Where, how, and what to do.
        reason: String,
    },
}

impl Error {
    /// What it means for the exit code; `None` for an ordinary failure.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Input { .. } => Some(Kind::Usage),
            Self::Damaged { .. } => Some(Kind::Corrupt),
            Self::Io(_) => None,
        }
    }

    /// The kind of `cause`, if it is an error of this crate.
    pub fn classify(cause: &(dyn std::error::Error + 'static)) -> Option<Kind> {
        cause.downcast_ref::<Self>()?.kind()
    }

    /// A file of which a field cannot be right.
    pub(crate) fn fault(path: &Utf8Path, fault: &Fault) -> Self {
        Self::input(
            path,
            format!("cannot be right: {fault}; mend that field, or make the file anew"),
        )
    }

    pub(crate) fn input(path: &Utf8Path, reason: impl Into<String>) -> Self {
        Self::Input {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
