//! `cargo xtask discover`: the modules of a source by provider.

use crate::source::Source;
use anyhow::Result;
use camino::Utf8PathBuf;

use crate::source;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub source: Source,
    /// Description of the image, which may say where modules are
    #[arg(long, value_name = "FILE")]
    pub image: Option<Utf8PathBuf>,
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Prints the modules; what was skipped, and why, goes to standard error.
pub fn run(flags: &Args) -> Result<()> {
    let source = flags.source.folder()?;
    let found = source::discover(&source, flags.image.as_deref())?;
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
