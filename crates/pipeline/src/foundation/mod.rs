//! Foundation.

use anyhow::Error;

use failure::failed;

pub mod base;
pub mod crates;
pub mod download;
pub mod executables;
pub mod go;
pub mod packages;
pub mod release;
pub mod standard_library;
pub mod tool_source;
pub mod tools;
pub mod tree;
pub mod verifier;

/// That `what` would have to be fetched, where nothing may be.
pub fn not_kept(what: &str) -> Error {
    failed(
        format!("{what} is not kept yet"),
        "run once without --offline",
    )
}
