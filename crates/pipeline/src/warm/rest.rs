//! The pack of Go modules of which nobody needs more than the stub in `common`. Nothing is built for it.

use anyhow::Result;
use camino::Utf8Path;
use gocache::{InputsRecord, Store};

use crate::names::REST;
use crate::pack::manifest::Timings;
use crate::pack::write::Content;
use crate::pack::{KeptPack, go_modules, write};
use crate::resolve::requirements::Requirements;
use crate::warm::go_modules::{Below, NewGoModules};
use crate::warm::warmer::Warmer;

impl Warmer<'_> {
    /// Makes the pack of what `requirements` name and `common` does not have, in `folder`.
    pub fn rest(
        &self,
        requirements: &Requirements,
        common: &KeptPack,
        folder: &Utf8Path,
    ) -> Result<()> {
        let image = &self.tree.image;
        let files = self.go_mod_files(requirements)?;
        let below = Below::of(common);
        let new = NewGoModules::of(image, requirements, &files, &below, self.go_mod)?;
        let content = Content {
            name: REST.to_owned(),
            identity: image.identity(&self.tree.platform),
            modules: Vec::new(),
            go_modules: new.go_modules,
            stubs: Vec::new(),
            unchecked: self.unchecked.to_vec(),
            go_mod_files: new.files,
            left_out: new.left_out,
            go_build_files: Vec::new(),
            object_files: Vec::new(),
            executable_files: Vec::new(),
            programs: Vec::new(),
            links_not_cached: Vec::new(),
            broken: Vec::new(),
            inputs: InputsRecord::default(),
            timings: Timings::default(),
        };
        let scratch = self.work.scratch(REST)?;
        let no_entries = Store::create(scratch.path())?;
        let from = write::Folders {
            go_mod: self.go_mod,
            go_build: no_entries.root(),
            objects: no_entries.root(),
            executables: no_entries.root(),
        };
        write::write(image, content, &from, folder)
            .map_err(|error| go_modules::remove_damaged(self.work, self.go_mod, error))
    }
}
