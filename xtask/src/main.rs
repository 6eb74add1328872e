//! `cargo xtask`: builds, assembles and verifies the IaC Runner base image.

mod artifact;
mod base;
mod cli;
mod commands;
mod common;
mod docker;
mod dockerfile;
mod embedding;
mod engine;
mod failure;
mod given;
mod given_packs;
mod go_list;
mod go_mod;
mod go_mod_files;
mod host;
mod image;
mod image_toml;
mod in_root;
mod kept_layer;
mod layer;
mod layer_names;
mod layout_writer;
mod matrix;
mod merge;
mod oci;
mod out;
mod owners;
mod pack;
mod pack_file;
mod part;
mod pipeline;
mod progress;
mod recompress;
mod registry_target;
mod release;
mod resolve;
mod root_fs;
mod sandbox;
mod standard_library;
mod store;
mod summary;
mod toolchain;
mod tools;
mod tree;
mod variants;
mod verifier_build;
mod verify;
mod warm;
mod work;
#[cfg(test)]
mod workflows;
mod zstd_settings;

use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, Command, bench};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match out::clean_up_on_interrupt().and_then(|()| dispatch(&cli.command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            failure::exit_code(&error)
        }
    }
}

fn dispatch(command: &Command) -> anyhow::Result<ExitCode> {
    let done = match command {
        Command::BaseImage(flags) => commands::base_image::run(flags),
        Command::Matrix(flags) => commands::matrix::run(flags),
        Command::Warm(flags) => commands::warm::run(flags),
        Command::Assemble(flags) => commands::assemble::run(flags),
        Command::Push(flags) => commands::push::run(flags),
        Command::Simulate(flags) => commands::simulate::run(flags),
        Command::Verify(flags) => return commands::verify::run(flags),
        Command::Merge(flags) => commands::merge::run(flags),
        Command::DockerContext(flags) => commands::docker_context::run(flags),
        Command::Dockerfiles(flags) => commands::dockerfiles::run(flags),
        Command::InContainer(flags) => commands::in_container::run(flags),
        Command::Discover(flags) => commands::discover::run(flags),
        Command::NewComponent(flags) => commands::new_component::run(flags),
        Command::CheckCatalog(flags) => commands::check_catalog::run(flags),
        Command::Bench(flags) => match &flags.what {
            Some(bench::What::Throughput { megabytes, json }) => {
                commands::bench_throughput::run(*megabytes, *json)
            }
            Some(bench::What::Naive(flags)) => commands::bench_naive::run(flags),
            Some(bench::What::Order(flags)) => commands::bench_order::run(flags),
            Some(bench::What::Ready(flags)) => commands::bench_ready::run(flags),
            Some(bench::What::Check(flags)) => commands::bench_check::run(flags),
            Some(bench::What::Merge { packs, rounds }) => {
                commands::bench_merge::run(packs, *rounds)
            }
            Some(bench::What::Sizes(flags)) => commands::bench_sizes::run(flags),
            Some(bench::What::Gate(flags)) => commands::bench_gate::run(flags),
            None => commands::bench_throughput::run(bench::THROUGHPUT_MEGABYTES, false),
        },
        Command::Report(flags) => commands::report::run(flags),
        Command::ReportSchema(flags) => commands::report_schema::run(flags),
        Command::Gate(flags) => commands::gate::run(flags),
        Command::Test(flags) => commands::test::run(flags),
    };
    done.map(|()| ExitCode::SUCCESS)
}
