//! The engines: what may run commands in the image's tree, and what each of them takes.

use anyhow::Result;

use crate::host;
use oci::docker;

/// What runs commands in the image's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// Bubblewrap; takes no daemon
    Native,
    /// The local Docker, a container for each command; it then has the image, too
    Docker,
    /// Nothing: the container around this process is the tree.
    #[value(skip)]
    CurrentContainer,
}

impl Engine {
    /// Makes sure that what making images with this engine takes is there.
    pub fn require(self) -> Result<()> {
        if self == Self::Docker {
            docker::runtime()?.block_on(docker::connect())?;
            let without_sandbox: Vec<_> = host::PROGRAMS
                .into_iter()
                .filter(|program| *program != host::SANDBOX)
                .collect();
            host::require_programs(&without_sandbox)
        } else {
            host::require_programs(&host::PROGRAMS)
        }
    }
}
