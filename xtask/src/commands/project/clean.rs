//! `cargo xtask clean`: gives back the disk that work of long ago takes.

use std::time::Duration;

use anyhow::Result;
use engine::progress::human_bytes;
use pipeline::summary::table;
use pipeline::work::{self, stock};

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every use of kept work is noted, so what was not used for N days is needed by nothing that still \
                  runs; what it held is made or fetched again when it is needed after all. What another run uses at \
                  this moment stays in any case."
)]
pub struct Args {
    /// Keep what was used in the last N days; 0 keeps only what is in use
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub keep_days: u32,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Cleans, and prints by kind what came of it.
pub fn run(flags: &Args) -> Result<()> {
    let place = work::place()?;
    let keep = Duration::from_secs(u64::from(flags.keep_days) * SECONDS_A_DAY);
    let cleaned = stock::clean(&place, keep, flags.dry_run)?;
    let mut shown = table(&["kind", "removed", "freed", "left", "in use"]);
    let (mut removed, mut freed_bytes) = (0, 0);
    for (kind, of_kind) in cleaned {
        removed += of_kind.removed;
        freed_bytes += of_kind.freed_bytes;
        shown.add_row([
            kind,
            of_kind.removed.to_string(),
            human_bytes(of_kind.freed_bytes),
            of_kind.left.to_string(),
            of_kind.in_use.to_string(),
        ]);
    }
    if shown.is_empty() {
        println!("nothing is kept in {place}");
        return Ok(());
    }
    let freed = human_bytes(freed_bytes);
    let done = if flags.dry_run {
        format!("would remove {removed} and free {freed}")
    } else {
        format!("removed {removed}, which freed {freed}")
    };
    println!("{shown}\n\n{place}: {done}");
    Ok(())
}
