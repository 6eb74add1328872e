//! `cargo xtask discover`: the modules of a source by provider.

use crate::source::Source;
use anyhow::Result;

use crate::source;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub source: Source,
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Prints the modules; what was skipped, and why, goes to standard error.
pub fn run(flags: &Args) -> Result<()> {
    let source = flags.source.folder()?;
    let found = source::discover(&source)?;
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&found.modules)?);
        return Ok(());
    }
    let mut provider = "";
    for module in &found.modules {
        if module.provider != provider {
            provider = &module.provider;
            println!("{provider}");
        }
        println!("  {} ({})", module.component, module.path);
    }
    Ok(())
}
