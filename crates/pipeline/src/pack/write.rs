//! Writes a pack of caches: its layers, and the manifest of everything in them.
//!
//! Nothing is in a layer that was not hashed: entries of the build cache against what was sealed, Go modules against
//! the hash that go.sum gives them.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::{
    EXECUTABLES_PATH, FILES_SUFFIX, INPUTS_SUFFIX, LEFT_OUT_SUFFIX, OBJECTS_PATH, PACKS_PATH,
    PackInfo, PackModule, SCHEMA,
};
use gocache::{Checksums, FileKind, GoModule, Identity, InputsRecord};
use sha256::Sha256Hash;

use crate::image_toml::ImageToml;
use crate::owners::{Owners, relative};
use crate::pack::go_modules;
use crate::pack::go_modules::module_info::{self, is_module_info};
use crate::pack::kept::{CACHES, EXECUTABLES, OBJECTS, PROGRAMS};
use crate::pack::manifest::{Manifest, PackedFile, Timings, WarmModule};
use crate::pack::programs::{self, NewProgram, Shipped};
use crate::resolve::requirements::Required;
use oci::layer::{Compression, CompressionSettings, Layer, LayerWriter};

/// A level that loses no time on what nothing is to be gained from.
const COMPRESSED_ALREADY: i32 = 1;

/// What is to be packed.
#[derive(Debug)]
pub struct Content {
    /// The provider, or `common`.
    pub name: String,
    /// What the caches were made with.
    pub identity: Identity,
    /// The modules that are warm.
    pub modules: Vec<WarmModule>,
    /// Go modules whose folders are among the files.
    pub go_modules: Vec<Required>,
    /// Go modules of which the files have but a stub.
    pub stubs: Vec<Required>,
    /// Settings of this machine by which they were not checked.
    pub unchecked: Vec<String>,
    /// Files of the module cache, relative to it, sorted.
    pub go_mod_files: Vec<Utf8PathBuf>,
    /// What the Go modules and stubs have beside those files, with the paths that it has, or would have, in the image.
    pub left_out: Checksums,
    /// Entries of the build cache without executables, relative to it, in the order of the layer.
    pub go_build_files: Vec<PackedFile>,
    /// Files of object code, relative to their folder, sorted.
    pub object_files: Vec<PackedFile>,
    /// Entries of executables, relative to the build cache, or files of packed ones, relative to their folder; sorted.
    pub executable_files: Vec<PackedFile>,
    /// Programs, whose executables are entries of the build cache.
    pub programs: Vec<NewProgram>,
    /// Modules whose link ran in the check.
    pub links_not_cached: Vec<Utf8PathBuf>,
    /// Modules that are missing because they do not build.
    pub broken: Vec<String>,
    /// What the action IDs of its modules are made of.
    pub inputs: InputsRecord,
    /// How long it took so far.
    pub timings: Timings,
}

/// Where the files of a pack are.
#[derive(Debug, Clone, Copy)]
pub struct Folders<'a> {
    /// Go modules.
    pub go_mod: &'a Utf8Path,
    /// The build cache as it is shipped.
    pub go_build: &'a Utf8Path,
    /// Object code.
    pub objects: &'a Utf8Path,
    /// Executables.
    pub executables: &'a Utf8Path,
}

/// Writes the layers and the manifest of `content`, whose files are in `from`, to `folder`.
pub fn write(
    image: &ImageToml,
    content: Content,
    from: &Folders<'_>,
    folder: &Utf8Path,
) -> Result<()> {
    let started = std::time::Instant::now();
    let caches = || -> Result<_> {
        let mut layer = writer(image, image.layers, &folder.join(CACHES))?;
        let mut files = Vec::new();
        for path in &content.go_mod_files {
            let cache = (image.go.gomodcache.as_path(), false);
            files.push(add(image, &mut layer, cache, path, from.go_mod)?);
        }
        for modules in [&content.go_modules, &content.stubs] {
            go_modules::verify(image, modules, &files, &content.left_out)?;
        }
        let cache = (image.go.gocache.as_path(), false);
        for entry in &content.go_build_files {
            add_proven(image, &mut layer, cache, entry, from.go_build, &mut files)?;
        }
        let lists = describe(image, &mut layer, &content, &files)?;
        Ok((layer.finish()?, files, lists))
    };
    let executables = || -> Result<_> {
        let settings = if image.has_packed_executables() {
            compressed_already(image)
        } else {
            image.layers
        };
        let (place, files) = (executables_place(image), &content.executable_files);
        let mut written = Vec::new();
        if files.is_empty() {
            return Ok((None, written));
        }
        let mut layer = writer(image, settings, &folder.join(EXECUTABLES))?;
        for file in files {
            // Nothing else in the caches is run where it is.
            let is_program = matches!(FileKind::of(&file.path), FileKind::Output(_));
            let from = from.executables;
            add_proven(
                image,
                &mut layer,
                (place, is_program),
                file,
                from,
                &mut written,
            )?;
        }
        let programs = &content.programs;
        if image.has_packed_executables() {
            programs::add_list(image, &mut layer, &content.name, programs, Shipped::Packed)?;
        } else {
            programs::add_linked(image, &mut layer, &content.name, programs)?;
        }
        Ok((Some(layer.finish()?), written))
    };
    let program_folders = || -> Result<_> {
        if content.programs.is_empty() || !image.has_packed_executables() {
            return Ok(None);
        }
        let mut layer = writer(image, image.layers, &folder.join(PROGRAMS))?;
        programs::add_whole(
            image,
            &mut layer,
            &content.name,
            &content.programs,
            from.go_build,
        )?;
        Ok(Some(layer.finish()?))
    };
    let executables = || -> Result<_> { Ok((executables()?, program_folders()?)) };
    let artifacts = || programs::write_artifacts(image, &content.programs, from.go_build, folder);
    let (caches, (executables, artifacts)) =
        rayon::join(caches, || rayon::join(executables, artifacts));
    let ((caches, mut files, lists), ((executables, more), program_folders)) =
        (caches?, executables?);
    let programs = artifacts?;
    let (object_layer, object_files) = objects(image, &content, from.objects, folder)?;
    files.extend(more);
    files.extend(object_files);
    files.sort_by(|one, other| one.path.cmp(&other.path));
    let pack_ms = content.timings.pack_ms + engine::progress::millis(started);
    let manifest = Manifest {
        schema: SCHEMA,
        name: content.name,
        identity: content.identity,
        modules: content.modules,
        go_modules: content.go_modules,
        unchecked: content.unchecked,
        files,
        files_sha256: lists[0],
        left_out_sha256: lists[1],
        caches,
        objects: object_layer,
        executables,
        program_folders,
        programs,
        links_not_cached: content.links_not_cached,
        broken: content.broken,
        timings: Timings {
            pack_ms,
            ..content.timings
        },
    };
    manifest.write(folder)
}

/// Adds what the image says of the pack, and the lists of its files: `caches`, which are in this layer, those of
/// the other layers, whose digests are known beforehand, and what is left out. The digests of both lists.
fn describe(
    image: &ImageToml,
    layer: &mut Writer<'_>,
    content: &Content,
    caches: &[PackedFile],
) -> Result<[Option<Sha256Hash>; 2]> {
    let others = [
        (executables_place(image), &content.executable_files),
        (Utf8Path::new(OBJECTS_PATH), &content.object_files),
    ];
    let others = others.into_iter().flat_map(|(place, files)| {
        let files = files.iter();
        files.map(move |file| (place.join(&file.path), file.sha256))
    });
    let in_caches = caches
        .iter()
        .map(|file| (Utf8Path::new("/").join(&file.path), file.sha256));
    let checksums: Checksums = in_caches.chain(others).collect();
    let checksums = checksums.to_string();
    let mut info = content.info(image, caches, Sha256Hash::of(checksums.as_bytes()));
    let mut files = vec![(FILES_SUFFIX, checksums.into_bytes())];
    if !content.left_out.is_empty() {
        let left_out = content.left_out.to_string();
        info.left_out_sha256 = Some(Sha256Hash::of(left_out.as_bytes()));
        files.push((LEFT_OUT_SUFFIX, left_out.into_bytes()));
    }
    let lists = [info.files_sha256, info.left_out_sha256];
    let info =
        serde_json::to_vec_pretty(&info).context("failed to serialize a pack's description")?;
    files.push((".json", info));
    if !content.inputs.is_empty() {
        let inputs = serde_json::to_vec(&content.inputs)
            .context("failed to serialize a pack's record of inputs")?;
        files.push((INPUTS_SUFFIX, inputs));
    }
    for (suffix, bytes) in files {
        let path = relative(Utf8Path::new(PACKS_PATH)).join(format!("{}{suffix}", content.name));
        layer.bytes(&path, &bytes, Owners(image).file(&path, false))?;
    }
    Ok(lists)
}

impl Content {
    /// What the image says of the pack, whose files but for executables are `caches`.
    fn info(&self, image: &ImageToml, caches: &[PackedFile], files_sha256: Sha256Hash) -> PackInfo {
        let go_mod = relative(&image.go.gomodcache);
        let sum = |files: &[PackedFile]| files.iter().map(|file| file.size_bytes).sum();
        let is_ziphash = |path: &&Utf8PathBuf| path.extension() == Some("ziphash");
        let begun: BTreeSet<&Utf8PathBuf> = self.go_mod_files.iter().filter(is_ziphash).collect();
        PackInfo {
            schema: SCHEMA,
            name: self.name.clone(),
            modules: self
                .modules
                .iter()
                .map(|module| PackModule {
                    component: module.component.clone(),
                    path: module.path.clone(),
                })
                .collect(),
            go_modules: self.go_modules.len() as u64,
            go_mod_bytes: caches
                .iter()
                .filter(|file| file.path.starts_with(go_mod))
                .map(|file| file.size_bytes)
                .sum(),
            go_build_bytes: sum(&self.go_build_files),
            executables_bytes: sum(&self.executable_files),
            objects_bytes: sum(&self.object_files),
            files_sha256: Some(files_sha256),
            left_out_sha256: None,
            stubs: modules_of(&self.stubs).collect(),
            completed: modules_of(&self.go_modules)
                .filter(|module| !begun.contains(&module.download_file("ziphash")))
                .collect(),
        }
    }
}

fn modules_of(required: &[Required]) -> impl Iterator<Item = GoModule> {
    required.iter().map(|required| required.module.clone())
}

/// The folder of the image that executables are in.
fn executables_place(image: &ImageToml) -> &Utf8Path {
    if image.has_packed_executables() {
        Utf8Path::new(EXECUTABLES_PATH)
    } else {
        &image.go.gocache
    }
}

/// How layers are compressed whose content is.
pub fn compressed_already(image: &ImageToml) -> CompressionSettings {
    CompressionSettings {
        zstd_level: COMPRESSED_ALREADY,
        ..image.layers
    }
}

type Writer<'a> = LayerWriter<Box<dyn Fn(&Utf8Path) -> oci::layer::Meta + Send + 'a>>;

fn writer<'a>(
    image: &'a ImageToml,
    settings: CompressionSettings,
    blob: &Utf8Path,
) -> Result<Writer<'a>> {
    let owners = Owners(image);
    LayerWriter::create(
        blob,
        Compression::Zstd,
        settings,
        Box::new(move |folder| owners.folder(folder)),
    )
}

/// Writes the layer of object code, which is in `from`; none where there is none. The layer, and its files with their
/// paths in the image.
fn objects(
    image: &ImageToml,
    content: &Content,
    from: &Utf8Path,
    folder: &Utf8Path,
) -> Result<(Option<Layer>, Vec<PackedFile>)> {
    let mut files = Vec::new();
    if content.object_files.is_empty() {
        return Ok((None, files));
    }
    let mut layer = writer(image, compressed_already(image), &folder.join(OBJECTS))?;
    let place = (Utf8Path::new(OBJECTS_PATH), false);
    for file in &content.object_files {
        add_proven(image, &mut layer, place, file, from, &mut files)?;
    }
    Ok((Some(layer.finish()?), files))
}

/// Adds `path` of the cache that the image has at `cache`, and says whether it is a program; `folder` is where that cache
/// is here.
fn add(
    image: &ImageToml,
    layer: &mut Writer<'_>,
    (cache, is_program): (&Utf8Path, bool),
    path: &Utf8Path,
    folder: &Utf8Path,
) -> Result<PackedFile> {
    let target = relative(cache).join(path);
    let meta = Owners(image).file(&target, is_program);
    let source = folder.join(path);
    let (sha256, size_bytes) = if *cache == image.go.gomodcache && is_module_info(path) {
        let content = module_info::normalized(&source)?;
        layer.bytes(&target, &content, meta)?;
        (Sha256Hash::of(&content), content.len() as u64)
    } else {
        layer.file(&target, &source, meta)?
    };
    Ok(PackedFile {
        path: target,
        size_bytes,
        sha256,
    })
}

/// Adds a file whose digest is known, and which must still be what it was.
fn add_proven(
    image: &ImageToml,
    layer: &mut Writer<'_>,
    cache: (&Utf8Path, bool),
    proven: &PackedFile,
    folder: &Utf8Path,
    files: &mut Vec<PackedFile>,
) -> Result<()> {
    let packed = add(image, layer, cache, &proven.path, folder)?;
    programs::check_unchanged(&folder.join(&proven.path), packed.sha256, proven.sha256)?;
    files.push(packed);
    Ok(())
}

#[cfg(test)]
mod tests;
