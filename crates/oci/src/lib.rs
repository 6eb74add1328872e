//! OCI images for tools that build, inspect and move them: reproducible layers, layouts, registries, the local Docker.
//!
//! What always holds:
//! - The same input gives the same bytes. Neither the clock nor the number of processors shows in a layer.
//! - No blob is used before its size and digest were checked, wherever it came from.
//! - No path of an image, whoever made it, leads out of the folder that it is unpacked to.
//! - Credentials go to the registry that they are for and to a token service of its owner, and to nobody else.
//! - Nothing is without an end: bytes, pages, entries, tries and time have limits, and what is slow is no progress.
//! - Nothing is printed: progress and warnings go to [`events::Events`], failures say what to do about them.
//!
//! Where to look:
//!
//! | module | holds |
//! |---|---|
//! | [`blob`] | the trait [`blob::Blobs`] of all places that hand out blobs, and descriptors |
//! | [`layer`] | layers: their tar, its compression, their digests |
//! | [`layout`] | folders in OCI's format: read and written |
//! | [`image`] | an image of any place, fetched by its descriptor |
//! | [`unpack`] | layers laid over each other in a folder, and paths inside it |
//! | [`registry`] | pulling and pushing, with retries and resumption |
//! | [`http`] | the HTTP client of `registry`, and plain downloads |
//! | `docker` | images in and out of the local Docker (feature `docker`) |
//! | [`reference`] | how images are named |
//! | [`referrer`] | what is said of an image beside it |
//! | [`platform`] | for which machines they are |
//! | [`events`] | what a caller hears while bytes move |
//!
//! Features, none of them on by default: `docker`, and `clap` for types that are values of options.

#![warn(missing_docs)]

pub mod blob;
#[cfg(feature = "docker")]
pub mod docker;
pub mod events;
#[cfg(test)]
mod fuzz;
pub mod http;
pub mod image;
pub mod layer;
pub mod layout;
pub mod platform;
pub mod reference;
pub mod referrer;
pub mod registry;
pub mod unpack;
