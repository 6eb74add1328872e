//! Merges of small packs, from manifests to files.

use super::*;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use camino::Utf8PathBuf;
use gocache::{Checksums, InputsRecord};
use sha256::Sha256Hash;

use crate::image_toml::{Executables, ImageToml};
use crate::pack::manifest::{PackedFile, Timings};
use crate::pack::write;
use crate::pack::write::Content;
use oci::layer;
use oci::platform::Platform;

const MOD: &str = "go-mod/cache/download/x/@v/v1.0.0.mod";
const INFO: &str = "go-mod/cache/download/x/@v/v1.0.0.info";
const EARLIER: &str = r#"{"Version":"v1.0.0","Time":"2024-01-01T00:00:00Z"}"#;
const LATER: &str = r#"{"Version":"v1.0.0","Time":"2024-01-02T00:00:00Z"}"#;
const SOURCE: &str = "go-mod/x@v1.0.0/sub/a.go";

/// A file of a pack: its path in the merged tree, and its content.
type PackFile<'a> = (&'a str, &'a str);

struct Fixture {
    _folder: tempfile::TempDir,
    folder: Utf8PathBuf,
    image: ImageToml,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut image = ImageToml::read(&crate::workspace::image_toml()).unwrap();
        image.caches.executables = Executables::Raw;
        Self {
            folder: Utf8Path::from_path(folder.path()).unwrap().to_owned(),
            _folder: folder,
            image,
        }
    }

    /// A pack of these files; the last output, if there is one, is an executable.
    fn pack(&self, name: &str, files: &[PackFile<'_>]) -> KeptPack {
        let made = self.folder.join(format!("made-{name}"));
        let (go_mod, go_build) = (made.join(GO_MOD), made.join(GO_BUILD));
        let (mut go_mod_files, mut go_build_files) = (Vec::new(), Vec::new());
        for (path, content) in files {
            let file = made.join(path);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(&file, content).unwrap();
            if let Ok(path) = file.strip_prefix(&go_mod) {
                go_mod_files.push(path.to_owned());
            } else {
                go_build_files.push(PackedFile {
                    path: file.strip_prefix(&go_build).unwrap().to_owned(),
                    size_bytes: content.len() as u64,
                    sha256: Sha256Hash::of(content.as_bytes()),
                });
            }
        }
        let is_output = |file: &PackedFile| file.path.as_str().ends_with("-d");
        let executable = go_build_files.iter().rposition(is_output);
        let executable = executable.map(|number| go_build_files.remove(number));
        let content = Content {
            object_files: Vec::new(),
            name: name.to_owned(),
            identity: self.image.identity(&Platform::host()),
            modules: Vec::new(),
            go_modules: Vec::new(),
            stubs: Vec::new(),
            go_mod_files,
            left_out: Checksums::default(),
            go_build_files,
            executable_files: Vec::from_iter(executable),
            unchecked: Vec::new(),
            programs: Vec::new(),
            links_not_cached: Vec::new(),
            broken: Vec::new(),
            inputs: InputsRecord::default(),
            timings: Timings::default(),
        };
        let folder = self.folder.join(format!("pack-{name}"));
        fs_err::create_dir(&folder).unwrap();
        let from = write::Folders {
            go_mod: &go_mod,
            go_build: &go_build,
            objects: &go_build,
            executables: &go_build,
        };
        write::write(&self.image, content, &from, &folder).unwrap();
        KeptPack::read(&folder).unwrap()
    }

    fn out(&self) -> Utf8PathBuf {
        self.folder.join("out/merged-cache")
    }

    /// The names beside the merged tree.
    fn beside(&self) -> Vec<String> {
        let names = fs_err::read_dir(self.folder.join("out")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }

    /// The message of the failed merge of `packs`, which must have left nothing.
    fn refusal(&self, packs: &[KeptPack], exit: u8) -> String {
        let error = merge(packs, &self.out()).unwrap_err();
        let kind = failure::kind(&error, &[gocache::Error::classify]);
        assert_eq!(kind.exit_code(), exit, "{error:#}");
        if self.folder.join("out").is_dir() {
            assert_eq!(self.beside(), [""; 0]);
        }
        format!("{error:#}")
    }
}

/// The path of the entry or output whose ID is the hash of `name`.
fn entry(name: &str, suffix: &str) -> String {
    let id = Sha256Hash::of(name.as_bytes()).to_string();
    format!("{GO_BUILD}/{}/{id}-{suffix}", &id[..2])
}

/// Everything in `tree` but folders, with its content.
fn files(tree: &Utf8Path) -> BTreeMap<String, String> {
    walkdir::WalkDir::new(tree)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file() && entry.file_name() != MARKER)
        .map(|entry| {
            let path = entry.path().strip_prefix(tree).unwrap();
            let content = fs_err::read_to_string(entry.path()).unwrap();
            (path.to_str().unwrap().to_owned(), content)
        })
        .collect()
}

fn names(record: &Record) -> Vec<&str> {
    record.packs.iter().map(|pack| pack.name.as_str()).collect()
}

#[test]
fn packs_become_one_tree_with_the_modes_and_times_of_their_layers() {
    let fixture = Fixture::new();
    let (action, output) = (entry("x", "a"), entry("x", "d"));
    let packs = [
        fixture.pack("civo", &[(MOD, "m"), (&action, "a"), (&output, "exe")]),
        fixture.pack("common", &[(MOD, "m"), (SOURCE, "s")]),
    ];
    let merged = merge(&packs, &fixture.out()).unwrap();
    assert!(merged.was_made);
    let record = merged.record;
    assert_eq!(names(&record), ["common", "civo"]);
    assert_eq!((record.files, record.size_bytes, record.shared), (4, 6, 1));
    let counts = record
        .packs
        .iter()
        .map(|pack| (pack.files, pack.shared, pack.conflicts));
    assert_eq!(counts.collect::<Vec<_>>(), [(2, 1, 0), (3, 1, 0)]);
    let expected = [
        (MOD, "m"),
        (SOURCE, "s"),
        (action.as_str(), "a"),
        (output.as_str(), "exe"),
    ];
    let expected = expected.map(|(path, content)| (path.to_owned(), content.to_owned()));
    assert_eq!(files(&fixture.out()), BTreeMap::from(expected));

    let image = &fixture.image.image;
    for (path, mode, time) in [
        (action.as_str(), 0o644, image.cache_entry_time),
        (&output, 0o755, image.cache_entry_time),
        (GO_BUILD, 0o755, image.epoch),
        (GO_MOD, 0o755, image.epoch),
        (MOD, 0o644, image.epoch),
        (SOURCE, 0o444, image.epoch),
        ("go-mod/x@v1.0.0", 0o555, image.epoch),
        ("go-mod/x@v1.0.0/sub", 0o555, image.epoch),
    ] {
        let found = fs_err::metadata(fixture.out().join(path)).unwrap();
        assert_eq!(
            (found.mode() & 0o7777, u64::try_from(found.mtime()).unwrap()),
            (mode, time),
            "{path}"
        );
    }
}

#[test]
fn packs_of_another_identity_are_refused_with_what_differs() {
    let fixture = Fixture::new();
    let mut packs = [
        fixture.pack("common", &[(MOD, "m")]),
        fixture.pack("civo", &[(MOD, "m")]),
        fixture.pack("auth0", &[(MOD, "m")]),
    ];
    packs[1].manifest.identity.goflags = "-race".into();
    packs[1].manifest.identity.go_version = "go1.2".into();
    let refusal = fixture.refusal(&packs, 2);
    assert!(
        refusal.contains("in civo GOVERSION is \"go1.2\", not"),
        "{refusal}"
    );
    assert!(refusal.contains("GOFLAGS is \"-race\", not"), "{refusal}");
    assert!(!refusal.contains("auth0"), "{refusal}");
}

#[test]
fn two_packs_of_one_name_are_refused() {
    let fixture = Fixture::new();
    let one = fixture.pack("civo", &[(MOD, "m")]);
    let mut other = fixture.pack("auth0", &[(MOD, "m")]);
    other.manifest.name = "civo".into();
    let refusal = fixture.refusal(&[one, other], 2);
    for folder in ["pack-civo", "pack-auth0", "both packs of civo"] {
        assert!(refusal.contains(folder), "{refusal}");
    }
}

#[test]
fn conflicts_are_counted_and_end_the_same_in_any_order() {
    let fixture = Fixture::new();
    let (one, two) = (entry("one", "a"), entry("two", "a"));
    let mut packs = vec![
        fixture.pack("common", &[(&one, "common's"), (MOD, "m")]),
        fixture.pack(
            "auth0",
            &[(&one, "auth0's"), (&two, "auth0's"), (INFO, EARLIER)],
        ),
        fixture.pack(
            "civo",
            &[(&one, "common's"), (&two, "civo's"), (INFO, LATER)],
        ),
    ];
    let mut records = Vec::new();
    for number in 0..6 {
        // Rotated, and turned round half the time: all six orders.
        packs.rotate_left(1);
        if number == 3 {
            packs.reverse();
        }
        let out = fixture.folder.join(format!("out-{number}"));
        records.push(merge(&packs, &out).unwrap().record);
        let files = files(&out);
        assert_eq!(files[&one], "common's");
        assert_eq!(files[&two], "auth0's");
        assert_eq!(files[INFO], EARLIER);
        assert_eq!(files.len(), 4);
    }
    let first = &records[0];
    assert!(records.iter().all(|record| record == first));
    let shown: Vec<_> = first
        .conflicts
        .iter()
        .map(|conflict| (conflict.path.as_str(), conflict.packs.join(" ")))
        .collect();
    let mut expected = vec![
        (one.as_str(), "common auth0 civo".to_owned()),
        (&two, "auth0 civo".to_owned()),
        (INFO, "auth0 civo".to_owned()),
    ];
    expected.sort();
    assert_eq!(shown, expected);
    let counts = first.packs.iter().map(|pack| (pack.shared, pack.conflicts));
    assert_eq!(counts.collect::<Vec<_>>(), [(0, 1), (0, 3), (0, 3)]);
}

#[test]
fn content_that_can_only_be_right_once_is_refused_where_packs_differ() {
    for path in [MOD.to_owned(), SOURCE.to_owned(), entry("x", "d")] {
        let fixture = Fixture::new();
        let packs = [
            fixture.pack("common", &[(&path, "one")]),
            fixture.pack("civo", &[(&path, "two")]),
        ];
        let refusal = fixture.refusal(&packs, 4);
        assert!(refusal.contains(&path), "{refusal}");
        assert!(refusal.contains("common, civo"), "{refusal}");
    }
}

#[test]
fn a_file_where_another_pack_has_a_folder_is_refused() {
    let fixture = Fixture::new();
    let packs = [
        fixture.pack("common", &[("go-mod/x", "file")]),
        fixture.pack("civo", &[("go-mod/x/y", "below")]),
    ];
    let refusal = fixture.refusal(&packs, 4);
    assert!(
        refusal.contains("go-mod/x is a file in pack common"),
        "{refusal}"
    );
}

#[test]
fn a_list_that_leads_out_of_the_caches_is_refused() {
    for path in [
        "etc/passwd",
        "var/cache/go-mod/../../../etc/passwd",
        "var/cache/go-mod",
    ] {
        let fixture = Fixture::new();
        let mut pack = fixture.pack("civo", &[(MOD, "m")]);
        pack.manifest.files[0].path = path.into();
        let refusal = fixture.refusal(&[pack], 4);
        assert!(refusal.contains(path), "{refusal}");
    }
}

#[test]
fn a_flipped_byte_in_a_layer_is_found_and_leaves_nothing() {
    let fixture = Fixture::new();
    let content = "the content";
    let pack = fixture.pack("civo", &[(MOD, content)]);
    let kept = &pack.layers()[0];
    let whole = fs_err::read(&kept.blob).unwrap();
    let mut tar = Vec::new();
    layer::reader(&kept.blob, Some(kept.layer.compression))
        .unwrap()
        .read_to_end(&mut tar)
        .unwrap();
    let place = tar
        .windows(content.len())
        .position(|window| window == content.as_bytes())
        .unwrap();
    tar[place] ^= 1;
    fs_err::write(&kept.blob, zstd::encode_all(tar.as_slice(), 1).unwrap()).unwrap();
    let refusal = fixture.refusal(std::slice::from_ref(&pack), 4);
    for part in ["pack civo", "pack-civo", MOD, "the digest"] {
        assert!(refusal.contains(part), "{refusal}");
    }
    // A layer that ends early, and one that is none at all.
    for damaged in [&whole[..whole.len() / 2], b"nothing of the kind"] {
        fs_err::write(&kept.blob, damaged).unwrap();
        let refusal = fixture.refusal(std::slice::from_ref(&pack), 4);
        assert!(refusal.contains("pack civo"), "{refusal}");
    }
    fs_err::write(&kept.blob, whole).unwrap();
    assert!(merge(&[pack], &fixture.out()).unwrap().was_made);
}

#[test]
fn files_that_are_missing_or_not_listed_are_found() {
    let fixture = Fixture::new();
    let pack = fixture.pack("civo", &[(MOD, "m"), (SOURCE, "s")]);
    let mut missing = pack.clone();
    let mut absent = missing.manifest.files[0].clone();
    absent.path = absent.path.with_file_name("absent.mod");
    missing.manifest.files.push(absent);
    let refusal = fixture.refusal(&[missing], 4);
    assert!(
        refusal.contains("absent.mod is in none of its layers"),
        "{refusal}"
    );
    let mut unlisted = pack;
    let left_out = unlisted.manifest.files.remove(0);
    let refusal = fixture.refusal(&[unlisted], 4);
    assert!(refusal.contains("not in its list"), "{refusal}");
    assert!(refusal.contains(left_out.path.as_str()), "{refusal}");
}

#[test]
fn a_complete_tree_stays_and_any_other_is_made_anew() {
    let fixture = Fixture::new();
    let packs = [
        fixture.pack("common", &[(MOD, "m"), (SOURCE, "s")]),
        fixture.pack("civo", &[(&entry("x", "d"), "exe")]),
    ];
    let out = fixture.out();
    let inode = || fs_err::metadata(&out).unwrap().ino();
    let first = merge(&packs, &out).unwrap();
    let made = inode();
    // Go adds to a cache that it uses.
    fs_err::write(out.join("go-build/trim.txt"), "1").unwrap();
    let again = merge(&packs, &out).unwrap();
    assert_eq!((again.was_made, inode()), (false, made));
    assert_eq!(again.record, first.record);

    fs_err::write(out.join(MOD), "longer").unwrap();
    let mended = merge(&packs, &out).unwrap();
    assert_eq!(
        mended.damage,
        Some(format!("{MOD} has 6 bytes instead of 1"))
    );
    assert_eq!(fs_err::read_to_string(out.join(MOD)).unwrap(), "m");
    assert_ne!(inode(), made);

    let fewer = merge(&packs[..1], &out).unwrap();
    assert!(fewer.was_made && fewer.damage.is_none());
    assert_eq!(files(&out).len(), 2);
    fs_err::write(out.join(MARKER), "{").unwrap();
    assert!(merge(&packs[..1], &out).unwrap().was_made);
    assert_eq!(fixture.beside(), ["merged-cache"]);
}

#[test]
fn a_folder_of_somebody_else_stays() {
    let fixture = Fixture::new();
    let packs = [fixture.pack("civo", &[(MOD, "m")])];
    let out = fixture.out();
    fs_err::create_dir_all(&out).unwrap();
    fs_err::write(out.join("thesis.tex"), "x").unwrap();
    let refusal = merge(&packs, &out).unwrap_err().to_string();
    assert!(refusal.contains("is not a merged cache"), "{refusal}");
    fs_err::remove_file(out.join("thesis.tex")).unwrap();
    assert!(merge(&packs, &out).unwrap().was_made);
}

#[test]
fn merges_into_one_folder_wait_for_each_other() {
    let fixture = Fixture::new();
    let packs = [
        fixture.pack("common", &[(MOD, "m"), (SOURCE, "s")]),
        fixture.pack("civo", &[(&entry("x", "d"), "exe")]),
    ];
    let out = fixture.out();
    let made = std::thread::scope(|scope| {
        let merges: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| merge(&packs, &out).unwrap().was_made))
            .collect();
        let made = merges.into_iter().map(|merge| merge.join().unwrap());
        made.filter(|was_made| *was_made).count()
    });
    assert_eq!(made, 1);
    assert_eq!(files(&out).len(), 3);
    // Of other packs each time: whoever is last, its tree is whole.
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (packs, out) = (&packs[..=number % 2], &out);
            scope.spawn(move || merge(packs, out).unwrap());
        }
    });
    let left = files(&out).len();
    assert!(left == 2 || left == 3, "{left}");
    let last = &packs[..left - 1];
    assert!(!merge(last, &out).unwrap().was_made);
    assert_eq!(fixture.beside(), ["merged-cache"]);
}

#[test]
fn what_a_killed_merge_left_is_removed_and_its_old_tree_comes_back() {
    let fixture = Fixture::new();
    let packs = [fixture.pack("civo", &[(MOD, "m")])];
    let out = fixture.out();
    let partial = fixture.folder.join("out/.merged-cache.partial");
    let leave = || {
        let folder = partial.join("go-mod/x@v1.0.0");
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::write(folder.join("half"), "x").unwrap();
        fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    };
    leave();
    merge(&packs, &out).unwrap();
    assert_eq!(fixture.beside(), ["merged-cache"]);
    // Killed after the old tree had made room.
    leave();
    fs_err::rename(&out, partial.with_file_name(".merged-cache.old")).unwrap();
    assert!(!merge(&packs, &out).unwrap().was_made);
    assert_eq!(fixture.beside(), ["merged-cache"]);
}
