//! Image layouts.

pub mod reader;
pub mod writer;
