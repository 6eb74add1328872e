//! Real images, made by the real command with the real toolchain, looked at from outside.
//!
//! | file | what |
//! |---|---|
//! | `bad_input.rs` | each error that a user can cause |
//! | `catalog.rs` | starting a component |
//! | `civo/` | one provider of the catalog through the whole flow, and its image examined |
//! | `docker.rs` | what people build with Docker |
//! | `gate.rs` | the life of a baseline |
//! | `go_settings.rs` | what the image's Go knows of settings that decide on action IDs |
//! | `hostile.rs` | an image whose every program attacks |
//! | `interrupted.rs` | commands that are killed, and what they leave |
//! | `matrix.rs` | packs made apart from each other, and images of them |
//! | `object_code/` | builds from archives without object code beside those from whole ones |
//! | `platforms/` | images for another platform than this machine's |
//! | `plugins/` | a plugin of Pulumi from its server into an image, where it makes a resource |
//! | `readers.rs` | layers unpacked by containerd and Podman |
//! | `release.rs` | the release workflow |
//! | `report.rs` | the verifier's report read by other tools |
//! | `reproducible.rs` | the packs that all images share, made twice |
//! | `sources.rs` | small sources of every shape, whose modules import only the standard library |
//! | `tools/` | where tools come from, and what works with those of each source |
//! | `verify/` | images where images live, verified there, and what is taken of signed ones |
//! | `vulnerabilities/` | tools with vulnerabilities, and without |
//! | `volume/` | a provider's caches mounted into an image that is not ours |
//! | `support/` | what they share |
//!
//! Tests assert hit rates, counts, digests and exit codes, never seconds.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bad_input;
mod catalog;
mod civo;
mod docker;
mod gate;
mod go_settings;
mod hostile;
mod interrupted;
mod matrix;
mod object_code;
mod platforms;
mod plugins;
mod readers;
mod release;
mod report;
mod reproducible;
mod sources;
mod support;
mod tools;
mod verify;
mod volume;
mod vulnerabilities;
