//! What a command may do, and with which inputs.

use camino::Utf8PathBuf;
use engine::Engine;
use oci::platform::Platform;

use crate::image_toml::ToolSource;
use crate::pack::matrix::Times;
use crate::pack::store::Store;
use crate::workspace;

/// What a command may do, from its flags.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line, and none depends on another"
)]
pub struct Settings {
    /// `image.toml`.
    pub image: Utf8PathBuf,
    /// The source.
    pub source: Utf8PathBuf,
    /// For what packs are made.
    pub platform: Platform,
    /// Modules that are built at the same time; none for as many as there are processors and memory for.
    pub jobs: Option<usize>,
    /// How much memory providers took before.
    pub times: Times,
    /// Whether the network is out of bounds.
    pub offline: bool,
    /// Where tools come from that have two sources; none decides by what can be reached.
    pub tools: Option<ToolSource>,
    /// Whether Go modules are taken that no checksum database vouches for.
    pub allow_unchecked: bool,
    /// Whether modules that do not build are left out.
    pub keep_going: bool,
    /// Level of zstd for the layers, in place of the image's.
    pub zstd_level: Option<i32>,
    /// Whether packs are made anew although they are kept.
    pub again: bool,
    /// Where packs of other runs are found.
    pub store: Store,
    /// What runs commands in the image's tree.
    pub engine: Engine,
}

impl Settings {
    /// Defaults for `source`.
    pub fn new(source: Utf8PathBuf) -> Self {
        Self {
            image: workspace::image_toml(),
            source,
            platform: Platform::host(),
            jobs: None,
            times: Times::default(),
            offline: false,
            tools: None,
            allow_unchecked: false,
            keep_going: false,
            zstd_level: None,
            again: false,
            store: Store::Nowhere,
            engine: Engine::Native,
        }
    }
}
