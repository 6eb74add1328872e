//! Why a source cannot be used. Nearly all of it is for the user to mend, so each message says how.

use std::io;
use std::path::Path;

use camino::Utf8PathBuf;
use failure::Kind;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),

    /// The user may not look at a folder or file of the source.
    #[error(
        "cannot be read: {path}; let the user who runs this read it: `chmod -R a+rX` for the whole source"
    )]
    Unreadable {
        /// Its path, escaped.
        path: String,
    },

    /// The source is not there, or is a file.
    #[error(
        "the source {path} {reason}; name the root folder of the monorepo, the one that holds `apis`"
    )]
    Source {
        /// As given.
        path: Utf8PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// A module belongs to no Go module.
    #[error(
        "module {path} has no go.mod, neither in its folder nor above it up to the source; \
         run `go mod init` in its folder or in one above"
    )]
    NoGoMod {
        /// The module's folder, relative to the source.
        path: Utf8PathBuf,
    },

    /// A go.mod does not say what its Go module is called.
    #[error("{path} has no usable `module` line: {reason}; write `module <path>` into it")]
    GoMod {
        /// The go.mod, relative to the source.
        path: Utf8PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// A go.mod begins with what is no text for Go.
    #[error("{path} begins with a byte order mark, which Go refuses; save it without")]
    ByteOrderMark {
        /// The go.mod, relative to the source.
        path: Utf8PathBuf,
    },

    /// What is read of a source, but is not in it wherever it is mounted.
    #[error(
        "these lead out of the source, which is built at another path; make them relative links that stay in it, copy \
         what they lead to, or name a source that holds both with --source:{}",
        list(.0)
    )]
    Outside(
        /// Path (with special characters escaped) and where it leads.
        Vec<(String, String)>,
    ),

    /// What is read of a source, but is no file that anybody means, or has no end.
    #[error(
        "{path} is no regular file of at most {max_bytes} bytes; put one in its place, or remove it"
    )]
    Irregular {
        /// Its path, escaped.
        path: String,
        /// How large it may be.
        max_bytes: u64,
    },

    /// The table that says where modules are cannot be used.
    #[error("{reason}")]
    Layout {
        /// The table, and what is wrong with it.
        reason: String,
    },

    /// Links between folders multiply without end.
    #[error(
        "too many folders are reached by links, {path} is one; have no links between folders that link to each other"
    )]
    TooManyLinks {
        /// One of them, escaped.
        path: String,
    },

    /// Folders whose names no Go import path can have, so that the go command refuses to build them.
    #[error("Go cannot import these modules; rename the folders:{}", list(.0))]
    UnusablePaths(
        /// Path (with special characters escaped) and reason of each.
        Vec<(String, String)>,
    ),
}

/// Names what could not be read where the system says no more than that it refused.
pub(crate) trait Named<T> {
    /// The result, in whose error a refusal is one of `path`.
    fn named(self, path: &Path) -> Result<T, Error>;
}

impl<T> Named<T> for io::Result<T> {
    fn named(self, path: &Path) -> Result<T, Error> {
        self.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Error::Unreadable {
                path: path.to_string_lossy().escape_default().to_string(),
            },
            _ => error.into(),
        })
    }
}

impl Error {
    /// That `link` leads to `to`, out of the source.
    pub(crate) fn outside(link: &Path, to: &Path) -> Self {
        let to = to.to_string_lossy();
        Self::Outside(vec![(
            escaped(link),
            format!("a link to {}", to.escape_default()),
        )])
    }

    /// What it means for the exit code; `None` for an ordinary failure.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Io(_) => None,
            _ => Some(Kind::Usage),
        }
    }

    /// The kind of `cause`, if it is an error of this crate.
    pub fn classify(cause: &(dyn std::error::Error + 'static)) -> Option<Kind> {
        cause.downcast_ref::<Self>()?.kind()
    }
}

/// The path, readable whatever is in it.
#[expect(
    clippy::unnecessary_debug_formatting,
    reason = "the path is shown because of the characters that only this escapes"
)]
pub(crate) fn escaped(path: &Path) -> String {
    format!("{path:?}")
}

fn list(paths: &[(String, String)]) -> String {
    let lines: Vec<_> = paths
        .iter()
        .map(|(path, reason)| format!("\n  {path}: {reason}"))
        .collect();
    lines.concat()
}
