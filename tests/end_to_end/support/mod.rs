//! What the tests share: running commands ([`run`]), a registry ([`registry`]), images read without the project's own
//! code ([`image`]), kept work apart from that of other tests ([`kept`]), programs that may be missing ([`programs`]),
//! and what a user reads ([`shown`]).

pub mod image;
pub mod kept;
pub mod programs;
pub mod registry;
pub mod run;
pub mod shown;
