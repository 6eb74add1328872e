//! One file a command.

pub mod assemble;
pub mod base_image;
pub mod bench_check;
pub mod bench_gate;
pub mod bench_merge;
pub mod bench_naive;
pub mod bench_order;
pub mod bench_ready;
pub mod bench_sizes;
pub mod bench_throughput;
pub mod check_catalog;
pub mod discover;
pub mod docker_context;
pub mod dockerfiles;
pub mod gate;
pub mod in_container;
pub mod matrix;
pub mod merge;
pub mod new_component;
pub mod push;
pub mod report;
pub mod report_schema;
pub mod simulate;
pub mod test;
pub mod verify;
pub mod warm;
