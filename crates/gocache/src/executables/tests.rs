//! From a build cache to packed executables, and back.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use sha256::Sha256Hash;

use super::*;
use crate::{Error, Store, in_build_id};

const TIME_NS: i64 = 2_114_380_800_000_000_000;

struct Fixture {
    folder: tempfile::TempDir,
    store: Store,
    linked: Vec<Linked>,
}

/// Bytes that do not compress.
fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut hash = Sha256Hash::of(&[seed]);
    while bytes.len() < length {
        bytes.extend_from_slice(hash.as_bytes());
        hash = Sha256Hash::of(hash.as_bytes());
    }
    bytes.truncate(length);
    bytes
}

impl Fixture {
    /// Executables that have nearly all in common, but for the last, packed as the pack `p`.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        let store = Store::create(&path.join("cache")).unwrap();
        let common = noise(0, 100_000);
        let executables = [
            ("apis/one/pulumi", common.clone()),
            ("apis/two/pulumi", [noise(1, 100), common.clone()].concat()),
            ("two/pulumi", [noise(2, 100), common].concat()),
            ("apis/other/pulumi", noise(3, 50_000)),
        ];
        let linked = executables.map(|(program, content)| {
            let action = Sha256Hash::of(program.as_bytes());
            let size = content.len() as u64;
            let entry = store.put_reader(&action, None, size, &content[..], TIME_NS);
            Linked {
                program: program.into(),
                entry: entry.unwrap(),
            }
        });
        let fixture = Self {
            folder,
            store,
            linked: linked.into(),
        };
        fixture.pack();
        fixture
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).unwrap().join(name)
    }

    fn pack(&self) -> Index {
        let packed = self.path("packed");
        if packed.exists() {
            fs_err::remove_dir_all(&packed).unwrap();
        }
        fs_err::create_dir(&packed).unwrap();
        let data = packed.join("p.zst");
        let index = pack(&self.store, &self.linked, 9, &data).unwrap();
        fs_err::write(packed.join("p.json"), index.to_json()).unwrap();
        index
    }

    fn executables(&self) -> Executables {
        Executables::open(&self.path("packed")).unwrap()
    }
}

fn corrupt(error: &Error) -> String {
    assert_eq!(error.kind(), Some(failure::Kind::Corrupt), "{error}");
    error.to_string()
}

#[test]
fn each_is_put_into_a_cache_as_it_was_in_the_one_that_it_is_from() {
    let fixture = Fixture::new();
    let sealed = |store: &Store| {
        let mut files = Vec::new();
        for file in store.files().unwrap() {
            let path = store.root().join(&file.path);
            files.push((file.path, fs_err::read(path).unwrap()));
        }
        files
    };
    let [shipped, own] = ["shipped", "own"].map(|it| Store::create(&fixture.path(it)).unwrap());
    for packed in fixture.executables().all() {
        assert!(!packed.is_in(&shipped));
        packed.put_as_shipped(&shipped).unwrap();
        packed.put(&own).unwrap();
        assert!(packed.is_in(&shipped) && packed.is_in(&own));
    }
    for (store, is_shipped) in [(&shipped, true), (&own, false)] {
        assert_eq!(sealed(store), sealed(&fixture.store));
        for file in store.files().unwrap() {
            let metadata = fs_err::metadata(store.root().join(&file.path)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, 0o644);
            let is_of_time = metadata.mtime() == TIME_NS / 1_000_000_000;
            assert_eq!(is_of_time, is_shipped, "{}", file.path);
        }
    }
}

#[test]
fn executables_refer_to_the_first_where_it_pays_and_the_bytes_are_the_same_each_time() {
    let fixture = Fixture::new();
    let index = fixture.pack();
    let after_first: Vec<bool> = index.frames.iter().map(|it| it.after_first).collect();
    assert_eq!(after_first, [false, true, true, false]);
    assert!(index.frames[1].bytes < 1_000, "{:?}", index.frames[1]);
    let data = fs_err::read(fixture.path("packed/p.zst")).unwrap();
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    assert_eq!(one.unwrap().install(|| fixture.pack()), index);
    assert_eq!(fs_err::read(fixture.path("packed/p.zst")).unwrap(), data);
}

#[test]
fn many_are_unpacked_after_the_first_and_none_after_another() {
    let fixture = Fixture::new();
    let executables = fixture.executables();
    let all: Vec<_> = executables.all().collect();
    let is_first: Vec<bool> = all.iter().map(Packed::is_first).collect();
    assert_eq!(is_first, [true, false, false, false]);
    let mut first = Vec::new();
    all[0].unpack(&mut first).unwrap();
    for packed in &all {
        let [mut alone, mut after] = [Vec::new(), Vec::new()];
        packed.unpack(&mut alone).unwrap();
        packed.unpack_after(&first, &mut after).unwrap();
        assert!(alone == after);
    }
    let mut other = first.clone();
    other[0] ^= 1;
    let refers = all.iter().find(|it| it.executable().after_first).unwrap();
    assert!(refers.unpack_after(&other, &mut Vec::new()).is_err());
}

#[test]
fn one_that_is_damaged_never_gets_its_name() {
    let fixture = Fixture::new();
    let data = fixture.path("packed/p.zst");
    let sound = fs_err::read(&data).unwrap();
    let refers = fixture
        .executables()
        .all()
        .nth(1)
        .unwrap()
        .executable()
        .clone();
    let starts = fixture
        .executables()
        .all()
        .next()
        .unwrap()
        .executable()
        .bytes;
    let other = Store::create(&fixture.path("other")).unwrap();
    // Of the second frame all, and of the first one, to which it refers, some.
    let places = (starts..starts + refers.bytes).chain((0..starts).step_by(997));
    let mut harmless = 0;
    for place in places {
        let mut damaged = sound.clone();
        damaged[usize::try_from(place).unwrap()] ^= 1;
        fs_err::write(&data, damaged).unwrap();
        let executables = fixture.executables();
        let packed = executables.all().nth(1).unwrap();
        if let Err(error) = packed.put(&other) {
            let said = corrupt(&error);
            assert!(said.contains("p.zst is corrupt: frame "), "{said}");
            assert_eq!(other.files().unwrap(), []);
            continue;
        }
        // Of a header, what does not change what it unpacks to.
        harmless += 1;
        for file in other.files().unwrap() {
            fs_err::remove_file(other.root().join(file.path)).unwrap();
        }
    }
    assert!(harmless < 10, "{harmless}");

    fs_err::write(&data, sound).unwrap();
    let index = fs_err::read_to_string(fixture.path("packed/p.json")).unwrap();
    for (from, to) in [
        ("\"size_bytes\":100100", "\"size_bytes\":100099"),
        ("\"size_bytes\":100100", "\"size_bytes\":100101"),
        ("\"size_bytes\":100000", "\"size_bytes\":999999999999"),
        (
            "\"program\":\"apis/one",
            "\"after_first\":true,\"program\":\"apis/one",
        ),
        (
            refers.output.to_string().as_str(),
            refers.action.to_string().as_str(),
        ),
    ] {
        let changed = index.replacen(from, to, 1);
        assert_ne!(changed, index);
        fs_err::write(fixture.path("packed/p.json"), changed).unwrap();
        let executables = fixture.executables();
        let said = corrupt(&executables.all().nth(1).unwrap().put(&other).unwrap_err());
        assert!(said.contains("p.zst is corrupt: frame "), "{said}");
        assert_eq!(other.files().unwrap(), []);
    }
}

#[test]
fn what_is_missing_or_no_file_is_corrupt() {
    for name in ["packed/p.zst", "packed/p.json"] {
        let fixture = Fixture::new();
        let (file, other) = (fixture.path(name), fixture.path("other"));
        fs_err::rename(&file, &other).unwrap();
        fs_err::os::unix::fs::symlink(&other, &file).unwrap();
        let open = || Executables::open(&fixture.path("packed"));
        let said = corrupt(&open().unwrap_err());
        assert!(said.contains("no regular file"), "{said}");
    }
    let fixture = Fixture::new();
    fs_err::remove_file(fixture.path("packed/p.zst")).unwrap();
    corrupt(&Executables::open(&fixture.path("packed")).unwrap_err());
}

#[test]
fn a_program_is_found_by_the_end_of_its_folder_and_the_longest_counts() {
    let fixture = Fixture::new();
    let executables = fixture.executables();
    let of = |folder: &str| {
        let found = executables.of_program(Utf8Path::new(folder));
        found.map(|packed| packed.executable().program.to_string())
    };
    assert_eq!(of("/src/apis/one/pulumi").unwrap(), "apis/one/pulumi");
    assert_eq!(of("/apis/two/pulumi/").unwrap(), "apis/two/pulumi");
    assert_eq!(of("/elsewhere/two/pulumi").unwrap(), "two/pulumi");
    for folder in [
        "/src/xapis/one/pulumi",
        "/src/apis/one",
        "/",
        "/src/apis/one/pulumi/x",
    ] {
        assert_eq!(of(folder), None, "{folder}");
    }
    let index = fixture.path("packed/p.json");
    let json = fs_err::read_to_string(&index).unwrap();
    let in_root = json.replace("\"program\":\"two/pulumi\"", "\"program\":\"\"");
    fs_err::write(index, in_root).unwrap();
    let executables = fixture.executables();
    for (folder, program) in [
        ("/src", None),
        ("/src/apis/one/pulumi", Some("apis/one/pulumi")),
    ] {
        let found = executables.of_program(Utf8Path::new(folder));
        let found = found.map(|packed| packed.executable().program.to_string());
        assert_eq!(
            found.as_deref(),
            program,
            "{folder}: every folder ends in nothing"
        );
    }
}

#[test]
fn a_link_is_known_by_its_action_alone() {
    let fixture = Fixture::new();
    let executables = fixture.executables();
    let action = in_build_id(&fixture.linked[1].entry.action);
    let found = executables.of_link(&format!("{action}/main/main/{action}"));
    assert_eq!(found.unwrap().executable().program, "apis/two/pulumi");
    let prefix = &action[..action.len() - 1];
    for other in [
        action.clone(),
        format!("x/{action}"),
        format!("{prefix}/x"),
        String::new(),
    ] {
        assert!(executables.of_link(&other).is_none(), "{other}");
    }
}

#[test]
fn a_cache_that_cannot_be_written_to_is_left_as_it_is() {
    let fixture = Fixture::new();
    fs_err::write(fixture.path("file"), "").unwrap();
    let store = Store::at(&fixture.path("file"));
    let executables = fixture.executables();
    let error = executables.all().next().unwrap().put(&store).unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error}");
}
