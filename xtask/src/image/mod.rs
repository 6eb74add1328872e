//! Images: how they are unpacked.

pub mod unpack;
