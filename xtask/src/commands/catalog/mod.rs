//! catalog.

pub mod check_catalog;
pub mod discover;
pub mod new_component;
