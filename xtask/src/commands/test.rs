//! placeholder
use anyhow::Result;
/// x
pub fn run(_flags: &crate::cli::Test) -> Result<()> { Ok(()) }
