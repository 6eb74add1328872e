//! The verifier as a user runs it, with the machine's own go command and caches in temporary folders.

#![expect(clippy::unwrap_used, reason = "a test that panics names the line")]

mod cacheprog;
mod check;
mod explain;
mod gate;
mod go;
mod help;
mod info;
mod launch;
mod measured;
mod report;
mod run;
