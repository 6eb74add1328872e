//! Flags of `bench`.

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use super::{ImageLayout, Source};
use crate::oci::LATEST;

/// Enough entries to measure by.
pub const THROUGHPUT_MEGABYTES: u64 = 512;

/// Flags of `bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// What to measure [default: throughput]
    #[command(subcommand)]
    pub what: Option<What>,
}

/// What can be measured.
#[derive(Debug, Subcommand)]
pub enum What {
    /// Hashing, sealing and packing: bytes per second, on entries made for the purpose
    Throughput {
        /// Megabytes of entries
        #[arg(long, default_value_t = THROUGHPUT_MEGABYTES)]
        megabytes: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// How often the gate is wrong: false alarms, and slowdowns, lost entries and wrong flags that it misses
    Gate(Gate),
    /// The usual recipe (module by module, other paths, default flags, `cp -rn`) against ours, in one run
    Naive(Naive),
    /// From a registry to the first build on a node that has nothing: every variant of an image, and another image
    Ready(Ready),
    /// Merging packs against unpacked caches merged with `cp -rn`, in one run
    Merge {
        /// Packs, as `merge` takes them
        #[arg(value_name = "PACK", required = true)]
        packs: Vec<String>,
        /// How often each of the two is measured
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
        rounds: u16,
    },
    /// What an image is made of, and what would make it larger or smaller
    Sizes(Sizes),
    /// Whether the order of files in the caches matters to a first build from a cold disk
    Order(Order),
    /// Whether `verifier check` finds every flipped bit in an image, and is silent when there is none
    Check(Check),
}

/// Flags of `bench naive`.
#[derive(Debug, Args)]
pub struct Naive {
    #[command(flatten)]
    pub source: Source,
    /// Provider; repeat for several [default: all of the source]
    #[arg(long = "provider", value_name = "P")]
    pub providers: Vec<String>,
    /// Only write the usual recipe's image as an OCI image layout, for `bench ready --naive`
    #[arg(long, value_name = "DIR", conflicts_with = "json")]
    pub out: Option<Utf8PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `bench ready`.
#[derive(Debug, Args)]
pub struct Ready {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub layout: ImageLayout,
    /// The layout to compare with, as `bench naive --out` writes it
    #[arg(long, value_name = "DIR")]
    pub naive: Option<Utf8PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `bench order`.
#[derive(Debug, Args)]
pub struct Order {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub layout: ImageLayout,
    /// Image in the layout
    #[arg(long, value_name = "NAME", default_value = LATEST)]
    pub name: String,
    /// Build the modules of this provider; repeat for several
    #[arg(long = "provider", value_name = "P", required = true)]
    pub providers: Vec<String>,
    /// How often each order is measured
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: u16,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `bench sizes`.
#[derive(Debug, Args)]
pub struct Sizes {
    #[command(flatten)]
    pub layout: ImageLayout,
    /// Try changes with the packs of this provider, beside `common`; repeat for several [default: all of the image]
    #[arg(long = "provider", value_name = "P")]
    pub providers: Vec<String>,
    /// Try only changes whose name contains this, "level 18" say; repeat for several [default: all]
    #[arg(long = "change", value_name = "TEXT")]
    pub changes: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `bench check`.
#[derive(Debug, Args)]
pub struct Check {
    #[command(flatten)]
    pub layout: ImageLayout,
    /// Image in the layout
    #[arg(long, value_name = "NAME", default_value = LATEST)]
    pub name: String,
    /// Bits that are flipped, one at a time, in every kind of file by turns
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub flips: u64,
    /// Checks of the image as it is
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub clean: u64,
    /// Decides which bits
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `bench gate`.
#[derive(Debug, Args)]
pub struct Gate {
    #[command(flatten)]
    pub layout: ImageLayout,
    #[command(flatten)]
    pub source: Source,
    /// Gates between which nothing changes
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub pairs: u16,
    /// Gates with a slower go command, as many with an entry missing, and with a flag missing
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub tries: u16,
    /// Runs of each module in a report [default: enough for 40 first builds of all modules together]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(5..))]
    pub runs: Option<u16>,
}
