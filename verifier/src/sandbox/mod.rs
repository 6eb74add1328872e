//! What starts commands in sandboxes, from outside of the tree that they run in.

pub mod init;
pub mod measured;
