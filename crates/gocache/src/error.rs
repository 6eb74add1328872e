//! What can go wrong with a cache, in three kinds that callers treat differently: the file system failed,
//! data is corrupt (exit code 4 in the binaries), or input is not of the format it should have.
//!
//! I/O errors come from `fs_err`, so each names its path.

use camino::Utf8PathBuf;
use failure::Kind;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// A file of the cache does not hold what its name or its entry promises.
    #[error("{path} is corrupt: {reason}")]
    Corrupt {
        /// The file, as far as it is known with the store's root in front.
        path: Utf8PathBuf,
        /// What does not fit.
        reason: String,
    },

    /// Data is not of the format it is read as.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// The format, for example `action entry`.
        what: &'static str,
        /// What does not fit.
        reason: String,
    },
}

impl Error {
    /// What it means for the exit code; `None` for an ordinary failure.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Corrupt { .. } => Some(Kind::Corrupt),
            Self::Io(_) | Self::Malformed { .. } => None,
        }
    }

    /// The kind of `cause`, if it is an error of this crate.
    pub fn classify(cause: &(dyn std::error::Error + 'static)) -> Option<Kind> {
        cause.downcast_ref::<Self>()?.kind()
    }

    pub(crate) fn corrupt(path: impl Into<Utf8PathBuf>, reason: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn malformed(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Malformed {
            what,
            reason: reason.into(),
        }
    }
}
