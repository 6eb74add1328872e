//! The two layers that hold the tools of the image: Pulumi with the verifier and the user, which are all that programs
//! take that are built already, and above it Go and the other tools, with the empty caches.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::{
    IMAGE_INFO_PATH, ImageInfo, LANGUAGE_HOSTS_PATH, LAUNCHED, LAUNCHED_WITHOUT_GO, LAUNCHERS_PATH,
    SCHEMA, STAND_IN_GO_PATH, TOOLEXEC_PATH,
};

use crate::foundation::executables::{Maker, Origin};
use crate::image_toml::{ImageToml, ToolSource};
use crate::names::{PULUMI, TOOLS, VERIFIER};
use crate::owners::{Owners, relative};
use crate::pack::store::Store;
use crate::work::files::files_below;
use crate::work::kept_layer;
use crate::work::{self, Key};
use engine::progress::Step;
use oci::layer::LayerBlob;
use oci::layer::{Compression, LayerWriter};
use oci::platform::Platform;

/// Folder of the executables in the image.
const BIN: &str = "usr/local/bin";

/// The folders of the two layers in that of the kept work, the lower one first.
const PARTS: [&str; 2] = ["pulumi", "go"];

/// What goes into the layers beside the tools, all of the image's platform.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The base system's root.
    pub root: &'a Utf8Path,
    /// Go's distribution.
    pub go: &'a Utf8Path,
    /// The verifier.
    pub verifier: &'a Utf8Path,
}

/// Makes the layers, the lower one first, unless they are kept, here or in the store; and the digest of everything they
/// were made from.
pub fn layers(
    maker: &Maker<'_>,
    Parts { root, go, verifier }: Parts<'_>,
    store: &Store,
    step: &mut Step,
) -> Result<(Key, [LayerBlob; 2])> {
    let Maker {
        work, tree, image, ..
    } = *maker;
    let origins = maker.origins()?;
    let passwd = fs_err::read_to_string(root.join("etc/passwd"))?;
    let group = fs_err::read_to_string(root.join("etc/group"))?;
    let info = info(image, &tree.platform);
    let key = Key::of(&(
        PARTS,
        image,
        &info,
        tree.platform.to_string(),
        sha256::hash_file(verifier)?.0,
        origins.iter().map(Origin::key).collect::<Vec<_>>(),
        &passwd,
        &group,
    ))?;
    let folder = work.keep("tools-layer", &key, |folder| {
        let found = store.find(work, TOOLS, &key, step, |artifact| {
            kept_layer::restore_parts(TOOLS, &artifact.layers()?, folder, &PARTS)
        })?;
        if found.is_some() {
            return Ok(());
        }
        let (of_pulumi, others): (BTreeMap<_, _>, BTreeMap<_, _>) = {
            let names = executables_of_pulumi(image);
            let made = maker.make(&origins, step)?.into_iter();
            made.partition(|(name, _)| names.contains(name.as_str()))
        };
        let owners = Owners(image);
        let begin = |part: &str| {
            let folder = folder.join(part);
            fs_err::create_dir(&folder)?;
            LayerWriter::create(
                &folder.join(kept_layer::FILE),
                Compression::Zstd,
                image.layers,
                |path: &Utf8Path| owners.folder(path),
            )
        };
        let mut layer = begin(PARTS[0])?;
        let user = &image.user;
        let entry = format!(
            "{0}:x:{1}:{1}:{0}:{2}:/bin/sh\n",
            user.name, user.uid, user.home
        );
        for (path, content) in [
            (
                "etc/group",
                format!("{group}{}:x:{}:\n", user.name, user.uid),
            ),
            ("etc/passwd", format!("{passwd}{entry}")),
        ] {
            let path = Utf8Path::new(path);
            layer.bytes(path, content.as_bytes(), owners.file(path, false))?;
        }
        layer.folder(relative(&user.home))?;
        let place = relative(Utf8Path::new(VERIFIER));
        layer.file(place, verifier, owners.file(place, true))?;
        add_executables(&mut layer, &of_pulumi, &behind_flags(image), owners)?;
        let links = launchers(|name| LAUNCHED_WITHOUT_GO.contains(&name));
        add_links(&mut layer, links.chain([STAND_IN_GO_PATH.into()]), owners)?;
        add_info(&mut layer, &info_without_go(image, &tree.platform), owners)?;
        let mut written_bytes = finish(layer, &folder.join(PARTS[0]))?;

        let mut layer = begin(PARTS[1])?;
        add_executables(&mut layer, &others, &behind_flags(image), owners)?;
        let links = launchers(|name| !LAUNCHED_WITHOUT_GO.contains(&name));
        add_links(&mut layer, links.chain([TOOLEXEC_PATH.into()]), owners)?;
        add_tree(&mut layer, go, relative(&image.go.goroot), owners)?;
        add_info(&mut layer, &info, owners)?;
        for first_byte in 0..=u8::MAX {
            layer.folder(&relative(&image.go.gocache).join(format!("{first_byte:02x}")))?;
        }
        layer.folder(relative(&image.go.gomodcache))?;
        for writable in &image.writable.folders {
            layer.folder(relative(writable))?;
        }
        written_bytes += finish(layer, &folder.join(PARTS[1]))?;
        step.written_bytes = written_bytes;
        Ok(())
    })?;
    let read = |part| {
        kept_layer::read_undamaged(&folder.join(part))
            .map_err(|reason| work::discard(&folder, &reason))
    };
    Ok((key, [read(PARTS[0])?, read(PARTS[1])?]))
}

fn finish<F: Fn(&Utf8Path) -> oci::layer::Meta>(
    layer: LayerWriter<F>,
    folder: &Utf8Path,
) -> Result<u64> {
    let layer = layer.finish()?;
    kept_layer::write(folder, &layer)?;
    Ok(layer.size_bytes)
}

/// The executables that the lower layer has: those of the tool whose table is `[tools.pulumi]`.
fn executables_of_pulumi(image: &ImageToml) -> BTreeSet<&str> {
    let tool = image.tools.get(PULUMI);
    let compiled = tool.into_iter().flat_map(|tool| &tool.build);
    let released = tool.into_iter().filter_map(|tool| tool.release.as_ref());
    let released = released.flat_map(|release| &release.binaries);
    let compiled = compiled.map(|build| build.binary.as_str());
    compiled.chain(released.map(String::as_str)).collect()
}

/// The executables in whose place the verifier stands.
fn behind_flags(image: &ImageToml) -> Vec<&str> {
    let compiled = image.tools.values();
    let compiled = compiled.filter(|tool| tool.source == ToolSource::ModuleProxy);
    let builds = compiled.flat_map(|tool| &tool.build);
    let builds = builds.filter(|build| build.options_by_flags);
    builds.map(|build| build.binary.as_str()).collect()
}

fn add_executables<F: Fn(&Utf8Path) -> oci::layer::Meta>(
    layer: &mut LayerWriter<F>,
    executables: &BTreeMap<String, Utf8PathBuf>,
    behind_flags: &[&str],
    owners: Owners<'_>,
) -> Result<()> {
    for (name, file) in executables {
        let mut path = Utf8Path::new(BIN).join(name);
        if behind_flags.contains(&name.as_str()) {
            add_links(layer, [Utf8Path::new("/").join(&path)], owners)?;
            path = relative(Utf8Path::new(LANGUAGE_HOSTS_PATH)).join(name);
        }
        layer.file(&path, file, owners.file(&path, true))?;
    }
    Ok(())
}

/// Links to the verifier under the names of the launched programs that `has` names.
fn launchers(has: impl Fn(&str) -> bool) -> impl Iterator<Item = Utf8PathBuf> {
    let names = LAUNCHED.into_iter().filter(move |name| has(name));
    names.map(|name| Utf8Path::new(LAUNCHERS_PATH).join(name))
}

fn add_links<F: Fn(&Utf8Path) -> oci::layer::Meta>(
    layer: &mut LayerWriter<F>,
    links: impl IntoIterator<Item = Utf8PathBuf>,
    owners: Owners<'_>,
) -> Result<()> {
    for link in links {
        let path = relative(&link);
        layer.link(path, VERIFIER.into(), owners.file(path, true))?;
    }
    Ok(())
}

fn add_info<F: Fn(&Utf8Path) -> oci::layer::Meta>(
    layer: &mut LayerWriter<F>,
    info: &ImageInfo,
    owners: Owners<'_>,
) -> Result<()> {
    let json =
        serde_json::to_vec_pretty(info).context("failed to serialize the image's description")?;
    let path = relative(Utf8Path::new(IMAGE_INFO_PATH));
    layer.bytes(path, &json, owners.file(path, false))
}

fn add_tree<F: Fn(&Utf8Path) -> oci::layer::Meta>(
    layer: &mut LayerWriter<F>,
    from: &Utf8Path,
    to: &Utf8Path,
    owners: Owners<'_>,
) -> Result<()> {
    for file in files_below(from)? {
        let (source, path) = (from.join(&file), to.join(&file));
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&fs_err::metadata(&source)?.permissions());
        layer.file(&path, &source, owners.file(&path, mode & 0o100 != 0))?;
    }
    Ok(())
}

/// What an image with all tools says of itself.
fn info(image: &ImageToml, platform: &Platform) -> ImageInfo {
    ImageInfo {
        schema: SCHEMA,
        identity: image.identity(platform),
        versions: versions(image),
        tool_sources: image
            .tools
            .iter()
            .map(|(name, tool)| (name.clone(), tool.source.to_string()))
            .collect(),
        owner_uid: Some(image.user.uid),
        cache_entry_time: Some(image.image.cache_entry_time),
        source: image.source.clone(),
        volume: None,
    }
}

/// What one with the lower layer alone says: its identity is that of what its programs were built with.
fn info_without_go(image: &ImageToml, platform: &Platform) -> ImageInfo {
    let mut image = image.clone();
    image.tools.retain(|name, _| name == PULUMI);
    let mut info = info(&image, platform);
    info.versions.remove("go");
    info
}

/// Version and source of each tool, as the pack and the labels of images name them.
pub fn described(image: &ImageToml) -> BTreeMap<String, String> {
    let tools = image.tools.iter();
    tools
        .map(|(name, tool)| (name.clone(), format!("{} ({})", tool.version, tool.source)))
        .collect()
}

/// Versions of everything in the image that has one.
fn versions(image: &ImageToml) -> BTreeMap<String, String> {
    let tools = image
        .tools
        .iter()
        .map(|(name, tool)| (name.clone(), tool.version.clone()));
    let builds = image
        .tools
        .values()
        .filter(|tool| tool.source == ToolSource::ModuleProxy)
        .flat_map(|tool| {
            tool.build
                .iter()
                .filter_map(|build| Some((build.binary.clone(), build.version.clone()?)))
        });
    tools
        .chain(builds)
        .chain([
            ("go".to_owned(), image.go.version.clone()),
            ("debian".to_owned(), image.base.suite.clone()),
            ("verifier".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ])
        .collect()
}
