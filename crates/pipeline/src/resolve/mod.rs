//! What modules need: which Go modules their go.mod requires, and which packages their builds load.
//!
//! The first needs the network once and is kept by the content of go.mod, go.sum and go.work; the second is asked
//! of the go command each time, offline, because it decides which packs are still right. Both are the go command's
//! own answers: nothing here guesses how Go reads a source.
//!
//! - [`resolver`] asks the go command: [`fetch`] and [`load`], in the words of [`go_list`]; [`refusals`]
//!   where it fails, and where a go.mod leads out of the source.
//! - [`host_go`]: the go command with this machine's credentials, for a fetch alone, and with its [`go_settings`].
//! - [`go_mod`], [`requirements`], [`package`]: what is asked about, and the answers, as data.
//! - [`go_mod_files`], [`embedding`], `executable`: which files of the module cache an image needs.
//! - [`unloaded`]: Go modules that providers require and do not load, where one go.mod serves several.
//! - [`common_plan`]: what all providers share, and so what the pack `common` is made of.

pub mod common_plan;
pub mod embedding;
mod executable;
pub mod fetch;
pub mod go_list;
pub mod go_mod;
pub mod go_mod_files;
pub mod go_settings;
pub mod host_go;
pub mod load;
pub mod package;
pub mod refusals;
pub mod requirements;
pub mod resolver;
pub mod unchecked;
pub mod unloaded;
