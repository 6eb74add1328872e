//! What a run is about to do, as far as it can be known to fail.

use camino::{Utf8Path, Utf8PathBuf};
use modules::Module;
use oci::platform::Platform;

use crate::flow::Settings;

/// What takes more than a go command that compiles for the platform.
#[derive(Debug, Clone, Copy)]
pub struct Makes {
    /// A base system, whose packages have programs that run.
    pub base: bool,
    /// A verifier.
    pub verifier: bool,
}

impl Makes {
    /// A whole image.
    pub const ALL: Self = Self {
        base: true,
        verifier: true,
    };
    /// Caches alone.
    pub const NONE: Self = Self {
        base: false,
        verifier: false,
    };
}

/// What a run is about to do.
#[derive(Debug)]
pub struct Plan<'a> {
    /// What it may do, and with which source.
    pub settings: &'a Settings,
    /// The modules of the source.
    pub modules: &'a [Module],
    /// For which platforms.
    pub platforms: &'a [Platform],
    /// What is made that this machine may be unable to make for another platform.
    pub makes: Makes,
    /// Whether the image's user is to read the source in the end.
    pub verifies: bool,
    /// What it writes, a folder or a file.
    pub out: Option<&'a Utf8Path>,
    /// Where its work is kept.
    pub kept: Utf8PathBuf,
}
