//! What a source is refused for, and how a user mends it: before the go command is asked, and in its place.

pub mod advice;
pub mod excluded;
pub mod linked;
pub mod replaced;
pub mod workspace;
