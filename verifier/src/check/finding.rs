//! What a check finds.

use std::io;

use camino::Utf8PathBuf;
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A file does not hold what it should, is missing, or is too much: a build may go wrong.
    Corrupt,
    /// Everything else that is not as the image was shipped: a build is right, but may be slow or fail.
    NotAsShipped,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file or folder, as this machine sees it.
    pub path: Utf8PathBuf,
    pub severity: Severity,
    /// A fragment whose subject is the file.
    pub problem: String,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub text: String,
}

impl Problem {
    pub fn corrupt(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::Corrupt,
            text: text.into(),
        }
    }

    pub fn not_as_shipped(text: impl Into<String>) -> Self {
        Self {
            severity: Severity::NotAsShipped,
            text: text.into(),
        }
    }

    pub fn at(self, path: impl Into<Utf8PathBuf>) -> Finding {
        Finding {
            path: path.into(),
            severity: self.severity,
            problem: self.text,
        }
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        let text = format!("cannot be read: {error}");
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidFilename => {
                Self::not_as_shipped(text)
            }
            _ => Self::corrupt(text),
        }
    }
}
