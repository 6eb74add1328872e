//! What cargo-auditable, and who writes what it does, puts into an executable of Rust: the crates that it is linked of.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// A crate of which an executable was linked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `crates.io`, `local`, or another place.
    pub source: String,
    /// `runtime`, or `build` for what is not in the executable.
    #[serde(default)]
    pub kind: Option<String>,
    /// Whether it is the executable's own.
    #[serde(default)]
    pub root: bool,
}

#[derive(Deserialize)]
struct Crates {
    packages: Vec<Crate>,
}

const SECTION: &str = ".dep-v0";
/// What readers of cargo-auditable allow.
const MAX_BYTES: u64 = 8 << 20;

/// The crates of `executable`, sorted; none where it does not say.
pub fn crates(executable: &[u8]) -> Result<Option<Vec<Crate>>> {
    let Some(section) = super::section(executable, SECTION) else {
        return Ok(None);
    };
    let mut json = Vec::new();
    let damaged = "the list of its crates is damaged";
    let zlib = flate2::read::ZlibDecoder::new(section);
    zlib.take(MAX_BYTES)
        .read_to_end(&mut json)
        .context(damaged)?;
    let mut crates = serde_json::from_slice::<Crates>(&json)
        .context(damaged)?
        .packages;
    crates.retain(|it| it.kind.as_deref() != Some("build"));
    crates.sort();
    Ok(Some(crates))
}
