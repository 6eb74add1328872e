//! placeholder
use anyhow::Result;
/// x
pub fn run(_megabytes: u64, _json: bool) -> Result<()> { Ok(()) }
