//! `cargo xtask bench commands`: what people run besides `go build`, and what shipping its entries would cost.
//!
//! The image is unpacked once. In a container of root each command runs after a build that hits, one after the other on
//! the same cache, and what is new in GOCACHE afterwards is what it would take to have it hit.

use std::time::Instant;

use anyhow::{Result, bail};
use camino::Utf8Path;
use serde::Serialize;

use crate::bench::unpacked::ImageOfLayout;
use crate::source::Source;
use engine::excerpt::excerpt;
use engine::progress::{Kind, Progress, human_bytes, millis};
use engine::sandbox::Sandbox;
use pipeline::foundation::tree::ELSEWHERE;
use pipeline::image_toml::ImageToml;
use pipeline::owners::relative;
use pipeline::work::Work;
use pipeline::work::files::files_below;
use pipeline::{measure, summary};

/// The first is what the others are measured against.
const COMMANDS: [&[&str]; 4] = [
    &["go", "build", "-o", "/tmp/program", "."],
    &["go", "vet", "."],
    &["go", "test", "-c", "-o", "/tmp/test", "."],
    &["go", "run", "."],
];

#[derive(Debug, Serialize)]
struct Line {
    module: String,
    command: String,
    wall_ms: u64,
    /// Against the build that hits.
    ratio: f64,
    new_files: usize,
    new_bytes: u64,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub image: ImageOfLayout,
    /// Measure the first module of this provider; repeat for several
    #[arg(long = "provider", value_name = "P", required = true)]
    pub providers: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(flags: &Args) -> Result<()> {
    let source = flags.source.folder()?;
    let modules = crate::source::discover(&source, None)?.modules;
    let providers = crate::source::select(&modules, &flags.providers)?;
    let image_toml = ImageToml::read(&pipeline::workspace::image_toml())?;
    let work = Work::open()?;
    let scratch = work.scratch("commands")?;
    let mut progress = Progress::default();
    let image = flags.image.unpack(scratch.path(), &mut progress)?;
    let sandbox = measure::root_sandbox(scratch.path(), &image, &source);
    let gocache = scratch.path().join(relative(&image_toml.go.gocache));
    let mut lines = Vec::new();
    progress.step("commands", Kind::Local, |step| {
        let first_of = |provider: &String| modules.iter().find(|it| it.provider == *provider);
        for module in providers.iter().filter_map(first_of) {
            step.detail(module.path.as_str());
            let folder = format!("{ELSEWHERE}/{}", module.program());
            lines.extend(measured(&sandbox, &folder, &gocache)?);
        }
        Ok(())
    })?;
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&lines)?);
        return Ok(());
    }
    let header = [
        "module",
        "command",
        "time",
        "beside a build that hits",
        "new",
        "files",
    ];
    let mut table = summary::table(&header);
    for line in &lines {
        table.add_row([
            line.module.clone(),
            line.command.clone(),
            summary::seconds(line.wall_ms as f64),
            format!("{:.1}", line.ratio),
            human_bytes(line.new_bytes),
            line.new_files.to_string(),
        ]);
    }
    println!("{table}");
    Ok(())
}

/// Every command in `folder` of the image, one after the other.
fn measured(sandbox: &Sandbox, folder: &str, gocache: &Utf8Path) -> Result<Vec<Line>> {
    let mut lines: Vec<Line> = Vec::new();
    let mut before = sizes(gocache)?;
    for command in COMMANDS {
        let in_folder = [&["env", "-C", folder], command].concat();
        let started = Instant::now();
        let done = sandbox.run(&in_folder)?;
        let wall_ms = millis(started);
        // A program that is run outside of Pulumi fails by itself.
        if !done.status.success() && command[1] != "run" {
            bail!(
                "{} failed in {folder}:\n{}",
                command.join(" "),
                excerpt(&done.stderr)
            );
        }
        let now = sizes(gocache)?;
        lines.push(Line {
            module: folder
                .trim_start_matches(ELSEWHERE)
                .trim_start_matches('/')
                .to_owned(),
            command: command.join(" "),
            wall_ms,
            ratio: lines
                .first()
                .map_or(1.0, |first| wall_ms as f64 / first.wall_ms.max(1) as f64),
            new_files: now.0.saturating_sub(before.0),
            new_bytes: now.1.saturating_sub(before.1),
        });
        before = now;
    }
    Ok(lines)
}

/// Files in a folder, and their bytes.
fn sizes(folder: &Utf8Path) -> Result<(usize, u64)> {
    let files = files_below(folder)?;
    let mut bytes = 0;
    for file in &files {
        bytes += fs_err::metadata(folder.join(file))?.len();
    }
    Ok((files.len(), bytes))
}
