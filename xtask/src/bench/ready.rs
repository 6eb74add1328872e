//! `cargo xtask bench ready`: how long a node that has nothing takes until a program is built: to fetch an image from a
//! registry on this machine, to unpack it, and to build one program of each of its providers for the first time.

use crate::flags::{ImageLayout, open_layout};
use crate::source::Source;
use camino::Utf8PathBuf;
use daemon::registry::{self, Access};
use std::time::Instant;

use anyhow::Result;
use camino::Utf8Path;
use modules::Module;
use oci_spec::image::Descriptor;
use report::stats::median;
use serde::Serialize;

use crate::source;
use engine::host;
use engine::interrupt;
use engine::progress::{Kind, Progress, Step, human_bytes, millis};
use oci::image::Image;
use oci::layout::reader;
use oci::layout::reader::Layout;
use oci::platform::Platform;
use oci::reference;
use oci::registry::Registry;
use pipeline::assemble::registry_target::RegistryTarget;
use pipeline::measure;
use pipeline::measure::Report;
use pipeline::names::{LATEST, NONROOT};
use pipeline::summary;
use pipeline::work::Work;

/// An image on its way; times in milliseconds.
#[derive(Debug, Serialize)]
struct Ready {
    image: String,
    compressed_bytes: u64,
    uncompressed_bytes: u64,
    pull_ms: u64,
    unpack_ms: u64,
    /// Median of the programs that were built; none in an image without caches.
    first_ms: Option<f64>,
}

impl Ready {
    fn total_ms(&self) -> f64 {
        (self.pull_ms + self.unpack_ms) as f64 + self.first_ms.unwrap_or_default()
    }
}

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub layout: ImageLayout,
    /// A layout to compare with: what `bench naive --out` writes, or images of the same names; repeat for several
    #[arg(long, value_name = "DIR")]
    pub beside: Vec<Utf8PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(flags: &Args) -> Result<()> {
    let source = flags.source.folder()?;
    let layout = flags.layout.open()?;
    let names = layout.manifests().iter().filter_map(reader::name);
    let names: Vec<&str> = names.collect();
    let mut modules = source::discover(&source, None)?.modules;
    modules.retain(|module| names.contains(&variant(&module.provider).as_str()));
    host::require_programs(&[host::SANDBOX, (registry::PROGRAM, registry::PROGRAM)])?;
    let work = Work::open()?;
    let scratch = work.scratch("registry")?;
    let registry = registry::Registry::start(scratch.path(), Access::Open)?;
    let kill = registry.killer();
    let _ended = interrupt::register(move || Ok(kill()?));
    let mut progress = Progress::default();
    let node = Node {
        work: &work,
        registry: &registry,
        source: &source,
        platform: Platform::host(),
    };
    let mut measured = Vec::new();
    for descriptor in layout.manifests() {
        let name = reader::name(descriptor).unwrap_or_default();
        if name.ends_with(NONROOT) || descriptor.artifact_type().is_some() {
            continue;
        }
        let built = built(name, &modules);
        measured.push(progress.step(name, Kind::Local, |step| {
            node.measure(name, &layout, descriptor, &built, step)
        })?);
    }
    for folder in &flags.beside {
        let other = open_layout(folder)?;
        for descriptor in other.manifests() {
            let name = reader::name(descriptor);
            if descriptor.artifact_type().is_some()
                || name.is_some_and(|name| name.ends_with(NONROOT) || !names.contains(&name))
            {
                continue;
            }
            let built = built(name.unwrap_or(LATEST), &modules);
            let name = beside(folder, name);
            measured.push(progress.step(&name, Kind::Local, |step| {
                node.measure(&name, &other, descriptor, &built, step)
            })?);
        }
    }
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&measured)?);
    } else {
        println!("{}", table(&measured));
    }
    Ok(())
}

/// The name of the image for a provider.
fn variant(provider: &str) -> String {
    format!("{LATEST}-{provider}")
}

/// What an image of another layout is called, which may have no name.
fn beside(folder: &Utf8Path, name: Option<&str>) -> String {
    let name = name.map_or_else(String::new, |name| format!("/{name}"));
    format!("{folder}{name}")
}

/// The first module of each provider that the image `name` is for.
fn built<'m>(name: &str, modules: &'m [Module]) -> Vec<&'m Module> {
    let mut of_image: Vec<&Module> = modules
        .iter()
        .filter(|module| name == LATEST || name == variant(&module.provider))
        .collect();
    of_image.dedup_by(|one, other| one.provider == other.provider);
    of_image
}

/// A machine that runs images of a registry.
struct Node<'a> {
    work: &'a Work,
    registry: &'a registry::Registry,
    source: &'a Utf8Path,
    platform: Platform,
}

impl Node<'_> {
    fn measure(
        &self,
        name: &str,
        layout: &Layout,
        descriptor: &Descriptor,
        built: &[&Module],
        step: &Step,
    ) -> Result<Ready> {
        let tag = format!("image-{}", descriptor.digest().digest());
        let repository = reference::repository(&format!("{}/ready", self.registry.host()))?;
        RegistryTarget::open(&repository, true, self.work, step)?.push(layout, descriptor, &tag)?;
        let blobs = self.work.scratch("blobs")?;
        rustix::fs::sync();

        let started = Instant::now();
        let reference = format!("{}/ready:{tag}", self.registry.host()).parse()?;
        let from = Registry::open(&reference, true, blobs.path().to_owned(), step)?;
        let image = Image::fetch(&from, &from.find()?, &self.platform)?;
        let pull_ms = millis(started);
        let root = self.work.scratch("node")?;
        let started = Instant::now();
        let uncompressed_bytes = image.unpack(root.path())?;
        Ok(Ready {
            image: name.to_owned(),
            compressed_bytes: image.layers.iter().map(|layer| layer.size_bytes).sum(),
            uncompressed_bytes,
            pull_ms,
            unpack_ms: millis(started),
            first_ms: self.first_ms(&image, root.path(), built)?,
        })
    }

    fn first_ms(&self, image: &Image, root: &Utf8Path, built: &[&Module]) -> Result<Option<f64>> {
        if built.is_empty() {
            return Ok(None);
        }
        let mut flags = Vec::new();
        for module in built {
            flags.extend(["--module", module.path.as_str()]);
        }
        let sandbox = measure::root_sandbox(root, image, self.source);
        let report = Report::parse(&measure::measure(&sandbox, &flags)?)?.data;
        let times: Vec<f64> = report
            .modules
            .iter()
            .filter_map(report::MeasuredModule::first_median_ms)
            .collect();
        Ok(Some(median(&times)))
    }
}

fn table(measured: &[Ready]) -> comfy_table::Table {
    let header = [
        "image",
        "compressed",
        "unpacked",
        "pull",
        "unpack",
        "first build",
        "ready",
    ];
    let mut table = summary::table(&header);
    for ready in measured {
        let first = ready.first_ms.map_or_else(String::new, summary::seconds);
        table.add_row([
            ready.image.clone(),
            human_bytes(ready.compressed_bytes),
            human_bytes(ready.uncompressed_bytes),
            summary::seconds(ready.pull_ms as f64),
            summary::seconds(ready.unpack_ms as f64),
            first,
            summary::seconds(ready.total_ms()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_other_layouts_are_told_apart() {
        let folder = Utf8Path::new("target/plain/oci");
        assert_eq!(beside(folder, Some("latest")), "target/plain/oci/latest");
        assert_eq!(beside(folder, None), "target/plain/oci");
    }

    #[test]
    fn one_program_of_each_provider_that_an_image_is_for() {
        let module = |provider: &str, component: &str| Module {
            provider: provider.into(),
            component: component.into(),
            path: format!("apis/provider/{provider}/{component}").into(),
            import_path: "example.com/x".into(),
            go_mod: "go.mod".into(),
            main: None,
        };
        let modules = [module("aws", "a"), module("aws", "b"), module("gcp", "a")];
        let names = |image| -> Vec<String> {
            let built = built(image, &modules).into_iter();
            built.map(|module| module.path.to_string()).collect()
        };
        assert_eq!(
            names("latest"),
            ["apis/provider/aws/a", "apis/provider/gcp/a"]
        );
        assert_eq!(names("latest-gcp"), ["apis/provider/gcp/a"]);
        assert!(names("latest-tools").is_empty());
    }
}
