//! The image's own tree: base system, Go and the tools, ready for commands to be run in it.
//!
//! The parts are kept apart and mounted over each other, so that a new version of one of them leaves the others as
//! they are. The layers are made of the same folders, so what compiles is what ships.
//!
//! For another platform the tree is still one of this machine, in which the same version of Go cross-compiles: action
//! IDs have the platform that is compiled for in them, and not the one that compiles. What ships are parts of the same
//! making for that platform ([`foundation`](crate::flow::foundation)).

use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::TOOLEXEC_PATH;

use crate::image_toml::ImageToml;
use engine::sandbox::{RootFs, Sandbox};
use oci::platform::Platform;

/// Where the source is mounted when caches are made.
pub const SOURCE: &str = "/source";
/// Where the source is mounted when they are checked: anywhere else.
pub const ELSEWHERE: &str = "/elsewhere/checkout";
/// Where a command finds and leaves files.
pub const SCRATCH: &str = "/scratch";

/// The parts of the tree.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The base system's root.
    pub root: Utf8PathBuf,
    /// What runs commands in it.
    pub engine: RootFs,
    /// Go's distribution.
    pub go: Utf8PathBuf,
    /// The image's settings.
    pub image: ImageToml,
    /// The image's platform, for which Go compiles.
    pub platform: Platform,
    /// The program of `-toolexec` while caches are made, where archives are to be export-only: they are whole by then.
    pub toolexec: Option<Utf8PathBuf>,
}

impl Tree {
    /// Commands in the tree, with the environment of the image; `scratch` is theirs to write to.
    pub fn sandbox(&self, scratch: &Utf8Path) -> Sandbox {
        let mut sandbox = Sandbox::of(self.engine.clone());
        if let Some(toolexec) = &self.toolexec {
            sandbox = sandbox.read_only(toolexec, TOOLEXEC_PATH);
        }
        sandbox
            .read_only(&self.go, &self.image.go.goroot)
            .writable(scratch, SCRATCH)
            .env(&self.image.env)
            .env(self.image.go_env(&self.platform))
            .env([("GOOS", &self.platform.os), ("GOARCH", &self.platform.arch)])
            // Nothing of this machine or of an earlier command: no settings file, no home, temporary files on disk.
            .env([
                ("GOENV", "off"),
                ("HOME", "/tmp"),
                ("TMPDIR", SCRATCH),
                ("GOPROXY", "off"),
            ])
    }
}
