//! packs.

pub mod assemble;
pub mod fetch_program;
pub mod matrix;
pub mod merge;
pub mod pinned;
pub mod plugins;
pub mod push;
pub mod simulate;
pub mod warm;
