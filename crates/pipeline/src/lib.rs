//! From a Go monorepo to packs and images: what is made, from what, and in which order.
//!
//! What always holds: the same inputs give the same digests, whatever the date, the user, the checkout's path or the
//! order of work; nothing enters a pack that was not hashed; packs and kept work are found by the digest of everything
//! that they were made from; what comes from elsewhere is believed when it fits its digest, and not before. Only
//! progress and warnings are printed here, results are returned.
//!
//! - [`image_toml`], [`names`], [`owners`], [`workspace`]: what is said once about every image.
//! - [`work`]: kept results of steps, and output folders that are whole or not there.
//! - [`foundation`]: base system, Go, tools and verifier; the tree in which everything is compiled.
//! - [`preflight`]: what can be known to stop a run before anything is made.
//! - [`readable`]: whether the image's user may read the source.
//! - [`resolve`]: what modules need, as the go command tells it.
//! - [`warm`]: from that to a sealed and checked pack of caches.
//! - [`pack`]: packs, their travel as OCI artifacts, and whether some fit together.
//! - [`plugins`]: which plugins programs need, the lock of their digests, and their layers.
//! - [`assemble`]: from packs to images.
//! - [`signatures`]: signing images and what is said of them, and believing it.
//! - [`merge`]: from packs to one tree of caches.
//! - [`flow`]: the steps from a source to packs, in their order.
//! - [`measure`], [`summary`]: what an image is worth, and the account of a run.

#![warn(missing_docs)]

pub mod assemble;
pub mod flow;
pub mod foundation;
pub mod image_toml;
pub mod measure;
pub mod merge;
pub mod names;
pub mod origin;
pub mod owners;
pub mod pack;
pub mod plugins;
pub mod preflight;
pub mod readable;
pub mod resolve;
pub mod signatures;
pub mod summary;
pub mod warm;
pub mod work;
pub mod workspace;

#[cfg(test)]
mod fixtures;
