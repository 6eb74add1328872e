//! Where entries are kept and found, where folders cannot be written or are not ours.

use super::*;
use crate::private_folder::tests::Folder;
use fs_err::os::unix::fs::symlink;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

impl Folder {
    fn surroundings(&self) -> Surroundings {
        Surroundings {
            gocache: Some(self.path("gocache")),
            xdg_cache_home: Some(self.path("xdg")),
            home: Some(self.path("home")),
            tmpdir: Some(self.path("tmp")),
            shared_memory: None,
            executables: None,
            uid: rustix::process::geteuid().as_raw(),
        }
    }

    fn caches(&self, surroundings: &Surroundings) -> LayeredCaches {
        LayeredCaches::new(&[self.path("shipped")], surroundings)
    }

    fn private_tmp(&self) -> Utf8PathBuf {
        self.path("tmp").join(format!(
            "iac-runner-{}",
            rustix::process::geteuid().as_raw()
        ))
    }
}

fn id(seed: &str) -> Sha256Hash {
    Sha256Hash::of(seed.as_bytes())
}

#[test]
fn paths_elsewhere_start_with_gocache() {
    let folder = Folder::new();
    fs_err::create_dir_all(folder.path("far/away")).unwrap();
    symlink(folder.path("far/away"), folder.path("gocache")).unwrap();
    let shipped = Store::at(&folder.path("shipped"));
    let entry = shipped
        .put_reader(&id("a"), None, 7, &b"shipped"[..], 3)
        .unwrap();
    let (_, path) = folder.caches(&folder.surroundings()).get(&id("a")).unwrap();
    assert!(path.starts_with(folder.path("gocache")), "{path}");
    assert_eq!(
        fs_err::canonicalize(path).unwrap(),
        shipped.output_path(&entry.output)
    );
}

/// Puts five bytes and returns where they are kept.
fn put(caches: &LayeredCaches, action: &str) -> anyhow::Result<Utf8PathBuf> {
    let (_, path) = caches.put_bytes(&id(action), &id("bytes"), b"bytes")?;
    assert_eq!(caches.get(&id(action)).unwrap().1, path);
    assert_eq!(fs_err::read(&path).unwrap(), b"bytes");
    Ok(path)
}

#[test]
fn each_place_is_passed_over_when_it_cannot_be_written() {
    let folder = Folder::new();
    let mut surroundings = folder.surroundings();
    let kept_in = |surroundings: &Surroundings, place: &Utf8Path| {
        let path = put(&folder.caches(surroundings), "a").unwrap();
        assert!(path.starts_with(place), "{path} is not in {place}");
    };
    kept_in(&surroundings, &folder.path("gocache"));
    surroundings.gocache = Some(folder.unwritable());
    kept_in(&surroundings, &folder.path("xdg/iac-runner/go-build"));
    surroundings.xdg_cache_home = None;
    kept_in(
        &surroundings,
        &folder.path("home/.cache/iac-runner/go-build"),
    );
    surroundings.home = None;
    surroundings.gocache = None;
    kept_in(&surroundings, &folder.private_tmp().join("go-build"));
    surroundings.tmpdir = Some(folder.unwritable());
    let error = put(&folder.caches(&surroundings), "a")
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("no place to keep new entries: ") && error.contains("file/below"),
        "{error}"
    );
}

#[test]
fn a_planted_name_and_a_full_disk_leave_a_folder_of_this_process_alone() {
    let plants: [fn(&Utf8Path); 4] = [
        |at| fs_err::write(at, "").unwrap(),
        |at| symlink("/", at).unwrap(),
        |at| symlink("nowhere", at).unwrap(),
        |at| {
            fs_err::create_dir(at).unwrap();
            fs_err::set_permissions(at, Permissions::from_mode(0o777)).unwrap();
        },
    ];
    for plant in plants {
        let folder = Folder::new();
        fs_err::create_dir(folder.path("tmp")).unwrap();
        plant(&folder.private_tmp());
        let caches = folder.caches(&Surroundings {
            gocache: Some(folder.unwritable()),
            xdg_cache_home: None,
            home: None,
            ..folder.surroundings()
        });
        let path = put(&caches, "a").unwrap();
        let mine = format!("{}-{}-", folder.private_tmp(), std::process::id());
        let place = path
            .ancestors()
            .find(|above| above.parent() == Some(&folder.path("tmp")));
        let place = place.map(Utf8Path::to_owned);
        let place = place.unwrap_or_else(|| panic!("{path} is not in {mine}…"));
        assert!(place.as_str().starts_with(&mine), "{path}");
        assert_eq!(fs_err::metadata(&place).unwrap().mode() & 0o777, 0o700);
        assert!(put(&caches, "b").unwrap().starts_with(&place));
        drop(caches);
        assert!(!place.exists());
    }
    let folder = Folder::new();
    let full = Place::temporary(&folder.path("tmp"), rustix::process::geteuid().as_raw());
    full.prepare().unwrap();
    fs_err::write(full.store.root(), "").unwrap();
    assert!(full.probe(&Sha256Hash::of(b"x")).is_err());
    drop(full);
    assert_eq!(fs_err::read_dir(folder.path("tmp")).unwrap().count(), 0);
    let nowhere = Surroundings {
        gocache: Some(folder.unwritable()),
        xdg_cache_home: None,
        home: None,
        tmpdir: Some(folder.unwritable()),
        ..folder.surroundings()
    };
    assert!(!folder.caches(&nowhere).can_keep());
    assert!(folder.caches(&folder.surroundings()).can_keep());
    assert!(!folder.path("xdg").exists(), "looking makes nothing");
    let caches = folder.caches(&Surroundings {
        gocache: None,
        xdg_cache_home: None,
        home: None,
        tmpdir: Some(folder.unwritable()),
        shared_memory: Some(folder.path("")),
        ..folder.surroundings()
    });
    assert!(put(&caches, "a").unwrap().starts_with(folder.path("")));
}

#[test]
fn a_place_made_for_us_is_ours_alone() {
    let folder = Folder::new();
    let surroundings = Surroundings {
        gocache: None,
        ..folder.surroundings()
    };
    put(&folder.caches(&surroundings), "a").unwrap();
    let mode = fs_err::metadata(folder.path("xdg/iac-runner"))
        .unwrap()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_place_that_is_not_ours_is_neither_written_nor_asked() {
    let planted = |prepare: &dyn Fn(&Folder)| {
        let folder = Folder::new();
        fs_err::create_dir_all(folder.path("xdg")).unwrap();
        prepare(&folder);
        let surroundings = Surroundings {
            gocache: None,
            ..folder.surroundings()
        };
        let caches = folder.caches(&surroundings);
        assert!(caches.get(&id("planted")).is_none());
        assert!(put(&caches, "a").unwrap().starts_with(folder.private_tmp()));
    };
    let plant = |at: &Utf8Path| {
        let store = Store::at(&at.join("go-build"));
        store
            .put_reader(&id("planted"), None, 4, &b"evil"[..], 0)
            .unwrap();
    };
    planted(&|folder| {
        plant(&folder.path("xdg/iac-runner"));
        fs_err::set_permissions(folder.path("xdg/iac-runner"), Permissions::from_mode(0o777))
            .unwrap();
    });
    planted(&|folder| {
        plant(&folder.path("elsewhere"));
        symlink(folder.path("elsewhere"), folder.path("xdg/iac-runner")).unwrap();
    });
    // Of another user, seen from that user's side.
    let folder = Folder::new();
    plant(&folder.path("xdg/iac-runner"));
    let ours = folder.surroundings();
    let surroundings = Surroundings {
        gocache: None,
        tmpdir: Some(folder.unwritable()),
        uid: ours.uid + 1,
        ..ours
    };
    let caches = folder.caches(&surroundings);
    assert!(caches.get(&id("planted")).is_none());
    assert!(
        put(&caches, "a")
            .unwrap_err()
            .to_string()
            .contains("belongs to another user")
    );
}

#[test]
fn what_an_earlier_process_kept_is_found() {
    let folder = Folder::new();
    let surroundings = Surroundings {
        gocache: Some(folder.unwritable()),
        ..folder.surroundings()
    };
    let path = put(&folder.caches(&surroundings), "a").unwrap();
    assert_eq!(folder.caches(&surroundings).get(&id("a")).unwrap().1, path);
}

#[test]
fn the_shipped_cache_is_asked_last_and_stays_as_it_is() {
    let folder = Folder::new();
    let shipped = Store::at(&folder.path("shipped"));
    let entry = shipped
        .put_reader(&id("a"), None, 7, &b"shipped"[..], 3)
        .unwrap();
    let old = SystemTime::now() - 2 * RENEWED_AFTER;
    for path in [
        shipped.action_path(&id("a")),
        shipped.output_path(&entry.output),
    ] {
        fs_err::File::open(path)
            .unwrap()
            .file()
            .set_modified(old)
            .unwrap();
    }
    let caches = folder.caches(&folder.surroundings());
    assert_eq!(
        caches.get(&id("a")),
        Some((entry, shipped.output_path(&entry.output)))
    );
    assert!(
        put(&caches, "a")
            .unwrap()
            .starts_with(folder.path("gocache")),
        "the newer entry holds"
    );
    put(&caches, "b").unwrap();
    assert_eq!(shipped.files().unwrap().len(), 2);
    for file in shipped.files().unwrap() {
        let modified = fs_err::metadata(shipped.root().join(file.path))
            .unwrap()
            .modified()
            .unwrap();
        assert_eq!(modified, old);
    }
}

#[test]
fn a_shipped_cache_that_is_gocache_is_written_and_renewed() {
    let folder = Folder::new();
    let shipped = Store::create(&folder.path("shipped")).unwrap();
    symlink(shipped.root(), folder.path("gocache")).unwrap();
    let caches = folder.caches(&folder.surroundings());
    put(&caches, "a").unwrap();
    assert_eq!(shipped.files().unwrap().len(), 2);
    let old = SystemTime::now() - 2 * RENEWED_AFTER;
    let path = shipped.action_path(&id("a"));
    fs_err::File::open(&path)
        .unwrap()
        .file()
        .set_modified(old)
        .unwrap();
    caches.get(&id("a")).unwrap();
    assert!(fs_err::metadata(path).unwrap().modified().unwrap() > old + RENEWED_AFTER);
}

#[test]
fn an_entry_that_cannot_be_used_is_passed_over() {
    let folder = Folder::new();
    let shipped = Store::at(&folder.path("shipped"));
    let good = shipped
        .put_reader(&id("a"), None, 7, &b"shipped"[..], 3)
        .unwrap();
    let caches = folder.caches(&folder.surroundings());
    let path = put(&caches, "a").unwrap();
    fs_err::write(&path, b"byte").unwrap();
    assert_eq!(caches.get(&id("a")).unwrap().0, good);
    fs_err::write(shipped.action_path(&id("a")), b"v1 garbage").unwrap();
    assert_eq!(caches.get(&id("a")), None);
}

#[test]
fn a_stream_is_kept_where_a_file_can_be_made() {
    let folder = Folder::new();
    let surroundings = Surroundings {
        gocache: Some(folder.unwritable()),
        ..folder.surroundings()
    };
    let caches = folder.caches(&surroundings);
    let (_, path) = caches
        .put_stream(&id("a"), &id("bytes"), 5, &b"bytes"[..])
        .unwrap();
    assert!(path.starts_with(folder.path("xdg")));
    let error = caches
        .put_stream(&id("b"), &id("bytes"), 5, &b"other"[..])
        .unwrap_err()
        .to_string();
    assert!(error.contains("its hash is"), "{error}");
    assert!(caches.get(&id("b")).is_none());
    put(&caches, "b").unwrap();
}

#[test]
fn an_executable_that_cannot_be_unpacked_is_linked_and_all_else_is_kept() {
    let folder = Folder::new();
    let store = Store::create(&folder.path("linked")).unwrap();
    let action = id("link");
    let entry = store.put_reader(&action, None, 7, &b"program"[..], 3);
    let linked = gocache::executables::Linked {
        program: "apis/x".into(),
        entry: entry.unwrap(),
    };
    let packs = folder.path("packs");
    fs_err::create_dir(&packs).unwrap();
    let data = packs.join("p.zst");
    let index = gocache::executables::pack(&store, &[linked], 3, &data).unwrap();
    fs_err::write(packs.join("p.json"), index.to_json()).unwrap();
    let surroundings = Surroundings {
        executables: Some(packs),
        ..folder.surroundings()
    };

    let unreadable = folder.caches(&surroundings);
    fs_err::rename(&data, folder.path("away")).unwrap();
    assert_eq!(unreadable.get(&action), None);
    put(&unreadable, "a").unwrap();
    fs_err::rename(folder.path("away"), &data).unwrap();
    let (_, path) = unreadable.get(&action).unwrap();
    assert_eq!(fs_err::read(path).unwrap(), b"program");

    // The first place takes everything but the executable, which the next one has.
    fs_err::remove_dir_all(folder.path("gocache")).unwrap();
    let full = folder.caches(&surroundings);
    let output = Store::at(&folder.path("gocache")).output_path(&id("program"));
    fs_err::create_dir_all(&output).unwrap();
    let (_, path) = full.get(&action).unwrap();
    let path = fs_err::canonicalize(path).unwrap();
    assert!(path.starts_with(folder.path("xdg")), "{}", path.display());
    assert!(put(&full, "b").unwrap().starts_with(folder.path("gocache")));
}

#[test]
fn when_it_closes_places_of_ours_are_trimmed_and_those_of_this_process_go() {
    let folder = Folder::new();
    let old = SystemTime::now() - Duration::from_secs(30 * 24 * 3_600);
    let age = |path: &Utf8Path| {
        let file = fs_err::File::options().append(true).open(path).unwrap();
        file.file().set_modified(old).unwrap();
    };
    for gocache in [Some(folder.path("gocache")), None] {
        let is_gocache = gocache.is_some();
        let caches = folder.caches(&Surroundings {
            gocache,
            ..folder.surroundings()
        });
        let path = put(&caches, "a").unwrap();
        age(&path);
        caches.close();
        assert_eq!(path.exists(), is_gocache, "{path}");
    }
    let caches = folder.caches(&Surroundings {
        gocache: None,
        xdg_cache_home: None,
        home: None,
        tmpdir: Some(folder.unwritable()),
        shared_memory: Some(folder.path("shm")),
        ..folder.surroundings()
    });
    fs_err::create_dir(folder.path("shm")).unwrap();
    put(&caches, "a").unwrap();
    let count = || fs_err::read_dir(folder.path("shm")).unwrap().count();
    assert_eq!(count(), 1);
    // It is not taken for that of a process that is gone.
    let uid = rustix::process::geteuid().as_raw();
    let later = SystemTime::now() + RENEWED_AFTER;
    crate::cacheprog::tidy::remove_orphans(&folder.path("shm"), uid, later);
    assert_eq!(count(), 1);
    caches.close();
    assert_eq!(count(), 0);
}
