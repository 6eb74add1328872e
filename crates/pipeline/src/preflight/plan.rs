//! What a run is about to do, as far as it can be known to fail.

use camino::{Utf8Path, Utf8PathBuf};
use modules::Module;

use crate::flow::Settings;

/// What a run is about to do.
#[derive(Debug)]
pub struct Plan<'a> {
    /// What it may do, and with which source.
    pub settings: &'a Settings,
    /// The modules of the source.
    pub modules: &'a [Module],
    /// Whether the image's user is to read the source in the end.
    pub verifies: bool,
    /// What it writes, a folder or a file.
    pub out: Option<&'a Utf8Path>,
    /// Where its work is kept.
    pub kept: Utf8PathBuf,
}
