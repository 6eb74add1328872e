//! Packs as they are written: what their layers and manifests hold, and what is refused.

use super::*;
use crate::fixtures::{image, platform};
use crate::image_toml::Executables;
use crate::pack::go_modules::DamagedModules;
use crate::pack::kept::KeptPack;
use gocache::image_info::programs::{PROGRAM_LISTS_PATH, Program};

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

/// The pack `name` of `content`, whose files are below `folder`; its executables are packed.
fn written(folder: &Utf8Path, name: &str, content: Content) -> Result<KeptPack> {
    written_as(&image(), folder, name, content)
}

fn written_as(
    image: &ImageToml,
    folder: &Utf8Path,
    name: &str,
    content: Content,
) -> Result<KeptPack> {
    let [go_mod, go_build, objects, executables] =
        ["go-mod", "go-build", "objects", "executables"].map(|name| folder.join(name));
    let executables = if image.has_packed_executables() {
        executables
    } else {
        go_build.clone()
    };
    let from = Folders {
        go_mod: &go_mod,
        go_build: &go_build,
        objects: &objects,
        executables: &executables,
    };
    let pack = folder.join(name);
    fs_err::create_dir(&pack)?;
    write(image, content, &from, &pack)?;
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

/// The pack of one program, and the digest of its executable.
fn program(image: &ImageToml, folder: &Utf8Path) -> (Content, Sha256Hash) {
    let mut content = content(image, folder);
    let store = gocache::Store::create(&folder.join("go-build")).unwrap();
    let action = Sha256Hash::of(b"link");
    let entry = store.put_reader(&action, None, 3, &b"ELF"[..], 1).unwrap();
    let files = [store.action_path(&action), store.output_path(&entry.output)];
    let packed = |file: &Utf8PathBuf| PackedFile {
        path: file.strip_prefix(store.root()).unwrap().to_owned(),
        size_bytes: fs_err::metadata(file).unwrap().len(),
        sha256: sha256::hash_file(file).unwrap().0,
    };
    if !image.has_packed_executables() {
        content.executable_files = files.iter().map(packed).collect();
    }
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
    content.programs = programs::of(
        &source,
        &[(&module, Some(action))],
        &programs::Folders::of([&module]),
        &store,
    )
    .unwrap();
    (content, entry.output)
}

#[test]
fn a_program_is_its_entry_in_the_cache_and_an_artifact_of_the_same_content() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let temporary = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(temporary.path()).unwrap();
    let mut image = image();
    image.caches.executables = Executables::Raw;
    let (content, output) = program(&image, folder);
    let pack = written_as(&image, folder, "pack", content).unwrap();
    let root = folder.join("root");
    let executables = &pack.layers()[2..];
    let program = &listed(executables, &root);
    let below = |path: &Utf8Path| root.join(relative(path));
    assert_eq!((program.sha256, program.size_bytes), (output, 3));
    let file = fs_err::metadata(below(&program.executable())).unwrap();
    let entry = gocache::Store::at(&below(&image.go.gocache)).output_path(&output);
    let entry = fs_err::metadata(entry).unwrap();
    assert_eq!((file.dev(), file.ino()), (entry.dev(), entry.ino()));
    assert_eq!(entry.permissions().mode() & 0o7777, 0o755);
    let time = u64::try_from(entry.mtime()).unwrap();
    assert_eq!(time, image.image.cache_entry_time);

    let project = fs_err::read_to_string(below(&program.place()).join("Pulumi.yaml")).unwrap();
    check_artifact(&pack, program, &project, &folder.join("artifact"));
    assert_eq!(pack.paths().len(), 5, "a program is no other file");
}

/// The one program that the lists in `layers` have, which are unpacked to `root`.
fn listed(layers: &[oci::layer::LayerBlob], root: &Utf8Path) -> Program {
    fs_err::create_dir(root).unwrap();
    oci::unpack::unpack_layers(layers, root).unwrap();
    let lists = root.join(relative(Utf8Path::new(PROGRAM_LISTS_PATH)));
    let mut programs = Program::read_all(&lists).unwrap();
    assert_eq!(programs.len(), 1);
    programs.remove(0)
}

/// Unpacks the artifact of `program`, whose Pulumi.yaml is `project`, to `there`.
fn check_artifact(pack: &KeptPack, program: &Program, project: &str, there: &Utf8Path) {
    fs_err::create_dir(there).unwrap();
    oci::unpack::unpack_layers(&pack.artifacts(), there).unwrap();
    let read = |path: &str| fs_err::read_to_string(there.join(path)).unwrap();
    assert_eq!(read("one/one"), "ELF");
    assert_eq!(read("one/Pulumi.yaml"), project);
    assert!(project.starts_with("name: mine\n"), "{project}");
    assert_eq!(Sha256Hash::of(project.as_bytes()), program.project_sha256);
    let packed = &pack.manifest.programs[0].program;
    let project = program.project.clone();
    assert_eq!(
        Program {
            project,
            ..packed.clone()
        },
        *program
    );
}

#[test]
fn where_executables_are_packed_programs_are_a_layer_of_their_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let temporary = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(temporary.path()).unwrap();
    let (content, output) = program(&image(), folder);
    let pack = written(folder, "pack", content).unwrap();
    let layers = pack.layers();
    assert_eq!(layers.len(), 4);
    let (without_go, with_caches) = (folder.join("run"), folder.join("caches"));
    let program = listed(&layers[3..], &without_go);
    let file = without_go.join(relative(&program.executable()));
    assert_eq!(sha256::hash_file(&file).unwrap().0, output);
    let mode = fs_err::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
    let project = file.with_file_name("Pulumi.yaml");
    let project = fs_err::read_to_string(project).unwrap();
    check_artifact(&pack, &program, &project, &folder.join("artifact"));

    let packed = listed(&layers[..3], &with_caches);
    assert!(!with_caches.join(relative(&packed.place())).exists());
    let project = Some(project);
    assert_eq!(packed, Program { project, ..program });
    let listed = pack.paths();
    let executable = relative(Utf8Path::new(EXECUTABLES_PATH)).join(EXECUTABLE);
    assert!(listed.contains(executable.as_path()), "{listed:?}");
    assert_eq!(listed.len(), 4, "a program is no other file");
}

#[test]
fn a_program_that_changed_while_it_was_packed_is_refused() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(temporary.path()).unwrap();
    let (content, output) = program(&image(), folder);
    let file = gocache::Store::at(&folder.join("go-build")).output_path(&output);
    fs_err::write(&file, "elf").unwrap();
    let (new, to) = (&content.programs, folder.join("artifacts"));
    fs_err::create_dir(&to).unwrap();
    let cache = folder.join("go-build");
    let error = programs::write_artifacts(&image(), new, &cache, &to).unwrap_err();
    let is_corrupt = |error: &anyhow::Error| {
        assert_eq!(failure::kind(error, &[]), failure::Kind::Corrupt, "{error}");
    };
    is_corrupt(&error);
    is_corrupt(&written(folder, "pack", content).unwrap_err());
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
