//! The engines: what may run commands in the image's tree, and what each of them takes.

use anyhow::Result;

use crate::host;
use crate::sandbox::Root;
use oci::docker;
use oci::docker::Loadable;
use oci::layer::LayerBlob;
use oci::platform::Platform;

/// What runs commands in the image's tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// Bubblewrap; takes no daemon
    Native,
    /// The local Docker, a container for each command; it then has the image, too
    Docker,
    /// Nothing: the container around this process is the tree.
    #[value(skip)]
    Here,
}

/// Makes sure that what the engine takes is there.
pub fn require(engine: Engine) -> Result<()> {
    if engine == Engine::Docker {
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

/// Hands Docker the base system, of which it makes a container for each command.
pub fn load_tree(base: &LayerBlob, platform: &Platform) -> Result<Root> {
    let diff_id = base.layer.diff_id.to_string();
    let name = format!("iac-runner-tree:{}", &diff_id[..16]);
    let config = serde_json::json!({
        "os": platform.os, "architecture": platform.arch, "config": {},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{diff_id}")]},
    });
    docker::load(&[Loadable {
        name: name.clone(),
        config,
        layers: vec![base],
    }])?;
    Ok(Root::Docker(name))
}
