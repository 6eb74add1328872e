//! What a user types.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::bench;
use crate::commands::{catalog, image, packs, project, reports};

/// Builds, assembles and verifies the IaC Runner base image.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    version,
    after_help = "Exit codes: 0 fine, 1 failed, 2 bad usage or input, 3 a target was missed, 4 corrupt data"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, one file each in `commands/`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build the image: warm every provider, assemble all variants, verify the result
    BaseImage(image::base_image::Args),
    /// Make one or several packs: a job of the matrix
    Warm(packs::warm::Args),
    /// Make images of packs, in a folder or straight in a registry
    Assemble(packs::assemble::Args),
    /// Push a layout, or release what a registry has under another tag
    Push(packs::push::Args),
    /// Fetch a program that needs no Go from a registry or a layout
    FetchProgram(packs::fetch_program::Args),
    /// Print the jobs of the matrix, as JSON for a workflow's `fromJSON`
    Matrix(packs::matrix::Args),
    /// Run the whole matrix on this machine, as the workflow would, and say how long it took
    Simulate(packs::simulate::Args),
    /// Run the verifier of this repository in an image, which may be anywhere; exits as the verifier does
    Verify(image::verify::Args),
    /// Print what is in an image, as SPDX or CycloneDX, or hold that against the image unpacked
    Sbom(image::sbom::Args),
    /// List the plugins of Pulumi that programs need, or fetch them to know their digests
    Plugins(packs::plugins::Args),
    /// Merge packs into one tree of caches, for images that are built from a Dockerfile
    Merge(packs::merge::Args),
    /// Write an image's layers and a Dockerfile for them, to be built with `docker build`
    DockerContext(image::docker_context::Args),
    /// Renew the committed Dockerfiles
    Dockerfiles(image::dockerfiles::Args),
    /// Make the image's files with the container around this process as the tree; for the standalone Dockerfile
    #[command(hide = true)]
    InContainer(image::in_container::Args),
    /// List the modules of a source by provider
    Discover(catalog::discover::Args),
    /// Write the folder of a new component of the catalog
    NewComponent(catalog::new_component::Args),
    /// Vet, lint and test every Go module of the catalog, and compare the versions of what they share
    CheckCatalog(catalog::check_catalog::Args),
    /// Measure parts of the pipeline
    Bench(bench::Args),
    /// Write the verifier's report in another format
    Report(reports::report::Args),
    /// Renew the JSON Schema of the verifier's report
    ReportSchema(reports::report_schema::Args),
    /// Hold a report against the baseline; the exit code is 3 if anything is worse
    Gate(reports::gate::Args),
    /// Run every test of the project
    Test(project::test::Args),
    /// Run the property tests of what reads the files of others, each for some time
    Fuzz(project::fuzz::Args),
    /// Raise what is pinned: Go, the tools, the base system, the actions of the workflows
    Bump(project::bump::Args),
    /// Look for known vulnerabilities in the tools of the image; exits with 3 if code of one is called
    Vulnerabilities(project::vulnerabilities::Args),
    /// Say what this machine lacks, with the command that installs it, and what the kept work takes
    Doctor(project::doctor::Args),
    /// Remove kept work that was not used for a while
    Clean(project::clean::Args),
    /// Print what a shell needs to complete commands and flags
    Completions(project::completions::Args),
}

impl Command {
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let done = match self {
            Self::BaseImage(args) => image::base_image::run(args),
            Self::Verify(args) => return image::verify::run(args),
            Self::Sbom(args) => image::sbom::run(args),
            Self::DockerContext(args) => image::docker_context::run(args),
            Self::Dockerfiles(args) => image::dockerfiles::run(args),
            Self::InContainer(args) => image::in_container::run(args),
            Self::Warm(args) => packs::warm::run(args),
            Self::Assemble(args) => packs::assemble::run(args),
            Self::Plugins(args) => packs::plugins::run(args),
            Self::Merge(args) => packs::merge::run(args),
            Self::Push(args) => packs::push::run(args),
            Self::FetchProgram(args) => packs::fetch_program::run(args),
            Self::Matrix(args) => packs::matrix::run(args),
            Self::Simulate(args) => packs::simulate::run(args),
            Self::Gate(args) => reports::gate::run(args),
            Self::Report(args) => reports::report::run(args),
            Self::ReportSchema(args) => reports::report_schema::run(args),
            Self::Discover(args) => catalog::discover::run(args),
            Self::NewComponent(args) => catalog::new_component::run(args),
            Self::CheckCatalog(args) => catalog::check_catalog::run(args),
            Self::Test(args) => project::test::run(args),
            Self::Fuzz(args) => project::fuzz::run(args),
            Self::Bump(args) => project::bump::run(args),
            Self::Vulnerabilities(args) => project::vulnerabilities::run(args),
            Self::Doctor(args) => project::doctor::run(args),
            Self::Clean(args) => project::clean::run(args),
            Self::Completions(args) => project::completions::run(args),
            Self::Bench(args) => bench::run(args),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests;
