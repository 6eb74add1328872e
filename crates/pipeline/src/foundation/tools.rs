//! The tools of the image (Pulumi, OpenTofu), and the layer that holds them with Go, the verifier and the user.
//!
//! By default a tool is compiled from Go modules with the image's own Go, pinned by a go.mod and go.sum beside
//! `image.toml`; `source = "release"` takes the project's archive instead, whose digest must be known beforehand.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::{
    IMAGE_INFO_PATH, ImageInfo, LANGUAGE_HOSTS_PATH, LAUNCHED, LAUNCHERS_PATH, SCHEMA,
    TOOLEXEC_PATH,
};
use modules::ModFile;

use crate::foundation::release;
use crate::foundation::standard_library;
use crate::foundation::tree::{SCRATCH, Tree};
use crate::image_toml::{ImageToml, Release, Tool, ToolBuild, ToolSource};
use crate::names::TOOLS;
use crate::names::VERIFIER;
use crate::owners::{Owners, relative};
use crate::pack::store::Store;
use crate::resolve::host_go::{HostGo, without_credentials};
use crate::work::files::{files_below, link_tree};
use crate::work::kept_layer;
use crate::work::kept_tree::{self, Additions};
use crate::work::{Key, Work};
use engine::excerpt::excerpt;
use engine::progress::{Step, millis};
use failure::usage;
use oci::layer::LayerBlob;
use oci::layer::{Compression, LayerWriter};

/// Folder of the executables in the image.
const BIN: &str = "usr/local/bin";

/// Makes the tools' executables.
#[derive(Debug, Clone, Copy)]
pub struct Maker<'a> {
    /// Kept work.
    pub work: &'a Work,
    /// The tree without tools.
    pub tree: &'a Tree,
    /// The image's settings, in which each tool has one source.
    pub image: &'a ImageToml,
    /// Folder of `image.toml`.
    pub description: &'a Utf8Path,
    /// The module cache that all fetches share.
    pub go_mod: &'a Utf8Path,
    /// Whether the network is out of bounds.
    pub offline: bool,
}

/// Where a tool comes from, and the digest of everything it is made from.
enum Origin<'a> {
    Compiled {
        build: &'a ToolBuild,
        version: &'a str,
        key: Key,
    },
    Released {
        release: &'a Release,
        url: String,
        sha256: &'a str,
        key: Key,
    },
}

impl Origin<'_> {
    fn key(&self) -> &Key {
        match self {
            Self::Compiled { key, .. } | Self::Released { key, .. } => key,
        }
    }
}

impl Maker<'_> {
    /// Where all tools come from; nothing is made yet.
    fn origins(&self) -> Result<Vec<Origin<'_>>> {
        let mut origins = Vec::new();
        for (name, tool) in &self.image.tools {
            match tool.source {
                ToolSource::Auto => bail!("nobody decided where {name} comes from"),
                ToolSource::ModuleProxy => {
                    for build in &tool.build {
                        origins.push(self.compiled(tool, build)?);
                    }
                }
                ToolSource::Release => origins.push(self.released(name, tool)?),
            }
        }
        Ok(origins)
    }

    /// Makes the executables, by name.
    fn make(
        &self,
        origins: &[Origin<'_>],
        step: &mut Step,
    ) -> Result<BTreeMap<String, Utf8PathBuf>> {
        let mut executables = BTreeMap::new();
        // Much of what tools are compiled from they share.
        let go_build = self.work.scratch("tools-go-build")?;
        for origin in origins {
            match origin {
                Origin::Compiled {
                    build,
                    version,
                    key,
                } => {
                    step.detail(build.binary.as_str());
                    let file = self.compile(build, version, key, go_build.path(), step)?;
                    executables.insert(build.binary.clone(), file);
                }
                Origin::Released {
                    release,
                    url,
                    sha256,
                    key,
                } => {
                    step.detail(url.as_str());
                    let folder =
                        kept_tree::keep(self.work, release::KIND, key, Additions::None, |kept| {
                            if self.offline {
                                bail!("{url} is not kept yet; run once without --offline");
                            }
                            release::unpack(url, sha256, &release.binaries, kept)
                        })?;
                    let binaries = release.binaries.iter();
                    executables
                        .extend(binaries.map(|binary| (binary.clone(), folder.join(binary))));
                }
            }
        }
        Ok(executables)
    }

    fn compiled<'b>(&self, tool: &'b Tool, build: &'b ToolBuild) -> Result<Origin<'b>> {
        let folder = self.description.join(&build.folder);
        let version = build.version.as_ref().unwrap_or(&tool.version);
        let sums = [folder.join("go.mod"), folder.join("go.sum")];
        let pinned = format!("{} v{version}", build.module);
        let required = ModFile::parse(&fs_err::read_to_string(&sums[0])?).require;
        let is_pinned = required
            .iter()
            .any(|it| it.module.path == build.module && it.module.version == format!("v{version}"));
        if !is_pinned {
            return Err(usage(
                format!("image.toml asks for {pinned}, {} does not", sums[0]),
                format!(
                    "run `go get {}@v{version} && go mod tidy` there",
                    build.module
                ),
            ));
        }
        let digests = sums
            .iter()
            .map(|file| Ok(sha256::hash_file(file)?.0))
            .collect::<Result<Vec<_>>>()?;
        let environment = self.tree.image.go_env(&self.tree.platform);
        let go = &self.tree.image.go.version;
        let key = Key::of(&(go, environment, build, version, digests))?;
        Ok(Origin::Compiled {
            build,
            version,
            key,
        })
    }

    fn compile(
        &self,
        build: &ToolBuild,
        version: &str,
        key: &Key,
        go_build: &Utf8Path,
        step: &mut Step,
    ) -> Result<Utf8PathBuf> {
        let folder = self.description.join(&build.folder);
        let kept = kept_tree::keep(self.work, "tool", key, Additions::None, |kept| {
            link_tree(
                &standard_library::make(self.work, self.tree, step)?,
                go_build,
            )?;
            let scratch = self.work.scratch("tool")?;
            let sandbox = self
                .tree
                .sandbox(scratch.path())
                .read_only(&folder, "/tool")
                .folder("/tool")
                .writable(go_build, &self.tree.image.go.gocache);
            self.fetch(build)?;
            let output = format!("{SCRATCH}/{}", build.binary);
            let ldflags = build.ldflags.replace("{version}", version);
            let started = Instant::now();
            let done = sandbox
                .read_only(self.go_mod, &self.tree.image.go.gomodcache)
                .run(&[
                    "go",
                    "build",
                    "-o",
                    &output,
                    "-ldflags",
                    &ldflags,
                    "--",
                    &build.package,
                ])?;
            step.go_ms += millis(started);
            if !done.status.success() {
                bail!(
                    "{} does not build:\n{}",
                    build.binary,
                    excerpt(&done.stderr)
                );
            }
            fs_err::rename(scratch.path().join(&build.binary), kept.join(&build.binary))?;
            Ok(())
        })?;
        Ok(kept.join(&build.binary))
    }

    /// Fetches the Go modules that the build loads.
    fn fetch(&self, build: &ToolBuild) -> Result<()> {
        if self.offline {
            return Ok(());
        }
        let scratch = self.work.scratch("fetch-tool")?;
        let folder = scratch.path().join("tool");
        fs_err::create_dir(&folder)?;
        for file in ["go.mod", "go.sum"] {
            fs_err::copy(
                self.description.join(&build.folder).join(file),
                folder.join(file),
            )?;
        }
        let go = HostGo {
            goroot: &self.tree.go,
            module_cache: self.go_mod,
            scratch: scratch.path(),
            folder: &folder,
        };
        let done = go.run(&["list", "-deps", "-f", "", "--", &build.package])?;
        if !done.status.success() {
            bail!(
                "failed to fetch the Go modules of {}:\n{}",
                build.binary,
                without_credentials(&excerpt(&done.stderr))
            );
        }
        Ok(())
    }

    fn released<'b>(&self, name: &str, tool: &'b Tool) -> Result<Origin<'b>> {
        let platform = &self.tree.platform;
        let release = tool.release.as_ref();
        let release = release.context("image.toml was checked for a release")?;
        let sha256 = release.sha256.get(&platform.to_string()).ok_or_else(|| {
            usage(
                format!("image.toml: tools.{name}.release.sha256 has no digest for {platform}"),
                "add the digest that the project publishes",
            )
        })?;
        let url = release.url(&tool.version, platform);
        let key = release::key(&url, sha256, &release.binaries)?;
        Ok(Origin::Released {
            release,
            url,
            sha256,
            key,
        })
    }
}

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
