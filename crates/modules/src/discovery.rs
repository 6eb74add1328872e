//! What is found in a source, as data.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Serialize;

use crate::place::usual;

/// A Pulumi program. As JSON, in this order, it is an element of what `cargo xtask discover --json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Module {
    /// The folder below `provider`, or what a pattern names so.
    pub provider: String,
    /// The folders between the provider and `iac`, or what a pattern names so, without a version at the end, joined by
    /// `/`. Where there is none, the provider's name.
    pub component: String,
    /// Its folder, which has the Pulumi.yaml if there is one, relative to the source. Links in it are not followed: it
    /// is called as it is named.
    pub path: Utf8PathBuf,
    /// The import path of its main package.
    pub import_path: String,
    /// The nearest go.mod at or above its program, relative to the source.
    pub go_mod: Utf8PathBuf,
    /// The folder of the program where Pulumi.yaml names another one, relative to the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main: Option<Utf8PathBuf>,
}

impl Module {
    /// Whether it is at the usual place, and called by it.
    pub fn is_called_by_its_place(&self) -> bool {
        usual(self.path.as_str()).is_some_and(|place| {
            place.provider == self.provider && place.component == self.component
        })
    }

    /// The folder of its main package, which `go build` is run in, relative to the source.
    pub fn program(&self) -> &Utf8Path {
        self.main.as_deref().unwrap_or(&self.path)
    }
}

/// A folder at a module's place that is none, or a link that leads to none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The folder, relative to the source. Characters that are no text are replaced.
    pub path: Utf8PathBuf,
    /// Why, as a fragment: `package x instead of main`.
    pub reason: String,
    /// Whether somebody may have meant it to be a program.
    pub looks_like_program: bool,
}

/// What a source holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Discovery {
    /// Sorted by path.
    pub modules: Vec<Module>,
    /// Sorted by path.
    pub skipped: Vec<Skipped>,
}
