//! project.

pub mod test;
