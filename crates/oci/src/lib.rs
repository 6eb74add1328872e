//! OCI images.

#![warn(missing_docs)]

pub mod blob;
pub mod docker;
pub mod events;
pub mod image;
pub mod in_root;
pub mod layer;
pub mod layout;
pub mod platform;
pub mod reference;
pub mod registry;
pub mod unpack;
