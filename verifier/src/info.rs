//! `verifier info`: what the image says of itself, and whether the go command here fits its caches.
//!
//! A setting that differs is no error, for it may be meant (a GOCACHE of one's own); but it explains why builds
//! compile what the image holds, so each is named. For a volume of caches, which nobody mounts to do without, it is one
//! ([`volume`]).

mod volume;

use failure::{corrupt, usage};
use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use comfy_table::{CellAlignment, Table, presets};
use gocache::image_info::programs::{PROGRAM_LISTS_PATH, Program};
use gocache::image_info::{
    self, IMAGE_INFO_PATH, ImageInfo, PACKS_PATH, PLUGINS_PATH, PackInfo, SCHEMA,
};
use gocache::{Difference, GoModule, Identity};
use modules::Layout;
use serde::Serialize;

use crate::launch::noexec;
use crate::{go, output};

/// Show what the image holds and whether the go command here fits it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Look into an image that is unpacked here
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: Utf8PathBuf,
    /// Fail unless DIR is a volume of caches, mounted where they were made, and the go command here fits it; print the
    /// environment to set, for a shell, or as the JSON that a pod's `env` takes
    #[arg(long, value_name = "DIR", conflicts_with = "root")]
    volume: Option<Utf8PathBuf>,
}

/// What is shown; as JSON, what scripts read.
#[derive(Debug, Serialize)]
struct Info {
    #[serde(flatten)]
    image: ImageInfo,
    /// Sorted by name.
    packs: Vec<PackInfo>,
    /// Programs that are built already, sorted by name.
    programs: Vec<Program>,
    /// Plugins of Pulumi, sorted by name.
    plugins: Vec<Plugin>,
    /// Go modules that go.mods require and of which this image has no packages: nothing it was made for loads one.
    without_packages: Vec<GoModule>,
    /// The settings in force here; none if there is no go command.
    here: Option<Identity>,
    /// Where they differ; `ours` is the image.
    differences: Vec<Difference>,
    /// The folder for temporary files, if no program may run from it.
    noexec_tmpdir: Option<Utf8PathBuf>,
}

/// A plugin of Pulumi.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Plugin {
    name: String,
    version: String,
}

/// More plugins than an image has.
const MOST_PLUGINS: usize = 1000;

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &args.volume {
        return volume::run(folder, args.json);
    }
    let (image, packs) = read(&args.root)?;
    let here = match go::Settings::in_folder(Utf8Path::new(".")) {
        Ok(settings) => Some(settings),
        Err(error) => {
            eprintln!("warning: the settings in force here are not known: {error:#}");
            None
        }
    };
    let differences = here
        .as_ref()
        .map(|here| here.differences(&image.identity))
        .unwrap_or_default();
    let here = here.map(|here| here.identity);
    let without = image_info::without_packages(&packs);
    let info = Info {
        image,
        programs: Program::read_all(&resolve(&args.root, PROGRAM_LISTS_PATH)?)?,
        plugins: plugins(&resolve(&args.root, PLUGINS_PATH)?),
        without_packages: without.into_iter().cloned().collect(),
        packs,
        here,
        differences,
        noexec_tmpdir: noexec::tmpdir(),
    };
    if args.json {
        output::json_to_stdout(&info)?;
    } else {
        output::print(&render(&info))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The plugins in `folder`, which is an image's [`PLUGINS_PATH`], by the names that Pulumi gives to their folders.
fn plugins(folder: &Utf8Path) -> Vec<Plugin> {
    let entries = folder.read_dir_utf8().into_iter().flatten();
    let named = entries.take(MOST_PLUGINS).filter_map(|entry| {
        let entry = entry.ok()?;
        let (name, version) = entry
            .file_name()
            .strip_prefix("resource-")?
            .rsplit_once("-v")?;
        Some(Plugin {
            name: name.to_owned(),
            version: version.to_owned(),
        })
    });
    let mut plugins: Vec<Plugin> = named.collect();
    plugins.sort();
    plugins
}

pub const UNREADABLE: &str = "failed to read what the image says of itself";

/// Where the image in `root` says that the modules of its source are.
pub fn layout(root: &Utf8Path) -> anyhow::Result<Option<Layout>> {
    if resolve(root, IMAGE_INFO_PATH)?.exists() {
        Ok(read(root)?.0.source)
    } else {
        Ok(None)
    }
}

/// The packs of the image in which this runs, sorted by name; none where it is not one of ours.
pub fn packs() -> anyhow::Result<Vec<PackInfo>> {
    if Utf8Path::new(IMAGE_INFO_PATH).exists() {
        Ok(read(Utf8Path::new("/"))?.1)
    } else {
        Ok(Vec::new())
    }
}

/// A path of the image that is unpacked in `root`.
pub fn in_root(root: &Utf8Path, path: &str) -> Utf8PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Where `path` of the image that is unpacked in `root`, which may be anybody's, leads to: never out of it.
pub fn resolve(root: &Utf8Path, path: impl AsRef<Utf8Path>) -> anyhow::Result<Utf8PathBuf> {
    regular_file::in_root::resolve_utf8(root, path).map_err(damaged)
}

/// What `error`, of a file that the image lists and that may be anybody's, means.
pub fn damaged(error: io::Error) -> anyhow::Error {
    match error.kind() {
        // It is no regular file, or a larger one, or there is none.
        ErrorKind::InvalidData | ErrorKind::NotFound | ErrorKind::NotADirectory => corrupt(
            error.to_string(),
            "`verifier check` says what else is damaged; pull the image anew",
        ),
        _ => error.into(),
    }
}

/// What the image in `root` says of itself and of its packs, sorted by name.
pub fn read(root: &Utf8Path) -> anyhow::Result<(ImageInfo, Vec<PackInfo>)> {
    let image_file = resolve(root, IMAGE_INFO_PATH)?;
    if !image_file.exists() {
        return Err(usage(
            format!("this is no IaC Runner image: {image_file} does not exist"),
            "run it inside the image, or name an unpacked one with --root",
        ));
    }
    let image = ImageInfo::read(&image_file).context(UNREADABLE)?;
    check_schema(image.schema, SCHEMA, &image_file)?;
    let folder = resolve(root, PACKS_PATH)?;
    let packs = PackInfo::read_all(&folder).context(UNREADABLE)?;
    for pack in &packs {
        check_schema(
            pack.schema,
            SCHEMA,
            &folder.join(format!("{}.json", pack.name)),
        )?;
    }
    Ok((image, packs))
}

/// Fails unless this verifier knows the schema of `file`.
pub fn check_schema(schema: u32, known: u32, file: &Utf8Path) -> anyhow::Result<()> {
    if schema != known {
        bail!(
            "{file} has schema {schema}, and this verifier knows only {known}; use the verifier of the image"
        );
    }
    Ok(())
}

fn render(info: &Info) -> String {
    let mut identity = table(["setting", "value"], 2);
    for (name, value) in info.image.identity.fields() {
        identity.add_row([name, value]);
    }
    let mut versions = table(["tool", "version"], 2);
    for (tool, version) in &info.image.versions {
        let source = info.image.tool_sources.get(tool);
        let source = source.map(|source| format!(" ({source})"));
        versions.add_row([
            tool.clone(),
            format!("{version}{}", source.unwrap_or_default()),
        ]);
    }
    let header = [
        "pack",
        "modules",
        "Go modules",
        "module cache MB",
        "build cache MB",
        "object code MB",
        "executables MB",
    ];
    let mut packs = table(header, 1);
    let mut total = PackInfo {
        schema: SCHEMA,
        name: "all".into(),
        ..PackInfo::default()
    };
    for pack in &info.packs {
        packs.add_row(row(pack));
        total.modules.extend(pack.modules.iter().cloned());
        total.go_modules += pack.go_modules;
        total.go_mod_bytes += pack.go_mod_bytes;
        total.go_build_bytes += pack.go_build_bytes;
        total.objects_bytes += pack.objects_bytes;
        total.executables_bytes += pack.executables_bytes;
    }
    packs.add_row(row(&total));
    let mut text = format!("{identity}\n{versions}\n{packs}\n");
    let programs = info.programs.iter().map(Program::name);
    let plugins = info.plugins.iter();
    let plugins = plugins.map(|plugin| format!("{} {}", plugin.name, plugin.version));
    let without = info.without_packages.iter().map(ToString::to_string);
    for (what, things, names) in [
        (
            "built already (`verifier which` tells where)",
            "programs",
            programs.collect::<Vec<_>>(),
        ),
        (
            "to make resources with, without fetching any",
            "plugins of Pulumi",
            plugins.collect(),
        ),
        (
            "without packages, because nothing that this image was made for loads one",
            "Go modules",
            without.collect(),
        ),
    ] {
        if !names.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{what}: {} {things}", names.len());
            let _ = writeln!(text, "  {}", names.join("\n  "));
        }
    }
    if info.here.is_some() {
        let verdict = match &info.differences[..] {
            [] => "the go command here has the settings that the caches were made with".to_owned(),
            differences => unfit(differences),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{verdict}");
    }
    if let Some(folder) = &info.noexec_tmpdir {
        let _ = writeln!(
            text,
            "no program may run from {folder} (noexec): builds work, but `pulumi preview` and `go run` do not; set \
             TMPDIR to a folder from which programs may run"
        );
    }
    text
}

/// Settings here by which builds compile what the caches have; `ours` of each is that of the caches.
fn unfit(differences: &[Difference]) -> String {
    let differences = differences.iter();
    let differences =
        differences.map(|it| format!("{} is {:?}, not {:?}", it.field, it.theirs, it.ours));
    let differences: Vec<String> = differences.collect();
    format!(
        "the go command here does not fit the caches: {}",
        differences.join("; ")
    )
}

/// A table whose columns from `first_number` on hold numbers.
fn table<const N: usize>(header: [&str; N], first_number: usize) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::UTF8_FULL_CONDENSED)
        .set_header(header);
    for column in table.column_iter_mut().skip(first_number) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn row(pack: &PackInfo) -> [String; 7] {
    let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    [
        pack.name.clone(),
        pack.modules.len().to_string(),
        pack.go_modules.to_string(),
        megabytes(pack.go_mod_bytes),
        megabytes(pack.go_build_bytes),
        megabytes(pack.objects_bytes),
        megabytes(pack.executables_bytes),
    ]
}
