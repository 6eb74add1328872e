//! Programs of a pack that are built already: where they are in the image, and what each is as an artifact of its own.
//!
//! In the layer of executables a program is a second name of the entry that the build cache has of it, so variants with
//! caches and variants without have it in one blob, and a node once on its disk. The artifact is an archive of gzip:
//! what pulls artifacts, such as `oras`, unpacks no other.

mod names;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::programs::{
    PROGRAM_LISTS_PATH, PROGRAMS_PATH, PROGRAMS_SCHEMA, PROJECT_FILE, Program, ProgramList,
};
use gocache::{Sha256Hash, Store};
use modules::Module;
use modules::project::prebuilt;
use oci::layer::{Compression, Layer, LayerWriter, Meta};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::image_toml::ImageToml;
use crate::owners::{Owners, relative};
use failure::corrupt;

/// The folder of artifacts in that of a kept pack.
const ARTIFACTS: &str = "programs";

/// A program of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackedProgram {
    /// The program.
    pub program: Program,
    /// The archive of its folder.
    pub artifact: Layer,
}

impl PackedProgram {
    /// Where the archive is in the folder of a kept pack.
    pub fn file(&self) -> Utf8PathBuf {
        file(&self.program)
    }
}

/// Its name as one word: that of its folder in the artifact.
fn word(program: &Program) -> &str {
    program.folder.file_name().unwrap_or_default()
}

fn file(program: &Program) -> Utf8PathBuf {
    Utf8Path::new(ARTIFACTS).join(format!("{}.tar.gz", word(program)))
}

/// A program that is to be packed.
#[derive(Debug, Clone)]
pub struct NewProgram {
    program: Program,
    project: String,
    /// The entry of the build cache that its executable is, relative to the cache.
    entry: Utf8PathBuf,
}

/// The Pulumi.yaml that each of `modules` of one source gets in the image, by their folders.
pub fn projects<'m>(
    source: &Utf8Path,
    modules: impl IntoIterator<Item = &'m Module>,
) -> Result<BTreeMap<&'m Utf8Path, String>> {
    let modules: Vec<&Module> = modules.into_iter().collect();
    let folders = names::folders(&modules);
    let text = |(module, folder): (&&'m Module, &Utf8PathBuf)| {
        Ok((module.path.as_path(), project(source, module, folder)?))
    };
    modules.iter().zip(&folders).map(text).collect()
}

/// The Pulumi.yaml of `module`, whose program is in `folder` of the image.
fn project(source: &Utf8Path, module: &Module, folder: &Utf8Path) -> Result<String> {
    let binary = folder.file_name().unwrap_or_default();
    let name = format!("{}-{binary}", module.provider);
    let (source, own) = (source.as_std_path(), module.path.as_std_path());
    Ok(prebuilt::text(source, own, &name, binary)?)
}

/// The programs of `built`, modules of `source`, each with its link action, whose output is in the build cache `store`.
pub fn of(
    source: &Utf8Path,
    built: &[(&Module, Option<Sha256Hash>)],
    store: &Store,
) -> Result<Vec<NewProgram>> {
    let modules: Vec<&Module> = built.iter().map(|(module, _)| *module).collect();
    let folders = names::folders(&modules);
    let mut programs = Vec::new();
    for ((module, link_action), folder) in built.iter().zip(folders) {
        // Where the go command names no link, there is no entry.
        let Some(link_action) = *link_action else {
            continue;
        };
        let entry = store
            .get(&link_action)?
            .with_context(|| format!("the executable of {} was removed", module.path))?;
        let project = project(source, module, &folder)?;
        let path = store.output_path(&entry.output);
        let below = path.strip_prefix(store.root());
        programs.push(NewProgram {
            entry: below.context("an output is in its cache")?.to_owned(),
            program: Program {
                provider: module.provider.clone(),
                component: module.component.clone(),
                path: module.path.clone(),
                binary: folder.file_name().unwrap_or_default().to_owned(),
                folder,
                sha256: entry.output,
                size_bytes: entry.size_bytes,
                project_sha256: Sha256Hash::of(project.as_bytes()),
                link_action,
            },
            project,
        });
    }
    programs.sort_by(|one, other| one.program.folder.cmp(&other.program.folder));
    Ok(programs)
}

/// Adds the folders of `programs`, which are the pack `pack`'s, to the layer that has their entries of the build cache
/// already, and the list of them.
pub fn add<F: Fn(&Utf8Path) -> Meta>(
    image: &ImageToml,
    layer: &mut LayerWriter<F>,
    pack: &str,
    programs: &[NewProgram],
) -> Result<()> {
    if programs.is_empty() {
        return Ok(());
    }
    let owners = Owners(image);
    for new in programs {
        let folder = relative(Utf8Path::new(PROGRAMS_PATH)).join(&new.program.folder);
        let entry = relative(&image.go.gocache).join(&new.entry);
        let meta = owners.file(&entry, true);
        layer.hard_link(&folder.join(&new.program.binary), &entry, meta)?;
        let project = folder.join(PROJECT_FILE);
        layer.bytes(
            &project,
            new.project.as_bytes(),
            owners.file(&project, false),
        )?;
    }
    let list = ProgramList {
        schema: PROGRAMS_SCHEMA,
        programs: programs.iter().map(|new| new.program.clone()).collect(),
    };
    let json = serde_json::to_vec_pretty(&list).context("failed to list a pack's programs")?;
    let path = relative(Utf8Path::new(PROGRAM_LISTS_PATH)).join(format!("{pack}.json"));
    layer.bytes(&path, &json, owners.file(&path, false))
}

/// Fails unless `file`, which was packed with the digest `packed`, still is what it was proven to be.
pub fn check_unchanged(file: &Utf8Path, packed: Sha256Hash, proven: Sha256Hash) -> Result<()> {
    if packed == proven {
        return Ok(());
    }
    Err(corrupt(
        format!("{file} changed while it was packed"),
        "run the same command again, and nothing else on its files",
    ))
}

/// Writes the artifacts of `programs`, whose entries are in the build cache `go_build`, below `folder`.
pub fn write_artifacts(
    image: &ImageToml,
    programs: &[NewProgram],
    go_build: &Utf8Path,
    folder: &Utf8Path,
) -> Result<Vec<PackedProgram>> {
    if programs.is_empty() {
        return Ok(Vec::new());
    }
    fs_err::create_dir(folder.join(ARTIFACTS))?;
    let write = |new: &NewProgram| {
        let meta = |mode| Meta {
            mode,
            uid: 0,
            gid: 0,
            mtime: image.image.epoch,
        };
        let program = &new.program;
        let (name, blob) = (Utf8Path::new(word(program)), folder.join(file(program)));
        let settings = image.layers;
        let mut archive =
            LayerWriter::create(&blob, Compression::Gzip, settings, |_: &Utf8Path| {
                meta(0o755)
            })?;
        let project = name.join(PROJECT_FILE);
        archive.bytes(&project, new.project.as_bytes(), meta(0o644))?;
        let (source, target) = (go_build.join(&new.entry), name.join(&program.binary));
        let (sha256, _) = archive.file(&target, &source, meta(0o755))?;
        check_unchanged(&source, sha256, program.sha256)?;
        Ok(PackedProgram {
            program: program.clone(),
            artifact: archive.finish()?,
        })
    };
    programs.par_iter().map(write).collect()
}
