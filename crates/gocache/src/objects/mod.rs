//! The object code of archives, kept apart from them.
//!
//! A package's archive is its export data and its object code. Whoever compiles, vets or lists reads export data; only
//! the linker reads object code, nine tenths of the bytes. So an image's build cache can hold *export-only* archives,
//! ordinary outputs with names and entries of their own ([`export_only`]), and beside it, compressed, the object code
//! ([`pack()`]), from which a *whole* archive is put together when something is linked ([`Objects`]).
//!
//! What holds:
//! - An export-only archive is known by its content: it ends where its export data ends, which no archive of the
//!   compiler does. So whoever is about to link needs no list to find those that are to be completed.
//! - Export data begins with the archive's build ID, half of which is a hash of the whole archive: two archives
//!   with the same export data and other object code are no two export-only archives with one name.
//! - A whole archive is handed out only if its SHA-256 is the one it was packed with.
//! - Action IDs of what was compiled for such a cache have [`WORD`] in them, so that a go command that would hand an
//!   export-only archive to a linker by itself finds nothing.

mod archive;
mod complete;
mod index;
mod pack;
mod store;
#[cfg(test)]
mod tests;

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8Path;

pub use archive::Archive;
pub use complete::{Incomplete, Objects};
pub use index::{Frame, Index, ObjectCode};
pub use pack::pack;
pub use store::{ExportOnly, export_only, whole};

/// What the program of `-toolexec` adds to a tool's version, and so to the ID of every action.
pub const WORD: &str = "iac-runner-objects-1";

/// A tool's version, as `-V=full` prints it, with [`WORD`]. A released tool's whole line becomes a part of action IDs;
/// of another one it is what follows the last slash of its build ID, at the line's end.
pub fn version(said: &str) -> String {
    let said = said.trim_end();
    let separator = if said.contains("buildID=") { "-" } else { " " };
    format!("{said}{separator}{WORD}\n")
}

/// Writes `file`, a shell script that is all the program of `-toolexec` that it takes where no archive is export-only.
pub fn write_script(file: &Utf8Path) -> io::Result<()> {
    fs_err::write(file, include_str!("toolexec.sh").replace("WORD", WORD))?;
    fs_err::set_permissions(file, Permissions::from_mode(0o755))
}
