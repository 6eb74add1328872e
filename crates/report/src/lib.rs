//! What the verifier measured, as data: the report and its JSON Schema. The verifier writes it in the image; the gate,
//! the history and every format that people read are functions of it, the same in the image and outside.
//!
//! Pure: no processes and no clock, and files only where a caller names one. The same report and history make the same
//! text, byte by byte.
//!
//! | Where | What for |
//! |---|---|
//! | `model`, `schema` | the report, and its JSON Schema |
//! | `file` | reading a report, and files that are complete or absent |
//! | `stats` | medians, percentiles and the like |
//! | `history` | one line for each accepted report |
//! | `gate/` | a report held against a baseline: what is judged hard, and times, which vary |
//! | `formats/` | a file for each format that a report is written in |
//! | `export` | writing a report in a format, as both binaries do it |
//! | `sample` | made-up reports |

#![warn(missing_docs)]

mod check;
mod error;
mod export;
pub mod file;
mod formats;
#[cfg(test)]
mod fuzz;
pub mod gate;
pub mod history;
mod model;
pub mod sample;
mod schema;
pub mod stats;

pub use check::Fault;
pub use error::Error;
pub use export::Export;
pub use formats::Format;
pub use model::{
    Failure, Image, MeasuredModule, PackSize, Phase, PhaseName, Report, SCHEMA, SkippedPhase,
    Summary, Verifier, name,
};
pub use schema::{SCHEMA_FILE, json_schema};
