//! placeholder
use anyhow::Result;
/// x
pub fn run(_source: &crate::cli::Source, _providers: &[String], _json: bool) -> Result<()> { Ok(()) }
