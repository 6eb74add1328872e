//! What can go wrong with a file that a caller names, in the kinds that the binaries give exit codes.

use camino::{Utf8Path, Utf8PathBuf};

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
    /// Whether the user mends it by naming another file.
    pub fn is_user_input(&self) -> bool {
        matches!(self, Self::Input { .. })
    }

    /// Whether data is damaged.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    pub(crate) fn input(path: &Utf8Path, reason: impl Into<String>) -> Self {
        Self::Input {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}
