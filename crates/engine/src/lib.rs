//! Runs commands: in the tree of an image, where everything is built, and on the machine that builds it.
//!
//! What always holds:
//! - Nothing of the build machine reaches a command in the tree unless its [`sandbox::Sandbox`] says so.
//! - A failure names the command and shows what it said.
//! - Nothing that was started outlives this program, however that ends.
//! - Lines and the spinner come from one place, so that they do not tear; the other libraries print nothing themselves.
//!
//! The map, from the ground up:
//! - [`progress`]: what the user sees, and where the time went
//! - [`interrupt`]: what Ctrl-C cleans up
//! - [`excerpt`]: what of a command's output an error shows
//! - [`memory`]: how much memory there is for them
//! - [`emulation`]: whether programs of another processor run
//! - [`together`]: what runs side by side, and fails as one
//! - [`process_group`]: a process that ends with this one, with all that it started
//! - [`host`]: commands on the build machine, and the packages they come from
//! - [`sandbox`]: commands in an image's tree
//! - [`Engine`]: which of the ways to run them is taken

#![warn(missing_docs)]

pub mod emulation;
mod engine;
pub mod excerpt;
pub mod host;
pub mod interrupt;
pub mod memory;
pub mod process_group;
pub mod progress;
pub mod sandbox;
pub mod together;

pub use engine::Engine;
