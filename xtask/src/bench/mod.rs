//! Benchmarks: each measures something beside something else in the same run.

pub mod cacheprog;
pub mod check;
pub mod commands;
pub mod gate;
pub mod merge;
pub mod naive;
pub mod order;
pub mod ready;
pub mod sizes;
pub mod throughput;
mod unpacked;

use anyhow::Result;
use clap::Subcommand;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Hashing, sealing and packing: bytes per second, on entries made for the purpose
    Throughput(throughput::Args),
    /// How often the gate is wrong: false alarms, and slowdowns, lost entries and wrong flags that it misses
    Gate(gate::Args),
    /// The usual recipe (module by module, other paths, default flags, `cp -rn`) against ours, in one run
    Naive(naive::Args),
    /// From a registry to the first build and the first resource on a node that has nothing: every variant of an image, and
    /// another image
    Ready(ready::Args),
    /// Merging packs against unpacked caches merged with `cp -rn`, in one run
    Merge(merge::Args),
    /// What an image is made of, and what would make it larger or smaller
    Sizes(sizes::Args),
    /// What people run besides `go build`, and what shipping its entries would cost
    Commands(commands::Args),
    /// What a first build takes where GOCACHE cannot be written to, beside one where it can be
    Cacheprog(cacheprog::Args),
    /// Whether the order of files in the caches matters to a first build from a cold disk
    Order(order::Args),
    /// Whether `verifier check` finds every flipped bit in an image, and is silent when there is none
    Check(check::Args),
}

pub fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Throughput(args) => throughput::run(args),
        What::Merge(args) => merge::run(args),
        What::Naive(args) => naive::run(args),
        What::Ready(args) => ready::run(args),
        What::Commands(args) => commands::run(args),
        What::Cacheprog(args) => cacheprog::run(args),
        What::Order(args) => order::run(args),
        What::Sizes(args) => sizes::run(args),
        What::Check(args) => check::run(args),
        What::Gate(args) => gate::run(args),
    }
}
