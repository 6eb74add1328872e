//! `pack.json`: what is in a pack of caches, file by file, and how long it took to make it.

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::Identity;
use oci::layer::Layer;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use crate::pack::programs::PackedProgram;
use crate::resolve::requirements::Required;

/// Raised when what is in a pack changes although its inputs do not, so that packs kept from before are not used again.
pub const FORMAT: u32 = 8;

/// The manifest's name in the folder of a kept pack.
pub const FILE_NAME: &str = "pack.json";

/// A module in a pack.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WarmModule {
    /// Its component.
    pub component: String,
    /// Its folder, relative to the source.
    pub path: Utf8PathBuf,
    /// ID of its link action; `None` where the go command names none, so that the executable cannot be cached.
    pub link_action: Option<Sha256Hash>,
    /// Size of the executable in bytes.
    pub executable_bytes: u64,
    /// How long its build took after what it imports was compiled, in milliseconds.
    #[serde(default)]
    pub build_ms: u64,
}

/// A file in a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedFile {
    /// Path relative to the root of the image.
    pub path: Utf8PathBuf,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the content.
    pub sha256: Sha256Hash,
}

/// How long the parts of warming took, in milliseconds, and how much memory.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Timings {
    /// `go build` of the packages, and of each module with its link.
    pub build_ms: u64,
    /// Hashing and normalising the entries.
    pub seal_ms: u64,
    /// Building every module again.
    pub check_ms: u64,
    /// Writing the layers.
    pub pack_ms: u64,
    /// Resident memory of the largest process that compiled or linked, in bytes; none where it is not known.
    #[serde(default)]
    pub peak_memory_bytes: Option<u64>,
}

impl Timings {
    /// All of it.
    pub fn total_ms(&self) -> u64 {
        self.build_ms + self.seal_ms + self.check_ms + self.pack_ms
    }
}

/// `pack.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this format.
    pub schema: u32,
    /// The provider, or `common`.
    pub name: String,
    /// What the caches were made with.
    pub identity: Identity,
    /// The modules that are warm with it.
    pub modules: Vec<WarmModule>,
    /// Go modules whose folders it holds.
    pub go_modules: Vec<Required>,
    /// Settings of the machine that fetched them by which no checksum database vouched for them, as `NAME=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unchecked: Vec<String>,
    /// Its files, sorted.
    pub files: Vec<PackedFile>,
    /// Digest of its list of files in the image; packs made before it was noted lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_sha256: Option<Sha256Hash>,
    /// Digest of the list there of what its Go modules have and the image has not, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out_sha256: Option<Sha256Hash>,
    /// Module cache and build cache without executables.
    pub caches: Layer,
    /// Object code of its archives; absent where they are whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<Layer>,
    /// Executables, for whoever has caches; absent where there are none.
    pub executables: Option<Layer>,
    /// Programs with their executables as they are, for whoever has no Go; absent where the layer of executables has
    /// them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program_folders: Option<Layer>,
    /// Its programs, each an artifact of its own beside the layers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<PackedProgram>,
    /// Modules whose link ran in the check although it should have hit.
    pub links_not_cached: Vec<Utf8PathBuf>,
    /// Modules that are missing because they do not build, with what the go command said.
    pub broken: Vec<String>,
    /// How long it took.
    pub timings: Timings,
}

impl Manifest {
    /// Writes it into the folder of a kept pack.
    pub fn write(&self, folder: &Utf8Path) -> Result<()> {
        let json = serde_json::to_vec(self).context("failed to serialize a pack's manifest")?;
        fs_err::write(folder.join(FILE_NAME), json)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::{key, manifest};

    #[test]
    fn a_pack_says_that_its_go_modules_were_not_checked_and_nothing_else_changes() {
        let mut pack = manifest("aws");
        assert!(
            serde_json::to_value(&pack)
                .unwrap()
                .get("unchecked")
                .is_none()
        );
        pack.unchecked = vec!["GOSUMDB=off".to_owned()];
        let json = serde_json::to_value(&pack).unwrap();
        assert_eq!(json["unchecked"], serde_json::json!(["GOSUMDB=off"]));
        assert_eq!(key("aws").with(&[]).unwrap(), key("aws"));
        assert_ne!(key("aws").with(&pack.unchecked).unwrap(), key("aws"));
    }
}
