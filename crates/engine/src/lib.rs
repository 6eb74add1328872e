//! Commands.

#![warn(missing_docs)]

pub mod choice;
pub mod host;
pub mod progress;
pub mod sandbox;

pub use choice::Engine;
