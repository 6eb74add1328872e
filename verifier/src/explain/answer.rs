//! What is found out of one module, as scripts read it.

use camino::Utf8PathBuf;
use gocache::{Explanation, Identity};
use serde::Serialize;

use super::absent::Absent;
use super::settings::Setting;

/// Version of the JSON's shape.
pub const SCHEMA: u32 = 1;

#[derive(Debug, Serialize)]
pub struct Answer {
    pub schema: u32,
    pub headline: String,
    pub module: ExplainedModule,
    pub identity: Identity,
    /// Names of the packs in the image; none outside an image.
    pub packs: Option<Vec<String>>,
    /// Whether one of them holds the module.
    pub is_in_image: bool,
    /// Settings that are not the image's. Where there are any, nothing was built.
    pub settings: Vec<Setting>,
    /// What the build tells, if there was one.
    pub build: Option<Explanation>,
    /// Packages that the module imports and the image leaves out, if the build failed.
    pub absent: Vec<Absent>,
    /// What the go command said, if the build failed.
    pub messages: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct ExplainedModule {
    pub provider: String,
    pub component: String,
    pub path: Utf8PathBuf,
}

impl Answer {
    /// Whether something should have hit and did not.
    pub fn has_defect(&self) -> bool {
        !self.settings.is_empty()
            || !self.absent.is_empty()
            || self.build.as_ref().is_some_and(Explanation::has_defect)
    }
}
