//! `cargo xtask base-image`: from a source to a verified image in all its variants.

use crate::flags::{BASE_IMAGE, Build, suffix};
use anyhow::{Context as _, Result, bail};
use camino::Utf8Path;
use camino::Utf8PathBuf;

use crate::source;
use engine::Engine;
use engine::progress::{Kind, Progress, Step};
use engine::sandbox::RootFs;
use failure::missed;
use modules::Module;
use oci::docker;
use oci::docker::Loadable;
use oci::layer;
use oci::layer::LayerBlob;
use oci::layer::{Compression, Layer};
use oci::layout::writer::LayoutWriter;
use oci::platform::Platform;
use pipeline::assemble::image_config;
use pipeline::assemble::images::{Images, WrittenImage};
use pipeline::assemble::platforms::{self, OfPlatform};
use pipeline::assemble::statements;
use pipeline::assemble::variants::Variant;
use pipeline::assemble::volumes::Maker;
use pipeline::flow;
use pipeline::flow::{Foundation, Packs, Settings};
use pipeline::measure::{self, Previewed, Verifiers};
use pipeline::names::{LATEST, NONROOT};
use pipeline::origin::Origin;
use pipeline::pack::archive;
use pipeline::pack::inventory::Reader;
use pipeline::pack::{BlobSource, Pack, PackLayer};
use pipeline::preflight::{self, Makes, Plan};
use pipeline::summary::Summary;
use pipeline::work::kept_layer;
use pipeline::work::out::{MARKER, Out};
use pipeline::work::{self, Key};

/// The variant whose layers and environment are measured.
const MEASURED: &str = "latest-nonroot";

const IN_DOCKER: &str = "iac-runner-base";

#[derive(Debug, clap::Args)]
pub struct Args {
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
    /// Modules whose `pulumi preview` is measured; `sample` is the first of each provider
    #[arg(long, value_name = "WHICH", value_enum, default_value = "sample")]
    pub preview: Previewed,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
}

/// Builds the image and prints its summary.
pub fn run(flags: &Args) -> Result<()> {
    let out = Out::at(&flags.out)?;
    let source = flags.build.source.folder()?;
    let settings = flags.build.settings(source.clone())?;
    let origin = Origin::find(&settings.image, Some(&source))?;
    let found = source::discover(&source, flags.build.image.as_deref())?;
    let modules = &found.modules;
    let selected = source::select(modules, &flags.providers);
    let platforms = flags.build.platforms();
    let plan = Plan {
        settings: &settings,
        modules,
        verifies: true,
        platforms: &platforms,
        makes: Makes::ALL,
        out: Some(out.place()),
        kept: work::place()?,
    };
    let (providers, unknown) = source::or_later(selected);
    preflight::check(&plan, unknown)?;

    let mut progress = Progress::default();
    let mut all = Vec::new();
    for platform in &platforms {
        progress.suffix(suffix(platform, &platforms));
        let settings = Settings {
            platform: platform.clone(),
            ..settings.clone()
        };
        let made = Made::new(settings, modules, &providers, flags, &mut progress)?;
        all.push(made);
    }
    progress.suffix("");
    let image = all.first().map(|it| it.foundation.tree.image.clone());
    let image = image.context("there is a platform at least")?;
    let images = progress.step("images", Kind::Local, |step| {
        let images = all.iter().map(|made| made.images(&origin, step));
        images.collect::<Result<Vec<_>>>()
    })?;
    let (mut layout, written) = progress.step("write the layout", Kind::Local, |_| {
        let mut layout = LayoutWriter::create(&out.begin()?.join("oci"))?;
        let written = platforms::write(&mut layout, &image, &images)?;
        Ok((layout, written))
    })?;
    let partial = out.begun();
    let mut summaries = Vec::new();
    let each = all.iter().zip(&images).zip(&written.platforms);
    for (index, ((made, images), written)) in each.enumerate() {
        let name = report_name(index, made.platform());
        progress.suffix(suffix(made.platform(), &platforms));
        let variant = &images.images.variants[0];
        let report = measure(made, variant, (&source, flags), &mut progress)?;
        let measured = written.images.iter().find(|it| it.name == MEASURED);
        let measured = measured.context("the layout holds the image that was measured")?;
        let report = report.of_image(measured.into())?;
        say_measured(&mut layout, measured, &report)?;
        fs_err::write(partial.join(name), serde_json::to_vec_pretty(&report.json)?)?;
        let images = written.images.clone();
        summaries.push(Summary::new(
            made.platform(),
            &made.packs,
            images,
            &report.data,
        ));
    }
    layout.finish()?;

    let mut summary = summaries.remove(0);
    summary.complete(summaries, written.indexes, progress.stages());
    fs_err::write(partial.join(MARKER), serde_json::to_vec_pretty(&summary)?)?;
    out.complete()?;
    if flags.build.engine == Engine::Docker {
        eprintln!(
            "Docker has the image as {IN_DOCKER}:latest, and its twin as {IN_DOCKER}:{MEASURED}"
        );
    }
    let place = out.place();
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        println!(
            "{}\n\n{place}/oci: {} images, place of the report: {place}/report.json",
            summary.text(),
            summary.variants.len()
        );
    }
    source::warn_of_left_out(&found);
    judge(&summary, place)
}

/// The file of a report: what was measured for the first platform is where a single one's is.
fn report_name(index: usize, platform: &Platform) -> String {
    if index == 0 {
        "report.json".to_owned()
    } else {
        format!("{}.json", archive::name("report", &platform.to_string()))
    }
}

/// Fails where something missed, or is missing.
fn judge(summary: &Summary, place: &Utf8Path) -> Result<()> {
    if !summary.is_full() {
        return Err(missed(format!(
            "some first builds compiled packages; see {place}/report.json"
        )));
    }
    let broken = summary.all_broken().count();
    if broken > 0 {
        bail!("{broken} modules do not build; the summary names them");
    }
    Ok(())
}

/// What was made for a platform.
struct Made {
    foundation: Foundation,
    /// The verifier of the image.
    verifier: Utf8PathBuf,
    packs: Packs,
    /// All packs of the image, compressed as they are wanted.
    of_image: Vec<Pack>,
}

impl Made {
    fn new(
        settings: Settings,
        modules: &[Module],
        providers: &[String],
        flags: &Args,
        progress: &mut Progress,
    ) -> Result<Self> {
        let foundation = flow::foundation(settings, progress)?;
        // First: what their lock does not have is told before anything is compiled.
        let plugins = foundation.all_plugins(providers, modules, progress)?;
        let tools = foundation.tools(progress)?;
        let packs = foundation.packs(modules, providers, progress)?;
        let made = packs.providers.iter();
        if made.clone().all(|it| it.pack.manifest.modules.is_empty()) {
            let broken: Vec<_> = made.flat_map(|pack| pack.broken.clone()).collect();
            bail!("no module builds:\n{}", broken.join("\n"));
        }
        let base = foundation.base(progress)?;
        let of_image = progress.step("assemble", Kind::Local, |_| {
            let mut all = vec![base, tools];
            all.extend(packs.to_packs(&foundation.tree.platform));
            all.extend(plugins);
            Reader::new(&foundation.work, &foundation.tree.image).complete(&mut all)?;
            compressed(&foundation, all, flags.compression)
        })?;
        Ok(Self {
            verifier: foundation.verifier_of_image(progress)?.to_owned(),
            foundation,
            packs,
            of_image,
        })
    }

    fn platform(&self) -> &Platform {
        &self.foundation.tree.platform
    }

    /// The images that its packs make.
    fn images<'a>(&'a self, origin: &'a Origin, step: &Step) -> Result<OfPlatform<'a>> {
        let Foundation { work, tree, .. } = &self.foundation;
        let volumes = Maker::new(work, &tree.image, &tree.platform, false, step);
        Ok(OfPlatform {
            platform: &tree.platform,
            images: Images::of(&self.of_image, LATEST, origin, &volumes)?,
        })
    }
}

/// Says of the image that was measured what was.
fn say_measured(
    layout: &mut LayoutWriter,
    measured: &WrittenImage,
    report: &measure::Report,
) -> Result<()> {
    let image = layout.find(&measured.digest).cloned();
    let image = image.context("the layout holds the image that was measured")?;
    statements::attach_report(layout, (MEASURED, &image), &report.json)
}

/// Runs the verifier in the image, where the engine has it.
fn measure(
    made: &Made,
    image: &Variant,
    (source, flags): (&Utf8Path, &Args),
    progress: &mut Progress,
) -> Result<measure::Report> {
    let (foundation, packs) = (&made.foundation, &made.packs.providers);
    let tree = &foundation.tree;
    let layers: Vec<LayerBlob> = image
        .layers
        .iter()
        .map(PackLayer::on_this_machine)
        .collect::<Result<_>>()?;
    // Docker has one image of a name: it must still be this one when it is measured.
    let _named = matches!(tree.engine, RootFs::DockerImage(_))
        .then(|| {
            foundation
                .work
                .lock("docker-image", "measures an image in Docker")
        })
        .transpose()?;
    let loaded = match &tree.engine {
        RootFs::DockerImage(_) => Some(progress.step("image into Docker", Kind::Local, |_| {
            load(foundation, image, &layers)
        })?),
        RootFs::Directory(_) | RootFs::CurrentContainer => None,
    };
    progress.step("verify", Kind::Local, |step| {
        let inputs = measure::Inputs {
            layers: layers.iter().map(|kept| kept.layer.diff_id).collect(),
            env: image_config::env(&tree.image, &tree.platform, true),
            packs: packs.iter().map(|pack| &pack.key).collect(),
            modules: packs
                .iter()
                .flat_map(|pack| &pack.pack.manifest.modules)
                .map(|module| module.path.as_path())
                .collect(),
            preview: flags.preview,
            keep_going: flags.build.keep_going,
        };
        let image = measure::Measured {
            layers: &layers,
            loaded,
        };
        let settings = (&tree.image, &tree.platform);
        let verifiers = Verifiers {
            machine: &foundation.verifier,
            image: &made.verifier,
        };
        let source = (source, verifiers);
        measure::run(&foundation.work, settings, image, source, &inputs, step)
    })
}

/// Hands Docker the image and its twin; what runs commands in the twin.
fn load(foundation: &Foundation, image: &Variant, layers: &[LayerBlob]) -> Result<RootFs> {
    let tree = &foundation.tree;
    let loadable = |nonroot: bool| -> Result<Loadable<'_>> {
        let twin = if nonroot { NONROOT } else { "" };
        Ok(Loadable {
            name: format!("{IN_DOCKER}:{}{twin}", image.name),
            config: image_config::config(&tree.image, &tree.platform, image, nonroot)?,
            layers: layers.iter().collect(),
        })
    };
    docker::load(&[loadable(false)?, loadable(true)?])?;
    Ok(RootFs::DockerImage(format!("{IN_DOCKER}:{MEASURED}")))
}

/// The packs, their layers under the wanted compression; packs are made with zstd.
fn compressed(
    foundation: &Foundation,
    mut packs: Vec<Pack>,
    compression: Compression,
) -> Result<Vec<Pack>> {
    for pack in &mut packs {
        for (number, layer) in pack.layers().enumerate().collect::<Vec<_>>() {
            if layer.layer.compression != compression {
                let kept = transcoded(foundation, &layer.layer, layer.file()?, compression)?;
                pack.description.layers[number].layer = kept.layer;
                pack.blobs[number] = BlobSource::File(kept.blob);
            }
        }
    }
    Ok(packs)
}

fn transcoded(
    foundation: &Foundation,
    layer: &Layer,
    blob: &Utf8Path,
    compression: Compression,
) -> Result<LayerBlob> {
    let settings = foundation.tree.image.layers;
    let key = Key::of(&(layer.diff_id, compression, settings))?;
    let folder = foundation.work.keep("transcoded", &key, |folder| {
        let file = folder.join(kept_layer::FILE);
        let written = layer::transcode(blob, layer, &file, compression, settings)?;
        kept_layer::write(folder, &written)
    })?;
    kept_layer::read(&folder)
}
