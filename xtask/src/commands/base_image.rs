//! `cargo xtask base-image`: from a source to a verified image in all its variants.

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

use crate::docker::{self, Loadable};
use crate::engine::Engine;
use crate::failure::gate;
use crate::layer::{self, Compression};
use crate::layer_names::Holds;
use crate::oci::{self, NONROOT, NamedLayer};
use crate::out::{MARKER, Out};
use crate::pack::Pack;
use crate::pipeline::{self, Foundation, ProviderPack, Settings};
use crate::progress::{Kind, Progress};
use crate::sandbox::Root;
use crate::summary::Summary;
use crate::warm::COMMON;
use crate::work::Key;
use crate::{cli, kept_layer, verify};

/// The variant whose layers and environment are measured.
const MEASURED: &str = "latest-nonroot";

/// What Docker calls the image.
const IN_DOCKER: &str = "iac-runner-base";

/// Builds the image and prints its summary.
pub fn run(flags: &cli::BaseImage) -> Result<()> {
    let place = std::path::absolute(&flags.out)?;
    let place = Utf8PathBuf::from_path_buf(place)
        .map_err(|path| anyhow::anyhow!("{} is not UTF-8", path.display()))?;
    let out = Out::at(&place)?;
    let mut settings = Settings::new(pipeline::source(&flags.source)?);
    settings.image = flags.image.clone().unwrap_or(settings.image);
    settings.jobs = flags.jobs.map_or(settings.jobs, usize::from);
    settings.offline = flags.offline;
    settings.keep_going = flags.keep_going;
    settings.engine = flags.engine;
    let source = settings.source.clone();
    let modules = pipeline::discover(&source)?.modules;
    let providers = pipeline::select(&modules, &flags.providers)?;

    let mut progress = Progress::default();
    let foundation = pipeline::foundation(settings, &mut progress)?;
    let (common, packs) = foundation.packs(&modules, &providers, &mut progress)?;

    if packs
        .iter()
        .all(|pack| pack.pack.manifest.modules.is_empty())
    {
        bail!(
            "no module builds:\n{}",
            packs
                .iter()
                .flat_map(|pack| pack.broken.clone())
                .collect::<Vec<_>>()
                .join("\n")
        );
    }
    let images = progress.step("assemble", Kind::Local, |_| {
        images(&foundation, &common, &packs, flags.compression)
    })?;
    let variants = progress.step("write the layout", Kind::Local, |_| {
        let layout = out.begin()?.join("oci");
        oci::write(
            &layout,
            &foundation.tree.image,
            &foundation.tree.platform,
            &images,
        )
    })?;
    let report = measure(&foundation, &images[0], &packs, &source, &mut progress)?;
    let measured = variants.iter().find(|variant| variant.name == MEASURED);
    let measured = measured.context("the layout holds the image that was measured")?;
    let report = report.of_image(measured.into())?;

    let summary = Summary::new(&common, &packs, variants, &report.data, progress.stages());
    let partial = out.begun();
    fs_err::write(
        partial.join("report.json"),
        serde_json::to_vec_pretty(&report.json)?,
    )?;
    fs_err::write(partial.join(MARKER), serde_json::to_vec_pretty(&summary)?)?;
    out.complete()?;
    if flags.engine == Engine::Docker {
        eprintln!(
            "Docker has the image as {IN_DOCKER}:latest, and its twin as {IN_DOCKER}:{MEASURED}"
        );
    }
    if flags.json {
        println!("{}", serde_json::to_string_pretty(&summary)?);
    } else {
        println!(
            "{}\n\n{place}/oci: {} images, place of the report: {place}/report.json",
            summary.text(),
            summary.variants.len()
        );
    }
    if !summary.total.packages.is_full() {
        return Err(gate(format!(
            "some first builds compiled packages; see {place}/report.json"
        )));
    }
    if !summary.broken.is_empty() {
        bail!(
            "{} modules do not build and are missing from the image",
            summary.broken.len()
        );
    }
    Ok(())
}

/// Runs the verifier in the image, where the engine has it.
fn measure(
    foundation: &Foundation,
    image: &(String, Vec<NamedLayer>),
    packs: &[ProviderPack],
    source: &Utf8Path,
    progress: &mut Progress,
) -> Result<verify::Report> {
    let tree = &foundation.tree;
    let loaded = match &tree.engine {
        Root::Docker(_) => Some(progress.step("image into Docker", Kind::Local, |_| {
            load(foundation, image)
        })?),
        Root::Folder(_) | Root::Here => None,
    };
    progress.step("verify", Kind::Local, |step| {
        let layers: Vec<_> = image.1.iter().map(|named| named.layer.clone()).collect();
        let inputs = verify::Inputs {
            layers: layers.iter().map(|kept| kept.layer.diff_id).collect(),
            env: oci::env(&tree.image, &tree.platform, true),
            packs: packs.iter().map(|pack| &pack.key).collect(),
            modules: packs
                .iter()
                .flat_map(|pack| &pack.pack.manifest.modules)
                .map(|module| module.path.as_path())
                .collect(),
        };
        let image = verify::Measured {
            layers: &layers,
            loaded,
        };
        let settings = (&tree.image, &tree.platform);
        verify::run(&foundation.work, settings, image, source, &inputs, step)
    })
}

/// Hands Docker the image and its twin; what runs commands in the twin.
fn load(foundation: &Foundation, image: &(String, Vec<NamedLayer>)) -> Result<Root> {
    let (name, layers) = image;
    let tree = &foundation.tree;
    let loadable = |nonroot: bool| -> Result<Loadable<'_>> {
        let twin = if nonroot { NONROOT } else { "" };
        Ok(Loadable {
            name: format!("{IN_DOCKER}:{name}{twin}"),
            config: oci::config(&tree.image, &tree.platform, layers, nonroot)?,
            layers: layers.iter().map(|named| &named.layer).collect(),
        })
    };
    docker::load(&[loadable(false)?, loadable(true)?])?;
    Ok(Root::Docker(format!("{IN_DOCKER}:{MEASURED}")))
}

/// The variants, `latest` first, each with its layers.
fn images(
    foundation: &Foundation,
    common: &Pack,
    packs: &[ProviderPack],
    compression: Compression,
) -> Result<Vec<(String, Vec<NamedLayer>)>> {
    let named = |holds: &Holds, layer: kept_layer::KeptLayer| -> Result<NamedLayer> {
        Ok(NamedLayer {
            name: holds.to_string(),
            layer: compressed(foundation, layer, compression)?,
        })
    };
    let base = foundation.base.clone();
    let tools = vec![
        named(
            &Holds::Base,
            base.context("an image starts with its base system")?,
        )?,
        named(&Holds::Tools, foundation.tools.clone())?,
    ];
    let mut start = tools.clone();
    for layer in common.layers() {
        start.push(named(&Holds::Caches(COMMON.to_owned()), layer)?);
    }
    let mut whole = start.clone();
    let mut variants = Vec::new();
    for pack in packs {
        let parts = [Holds::Caches, Holds::Executables];
        let layers = pack
            .pack
            .layers()
            .into_iter()
            .zip(parts)
            .map(|(layer, part)| named(&part(pack.name.clone()), layer))
            .collect::<Result<Vec<_>>>()?;
        whole.extend(layers.iter().cloned());
        variants.push((
            format!("latest-{}", pack.name),
            start.iter().cloned().chain(layers).collect(),
        ));
    }
    Ok([
        ("latest".to_owned(), whole),
        ("latest-tools".to_owned(), tools),
    ]
    .into_iter()
    .chain(variants)
    .collect())
}

/// The layer under the wanted compression; packs are made with zstd.
fn compressed(
    foundation: &Foundation,
    layer: kept_layer::KeptLayer,
    compression: Compression,
) -> Result<kept_layer::KeptLayer> {
    if layer.layer.compression == compression {
        return Ok(layer);
    }
    let settings = foundation.tree.image.layers;
    let key = Key::of(&(layer.layer.diff_id, compression, settings))?;
    let folder = foundation.work.keep("transcoded", &key, |folder| {
        let written = layer::transcode(
            &layer.blob,
            &layer.layer,
            &folder.join(kept_layer::FILE),
            compression,
            settings,
        )?;
        kept_layer::write(folder, &written)
    })?;
    kept_layer::KeptLayer::read(&folder)
}
