//! Pulumi's plugins: the programs that make the resources of an SDK, which Pulumi otherwise fetches on every fresh
//! machine, whatever the server then sends.
//!
//! What always holds: nothing of a plugin is in an image whose archive had not the SHA-256 that the lock names; a
//! digest in the lock is never replaced.
//!
//! - [`plugin`], [`needs`]: which plugins programs need, as Pulumi itself finds out.
//! - [`address`], [`lock`]: where their archives are, and which digests these have.
//! - [`archive`], [`layer`]: from an archive to a layer of the image.
//! - [`fetch`], [`published`]: what `cargo xtask plugins --lock` does, by fetching archives or by a table of digests.

pub mod address;
pub mod archive;
pub mod fetch;
pub mod layer;
pub mod lock;
pub mod needs;
pub mod plugin;
pub mod published;

/// The lock's name, beside `image.toml`.
pub const LOCK: &str = "plugins.lock";
