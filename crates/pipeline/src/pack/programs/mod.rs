//! Programs of a pack that are built already: where they are in the image, and what each is as an artifact of its own.
//!
//! Where executables are entries of the build cache, a program is a second name of one, in the same layer: variants with
//! caches and variants without have it in one blob, and a node once on its disk. Where they are compressed, those
//! without have a layer of their own, and those with caches the list alone, by which a program is unpacked. The artifact
//! is an archive of gzip: what pulls artifacts, such as `oras`, unpacks no other.

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

impl NewProgram {
    /// Where a file of its folder is in the image, relative to the root.
    fn in_image(&self, file: &str) -> Utf8PathBuf {
        let folders = relative(Utf8Path::new(PROGRAMS_PATH));
        folders.join(&self.program.folder).join(file)
    }
}

/// The folder of each program of a provider, by that of its module. It is chosen among all modules of the provider, so
/// that it is the same in whichever part of the provider a module is warmed, and whichever others build.
#[derive(Debug, Clone, Default)]
pub struct Folders(BTreeMap<Utf8PathBuf, Utf8PathBuf>);

impl Folders {
    /// Those of `modules`, which are all of a provider's.
    pub fn of<'m>(modules: impl IntoIterator<Item = &'m Module>) -> Self {
        let modules: Vec<&Module> = modules.into_iter().collect();
        let paths = modules.iter().map(|module| module.path.clone());
        Self(paths.zip(names::folders(&modules)).collect())
    }

    fn folder(&self, module: &Module) -> Result<&Utf8Path> {
        let folder = self.0.get(&module.path).map(Utf8PathBuf::as_path);
        folder.with_context(|| format!("{} is none of its provider's modules", module.path))
    }
}

/// The Pulumi.yaml that each of `modules` of one source gets in the image, by their folders.
pub fn projects<'m>(
    source: &Utf8Path,
    modules: impl IntoIterator<Item = &'m Module>,
    folders: &Folders,
) -> Result<BTreeMap<&'m Utf8Path, String>> {
    let text = |module: &'m Module| {
        let folder = folders.folder(module)?;
        Ok((module.path.as_path(), project(source, module, folder)?))
    };
    modules.into_iter().map(text).collect()
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
    folders: &Folders,
    store: &Store,
) -> Result<Vec<NewProgram>> {
    let mut programs = Vec::new();
    for (module, link_action) in built {
        // Where the go command names no link, there is no entry.
        let Some(link_action) = *link_action else {
            continue;
        };
        let entry = store
            .get(&link_action)?
            .with_context(|| format!("the executable of {} was removed", module.path))?;
        let folder = folders.folder(module)?.to_owned();
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
                project: None,
                link_action,
            },
            project,
        });
    }
    programs.sort_by(|one, other| one.program.folder.cmp(&other.program.folder));
    Ok(programs)
}

/// How a layer has programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shipped {
    /// Each in a folder of its own.
    InFolders,
    /// Compressed, with what would be beside them in the list.
    Packed,
}

/// Adds the folders of `programs`, which are the pack `pack`'s, to the layer that has their entries of the build cache
/// already, and the list of them.
pub fn add_linked<F: Fn(&Utf8Path) -> Meta>(
    image: &ImageToml,
    layer: &mut LayerWriter<F>,
    pack: &str,
    programs: &[NewProgram],
) -> Result<()> {
    for new in programs {
        let entry = relative(&image.go.gocache).join(&new.entry);
        let meta = Owners(image).file(&entry, true);
        layer.hard_link(&new.in_image(&new.program.binary), &entry, meta)?;
        add_project(image, layer, new)?;
    }
    add_list(image, layer, pack, programs, Shipped::InFolders)
}

/// The same with executables of their own, which are in the build cache `go_build` here.
pub fn add_whole<F: Fn(&Utf8Path) -> Meta>(
    image: &ImageToml,
    layer: &mut LayerWriter<F>,
    pack: &str,
    programs: &[NewProgram],
    go_build: &Utf8Path,
) -> Result<()> {
    for new in programs {
        let (target, source) = (new.in_image(&new.program.binary), go_build.join(&new.entry));
        let (sha256, _) = layer.file(&target, &source, Owners(image).file(&target, true))?;
        check_unchanged(&source, sha256, new.program.sha256)?;
        add_project(image, layer, new)?;
    }
    add_list(image, layer, pack, programs, Shipped::InFolders)
}

fn add_project<F: Fn(&Utf8Path) -> Meta>(
    image: &ImageToml,
    layer: &mut LayerWriter<F>,
    new: &NewProgram,
) -> Result<()> {
    let project = new.in_image(PROJECT_FILE);
    let meta = Owners(image).file(&project, false);
    layer.bytes(&project, new.project.as_bytes(), meta)
}

/// Adds the list of `programs`, which are the pack `pack`'s, if there are any.
pub fn add_list<F: Fn(&Utf8Path) -> Meta>(
    image: &ImageToml,
    layer: &mut LayerWriter<F>,
    pack: &str,
    programs: &[NewProgram],
    shipped: Shipped,
) -> Result<()> {
    if programs.is_empty() {
        return Ok(());
    }
    let listed = programs.iter().map(|new| Program {
        project: (shipped == Shipped::Packed).then(|| new.project.clone()),
        ..new.program.clone()
    });
    let list = ProgramList {
        schema: PROGRAMS_SCHEMA,
        programs: listed.collect(),
    };
    let json = serde_json::to_vec_pretty(&list).context("failed to list a pack's programs")?;
    let path = relative(Utf8Path::new(PROGRAM_LISTS_PATH)).join(format!("{pack}.json"));
    layer.bytes(&path, &json, Owners(image).file(&path, false))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::matrix::{self, Times};
    use crate::pack::part::{Part, Shard};

    /// Two modules that are called alike, and two that are not.
    fn modules() -> Vec<Module> {
        let paths = ["one/s3", "two/s3", "one/sqs", "two/sns"];
        let module = |path: &str| Module {
            provider: "aws".into(),
            component: path[4..].into(),
            path: path.into(),
            import_path: "m".into(),
            go_mod: "go.mod".into(),
            main: None,
        };
        paths.map(module).into()
    }

    #[test]
    fn a_program_has_the_same_folder_in_whichever_part_of_its_provider() {
        let modules = modules();
        let names = |of: usize| -> BTreeMap<Utf8PathBuf, String> {
            let parts = (1..=of).map(|number| Part {
                provider: "aws".into(),
                shard: Shard { number, of },
            });
            let parts = parts.flat_map(|part| {
                let own = matrix::modules_of(&part, &modules, &Times::default()).unwrap();
                let folders = Folders::of(&modules);
                let texts = projects("/none".into(), &own, &folders).unwrap();
                let texts = texts.into_iter();
                let texts = texts.map(|(path, text)| (path.to_owned(), text));
                texts.collect::<Vec<_>>()
            });
            parts.collect()
        };
        let whole = names(1);
        let distinct: std::collections::BTreeSet<&String> = whole.values().collect();
        assert_eq!(distinct.len(), 4, "{whole:?}");
        for of in 2..=4 {
            assert_eq!(names(of), whole);
        }
    }
}
