//! Executables of programs, compressed, for links that need not run.
//!
//! The go command takes an executable from its cache if it is there under the link's action ID. Executables are the
//! largest part of what an image would have to unpack, and each is read by builds of one program alone. So an image
//! holds them compressed beside its build cache, by the folder in which `go build` is run ([`pack()`]), and whoever
//! starts the go command or its tools puts the one at hand into the cache, or in the place of what a link would have made
//! ([`Executables`]).
//!
//! What holds: an executable gets its name only if its SHA-256 is the one it was packed with, and what is found under a
//! link's action ID is what that link makes.

mod index;
mod pack;
#[cfg(test)]
mod tests;
mod unpack;

pub use index::{Executable, Index};
pub use pack::{Linked, pack};
pub use unpack::{Executables, Packed};
