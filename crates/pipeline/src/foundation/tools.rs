//! The layer that holds the tools of the image (Pulumi, OpenTofu) with Go, the verifier and the user.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::{
    IMAGE_INFO_PATH, ImageInfo, LANGUAGE_HOSTS_PATH, LAUNCHED, LAUNCHERS_PATH, SCHEMA,
    TOOLEXEC_PATH,
};

use crate::foundation::executables::{Maker, Origin};
use crate::image_toml::{ImageToml, ToolSource};
use crate::names::TOOLS;
use crate::names::VERIFIER;
use crate::owners::{Owners, relative};
use crate::pack::store::Store;
use crate::work::Key;
use crate::work::files::files_below;
use crate::work::kept_layer;
use engine::progress::Step;
use oci::layer::LayerBlob;
use oci::layer::{Compression, LayerWriter};

/// Folder of the executables in the image.
const BIN: &str = "usr/local/bin";

/// Makes the layer of Go, the tools, the verifier, the user and the empty caches, unless it is kept, here or in the
/// store; and the digest of everything it was made from.
pub fn layer(
    maker: &Maker<'_>,
    verifier: &Utf8Path,
    store: &Store,
    step: &mut Step,
) -> Result<(Key, LayerBlob)> {
    let Maker {
        work, tree, image, ..
    } = *maker;
    let origins = maker.origins()?;
    let passwd = fs_err::read_to_string(tree.root.join("etc/passwd"))?;
    let group = fs_err::read_to_string(tree.root.join("etc/group"))?;
    let info = ImageInfo {
        schema: SCHEMA,
        identity: image.identity(&tree.platform),
        versions: versions(image),
        tool_sources: image
            .tools
            .iter()
            .map(|(name, tool)| (name.clone(), tool.source.to_string()))
            .collect(),
        owner_uid: Some(image.user.uid),
        cache_entry_time: Some(image.image.cache_entry_time),
        source: image.source.clone(),
    };
    let key = Key::of(&(
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
            kept_layer::restore(TOOLS, &artifact.layers()?, folder)
        })?;
        if found.is_some() {
            return Ok(());
        }
        let executables = maker.make(&origins, step)?;
        let owners = Owners(image);
        let mut layer = LayerWriter::create(
            &folder.join(kept_layer::FILE),
            Compression::Zstd,
            image.layers,
            |path: &Utf8Path| owners.folder(path),
        )?;
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
            layer.bytes(
                path.into(),
                content.as_bytes(),
                owners.file(path.into(), false),
            )?;
        }
        layer.folder(relative(&user.home))?;
        add_executables(
            &mut layer,
            &executables,
            &behind_flags(image),
            verifier,
            owners,
        )?;
        add_tree(&mut layer, &tree.go, relative(&image.go.goroot), owners)?;
        let info = serde_json::to_vec_pretty(&info)
            .context("failed to serialize the image's description")?;
        let path = relative(Utf8Path::new(IMAGE_INFO_PATH));
        layer.bytes(path, &info, owners.file(path, false))?;
        for first_byte in 0..=u8::MAX {
            layer.folder(&relative(&image.go.gocache).join(format!("{first_byte:02x}")))?;
        }
        layer.folder(relative(&image.go.gomodcache))?;
        for writable in &image.writable.folders {
            layer.folder(relative(writable))?;
        }
        let layer = layer.finish()?;
        step.written_bytes = layer.size_bytes;
        kept_layer::write(folder, &layer)
    })?;
    Ok((key, kept_layer::read(&folder)?))
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
    verifier: &Utf8Path,
    owners: Owners<'_>,
) -> Result<()> {
    let place = Utf8Path::new(VERIFIER);
    layer.file(
        relative(place),
        verifier,
        owners.file(relative(place), true),
    )?;
    for (name, file) in executables {
        let mut path = Utf8Path::new(BIN).join(name);
        if behind_flags.contains(&name.as_str()) {
            layer.link(&path, place, owners.file(&path, true))?;
            path = relative(Utf8Path::new(LANGUAGE_HOSTS_PATH)).join(name);
        }
        layer.file(&path, file, owners.file(&path, true))?;
    }
    let launchers = LAUNCHED.map(|name| Utf8Path::new(LAUNCHERS_PATH).join(name));
    for link in launchers.into_iter().chain([TOOLEXEC_PATH.into()]) {
        let path = relative(&link).to_owned();
        layer.link(&path, place, owners.file(&path, true))?;
    }
    Ok(())
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
