//! What the tests share: running commands ([`run`]), a registry ([`registry`]), images read and entered without the
//! project's own code ([`image`], [`container`]), a stand-in of what signs them ([`cosign`]), kept work apart from that of other tests ([`kept`]), programs that
//! may be missing ([`programs`]), descriptions of other images ([`description`]), and what a user reads ([`shown`]);
//! and, in `files.rs`, the test that each file is part of a test binary.

pub mod container;
pub mod cosign;
pub mod description;
mod files;
pub mod image;
pub mod kept;
pub mod programs;
pub mod registry;
pub mod run;
pub mod shown;
