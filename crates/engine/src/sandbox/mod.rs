//! Runs commands in the image's own tree: with bubblewrap, in containers of Docker, or in the container that this
//! process is in.
//!
//! The tree is mounted read-only unless that is asked for; what a command may write to and as whom it runs stand in its
//! [`Sandbox`]. It has no network, and no variable of the build machine comes in.
//!
//! - `spec`: what a command gets
//! - `bubblewrap`, `docker`, `current_container`: how each engine gives it that
//! - `run`, `scan`: start a command and follow what it says

mod bubblewrap;
mod current_container;
mod docker;
mod run;
mod scan;
mod spec;

pub use docker::load_root_fs;
pub use run::{Done, Stdout};
pub use spec::{RootFs, Sandbox, User};
