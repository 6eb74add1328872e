//! The phases that the command line asks for, beside those that every run measures.

use std::collections::BTreeSet;

use camino::Utf8Path;
use modules::Module;
use report::PhaseName;

use super::sample::Which;

/// What most flags make sense with alone.
const SOURCE: &str = "source";

/// Phases beside `first`, `relink` and `noop`; `sample` is the first module of each provider
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Phases {
    /// Measure every phase that is listed here, for every module
    #[arg(long = "all-phases", requires = SOURCE)]
    all: bool,
    /// Build with an empty GOCACHE
    #[arg(long, requires = SOURCE, value_name = "WHICH", default_value = "none")]
    cold: Which,
    /// Build with an empty GOMODCACHE, too, where there is a network, for the modules that `--cold` selects
    #[arg(long, requires = SOURCE)]
    cold_modules: bool,
    /// Build with an empty page cache; takes root
    #[arg(long, requires = SOURCE)]
    cold_disk: bool,
    /// Build a copy in which one thing is changed
    #[arg(long, requires = SOURCE)]
    edited: bool,
    /// Run `pulumi preview`, where there is a Pulumi.yaml
    #[arg(long, requires = SOURCE, value_name = "WHICH", default_value = "none")]
    preview: Which,
    /// Run `pulumi preview` with the executable that the image has of the program [default without a source: all]
    #[arg(long, value_name = "WHICH", default_value = "none")]
    pub prebuilt: Which,
    /// One more phase of every module with a Pulumi.yaml, which --all-phases leaves out: `up` makes its resources, in a
    /// backend of its own, and destroys them again
    #[arg(long = "phase", requires = SOURCE, value_name = "PHASE", value_enum)]
    more: Vec<More>,
}

/// Phases that nothing but their name asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum More {
    /// `pulumi up`, and then `pulumi destroy`
    Up,
}

impl Phases {
    /// For each of `modules` of `source`, what is wanted of it.
    pub fn wanted(&self, source: &Utf8Path, modules: &[Module]) -> Vec<BTreeSet<PhaseName>> {
        let scope = |which| if self.all { Which::All } else { which };
        let cold = scope(self.cold).of(modules, |_| true);
        let has_project = |module: &Module| source.join(&module.path).join("Pulumi.yaml").is_file();
        let preview = scope(self.preview).of(modules, has_project);
        let prebuilt = scope(self.prebuilt).of(modules, has_project);
        let up = self.more.contains(&More::Up);
        let each = cold.into_iter().zip(preview).zip(prebuilt).zip(modules);
        each.map(|(((cold, preview), prebuilt), module)| {
            let phases = [
                (PhaseName::Cold, cold),
                (
                    PhaseName::ColdModules,
                    cold && (self.cold_modules || self.all),
                ),
                (PhaseName::FirstColdDisk, self.cold_disk || self.all),
                (PhaseName::Edited, self.edited || self.all),
                (PhaseName::Preview, preview),
                (PhaseName::Prebuilt, prebuilt),
                (PhaseName::Up, up && has_project(module)),
            ];
            let wanted = phases.into_iter().filter(|(_, wanted)| *wanted);
            wanted.map(|(phase, _)| phase).collect()
        })
        .collect()
    }
}
