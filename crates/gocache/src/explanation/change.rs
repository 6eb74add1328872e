//! What can differ from an image, and what to call it.

use std::fmt;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::{Damage, GoModule};

/// What differs from the image. Values that did not exist, or do not exist any more, are none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// An entry of the cache is missing or corrupt.
    Entry {
        /// Import path of the package, or of the program.
        package: String,
        /// Whether it is the program's executable.
        is_link: bool,
        /// What is wrong with it.
        #[serde(flatten)]
        damage: Damage,
    },
    /// Several entries are missing.
    Missing {
        /// How many.
        entries: usize,
        /// Whether none of those that the build looked up is there.
        all: bool,
        /// The cache.
        folder: Utf8PathBuf,
    },
    /// The inputs are those of the record, and nothing else explains the miss.
    Unexplained,
    /// Files of a Go module (of the standard library for none) differ although its version does not.
    ModuleFiles {
        /// The Go module.
        module: Option<GoModule>,
    },
    /// Another setting.
    Setting {
        /// As recorded.
        old: Option<String>,
        /// As observed.
        new: Option<String>,
    },
    /// The commit is stamped into the program.
    Stamp,
    /// Another go.work is in force.
    GoWork {
        /// As recorded, relative to the source.
        old: Option<Utf8PathBuf>,
        /// As observed.
        new: Option<Utf8PathBuf>,
    },
    /// A vendor folder came or went.
    Vendor {
        /// Whether it came.
        is_new: bool,
    },
    /// A go.mod replaces a Go module otherwise than before.
    Replace {
        /// The Go module's path.
        module: String,
        /// What it was replaced with.
        old: Option<String>,
        /// What it is replaced with.
        new: Option<String>,
    },
    /// Another version of a Go module; an empty one is the source's own.
    Version {
        /// The Go module's path.
        module: String,
        /// As recorded.
        old: Option<String>,
        /// As observed.
        new: Option<String>,
    },
    /// Another language version in a go.mod of the source.
    Language {
        /// The Go module's path.
        module: String,
        /// As recorded.
        old: Option<String>,
        /// As observed.
        new: Option<String>,
    },
    /// Another default of the settings that GODEBUG changes at run time.
    DefaultGodebug {
        /// As recorded.
        old: Option<String>,
        /// As observed.
        new: Option<String>,
    },
    /// Another profile for profile-guided optimisation: a `default.pgo` beside the program.
    Profile,
    /// A file of the source.
    File {
        /// Import path of its package.
        package: String,
        /// Its name.
        file: String,
        /// What happened to it.
        what: FileChange,
    },
    /// Packages that were not part of any recorded build.
    New {
        /// Their Go module; none for the standard library.
        module: Option<GoModule>,
    },
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileChange {
    /// It has another content.
    Edited,
    /// It is new.
    Added,
    /// It is gone.
    Removed,
}

impl Change {
    /// Whether a source that moves on does that.
    pub(super) fn is_expected(&self) -> bool {
        match self {
            Self::Entry { .. }
            | Self::Missing { .. }
            | Self::Unexplained
            | Self::ModuleFiles { .. }
            | Self::Setting { .. }
            | Self::Stamp => false,
            Self::GoWork { .. }
            | Self::Vendor { .. }
            | Self::Replace { .. }
            | Self::Version { .. }
            | Self::Language { .. }
            | Self::DefaultGodebug { .. }
            | Self::Profile
            | Self::File { .. }
            | Self::New { .. } => true,
        }
    }
}

impl fmt::Display for Change {
    /// A sentence without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry {
                package,
                is_link: false,
                damage,
            } => write!(f, "the cache's entry of package {package} is {damage}"),
            Self::Entry {
                package, damage, ..
            } => write!(
                f,
                "the cache's entry of the executable {package} is {damage}"
            ),
            Self::Missing {
                entries,
                all: true,
                folder,
            } => write!(
                f,
                "none of the {entries} entries that the image shipped for this module is in {folder}; is another \
                 volume mounted there?"
            ),
            Self::Missing {
                entries, folder, ..
            } => write!(
                f,
                "{entries} entries that the image shipped are missing from {folder}"
            ),
            Self::Unexplained => f.write_str(
                "packages with the recorded inputs and versions missed, and no entry of theirs is damaged",
            ),
            Self::ModuleFiles { module: None } => {
                f.write_str("files of the standard library are not those the caches were made with")
            }
            Self::ModuleFiles {
                module: Some(module),
            } => write!(
                f,
                "files of {module} are not those the caches were made with, although its version is"
            ),
            Self::Setting { old, new } => changed(f, "a build setting", old.as_ref(), new.as_ref()),
            Self::Stamp => f.write_str(
                "the commit is stamped into the program (-buildvcs), so each commit makes another one",
            ),
            Self::GoWork { old, new } => changed(f, "the go.work in force", old.as_ref(), new.as_ref()),
            Self::Vendor { is_new: true } => {
                f.write_str("packages come from a vendor folder, and the caches were made without one")
            }
            Self::Vendor { is_new: false } => {
                f.write_str("the caches were made with a vendor folder, and now there is none")
            }
            Self::Replace { module, old, new } => {
                let what = format!("the replacement of {module} in go.mod");
                changed(f, &what, old.as_ref(), new.as_ref())
            }
            Self::Version { module, old, new } => {
                let what = format!("the version of {module}");
                let [old, new] = [old, new].map(|version| version.as_deref().map(version_or_own));
                changed(f, &what, old.as_ref(), new.as_ref())
            }
            Self::Language { module, old, new } => {
                let what = format!("the language version in the go.mod of {module}");
                changed(f, &what, old.as_ref(), new.as_ref())
            }
            Self::DefaultGodebug { old, new } => changed(
                f,
                "the default of GODEBUG (from godebug and go lines)",
                old.as_ref(),
                new.as_ref(),
            ),
            Self::Profile => f.write_str(
                "the profile for optimisation (default.pgo beside the program) is another one, which is an input of \
                 every package",
            ),
            Self::File {
                package,
                file,
                what,
            } => {
                let what = match what {
                    FileChange::Edited => "was edited",
                    FileChange::Added => "was added",
                    FileChange::Removed => "was removed",
                };
                write!(f, "{file} of package {package} {what}")
            }
            Self::New { module: None } => {
                f.write_str("packages of the standard library are used for the first time")
            }
            Self::New {
                module: Some(module),
            } if module.version.is_empty() => {
                write!(f, "packages of {} are new", module.path)
            }
            Self::New {
                module: Some(module),
            } => write!(f, "packages of {module} are used for the first time"),
        }
    }
}

fn version_or_own(version: &str) -> &str {
    match version {
        "" => "the source's own",
        version => version,
    }
}

fn changed<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    old: Option<&T>,
    new: Option<&T>,
) -> fmt::Result {
    match (old, new) {
        (Some(old), Some(new)) => write!(f, "{what} changed from {old} to {new}"),
        (None, Some(new)) => write!(f, "{what} is new: {new}"),
        (Some(old), None) => write!(f, "{what} is gone: {old}"),
        (None, None) => write!(f, "{what} changed"),
    }
}
