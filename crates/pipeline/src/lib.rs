//! Pipeline.

#![warn(missing_docs)]

pub mod assemble;
pub mod build;
pub mod foundation;
pub mod image_toml;
pub mod measure;
pub mod merge;
pub mod names;
pub mod owners;
pub mod pack;
pub mod resolve;
pub mod summary;
pub mod warm;
pub mod work;
pub mod workspace;
