//! Real images, made by the real command with the real toolchain, looked at from outside.
//!
//! `civo.rs` takes one provider of the catalog through the whole flow and examines the image. `sources.rs` does so
//! with small sources of every shape, whose modules import only the standard library. `catalog.rs` starts a component. `bad_input.rs` provokes each
//! error a user can cause. `verify.rs` takes an image to where images live and verifies it there. `report.rs` has the
//! verifier's report read by other tools. `gate.rs` takes a baseline through its life. `docker.rs` builds with Docker
//! what people build with it. `matrix.rs` makes packs apart from each other, and images of them.
//! `readers.rs` has layers unpacked by containerd and Podman. `interrupted.rs` kills commands and looks at what they leave.
//! `workflow.rs` runs the release workflow. Tests assert hit rates, counts, digests and exit codes, never seconds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod catalog;
mod civo;
mod docker;
mod gate;
mod image;
mod interrupted;
mod matrix;
mod readers;
mod registry;
mod report;
mod run;
mod sources;
mod verify;
mod workflow;
