//! Foundation.

pub mod base;
pub mod go;
pub mod release;
pub mod standard_library;
pub mod tool_source;
pub mod tools;
pub mod tree;
pub mod verifier;
