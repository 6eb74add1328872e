//! Packs: what one machine made, in a form that any other can build on.
//!
//! A pack of caches is what warming one provider (or `common`) adds to the caches of Go: layers, and a manifest
//! that names every file with its digest. `base` and `tools`, the lowest layers of every image, are packs of layers
//! alone.
//!
//! - [`manifest`], [`mod@write`], [`go_modules`], [`kept`]: packs of caches, from files to a folder of kept work.
//! - [`description`], [`layer_content`], [`blobs`], [`artifact`], [`fit`]: packs as OCI artifacts, and whether some
//!   make an image together.
//! - [`inventory`]: what is in their layers, for the documents of images.
//! - [`archive`], [`store`], [`sources`]: where packs are put and found: folders, tar archives, registries.
//! - [`programs`]: executables as programs that need no Go, in the layer of executables and as artifacts.
//! - [`part`], [`matrix`]: what each job of a matrix makes.

pub mod archive;
pub mod artifact;
pub mod blobs;
pub mod description;
pub mod fit;
pub mod go_modules;
pub mod inventory;
pub mod kept;
pub mod layer_content;
pub mod manifest;
pub mod matrix;
pub mod part;
pub mod programs;
pub mod sources;
pub mod store;
pub mod write;

pub use blobs::{BlobSource, Pack, PackLayer};
pub use kept::KeptPack;
