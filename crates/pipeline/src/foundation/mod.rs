//! Foundation.

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
