//! What is in an image, as documents that scanners read: SPDX 2.3 and CycloneDX 1.6.
//!
//! What always holds:
//! - Nothing is guessed: each component is named by what the image itself says of it, which is dpkg's database, the
//!   module cache, and what compilers write into executables.
//! - The same image gives the same bytes: no clock, no random number, everything sorted.
//! - An image may be anybody's: what is read of it has a size, and nothing of it is run or unpacked.
//!
//! | module | holds |
//! |---|---|
//! | [`inventory`] | what one layer has, in one pass through its tar |
//! | [`mod@compose`] | from the layers of an image to its components, and what holds or needs what |
//! | [`document`] | components and their relations, as data |
//! | [`spdx`], [`cyclonedx`] | the document in each format |
//! | [`licenses`] | Debian's names of licences as expressions of SPDX |

#![warn(missing_docs)]

pub mod compose;
pub mod cyclonedx;
pub mod document;
pub mod inventory;
pub mod licenses;
pub mod spdx;
