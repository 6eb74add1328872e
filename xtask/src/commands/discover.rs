//! `cargo xtask discover`: the modules of a source by provider.

use anyhow::Result;

use crate::cli;
use crate::given;

/// Prints the modules; what was skipped, and why, goes to standard error.
pub fn run(flags: &cli::Discover) -> Result<()> {
    let source = given::source(&flags.source)?;
    let found = given::discover(&source)?;
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
