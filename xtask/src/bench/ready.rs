//! `cargo xtask bench ready`: how long a node that has nothing takes until a program is built, and until one registers its
//! first resource: to fetch an image from a registry on this machine, to unpack it, and there to build one program of each
//! of its providers for the first time, and to preview it. An image without Go previews those that it has built already.
//!
//! There is no network behind the builds and previews, and what they ask of it is counted.

use crate::flags::{ImageLayout, open_layout};
use crate::source::Source;
use camino::Utf8PathBuf;
use daemon::registry::{self, Access};
use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Result;
use camino::Utf8Path;
use gocache::image_info::LAUNCHERS_PATH;
use modules::Module;
use oci_spec::image::Descriptor;
use report::stats::median;
use report::{MeasuredModule, PhaseName};
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
use pipeline::names::{LATEST, NONROOT, RUN};
use pipeline::summary;
use pipeline::work::Work;

/// An image on its way; times in milliseconds, medians where it was fetched several times.
#[derive(Debug, Serialize)]
struct Ready {
    image: String,
    compressed_bytes: u64,
    uncompressed_bytes: u64,
    pull_ms: f64,
    unpack_ms: f64,
    #[serde(flatten)]
    programs: Programs,
}

/// What the programs took that were run in an image.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Programs {
    /// Median of the first builds; none in an image without caches.
    first_ms: Option<f64>,
    /// Median of `pulumi preview`, of the programs that registered their stack in it; none where none did.
    preview_ms: Option<f64>,
    /// Requests to the network, in builds and previews; none where nothing was run.
    network_attempts: Option<u64>,
    /// What Pulumi said of programs that did not get as far as registering their stack, by their names.
    not_run: BTreeMap<String, Vec<String>>,
}

impl Ready {
    /// From nothing to a program that is built; where none is, to an image that is there.
    fn ready_ms(&self) -> f64 {
        self.there_ms() + self.programs.first_ms.unwrap_or_default()
    }

    /// From nothing to the first resource, which a program registers.
    fn first_resource_ms(&self) -> Option<f64> {
        Some(self.there_ms() + self.programs.preview_ms?)
    }

    fn there_ms(&self) -> f64 {
        self.pull_ms + self.unpack_ms
    }
}

impl Programs {
    fn of(report: &report::Report) -> Self {
        let modules = report.modules.iter();
        let first: Vec<f64> = modules
            .clone()
            .filter_map(MeasuredModule::first_median_ms)
            .collect();
        let previews = modules.flat_map(|module| {
            let phases = [PhaseName::Preview, PhaseName::Prebuilt].into_iter();
            let phases = phases.filter_map(|phase| module.phases.get(&phase));
            phases.map(|phase| (module.name(), phase))
        });
        let (ran, not): (Vec<_>, Vec<_>) =
            previews.partition(|(_, phase)| phase.not_run.is_empty());
        let previews: Vec<f64> = ran.iter().map(|(_, phase)| phase.median_ms()).collect();
        let median = |times: &[f64]| (!times.is_empty()).then(|| median(times));
        Self {
            first_ms: median(&first),
            preview_ms: median(&previews),
            network_attempts: Some(report.summary.network_attempts),
            not_run: not
                .into_iter()
                .map(|(name, phase)| (name, phase.not_run.clone()))
                .collect(),
        }
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
    /// How often each image is fetched and unpacked; the median counts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
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
        runs: flags.runs,
    };
    let mut measured = Vec::new();
    for descriptor in layout.manifests() {
        let name = reader::name(descriptor).unwrap_or_default();
        if name.ends_with(NONROOT) || descriptor.artifact_type().is_some() {
            continue;
        }
        let programs = Run::of(name, &modules);
        measured.push(progress.step(name, Kind::Local, |step| {
            node.measure(name, &layout, descriptor, &programs, step)
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
            let programs = Run::of(name.unwrap_or(LATEST), &modules);
            let name = beside(folder, name);
            measured.push(progress.step(&name, Kind::Local, |step| {
                node.measure(&name, &other, descriptor, &programs, step)
            })?);
        }
    }
    for ready in &measured {
        for (program, said) in &ready.programs.not_run {
            let (image, said) = (&ready.image, said.join("\n  "));
            eprintln!("warning: {image}: {program} did not register its stack:\n  {said}");
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

/// What is run in an image.
#[derive(Debug)]
enum Run<'m> {
    /// Builds and previews of these modules; of none in an image without caches.
    Builds(Vec<&'m Module>),
    /// Previews of a program of each provider that is built already.
    Prebuilt,
}

impl<'m> Run<'m> {
    /// What is run in the image `name`: the first module of each provider that it is for.
    fn of(name: &str, modules: &'m [Module]) -> Self {
        let without_go = variant(RUN);
        if name == without_go || name.starts_with(&format!("{without_go}-")) {
            return Self::Prebuilt;
        }
        let mut of_image: Vec<&Module> = modules
            .iter()
            .filter(|module| name == LATEST || name == variant(&module.provider))
            .collect();
        of_image.dedup_by(|one, other| one.provider == other.provider);
        Self::Builds(of_image)
    }

    /// Flags of `verifier run` beside the source, in an image that has launchers for Pulumi or not; none where nothing is
    /// run.
    fn flags(&self, has_launchers: bool) -> Option<Vec<&str>> {
        match self {
            Self::Prebuilt => Some(vec!["--prebuilt", "sample"]),
            Self::Builds(modules) if modules.is_empty() => None,
            Self::Builds(modules) => {
                let modules = modules.iter();
                let modules = modules.flat_map(|module| ["--module", module.path.as_str()]);
                let preview = if has_launchers { "all" } else { "none" };
                let flags = ["--preview", preview];
                Some(flags.into_iter().chain(modules).collect())
            }
        }
    }
}

/// A machine that runs images of a registry.
struct Node<'a> {
    work: &'a Work,
    registry: &'a registry::Registry,
    source: &'a Utf8Path,
    platform: Platform,
    runs: u32,
}

impl Node<'_> {
    fn measure(
        &self,
        name: &str,
        layout: &Layout,
        descriptor: &Descriptor,
        programs: &Run<'_>,
        step: &Step,
    ) -> Result<Ready> {
        let tag = format!("image-{}", descriptor.digest().digest());
        let repository = reference::repository(&format!("{}/ready", self.registry.host()))?;
        RegistryTarget::open(&repository, true, self.work, step)?.push(layout, descriptor, &tag)?;
        let reference = format!("{}/ready:{tag}", self.registry.host()).parse()?;
        let (mut pulls, mut unpacks) = (Vec::new(), Vec::new());
        loop {
            let (blobs, root) = (self.work.scratch("blobs")?, self.work.scratch("node")?);
            rustix::fs::sync();
            let started = Instant::now();
            let from = Registry::open(&reference, true, blobs.path().to_owned(), step)?;
            let image = Image::fetch(&from, &from.find()?, &self.platform)?;
            pulls.push(millis(started) as f64);
            let started = Instant::now();
            let uncompressed_bytes = image.unpack(root.path())?;
            unpacks.push(millis(started) as f64);
            if pulls.len() >= self.runs as usize {
                return Ok(Ready {
                    image: name.to_owned(),
                    compressed_bytes: image.layers.iter().map(|layer| layer.size_bytes).sum(),
                    uncompressed_bytes,
                    pull_ms: median(&pulls),
                    unpack_ms: median(&unpacks),
                    programs: self.run(&image, root.path(), programs)?,
                });
            }
        }
    }

    fn run(&self, image: &Image, root: &Utf8Path, programs: &Run<'_>) -> Result<Programs> {
        // What the usual recipe makes has Pulumi somewhere, and nothing that would let it run as here.
        let path = image.env().find(|(name, _)| *name == "PATH");
        let has_launchers = path.is_some_and(|(_, path)| path.starts_with(LAUNCHERS_PATH));
        let Some(flags) = programs.flags(has_launchers) else {
            return Ok(Programs::default());
        };
        let sandbox = measure::root_sandbox(root, image, self.source);
        let json = match programs {
            Run::Builds(_) => measure::measure(&sandbox, &flags)?,
            Run::Prebuilt => measure::measure_prebuilt(&sandbox, &flags)?,
        };
        Ok(Programs::of(&Report::parse(&json)?.data))
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
        "preview",
        "first resource",
        "network requests",
    ];
    let mut table = summary::table(&header);
    let seconds = |ms: Option<f64>| ms.map_or_else(String::new, summary::seconds);
    for ready in measured {
        let programs = &ready.programs;
        let attempts = programs.network_attempts;
        table.add_row([
            ready.image.clone(),
            human_bytes(ready.compressed_bytes),
            human_bytes(ready.uncompressed_bytes),
            summary::seconds(ready.pull_ms),
            summary::seconds(ready.unpack_ms),
            seconds(programs.first_ms),
            summary::seconds(ready.ready_ms()),
            seconds(programs.preview_ms),
            seconds(ready.first_resource_ms()),
            attempts.map_or_else(String::new, |count| count.to_string()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use report::Phase;

    #[test]
    fn images_of_other_layouts_are_told_apart() {
        let folder = Utf8Path::new("target/plain/oci");
        assert_eq!(beside(folder, Some("latest")), "target/plain/oci/latest");
        assert_eq!(beside(folder, None), "target/plain/oci");
    }

    #[test]
    fn one_program_of_each_provider_that_an_image_is_for_is_run() {
        let module = |provider: &str, component: &str| Module {
            provider: provider.into(),
            component: component.into(),
            path: format!("apis/provider/{provider}/{component}").into(),
            import_path: "example.com/x".into(),
            go_mod: "go.mod".into(),
            main: None,
        };
        let modules = [module("aws", "a"), module("aws", "b"), module("gcp", "a")];
        let flags = |image| -> Vec<String> {
            let run = Run::of(image, &modules);
            let flags = run.flags(true).unwrap_or_default();
            flags.into_iter().map(str::to_owned).collect()
        };
        let of = |paths: &[&str]| -> Vec<String> {
            let modules = paths.iter().flat_map(|path| ["--module", path]);
            let flags = ["--preview", "all"];
            flags
                .into_iter()
                .chain(modules)
                .map(str::to_owned)
                .collect()
        };
        let all = ["apis/provider/aws/a", "apis/provider/gcp/a"];
        assert_eq!(flags("latest"), of(&all));
        assert_eq!(flags("latest-gcp"), of(&all[1..]));
        assert!(flags("latest-tools").is_empty());
        for image in ["latest-run", "latest-run-aws"] {
            assert_eq!(flags(image), ["--prebuilt", "sample"]);
        }
        let naive = Run::of("latest", &modules);
        assert_eq!(naive.flags(false).unwrap()[..2], ["--preview", "none"]);
    }

    /// A phase that previews, its time, and whether the program got as far as its first resource.
    type Preview = (PhaseName, f64, bool);

    /// A report of modules with a first build, or none, and a preview.
    fn report(modules: &[(Option<f64>, Preview)]) -> report::Report {
        let mut report = report::sample::report(modules.len());
        for (module, (first, (phase, ms, ran))) in report.modules.iter_mut().zip(modules) {
            let times = |ms: f64| Phase {
                wall_ms: vec![ms],
                network_attempts: 1,
                ..Phase::default()
            };
            module.phases = first
                .map(|ms| (PhaseName::First, times(ms)))
                .into_iter()
                .collect();
            let mut preview = times(*ms);
            if !ran {
                preview.not_run = vec!["error: an input is missing".into()];
            }
            module.phases.insert(*phase, preview);
        }
        report.summary = report::Summary::of(&report.modules);
        report
    }

    #[test]
    fn only_previews_that_registered_a_stack_count() {
        let preview = |ms, ran| (PhaseName::Preview, ms, ran);
        let built = Programs::of(&report(&[
            (Some(300.0), preview(700.0, true)),
            (Some(200.0), preview(20.0, false)),
            (Some(100.0), preview(900.0, true)),
        ]));
        assert_eq!(
            (built.first_ms, built.preview_ms),
            (Some(200.0), Some(700.0))
        );
        assert_eq!(built.network_attempts, Some(6));
        assert_eq!(built.not_run.len(), 1);
        let prebuilt = (PhaseName::Prebuilt, 400.0, true);
        let prebuilt = Programs::of(&report(&[(None, prebuilt)]));
        assert_eq!(
            (prebuilt.first_ms, prebuilt.preview_ms),
            (None, Some(400.0))
        );
        let none = Programs::of(&report(&[(None, preview(1.0, false))]));
        assert_eq!(none.preview_ms, None);
    }

    #[test]
    fn a_row_tells_how_long_a_node_takes_that_has_nothing() {
        let ready = |image: &str, programs| Ready {
            image: image.into(),
            compressed_bytes: 119_000_000,
            uncompressed_bytes: 627_000_000,
            pull_ms: 250.0,
            unpack_ms: 1_750.0,
            programs,
        };
        let measured = [
            ready("latest-tools", Programs::default()),
            ready(
                "latest-civo",
                Programs {
                    first_ms: Some(250.0),
                    preview_ms: Some(640.0),
                    network_attempts: Some(0),
                    not_run: BTreeMap::new(),
                },
            ),
            ready(
                "latest-run-civo",
                Programs {
                    preview_ms: Some(500.0),
                    network_attempts: Some(3),
                    ..Programs::default()
                },
            ),
        ];
        insta::assert_snapshot!(table(&measured));
        insta::assert_json_snapshot!(measured[2]);
    }
}
