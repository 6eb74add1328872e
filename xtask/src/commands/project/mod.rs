//! Commands for who works on the project: its tests, and this machine.

pub mod bump;
pub mod clean;
pub mod completions;
pub mod doctor;
pub mod fuzz;
pub mod test;
pub mod vulnerabilities;
