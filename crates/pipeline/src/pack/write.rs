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
use crate::pack::kept::{CACHES, EXECUTABLES, OBJECTS};
use crate::pack::manifest::{Manifest, PackedFile, Timings, WarmModule};
use crate::pack::programs::{self, NewProgram};
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
    /// Programs whose executables are among these entries; none where they are packed.
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
        describe(image, &mut layer, &content, &files)?;
        Ok((layer.finish()?, files))
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
        programs::add(image, &mut layer, &content.name, &content.programs)?;
        Ok((Some(layer.finish()?), written))
    };
    let artifacts =
        || programs::write_artifacts(image, &content.programs, from.executables, folder);
    let (caches, (executables, artifacts)) =
        rayon::join(caches, || rayon::join(executables, artifacts));
    let ((caches, mut files), (executables, more)) = (caches?, executables?);
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
        caches,
        objects: object_layer,
        executables,
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
/// the other layers, whose digests are known beforehand, and what is left out.
fn describe(
    image: &ImageToml,
    layer: &mut Writer<'_>,
    content: &Content,
    caches: &[PackedFile],
) -> Result<()> {
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
    Ok(())
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
mod tests {
    use super::*;
    use crate::fixtures::{image, platform};
    use crate::pack::go_modules::DamagedModules;
    use crate::pack::kept::KeptPack;

    const MOD: &str = "cache/download/x/@v/v1.0.0.mod";
    const OUTPUT: &str = "entry";
    const OBJECT_CODE: &str = "tiny.zst";
    const EXECUTABLE: &str = "executable";

    fn left_out(image: &ImageToml) -> (Utf8PathBuf, Sha256Hash) {
        let path = image.go.gomodcache.join("x@v1.0.0/testdata/left-out");
        (path, Sha256Hash::of(b"left out"))
    }

    /// One Go module's `.mod`, one entry and one executable, each with its name as its content.
    fn content(image: &ImageToml, folder: &Utf8Path) -> Content {
        let put = |cache: &str, path: &str| {
            let file = folder.join(cache).join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, path).unwrap();
            PackedFile {
                path: path.into(),
                size_bytes: path.len() as u64,
                sha256: Sha256Hash::of(path.as_bytes()),
            }
        };
        Content {
            name: "tiny".into(),
            identity: image.identity(&platform()),
            modules: Vec::new(),
            go_modules: Vec::new(),
            stubs: Vec::new(),
            unchecked: Vec::new(),
            go_mod_files: vec![put("go-mod", MOD).path],
            left_out: Checksums::from_iter([left_out(image)]),
            go_build_files: vec![put("go-build", OUTPUT)],
            object_files: vec![put("objects", OBJECT_CODE)],
            executable_files: vec![put("executables", EXECUTABLE)],
            programs: Vec::new(),
            links_not_cached: Vec::new(),
            broken: Vec::new(),
            inputs: InputsRecord::default(),
            timings: Timings::default(),
        }
    }

    /// The pack `name` of `content`, whose files are below `folder`.
    fn written(folder: &Utf8Path, name: &str, content: Content) -> Result<KeptPack> {
        let [go_mod, go_build, objects, executables] =
            ["go-mod", "go-build", "objects", "executables"].map(|name| folder.join(name));
        let from = Folders {
            go_mod: &go_mod,
            go_build: &go_build,
            objects: &objects,
            executables: &executables,
        };
        let pack = folder.join(name);
        fs_err::create_dir(&pack)?;
        write(&image(), content, &from, &pack)?;
        KeptPack::read(&pack)
    }

    #[test]
    fn a_pack_lists_its_files_and_is_the_same_each_time() {
        let image = image();
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let [one, other] =
            ["one", "other"].map(|name| written(folder, name, content(&image, folder)).unwrap());
        assert_eq!(one.manifest.caches, other.manifest.caches);
        assert_eq!(one.manifest.executables, other.manifest.executables);

        let root = folder.join("root");
        fs_err::create_dir(&root).unwrap();
        oci::unpack::unpack_layers(&one.layers(), &root).unwrap();
        let packs = root.join(relative(Utf8Path::new(PACKS_PATH)));
        let list = fs_err::read(packs.join("tiny.sha256")).unwrap();
        let info: PackInfo =
            serde_json::from_slice(&fs_err::read(packs.join("tiny.json")).unwrap()).unwrap();
        assert_eq!(info.files_sha256, Some(Sha256Hash::of(&list)));
        let missing = fs_err::read(packs.join("tiny.left-out")).unwrap();
        assert_eq!(info.left_out_sha256, Some(Sha256Hash::of(&missing)));
        let missing = Checksums::read(missing.as_slice()).unwrap();
        assert_eq!(missing, Checksums::from_iter([left_out(&image)]));
        assert_eq!(info.go_mod_bytes, MOD.len() as u64);
        let list = Checksums::read(list.as_slice()).unwrap();
        let listed: BTreeSet<&Utf8Path> = list.iter().map(|(path, _)| relative(path)).collect();
        assert_eq!(listed, one.paths());
        assert_eq!(listed.len(), 4);
        for (path, digest) in list.iter() {
            let (found, _) = sha256::hash_file(&root.join(relative(path))).unwrap();
            assert_eq!(found, digest, "{path}");
        }
    }

    /// The pack of one program, whose executable is an entry of the build cache.
    fn program(image: &ImageToml, folder: &Utf8Path) -> (Content, Sha256Hash) {
        let mut content = content(image, folder);
        let store = gocache::Store::create(&folder.join("executables")).unwrap();
        let action = Sha256Hash::of(b"link");
        let entry = store.put_reader(&action, None, 3, &b"ELF"[..], 1).unwrap();
        let files = [store.action_path(&action), store.output_path(&entry.output)];
        let packed = |file: &Utf8PathBuf| PackedFile {
            path: file.strip_prefix(store.root()).unwrap().to_owned(),
            size_bytes: fs_err::metadata(file).unwrap().len(),
            sha256: sha256::hash_file(file).unwrap().0,
        };
        content.executable_files = files.iter().map(packed).collect();
        let source = folder.join("source");
        fs_err::create_dir_all(source.join("m")).unwrap();
        fs_err::write(source.join("m/Pulumi.yaml"), "name: mine\n").unwrap();
        let module = modules::Module {
            provider: "civo".into(),
            component: "one".into(),
            path: "m".into(),
            import_path: "m".into(),
            go_mod: "go.mod".into(),
            main: None,
        };
        content.programs = programs::of(&source, &[(&module, Some(action))], &store).unwrap();
        (content, entry.output)
    }

    #[test]
    fn a_program_is_its_entry_in_the_cache_and_an_artifact_of_the_same_content() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temporary.path()).unwrap();
        let (content, output) = program(&image(), folder);
        let pack = written(folder, "pack", content).unwrap();
        let root = folder.join("root");
        fs_err::create_dir(&root).unwrap();
        let executables = &pack.layers()[2..];
        oci::unpack::unpack_layers(executables, &root).unwrap();
        let below = |path: &Utf8Path| root.join(relative(path));
        let lists = below(gocache::image_info::programs::PROGRAM_LISTS_PATH.into());
        let [program] = &gocache::image_info::programs::Program::read_all(&lists).unwrap()[..]
        else {
            panic!("there is one program");
        };
        assert_eq!((program.sha256, program.size_bytes), (output, 3));
        let file = fs_err::metadata(below(&program.executable())).unwrap();
        let entry = gocache::Store::at(&below(&image().go.gocache)).output_path(&output);
        let entry = fs_err::metadata(entry).unwrap();
        assert_eq!((file.dev(), file.ino()), (entry.dev(), entry.ino()));
        assert_eq!(entry.permissions().mode() & 0o7777, 0o755);
        let time = u64::try_from(entry.mtime()).unwrap();
        assert_eq!(time, image().image.cache_entry_time);

        let artifacts = pack.artifacts();
        let there = folder.join("artifact");
        fs_err::create_dir(&there).unwrap();
        oci::unpack::unpack_layers(&artifacts, &there).unwrap();
        let read = |path: &str| fs_err::read_to_string(there.join(path)).unwrap();
        assert_eq!(read("one/one"), "ELF");
        let project = fs_err::read_to_string(below(&program.place()).join("Pulumi.yaml")).unwrap();
        assert_eq!(read("one/Pulumi.yaml"), project);
        assert!(project.starts_with("name: mine\n"), "{project}");
        assert_eq!(Sha256Hash::of(project.as_bytes()), program.project_sha256);
        assert_eq!(pack.manifest.programs[0].program, *program);
        assert_eq!(pack.paths().len(), 5, "a program is no other file");
    }

    #[test]
    fn a_program_that_changed_while_it_was_packed_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temporary.path()).unwrap();
        let (content, output) = program(&image(), folder);
        let file = gocache::Store::at(&folder.join("executables")).output_path(&output);
        fs_err::write(&file, "elf").unwrap();
        let (new, to) = (&content.programs, folder.join("artifacts"));
        fs_err::create_dir(&to).unwrap();
        let cache = folder.join("executables");
        let error = programs::write_artifacts(&image(), new, &cache, &to).unwrap_err();
        assert_eq!(
            failure::kind(&error, &[]),
            failure::Kind::Corrupt,
            "{error}"
        );
    }

    #[test]
    fn a_pack_is_the_same_whoever_told_of_its_go_modules() {
        const INFO: &str = "cache/download/x/@v/v1.0.0.info";
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let short = r#"{"Version":"v1.0.0","Time":"2024-10-30T16:33:24Z"}"#;
        let long = short.replace('}', r#","Origin":{"VCS":"git"}}"#);
        let [one, other] = [("one", short), ("other", &long)].map(|(name, info)| {
            let mut content = content(&image(), folder);
            fs_err::write(folder.join("go-mod").join(INFO), info).unwrap();
            content.go_mod_files.push(INFO.into());
            written(folder, name, content).unwrap()
        });
        assert_eq!(one.manifest.caches, other.manifest.caches);
        let is_info = |file: &&PackedFile| file.path.extension() == Some("info");
        let listed = other.manifest.files.iter().find(is_info).unwrap();
        assert_eq!(listed.sha256, Sha256Hash::of(short.as_bytes()));
        assert_eq!(listed.size_bytes, short.len() as u64);
    }

    #[test]
    fn an_entry_that_changed_while_it_was_packed_is_refused() {
        for (cache, entry) in [("go-build", OUTPUT), ("executables", EXECUTABLE)] {
            let temporary = tempfile::tempdir().unwrap();
            let folder = Utf8Path::from_path(temporary.path()).unwrap();
            let content = content(&image(), folder);
            let file = folder.join(cache).join(entry);
            fs_err::write(&file, entry.to_uppercase()).unwrap();
            let error = written(folder, "pack", content).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{file} changed while it was packed")
            );
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
        }
    }

    /// A Go module of two files, one of which is in another pack.
    #[test]
    fn a_part_of_a_go_module_is_compared_with_the_hash_of_all_of_it() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temporary.path()).unwrap();
        let image = image();
        let module = GoModule {
            path: "y".into(),
            version: "v1.0.0".into(),
        };
        let files = ["go.mod", "a.go"].map(|name| (name, Sha256Hash::of(name.as_bytes())));
        let sum = gocache::h1(&module, files);
        for (name, _) in files {
            let file = folder.join("go-mod").join(module.folder()).join(name);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, name).unwrap();
        }
        let pack = |name: &str, own: usize, is_stub: bool, other: Sha256Hash| {
            let mut content = content(&image, folder);
            content.name = name.into();
            content
                .go_mod_files
                .push(module.folder().join(files[own].0));
            if is_stub {
                let ziphash = module.download_file("ziphash");
                let file = folder.join("go-mod").join(&ziphash);
                fs_err::create_dir_all(file.parent().unwrap()).unwrap();
                fs_err::write(file, &sum).unwrap();
                content.go_mod_files.push(ziphash);
            }
            let elsewhere = image
                .go
                .gomodcache
                .join(module.folder())
                .join(files[1 - own].0);
            content.left_out = Checksums::from_iter([(elsewhere, other)]);
            let required = Required {
                module: module.clone(),
                sum: sum.clone(),
            };
            let modules = if is_stub {
                &mut content.stubs
            } else {
                &mut content.go_modules
            };
            modules.push(required);
            let pack = written(folder, name, content)?;
            let root = folder.join(format!("root-{name}"));
            fs_err::create_dir(&root).unwrap();
            oci::unpack::unpack_layers(&pack.layers(), &root).unwrap();
            let packs = root.join(relative(Utf8Path::new(PACKS_PATH)));
            let info = fs_err::read(packs.join(format!("{name}.json"))).unwrap();
            Ok::<PackInfo, anyhow::Error>(serde_json::from_slice(&info).unwrap())
        };
        let stub = pack("below", 0, true, files[1].1).unwrap();
        let others = pack("above", 1, false, files[0].1).unwrap();
        assert_eq!(
            (stub.stubs.as_slice(), stub.completed.len()),
            (&[module.clone()][..], 0)
        );
        assert_eq!(
            (others.stubs.len(), others.completed.as_slice()),
            (0, &[module.clone()][..])
        );
        for (name, own, is_stub) in [("damaged-stub", 0, true), ("damaged-others", 1, false)] {
            let error = pack(name, own, is_stub, Sha256Hash::of(b"else")).unwrap_err();
            let damaged: &DamagedModules = error.downcast_ref().expect("it says which");
            assert_eq!(damaged.0, std::slice::from_ref(&module));
        }
    }

    #[test]
    fn a_go_module_without_the_hash_of_its_download_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temporary.path()).unwrap();
        let image = image();
        let module = GoModule {
            path: "x".into(),
            version: "v1.0.0".into(),
        };
        let file = module.folder().join("a.go");
        fs_err::create_dir_all(folder.join("go-mod").join(module.folder())).unwrap();
        let go_file = folder.join("go-mod").join(&file);
        let files = [
            ("a.go", Sha256Hash::of(b"package a\n")),
            ("testdata/left-out", Sha256Hash::of(b"left out")),
        ];
        let sum = gocache::h1(&module, files);
        let pack = |name: &str, text: &str| {
            fs_err::write(&go_file, text).unwrap();
            let mut content = content(&image, folder);
            content.go_mod_files.push(file.clone());
            let (module, sum) = (module.clone(), sum.clone());
            content.go_modules = vec![Required { module, sum }];
            written(folder, name, content)
        };
        pack("sound", "package a\n").unwrap();
        let error = pack("damaged", "package b\n").unwrap_err();
        let damaged: &DamagedModules = error.downcast_ref().expect("it says which");
        assert_eq!(damaged.0, [module]);
    }
}
