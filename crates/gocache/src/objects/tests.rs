//! From a cache with whole archives to one without object code, and back.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use sha256::{Sha256Hash, hash_file};

use super::archive::tests::archive;
use super::*;
use crate::{ActionEntry, Error, FileKind, Store};

fn time() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(2_114_380_800)
}

struct Fixture {
    folder: tempfile::TempDir,
    plain: Store,
    lean: Store,
    cut: Vec<ExportOnly>,
}

impl Fixture {
    /// A cache with `outputs` by name of their actions, packed as the pack `p`.
    fn new(outputs: &[(&str, Vec<u8>)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        let [plain, lean] = ["plain", "lean"].map(|name| Store::create(&path.join(name)).unwrap());
        for (name, bytes) in outputs {
            let action = Sha256Hash::of(name.as_bytes());
            let size = bytes.len() as u64;
            plain
                .put_reader(&action, None, size, bytes.as_slice(), 7)
                .unwrap();
        }
        let sealed = plain.seal(time()).unwrap();
        let cut = export_only(&plain, &sealed.files, &lean, time()).unwrap();
        let fixture = Self {
            folder,
            plain,
            lean,
            cut,
        };
        fixture.pack();
        fixture
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).unwrap().join(name)
    }

    fn pack(&self) -> Index {
        let objects = self.path("objects");
        if objects.exists() {
            fs_err::remove_dir_all(&objects).unwrap();
        }
        fs_err::create_dir(&objects).unwrap();
        let whole = |archive: &ExportOnly| self.plain.output_path(&archive.whole);
        let index = pack(&self.cut, whole, 3, &objects.join("p.zst")).unwrap();
        fs_err::write(objects.join("p.json"), index.to_json()).unwrap();
        index
    }

    fn objects(&self) -> Objects {
        Objects::open(&self.path("objects")).unwrap()
    }

    fn incomplete(&self) -> Vec<Incomplete> {
        let incomplete = |cut: &ExportOnly| Incomplete {
            export_only: self.lean.output_path(&cut.export_only),
            digest: cut.export_only,
            whole: self.path(&format!("{}.a", cut.whole)),
        };
        self.cut.iter().map(incomplete).collect()
    }
}

fn outputs() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("one", archive("go object one\n", &[1; 5000])),
        ("two", archive("go object two, odd\n", &[2; 70_000])),
        ("index", b"go index v2\n".to_vec()),
        ("empty", Vec::new()),
    ]
}

fn corrupt(error: &Error) -> String {
    assert_eq!(error.kind(), Some(failure::Kind::Corrupt), "{error}");
    error.to_string()
}

#[test]
fn a_cache_without_object_code_is_whole_by_itself_and_gives_back_the_one_it_was_made_of() {
    let fixture = Fixture::new(&outputs());
    let lean = fixture.lean.seal(time()).unwrap();
    assert_eq!(lean.files.len(), 8);
    assert_eq!(fixture.cut.len(), 2);
    for archive in &fixture.cut {
        let path = fixture.lean.output_path(&archive.export_only);
        let (digest, size) = hash_file(&path).unwrap();
        assert_eq!((digest, size), (archive.export_only, archive.export_bytes));
        let [action] = archive.actions[..] else {
            panic!("{archive:?}");
        };
        let entry = fixture.lean.get(&action).unwrap().unwrap();
        assert_eq!((entry.output, entry.size_bytes), (digest, size));
        assert_eq!(fs_err::metadata(path).unwrap().modified().unwrap(), time());
    }
    let again = Store::create(&fixture.path("again")).unwrap();
    whole(&fixture.lean, &fixture.objects(), &again).unwrap();
    assert_eq!(
        again.seal(time()).unwrap(),
        fixture.plain.seal(time()).unwrap()
    );
}

#[test]
fn packing_again_gives_the_same_bytes_and_a_frame_ends_where_it_is_large_enough() {
    let large = |byte: u8| archive(&format!("go object {byte}\n"), &vec![byte; 20 << 20]);
    let names = ["one", "two", "three", "four"];
    let outputs: Vec<_> = names
        .iter()
        .zip(1..)
        .map(|(name, byte)| (*name, large(byte)))
        .collect();
    let fixture = Fixture::new(&outputs);
    let index = fixture.pack();
    let data = fs_err::read(fixture.path("objects/p.zst")).unwrap();
    assert_eq!(
        index
            .frames
            .iter()
            .map(|it| it.archives.len())
            .collect::<Vec<_>>(),
        [2, 2]
    );
    let one = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    assert_eq!(one.install(|| fixture.pack()), index);
    assert_eq!(fs_err::read(fixture.path("objects/p.zst")).unwrap(), data);
    // Only what is asked for is unpacked, wherever it is.
    let wanted = fixture.incomplete().split_off(3);
    fixture.objects().complete(&wanted).unwrap();
    assert_eq!(hash_file(&wanted[0].whole).unwrap().0, fixture.cut[3].whole);
}

#[test]
fn an_archive_whose_object_code_is_damaged_or_not_there_is_never_handed_out() {
    let fixture = Fixture::new(&outputs());
    let data = fixture.path("objects/p.zst");
    let sound = fs_err::read(&data).unwrap();
    let mut harmless = Vec::new();
    for place in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[place] ^= 1;
        fs_err::write(&data, damaged).unwrap();
        match &fixture.objects().check(&fixture.incomplete())[..] {
            [error] => {
                let said = corrupt(error);
                assert!(said.contains("p.zst is corrupt: frame 0: "), "{said}");
            }
            // Of the frame's header, what does not change what it unpacks to.
            errors => {
                assert!(errors.is_empty(), "{errors:?}");
                harmless.push(place);
            }
        }
    }
    assert!(harmless.iter().all(|place| *place < 18), "{harmless:?}");
    fs_err::write(&data, &sound).unwrap();
    assert!(fixture.objects().check(&fixture.incomplete()).is_empty());

    let mut other = fixture.incomplete();
    other[0].export_only = fixture.lean.output_path(&fixture.cut[1].export_only);
    let said = corrupt(&fixture.objects().check(&other)[0]);
    assert!(said.contains("is not whole with it"), "{said}");
    let mut unknown = fixture.incomplete();
    unknown[1].digest = Sha256Hash::of(b"?");
    let said = corrupt(&fixture.objects().complete(&unknown).unwrap_err());
    assert!(said.contains("no pack has it"), "{said}");
    assert!(
        !unknown[0].whole.exists(),
        "nothing is written before all is found"
    );
}

#[test]
fn an_index_that_does_not_fit_is_refused() {
    let fixture = Fixture::new(&outputs());
    let index = fixture.path("objects/p.json");
    let sound = fs_err::read_to_string(&index).unwrap();
    let open = || Objects::open(&fixture.path("objects")).unwrap_err();
    for (from, to) in [
        ("\"schema\":1", "\"schema\":2"),
        ("\"bytes\":", "\"bytes\":1"),
        ("{", ""),
    ] {
        fs_err::write(&index, sound.replacen(from, to, 1)).unwrap();
        assert!(corrupt(&open()).contains("p.json"));
    }
    fs_err::write(&index, &sound).unwrap();
    fs_err::remove_file(fixture.path("objects/p.zst")).unwrap();
    assert!(open().to_string().contains("p.zst"));
    assert!(Objects::open(&fixture.path("nowhere")).unwrap().is_empty());
}

#[test]
fn packs_with_other_object_code_of_one_archive_are_refused_and_with_the_same_are_not() {
    let fixture = Fixture::new(&outputs());
    let [of, other] = ["p", "q"].map(|name| fixture.path(&format!("objects/{name}")));
    fs_err::copy(format!("{of}.zst"), format!("{other}.zst")).unwrap();
    let index = fs_err::read_to_string(format!("{of}.json")).unwrap();
    fs_err::write(format!("{other}.json"), &index).unwrap();
    assert_eq!(fixture.objects().archives().count(), 4);
    let another = Sha256Hash::of(b"another").to_string();
    let changed = index.replacen(&fixture.cut[0].whole.to_string(), &another, 1);
    fs_err::write(format!("{other}.json"), changed).unwrap();
    let said = corrupt(&Objects::open(&fixture.path("objects")).unwrap_err());
    assert!(
        said.contains("q.zst is corrupt: frame 0: there is other object code"),
        "{said}"
    );
}

#[test]
fn two_archives_that_only_object_code_tells_apart_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(folder.path()).unwrap();
    let [plain, lean] = ["plain", "lean"].map(|name| Store::create(&path.join(name)).unwrap());
    for code in [b"one", b"two"] {
        let bytes = archive("go object\n", code);
        let (action, size) = (Sha256Hash::of(code), bytes.len() as u64);
        plain
            .put_reader(&action, None, size, bytes.as_slice(), 7)
            .unwrap();
    }
    let sealed = plain.seal(time()).unwrap();
    let error = export_only(&plain, &sealed.files, &lean, time()).unwrap_err();
    assert!(corrupt(&error).contains("other object code"));
}

#[test]
fn an_entry_of_an_output_that_another_pack_has_is_cut_too() {
    let fixture = Fixture::new(&outputs());
    let archive = &fixture.cut[0];
    let action = Sha256Hash::of(b"another action");
    let entry = fixture.plain.get(&archive.actions[0]).unwrap().unwrap();
    let path = fixture.plain.action_path(&action);
    fs_err::write(&path, ActionEntry { action, ..entry }.to_bytes()).unwrap();
    let sealed = fixture.plain.seal(time()).unwrap();
    let is_new = |path: &Utf8Path| FileKind::of(path) == FileKind::Action(action);
    let delta: Vec<_> = sealed
        .files
        .into_iter()
        .filter(|it| is_new(&it.path))
        .collect();
    assert_eq!(
        export_only(&fixture.plain, &delta, &fixture.lean, time()).unwrap(),
        []
    );
    let found = fixture.lean.get(&action).unwrap().unwrap();
    assert_eq!(found.output, archive.export_only);
}

#[test]
fn the_script_says_what_the_program_says_and_runs_everything_else_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8Path::from_path(folder.path()).unwrap();
    let (script, tool) = (path.join("toolexec"), path.join("compile"));
    write_script(&script).unwrap();
    for said in [
        "compile version go1.27.4",
        "compile version go1.27.4 X:nocoverageredesign",
        "compile version devel go1.28-abc buildID=a/b/c/d",
    ] {
        let text = format!(
            "#!/bin/sh\nif [ \"$1\" = -V=full ]; then echo '{said}'; else echo \"$@\"; exit 3; fi"
        );
        fs_err::write(&tool, text).unwrap();
        let run = |arguments: &[&str]| {
            #[expect(
                clippy::disallowed_methods,
                reason = "this crate has no wrapper for it"
            )]
            let output = std::process::Command::new("sh")
                .arg(&script)
                .arg(&tool)
                .args(arguments)
                .output()
                .unwrap();
            (
                output.status.code(),
                String::from_utf8(output.stdout).unwrap(),
            )
        };
        fs_err::set_permissions(&tool, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        assert_eq!(run(&["-V=full"]), (Some(0), version(said)));
        assert_eq!(run(&["-o", "a b"]), (Some(3), "-o a b\n".to_owned()));
    }
}
