//! What a user types.

use camino::Utf8PathBuf;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use report::Format;

use crate::engine::Engine;
use crate::layer::Compression;
use crate::part::Share;
use crate::pipeline::Settings;

pub mod bench;

/// Builds, assembles and verifies the IaC Runner base image.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    version,
    after_help = "Exit codes: 0 fine, 1 failed, 2 bad usage or input, 3 a target was missed, 4 corrupt data"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, one file each in `commands/`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build the image: warm every provider, assemble all variants, verify the result
    BaseImage(BaseImage),
    /// Make one or several packs: a job of the matrix
    Warm(Warm),
    /// Make images of packs, in a folder or straight in a registry
    Assemble(Assemble),
    /// Push a layout, or release what a registry has under another tag
    Push(Push),
    /// Print the jobs of the matrix, as JSON for a workflow's `fromJSON`
    Matrix(Matrix),
    /// Run the whole matrix on this machine, as the workflow would, and say how long it took
    Simulate(Simulate),
    /// Run an image's own verifier in the image, which may be anywhere; exits as the verifier does
    Verify(Verify),
    /// Merge packs into one tree of caches, for images that are built from a Dockerfile
    Merge(Merge),
    /// Write an image's layers and a Dockerfile for them, to be built with `docker build`
    DockerContext(DockerContext),
    /// Renew the committed Dockerfiles
    Dockerfiles(Dockerfiles),
    /// Make the image's files with the container around this process as the tree; for the standalone Dockerfile
    #[command(hide = true)]
    InContainer(InContainer),
    /// List the modules of a source by provider
    Discover(Discover),
    /// Write the folder of a new component of the catalog
    NewComponent(NewComponent),
    /// Vet, lint and test every Go module of the catalog, and compare the versions of what they share
    CheckCatalog(CheckCatalog),
    /// Measure parts of the pipeline
    Bench(bench::Bench),
    /// Write the verifier's report in another format
    Report(Report),
    /// Renew the JSON Schema of the verifier's report
    ReportSchema(ReportSchema),
    /// Hold a report against the baseline; the exit code is 3 if anything is worse
    Gate(Gate),
    /// Run every test of the project
    Test(Test),
}

/// Where the modules are.
#[derive(Debug, Args)]
pub struct Source {
    /// Go monorepo whose modules the image warms [default: the catalog of this repository]
    #[arg(long, value_name = "DIR")]
    pub source: Option<Utf8PathBuf>,
}

/// Where the image goes that is built without `--out`.
pub const BASE_IMAGE: &str = "target/base-image";
/// Its layout.
pub const BASE_IMAGE_LAYOUT: &str = "target/base-image/oci";

/// An image that is built already.
#[derive(Debug, Args)]
pub struct ImageLayout {
    /// OCI image layout
    #[arg(long, value_name = "DIR/oci", default_value = BASE_IMAGE_LAYOUT)]
    pub image: Utf8PathBuf,
}

/// How packs are made.
#[derive(Debug, Args)]
pub struct Build {
    #[command(flatten)]
    pub source: Source,
    /// Description of the image
    #[arg(long, value_name = "FILE")]
    pub image: Option<Utf8PathBuf>,
    /// Modules that are built at the same time [default: one for each CPU]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Use what was fetched before, and no network
    #[arg(long)]
    pub offline: bool,
    /// Leave out modules that do not build instead of stopping at them; the exit code is 1 all the same
    #[arg(long)]
    pub keep_going: bool,
    /// Level of zstd for the layers: a higher one makes them smaller and takes longer [default: that of the image]
    #[arg(long, value_name = "LEVEL", env = "IAC_RUNNER_ZSTD_LEVEL", value_parser = clap::value_parser!(i32).range(1..=22))]
    pub zstd_level: Option<i32>,
    /// What runs commands in the image's tree
    #[arg(long, value_enum, default_value = "native")]
    pub engine: Engine,
}

impl Build {
    /// Settings for `source` that these flags ask for.
    pub fn settings(&self, source: Utf8PathBuf) -> Settings {
        let defaults = Settings::new(source);
        Settings {
            image: self.image.clone().unwrap_or(defaults.image),
            jobs: self.jobs.map_or(defaults.jobs, usize::from),
            offline: self.offline,
            keep_going: self.keep_going,
            zstd_level: self.zstd_level,
            engine: self.engine,
            ..defaults
        }
    }
}

/// Flags of `base-image`.
#[derive(Debug, Args)]
pub struct BaseImage {
    #[command(flatten)]
    pub build: Build,
    /// Provider to warm; repeat for several [default: all of the source]
    #[arg(long = "provider", value_name = "P")]
    pub providers: Vec<String>,
    /// Where the image, its report and the summary go
    #[arg(long, value_name = "DIR", default_value = BASE_IMAGE)]
    pub out: Utf8PathBuf,
    /// How layers are compressed
    #[arg(long, value_enum, default_value = "zstd")]
    pub compression: Compression,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `warm`.
#[derive(Debug, Args)]
pub struct Warm {
    #[command(flatten)]
    pub build: Build,
    /// Provider to warm, or `base`, `tools` or `common`, which all images share; repeat for several
    #[arg(long = "provider", value_name = "P", required = true)]
    pub providers: Vec<String>,
    /// Which part of the provider, as `matrix` divides it
    #[arg(long, value_name = "N/OF")]
    pub part: Option<Share>,
    /// Recorded times, by which a provider is divided [default: those of the catalog]
    #[arg(long, value_name = "FILE")]
    pub times: Option<Utf8PathBuf>,
    /// Where the packs go: an OCI layout, or one archive of it
    #[arg(long, value_name = "DIR|FILE.tar", required_unless_present = "push")]
    pub out: Option<Utf8PathBuf>,
    /// Take packs from here instead of making them anew, where their inputs are the same: a repository, or a folder
    #[arg(long, value_name = "HOST/REPO|DIR")]
    pub from: Option<String>,
    /// Put the packs here: into a repository, or as archives into a folder
    #[arg(long, value_name = "HOST/REPO|DIR")]
    pub push: Option<String>,
    /// Name the pushed packs by this run, too, so that `assemble --run` finds them
    #[arg(long, value_name = "NAME", requires = "push")]
    pub run: Option<String>,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    pub insecure: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `assemble`.
#[derive(Debug, Args)]
pub struct Assemble {
    /// Packs: folders or archives that `warm` wrote, or HOST/REPO:TAG of packs that it pushed
    #[arg(value_name = "PACK", required_unless_present = "from")]
    pub packs: Vec<String>,
    /// Take all packs of a run: those with --run in a repository, or all archives of a folder
    #[arg(long, value_name = "HOST/REPO|DIR")]
    pub from: Option<String>,
    /// The run, as `warm --run` named it
    #[arg(long, value_name = "NAME", requires = "from")]
    pub run: Option<String>,
    /// Write an OCI image layout
    #[arg(long, value_name = "DIR", required_unless_present = "push")]
    pub out: Option<Utf8PathBuf>,
    /// Make the images in a registry: the whole image under this tag, the others under TAG-<provider> and so on
    #[arg(long, value_name = "HOST/REPO:TAG")]
    pub push: Option<String>,
    /// Description of the image
    #[arg(long, value_name = "FILE")]
    pub image: Option<Utf8PathBuf>,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    pub insecure: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `push`.
#[derive(Debug, Args)]
pub struct Push {
    /// What to push: an OCI layout (DIR/oci), or images that are in the same registry (HOST/REPO:TAG)
    #[arg(value_name = "DIR|HOST/REPO:TAG")]
    pub from: String,
    /// The tag of the whole image; the other variants get TAG-<provider> and so on
    #[arg(value_name = "HOST/REPO:TAG")]
    pub to: String,
    /// Move `latest` and its variants, too, if the tag is the highest stable version of the repository
    #[arg(long)]
    pub latest: bool,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    pub insecure: bool,
}

/// Flags of `matrix`.
#[derive(Debug, Args)]
pub struct Matrix {
    #[command(flatten)]
    pub source: Source,
    /// Provider; repeat for several [default: all of the source]
    #[arg(long = "provider", value_name = "P")]
    pub providers: Vec<String>,
    /// Divide providers that would take longer than this
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub minutes: Option<u16>,
    /// Recorded times [default: those of the catalog]
    #[arg(long, value_name = "FILE")]
    pub times: Option<Utf8PathBuf>,
    /// Record the times of this `summary.json` in the file of --times, and print nothing
    #[arg(long, value_name = "SUMMARY", requires = "times")]
    pub record: Option<Utf8PathBuf>,
}

/// Flags of `simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    #[command(flatten)]
    pub source: Source,
    /// Provider; repeat for several [default: all of the source]
    #[arg(long = "provider", value_name = "P")]
    pub providers: Vec<String>,
    /// Jobs that run at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub parallel: u16,
    /// Where the image, the merged caches and the jobs' packs go
    #[arg(long, value_name = "DIR", default_value = "target/simulate")]
    pub out: Utf8PathBuf,
    /// Let packs travel through this repository, and not as archives
    #[arg(long, value_name = "HOST/REPO")]
    pub registry: Option<String>,
    /// Divide providers that would take longer than this
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub minutes: Option<u16>,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    pub insecure: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Flags of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The image: DIR/oci[:TAG] in an OCI layout, HOST/REPOSITORY:TAG in a registry, docker:NAME in the local Docker
    /// [default: the layout of `base-image`]
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// The image's tag in a layout [default: the only one, or `latest`]
    #[arg(long, value_name = "NAME")]
    pub tag: Option<String>,
    #[command(flatten)]
    pub source: Source,
    /// Provider to measure; repeat for several [default: those that the image has packs of]
    #[arg(long = "provider", value_name = "P")]
    pub providers: Vec<String>,
    /// As whom: root, a user of the image, or a user ID; as root the page cache can be dropped
    #[arg(long, value_name = "USER", default_value = "65532")]
    pub user: String,
    /// Let the verifier and what it runs write to the image's root file system
    #[arg(long)]
    pub writable: bool,
    /// Write the report as JSON, with what the image is; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub json: Option<Utf8PathBuf>,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    pub insecure: bool,
    /// What the verifier does, and its flags; in the image the source is the current folder [default: run]
    #[arg(last = true, value_name = "VERIFIER'S ARGUMENTS")]
    pub verifier: Vec<String>,
}

/// Flags of `merge`.
#[derive(Debug, Args)]
pub struct Merge {
    /// Packs in any order, as `assemble` takes them, all made with the same settings
    #[arg(value_name = "PACK", required = true)]
    pub packs: Vec<String>,
    /// Speak plain HTTP with the registry
    #[arg(long)]
    pub insecure: bool,
    /// Where go-mod and go-build go; a folder that an earlier merge made is replaced
    #[arg(long, value_name = "DIR", default_value = "merged-cache")]
    pub out: Utf8PathBuf,
}

/// Flags of `docker-context`.
#[derive(Debug, Args)]
pub struct DockerContext {
    #[command(flatten)]
    pub layout: ImageLayout,
    /// The image's tag [default: the only one, or `latest`]
    #[arg(long, value_name = "NAME")]
    pub tag: Option<String>,
    /// Where the build context goes
    #[arg(long, value_name = "DIR", default_value = "target/docker-context")]
    pub out: Utf8PathBuf,
}

/// Flags of `dockerfiles`.
#[derive(Debug, Args)]
pub struct Dockerfiles {
    /// Write nothing; exit with 1 if a committed Dockerfile is out of date
    #[arg(long)]
    pub check: bool,
}

/// Flags of `in-container`.
#[derive(Debug, Args)]
pub struct InContainer {
    #[command(flatten)]
    pub source: Source,
    /// Provider to warm; repeat for several [default: all of the source]
    #[arg(long = "provider", value_name = "P")]
    pub providers: Vec<String>,
    /// Folder that is made, and gets the files
    #[arg(long, value_name = "DIR")]
    pub out: Utf8PathBuf,
}

/// Flags of `discover`.
#[derive(Debug, Args)]
pub struct Discover {
    #[command(flatten)]
    pub source: Source,
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

/// Flags of `new-component`.
#[derive(Debug, Args)]
pub struct NewComponent {
    #[command(flatten)]
    pub source: Source,
    /// A provider of the catalog, such as `aws`
    pub provider: String,
    /// What the component is called, such as `s3bucket`
    pub component: String,
}

/// Flags of `check-catalog`.
#[derive(Debug, Args)]
pub struct CheckCatalog {
    #[command(flatten)]
    pub source: Source,
}

/// Flags of `report`.
#[derive(Debug, Args)]
pub struct Report {
    /// The report, as `base-image` and the verifier write it
    #[arg(value_name = "REPORT")]
    pub file: Utf8PathBuf,
    /// What to write
    #[arg(long, value_name = "FORMAT", value_parser = format())]
    pub format: Format,
    /// Where to [default: standard output; for markdown, the job's summary where GitHub runs it]
    #[arg(long, value_name = "FILE")]
    pub out: Option<Utf8PathBuf>,
    /// Earlier reports, one line each, which html draws
    #[arg(long, value_name = "FILE")]
    pub history: Option<Utf8PathBuf>,
    /// What html draws as the target, and what a first build fails to meet in junit [html: 500]
    #[arg(long, value_name = "MS")]
    pub target_ms: Option<f64>,
}

fn format() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::as_str))
        .try_map(|name| name.parse::<Format>())
}

/// Flags of `report-schema`.
#[derive(Debug, Args)]
pub struct ReportSchema {
    /// Write nothing; exit with 1 if the committed schema is out of date
    #[arg(long)]
    pub check: bool,
}

/// Flags of `gate`.
#[derive(Debug, Args)]
pub struct Gate {
    /// The baseline
    #[arg(long, value_name = "FILE")]
    pub baseline: Utf8PathBuf,
    /// The verifier's report
    #[arg(value_name = "REPORT")]
    pub report: Utf8PathBuf,
    /// Make the report the baseline, and say what changes by that
    #[arg(long)]
    pub update: bool,
    /// Add the report to this history, if it is accepted
    #[arg(long, value_name = "FILE")]
    pub history: Option<Utf8PathBuf>,
}

/// Flags of `test`.
#[derive(Debug, Args)]
pub struct Test {
    /// Leave out the end-to-end tests, which need a network and some minutes
    #[arg(long)]
    pub quick: bool,
}
