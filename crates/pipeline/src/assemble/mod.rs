//! Images: the configurations and manifests that make images of layers that exist already.
//!
//! Assembling writes those few small files and says which layers belong together; all variants share their blobs.
//! Nothing depends on the order in which packs were made, or on today.
//!
//! - [`variants`]: which images some packs make.
//! - [`image_config`]: environment, labels, user and history of an image.
//! - [`volumes`]: a provider's caches as an image whose root is mounted; here alone layers are read, and written anew.
//! - [`programs`]: artifacts of programs that need no Go, beside the images.
//! - [`statements`]: what is said of an image beside it; [`mod@sbom`]: what is in it.
//! - [`platforms`]: images of several platforms under the same names.
//! - [`images`]: writes images to a [`target`], a layout or a repository ([`registry_target`]).
//! - [`dockerfile`]: the same image as text, for those who build with Docker.

pub mod dockerfile;
pub mod image_config;
pub mod images;
pub mod platforms;
pub mod programs;
pub mod registry_target;
pub mod sbom;
pub mod statements;
pub mod target;
pub mod variants;
pub mod volumes;
