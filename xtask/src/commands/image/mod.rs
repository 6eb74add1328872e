//! image.

pub mod base_image;
pub mod docker_context;
pub mod dockerfiles;
pub mod in_container;
pub mod sbom;
pub mod verify;
