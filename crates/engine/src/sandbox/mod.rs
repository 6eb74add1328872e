//! Runs commands in the image's own tree: with bubblewrap, in containers of Docker, or in the container that this
//! process is in.
//!
//! The tree is mounted read-only unless that is asked for; what a command may write to, whether it has a network and
//! as whom it runs stand in its [`Sandbox`]. No variable of the build machine comes in, except those that a fetch needs
//! (proxies, module proxy settings, the trust store), and those for the fetch alone.
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
pub use spec::{GO_FETCH_VARIABLES, RootFs, Sandbox, User};
