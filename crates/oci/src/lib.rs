//! OCI images.

pub mod blob;
#[cfg(feature = "docker")]
pub mod docker;
pub mod events;
pub mod image;
pub mod layer;
pub mod layout;
pub mod platform;
pub mod reference;
pub mod registry;
pub mod unpack;
