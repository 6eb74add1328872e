//! The tools of the image (Pulumi, OpenTofu), and the layer that holds them with Go, the verifier and the user.
//!
//! By default a tool is compiled from Go modules with the image's own Go, pinned by a go.mod and go.sum beside
//! `image.toml`; `source = "release"` takes the project's archive instead, whose digest must be known beforehand.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::{IMAGE_INFO_PATH, ImageInfo, SCHEMA};

use crate::failure::{corrupt, usage};
use crate::image_toml::{ImageToml, Platform, Release, Tool, ToolBuild, ToolSource};
use crate::kept_layer::{self, KeptLayer};
use crate::layer::{Compression, LayerWriter};
use crate::owners::{Owners, relative};
use crate::progress::Step;
use crate::tree::{SCRATCH, Tree};
use crate::warm::VERIFIER;
use crate::work::{Key, Work};

/// Folder of the executables in the image.
const BIN: &str = "usr/local/bin";

/// Makes the tools' executables, each in a folder of its own, by name.
pub fn make(
    work: &Work,
    tree: &Tree,
    description: &Utf8Path,
    go_mod: &Utf8Path,
    offline: bool,
    step: &Step,
) -> Result<BTreeMap<String, Utf8PathBuf>> {
    let mut executables = BTreeMap::new();
    for (name, tool) in &tree.image.tools {
        step.detail(name.as_str());
        match tool.source {
            ToolSource::ModuleProxy => {
                for build in &tool.build {
                    let folder = description.join(&build.folder);
                    let executable = compile(work, tree, &folder, tool, build, go_mod, offline)?;
                    executables.insert(build.binary.clone(), executable);
                }
            }
            ToolSource::Release => {
                let release = tool
                    .release
                    .as_ref()
                    .ok_or_else(|| usage(format!("image.toml: tools.{name} has the source `release` but no [tools.{name}.release]")))?;
                for binary in unpack_release(work, &tree.platform, name, tool, release, offline)? {
                    let file = binary
                        .file_name()
                        .context("an executable has a name")?
                        .to_owned();
                    executables.insert(file, binary);
                }
            }
        }
    }
    Ok(executables)
}

fn compile(
    work: &Work,
    tree: &Tree,
    folder: &Utf8Path,
    tool: &Tool,
    build: &ToolBuild,
    go_mod: &Utf8Path,
    offline: bool,
) -> Result<Utf8PathBuf> {
    let version = build.version.as_ref().unwrap_or(&tool.version);
    let sums = [folder.join("go.mod"), folder.join("go.sum")];
    let text = fs_err::read_to_string(&sums[0])?;
    if !text.lines().any(|line| {
        line.trim()
            .trim_start_matches("require ")
            .starts_with(&format!("{} v{version}", build.module))
    }) {
        return Err(usage(format!(
            "image.toml asks for {} v{version}, {} does not; run `go get {}@v{version} && go mod tidy` there",
            build.module, sums[0], build.module
        )));
    }
    let digests = sums
        .iter()
        .map(|file| Ok(gocache::hash_file(file)?.0))
        .collect::<Result<Vec<_>>>()?;
    let key = Key::of(&(tree.image.identity(&tree.platform), build, version, digests))?;
    let kept = work.keep("tool", &key, |kept| {
        let scratch = work.scratch("tool")?;
        let sandbox = tree
            .sandbox(scratch.path())
            .read_only(folder, "/tool")
            .folder("/tool")
            .env([
                ("GOCACHE", format!("{SCRATCH}/go-build")),
                ("GOFLAGS", tree.image.go.flags.join(" ")),
            ]);
        if !offline {
            let fetch = sandbox
                .clone()
                .writable(go_mod, &tree.image.go.gomodcache)
                .env([("GOPROXY", "")])
                .with_network()
                .run(&["go", "list", "-deps", "-f", "", "--", &build.package])?;
            if !fetch.status.success() {
                bail!(
                    "failed to fetch the Go modules of {}:\n{}",
                    build.binary,
                    last_lines(&fetch.stderr)
                );
            }
        }
        let output = format!("{SCRATCH}/{}", build.binary);
        let ldflags = build.ldflags.replace("{version}", version);
        let done = sandbox.read_only(go_mod, &tree.image.go.gomodcache).run(&[
            "go",
            "build",
            "-o",
            &output,
            "-ldflags",
            &ldflags,
            "--",
            &build.package,
        ])?;
        if !done.status.success() {
            bail!(
                "{} does not build:\n{}",
                build.binary,
                last_lines(&done.stderr)
            );
        }
        fs_err::rename(scratch.path().join(&build.binary), kept.join(&build.binary))?;
        Ok(())
    })?;
    Ok(kept.join(&build.binary))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("go: downloading "))
        .collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

/// Fetches a release archive and takes its executables out, if the archive is the one that image.toml names.
fn unpack_release(
    work: &Work,
    platform: &Platform,
    name: &str,
    tool: &Tool,
    release: &Release,
    offline: bool,
) -> Result<Vec<Utf8PathBuf>> {
    let url = release
        .url
        .replace("{version}", &tool.version)
        .replace("{os}", &platform.os)
        .replace("{arch}", &platform.arch);
    let wanted = release.sha256.get(&platform.to_string()).ok_or_else(|| {
        usage(format!(
            "image.toml: tools.{name}.release.sha256 has no digest for {platform}"
        ))
    })?;
    let key = Key::of(&(&url, wanted, &release.binaries))?;
    let kept = work.keep("release", &key, |kept| {
        if offline {
            bail!("{url} is not kept yet; run once without --offline");
        }
        let archive = kept.join("archive");
        download(&url, &archive)?;
        let (found, _) = gocache::hash_file(&archive)?;
        if found.to_string() != wanted.to_ascii_lowercase() {
            return Err(corrupt(format!(
                "{url} has the SHA-256 {found}, image.toml names {wanted} for tools.{name} on {platform}"
            )));
        }
        extract(&archive, &release.binaries, kept).with_context(|| format!("failed to unpack {url}"))?;
        fs_err::remove_file(&archive)?;
        Ok(())
    })?;
    Ok(release
        .binaries
        .iter()
        .map(|binary| kept.join(binary))
        .collect())
}

fn download(url: &str, to: &Utf8Path) -> Result<()> {
    let mut response = ureq::get(url)
        .call()
        .with_context(|| format!("failed to fetch {url}"))?;
    let mut file = fs_err::File::create(to)?;
    std::io::copy(&mut response.body_mut().as_reader(), &mut file)
        .with_context(|| format!("failed to fetch {url} to {to}"))?;
    Ok(())
}

fn extract(archive: &Utf8Path, binaries: &[String], to: &Utf8Path) -> Result<()> {
    let mut missing: Vec<&str> = binaries.iter().map(String::as_str).collect();
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(fs_err::File::open(archive)?));
    for entry in tar.entries()? {
        let mut entry = entry?;
        let name = entry
            .path()?
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let Some(found) = missing
            .iter()
            .position(|binary| Some(*binary) == name.as_deref())
        else {
            continue;
        };
        if entry.header().entry_type().is_file() {
            let binary = missing.swap_remove(found);
            let mut file = fs_err::File::create(to.join(binary))?;
            std::io::copy(&mut entry, &mut file)?;
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        bail!("it holds no file named {}", missing.join(", "))
    }
}

/// What goes into the layer beside the settings of the image.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Executables of the tools, by name.
    pub executables: &'a BTreeMap<String, Utf8PathBuf>,
    /// The statically linked verifier.
    pub verifier: &'a Utf8Path,
    /// Versions, for `verifier info`.
    pub versions: BTreeMap<String, String>,
}

/// Makes the layer of Go, the tools, the verifier, the user and the empty caches.
pub fn layer(work: &Work, tree: &Tree, parts: &Parts<'_>) -> Result<KeptLayer> {
    let image = &tree.image;
    let verifier = gocache::hash_file(parts.verifier)?.0;
    let passwd = fs_err::read_to_string(tree.root.join("etc/passwd"))?;
    let group = fs_err::read_to_string(tree.root.join("etc/group"))?;
    let key = Key::of(&(
        image,
        tree.platform.to_string(),
        verifier,
        parts.executables,
        &passwd,
        &group,
    ))?;
    let folder = work.keep("tools-layer", &key, |folder| {
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
        add_executables(&mut layer, parts, owners)?;
        add_tree(&mut layer, &tree.go, relative(&image.go.goroot), owners)?;
        let info = ImageInfo {
            schema: SCHEMA,
            identity: image.identity(&tree.platform),
            versions: parts.versions.clone(),
        };
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
        kept_layer::write(folder, &layer.finish()?)
    })?;
    KeptLayer::read(&folder)
}

fn add_executables<F: Fn(&Utf8Path) -> crate::layer::Meta>(
    layer: &mut LayerWriter<F>,
    parts: &Parts<'_>,
    owners: Owners<'_>,
) -> Result<()> {
    let verifier = (relative(Utf8Path::new(VERIFIER)).to_owned(), parts.verifier);
    let tools = parts
        .executables
        .iter()
        .map(|(name, file)| (Utf8Path::new(BIN).join(name), file.as_path()));
    for (path, file) in tools.chain([verifier]) {
        layer.file(&path, file, owners.file(&path, true))?;
    }
    Ok(())
}

fn add_tree<F: Fn(&Utf8Path) -> crate::layer::Meta>(
    layer: &mut LayerWriter<F>,
    from: &Utf8Path,
    to: &Utf8Path,
    owners: Owners<'_>,
) -> Result<()> {
    for entry in walkdir::WalkDir::new(from).sort_by_file_name() {
        let entry = entry.with_context(|| format!("failed to list {from}"))?;
        let source = Utf8Path::from_path(entry.path())
            .context("Go's distribution holds a name that is not UTF-8")?;
        let path = to.join(
            source
                .strip_prefix(from)
                .expect("walkdir yields what is below its root"),
        );
        if entry.file_type().is_dir() {
            layer.folder(&path)?;
        } else {
            let mode =
                std::os::unix::fs::PermissionsExt::mode(&fs_err::metadata(source)?.permissions());
            layer.file(&path, source, owners.file(&path, mode & 0o100 != 0))?;
        }
    }
    Ok(())
}

/// Versions of everything in the image that has one.
pub fn versions(image: &ImageToml) -> BTreeMap<String, String> {
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
