//! Commands.

pub mod catalog;
pub mod image;
pub mod packs;
pub mod project;
pub mod reports;
