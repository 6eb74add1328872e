//! Finds the modules of a source: a folder in, a sorted list out.
//!
//! A module is a folder matching `apis/**/provider/<provider>/**/iac/pulumi` below the source that holds a Go main
//! package. Nothing is run and the go command is not needed, so the list can be made on any machine; what a name
//! means is decided by the place alone, never by a list of known providers. A source, or an image, may say that its
//! modules are elsewhere.
//!
//! Not looked into: `vendor`, `testdata`, `node_modules`, folders whose name starts with `.` or `_` (Go ignores
//! these too). Links are followed while they stay in the source. A folder at the right place that is no module is
//! listed as skipped, with the reason, so that nobody has to guess why a module is missing.
//!
//! | File | What for |
//! |---|---|
//! | `discover` | from a source to its modules |
//! | `discovery` | what is found, as data |
//! | `walk` | the walk through a source: which folders may be modules, and where the program of each is |
//! | `links` | where a path leads, wherever the source is mounted |
//! | `source_file` | files of a source, read without trust in what they are |
//! | `project` | what Pulumi.yaml says of the program |
//! | `layout` | where modules are, by the table `[source]` |
//! | `place` | what the place of a folder says: provider and component |
//! | `import_path` | which folder names Go can import |
//! | `go_file` | the head of a Go file: its package, and whether it is set aside |
//! | `constraints` | why the go command leaves a Go file out of a build |
//! | `modfile` | go.mod and go.work, the one parser for all that reads them |
//! | `error` | why a source cannot be used |

#![warn(missing_docs)]

pub mod constraints;
mod discover;
mod discovery;
mod error;
#[cfg(test)]
mod fuzz;
mod go_file;
mod import_path;
mod layout;
pub mod links;
pub mod modfile;
mod place;
pub mod project;
pub mod source_file;
mod walk;

pub use discover::discover;
pub use discovery::{Discovery, Module, Skipped};
pub use error::Error;
pub use layout::{By, Layout, Unusable};
pub use modfile::ModFile;
pub use walk::projects;
