//! What is measured: modules of a source, or, where none is named, the programs that the image has built already.

use std::collections::BTreeSet;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use failure::usage;
use gocache::Identity;
use gocache::image_info::IMAGE_INFO_PATH;
use gocache::image_info::programs::{PROGRAM_LISTS_PATH, Program};
use modules::Module;
use report::PhaseName;

use super::phases::Phases;
use super::sample::Which;
use super::selection::Names;
use super::{preview, selection};
use crate::process::Environment;
use crate::{go, info, which};

/// Phases that start Pulumi.
const RUN_PULUMI: [PhaseName; 3] = [PhaseName::Preview, PhaseName::Prebuilt, PhaseName::Up];

/// What is measured, and with which settings.
#[derive(Debug)]
pub struct Plan {
    /// Where the modules are; none where nothing is built.
    pub source: Option<Utf8PathBuf>,
    /// Sorted by path.
    pub modules: Vec<Module>,
    /// For each of them, what is measured beside its builds.
    pub wanted: Vec<BTreeSet<PhaseName>>,
    /// The programs that the image has built already.
    pub programs: Vec<Program>,
    /// The settings of the go command that builds, or built.
    pub identity: Identity,
    /// For every command.
    pub environment: Environment,
}

impl Plan {
    /// Of modules of `source`.
    pub fn of_source(source: &Utf8Path, named: Names<'_>, phases: &Phases) -> anyhow::Result<Self> {
        let layout = info::layout(Utf8Path::new("/"))?;
        let discovery = modules::discover(source, layout.as_ref())?;
        let modules = selection::of_source(source, layout.as_ref(), discovery, named)?;
        let wanted = phases.wanted(source, &modules);
        let mut all = wanted.iter().flatten();
        if all.any(|phase| RUN_PULUMI.contains(phase)) {
            preview::check_tools()?;
        }
        let source = source
            .canonicalize_utf8()
            .with_context(|| format!("failed to find the real path of {source}"))?;
        let settings = go::Settings::in_folder(&source)?;
        Ok(Self {
            modules,
            wanted,
            programs: Program::read_all(Utf8Path::new(PROGRAM_LISTS_PATH))?,
            environment: settings.independent_of_home(),
            identity: settings.identity,
            source: Some(source),
        })
    }

    /// Of what the image has built already, by the identity that it was built with.
    pub fn of_image(named: Names<'_>, prebuilt: Which) -> anyhow::Result<Self> {
        let root = Utf8Path::new("/");
        if !Utf8Path::new(IMAGE_INFO_PATH).exists() {
            return Err(usage(
                "this is no IaC Runner image, so there is no program that is built already",
                "name a source with --source, whose modules are built",
            ));
        }
        let (image, _) = info::read(root)?;
        let programs = which::all_in(root)?;
        let modules = modules_of(&programs);
        let modules = selection::of_image(modules, named)?;
        preview::check_tools()?;
        let which = match prebuilt {
            Which::Sample => Which::Sample,
            Which::All | Which::None => Which::All,
        };
        let selected = which.of(&modules, |_| true);
        let mut selected = selected.into_iter();
        let modules: Vec<Module> = modules
            .into_iter()
            .filter(|_| selected.next().unwrap_or_default())
            .collect();
        Ok(Self {
            source: None,
            wanted: vec![BTreeSet::from([PhaseName::Prebuilt]); modules.len()],
            modules,
            programs,
            identity: image.identity,
            environment: Environment::new(),
        })
    }
}

/// The modules that `programs` were built of, sorted by path.
fn modules_of(programs: &[Program]) -> Vec<Module> {
    let mut modules: Vec<Module> = programs
        .iter()
        .map(|program| Module {
            provider: program.provider.clone(),
            component: program.component.clone(),
            path: program.path.clone(),
            import_path: String::new(),
            go_mod: Utf8PathBuf::new(),
            main: None,
        })
        .collect();
    modules.sort_by(|one, other| one.path.cmp(&other.path));
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_of_an_image_a_source_is_asked_for() {
        let error = Plan::of_image((&[], &[]), Which::All).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
        assert!(failure::text(&error).contains("--source"), "{error}");
    }
}
