//! What is warmed, and what its builds come to, as data.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use gocache::InputsRecord;
use modules::Module;
use sha256::Sha256Hash;

use crate::pack::manifest::WarmModule;
use crate::pack::programs::Folders;
use crate::resolve::go_mod_files::GoModFiles;
use crate::resolve::requirements::Requirements;
use crate::warm::go_modules::Below;

/// What is built, packages first and then modules with their executables, and what belongs to it.
pub struct WarmPlan<'a> {
    /// The pack's name.
    pub name: &'a str,
    /// Folder below the source, and what to build there.
    pub packages: Vec<(Utf8PathBuf, Vec<String>)>,
    /// What gets an executable.
    pub modules: Vec<&'a Module>,
    /// The go.work above each go.mod that has one.
    pub go_works: BTreeMap<&'a Utf8Path, &'a Utf8Path>,
    /// Go modules that the pack holds.
    pub requirements: &'a Requirements,
    /// Files of the module cache.
    pub go_mod_files: GoModFiles,
    /// What another pack has already.
    pub below: Below<'a>,
    /// The tree of that pack.
    pub shared: Option<CacheFolders>,
    /// Where the image has the programs of the provider.
    pub programs: Folders,
}

/// A module, and what its build came to.
pub type BuiltModule<'a> = (&'a Module, WarmModule);

/// What the builds of a plan came to.
pub struct Built<'a> {
    /// Those that build.
    pub modules: Vec<BuiltModule<'a>>,
    /// What their action IDs are made of.
    pub inputs: InputsRecord,
    /// Import paths of all packages, by the names that build IDs give to their actions.
    pub packages: BTreeMap<String, String>,
    /// Modules that do not build, with what the go command said.
    pub broken: Vec<String>,
    /// Resident memory of the largest process that compiled or linked, in bytes.
    pub peak_memory_bytes: Option<u64>,
}

/// The caches of a tree.
#[derive(Clone)]
pub struct CacheFolders {
    /// Go modules.
    pub go_mod: Utf8PathBuf,
    /// What builds make.
    pub go_build: Utf8PathBuf,
    /// What is shipped of it where archives are export-only.
    pub lean: Utf8PathBuf,
    /// Their object code.
    pub objects: Utf8PathBuf,
    /// Executables that are compressed.
    pub executables: Utf8PathBuf,
}

impl CacheFolders {
    /// Those of the tree in `folder`.
    pub fn below(folder: &Utf8Path) -> Self {
        Self {
            go_mod: folder.join("go-mod"),
            go_build: folder.join("go-build"),
            lean: folder.join("go-build-lean"),
            objects: folder.join("go-objects"),
            executables: folder.join("executables"),
        }
    }
}

/// A file name for what belongs to `module`, and to no other.
pub fn file_name(module: &Module) -> String {
    Sha256Hash::of(module.path.as_str().as_bytes()).to_string()
}
