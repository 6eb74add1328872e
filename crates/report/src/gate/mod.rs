//! The gate: a report held against the baseline.
//!
//! What does not vary from run to run is judged hard: hits, failures, missing modules, the identity, requests to the
//! network; sizes nearly so, because a release moves them a little. Times vary, and are judged by [`time`]; a module
//! that is slow beyond any noise, by [`ceiling`]. Those of programs that were emulated are not judged at all.
//!
//! Everything that differs is told in words; what is worse decides.

mod baseline;
mod ceiling;
mod comparison;
mod rules;
mod time;

pub use crate::file::BASELINE_SCHEMA;
pub use baseline::{Baseline, BaselineModule, PhaseHits, Samples};
pub use ceiling::{CEILING, CEILING_MS};
pub use comparison::{Change, Comparison, Kind};
pub use rules::compare;
pub use time::{MIN_EFFECT, MIN_RUNS, SIGNIFICANCE};

#[cfg(test)]
mod simulation;
#[cfg(test)]
pub(crate) mod tests;
