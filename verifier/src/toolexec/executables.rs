//! Executables of the image's programs, unpacked when they are about to be asked for.
//!
//! In an image they are compressed (see [`gocache::executables`]), and the build cache has none. The go command asks
//! for the linker's version when it is about to compute a link's action ID, and then asks its cache for the executable;
//! the folder that it builds in is this process's own. So by then the executable of that folder's program is put into
//! the cache, and the link hits as if it had been there. The launcher of the go command begins it, so that it is done
//! beside all that the go command does before.
//!
//! Other programs than that folder's, one in the root of its source, which may be any folder, and builds whose cache
//! cannot be written to, find nothing in the cache and start the linker. It is given a build ID that begins with the
//! action ID, by which the executable is found again, and put where the linker would have put it. The go command looks
//! for the build ID that it gave, to complete it; in what is complete already there is none, which it takes.
//!
//! With `-a` nothing of this is done: Go is asked to link.
//!
//! What fails here fails silently: the linker can do what is left undone.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use gocache::Store;
use gocache::executables::{Executables, Packed};
use gocache::image_info::{EXECUTABLES_PATH, IMAGE_INFO_PATH, ImageInfo, TOOLEXEC_PATH};

use super::turn::is_taken;
use crate::go::command::GoCommand;
use crate::launch::links;
use crate::private_folder;

/// What this program is given in place of a tool, to put an executable into a cache, both of which follow: the ID of
/// the action that links it, and a path. Standard input is the folder that it is put into, locked.
pub const PUT: &str = "-put";

/// How the linker is given the build ID.
const BUILD_ID: &[u8] = b"-buildid=";

/// How it is told where to put the executable.
const OUTPUT: &str = "-o";

/// More than it takes to put an executable into the cache; whoever can read its folder may have the lock for as long as
/// they like.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked whether it is there.
const PAUSE: Duration = Duration::from_millis(1);

/// Begins to put the executable of the program that `go` builds into the build cache `gocache`, if the image has it.
pub fn begin(go: &GoCommand, gocache: &Utf8Path) {
    if !go.takes_executables() || !go.has_toolexec() {
        return;
    }
    let folder = go
        .folder()
        .and_then(|it| Utf8PathBuf::from_path_buf(it).ok());
    with_executable_of(folder, |packed| {
        let store = Store::at(gocache);
        if packed.is_in(&store) || !private_folder::is_writable(gocache) {
            return;
        }
        let Some(folder) = folder_in(&store, packed) else {
            return;
        };
        // Who has it is at it; and without a lock it would be done twice.
        if folder.try_lock().is_err() {
            return;
        }
        let action = packed.executable().action.to_string();
        let arguments = [PUT.into(), action.into(), gocache.into()];
        // The lock is that of the open folder, and goes with its last process.
        let _ = super::command(OsStr::new("/proc/self/exe"), &arguments)
            .arg0(TOOLEXEC_PATH)
            .current_dir("/")
            .stdin(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
    });
}

/// Does what [`begin`] has begun; `arguments` are those after [`PUT`]. None if they are others, or there is no such
/// executable.
pub fn put(arguments: &[OsString]) -> Option<()> {
    let [action, gocache] = arguments else {
        return None;
    };
    let action = action.to_str()?.parse().ok()?;
    let executables = Executables::open(EXECUTABLES_PATH.into()).ok()?;
    let store = Store::at(Utf8Path::from_path(Path::new(gocache))?);
    put_into(executables.of_action(&action)?, &store);
    Some(())
}

/// Puts the executable of this folder's program into the build cache, unless somebody is at it already, who is waited
/// for.
pub fn put_or_wait() {
    let Some(gocache) = private_folder::named("GOCACHE") else {
        return;
    };
    let here = std::env::current_dir().ok();
    let here = here.and_then(|folder| Utf8PathBuf::from_path_buf(folder).ok());
    with_executable_of(here, |packed| put_or_wait_for(packed, &Store::at(&gocache)));
}

fn put_or_wait_for(packed: Packed<'_>, store: &Store) {
    let folder = folder_in(store, packed);
    if let Some(folder) = &folder {
        wait(folder, || packed.is_in(store));
    }
    put_into(packed, store);
}

fn put_into(packed: Packed<'_>, store: &Store) {
    let _ = if is_of_image(store.root(), Utf8Path::new(IMAGE_INFO_PATH)) {
        packed.put_as_shipped(store)
    } else {
        packed.put(store)
    };
}

/// Whether `gocache` is the cache of the image of which `info` tells, or one of links to that. The go command removes
/// from any other one what it has not used for days, and so it should what is put there.
fn is_of_image(gocache: &Utf8Path, info: &Utf8Path) -> bool {
    let is_of_links = |name: &str| name.starts_with(links::PREFIX);
    gocache.file_name().is_some_and(is_of_links)
        || ImageInfo::read(info).is_ok_and(|image| image.identity.gocache == gocache.as_str())
}

/// Waits for whoever has the lock of `folder`, until it `is_there`.
fn wait(folder: &File, is_there: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_there() && is_taken(&folder.try_lock()) && started.elapsed() < PATIENCE {
        std::thread::sleep(PAUSE);
    }
}

/// The folder of the cache that the executable is to be in. Its lock says that somebody puts it there: those who build
/// other programs, or into another cache, do not wait for each other.
fn folder_in(store: &Store, packed: Packed<'_>) -> Option<File> {
    let output = store.output_path(&packed.executable().output);
    File::open(output.parent()?).ok()
}

/// Does what is to be done with the executable of the program in `folder`, if the image has it. A checkout behind a link
/// has two paths, of which PWD has the other one.
fn with_executable_of(folder: Option<Utf8PathBuf>, then: impl FnOnce(Packed<'_>)) {
    let (Some(folder), Ok(executables)) = (folder, Executables::open(EXECUTABLES_PATH.into()))
    else {
        return;
    };
    let of_program = |folder: &Utf8Path| executables.of_program(folder);
    if let Some(packed) = of_program(&folder).or_else(|| of_program(&other_path_of(&folder)?)) {
        then(packed);
    }
}

/// PWD, if that is `folder`: whoever changes to another one may leave it as it was.
fn other_path_of(folder: &Utf8Path) -> Option<Utf8PathBuf> {
    let real = |path: &Utf8Path| fs_err::canonicalize(path).ok();
    private_folder::named("PWD").filter(|other| real(other) == real(folder))
}

/// Puts the executable of the image in place that the linker, started by `go`, would make of `arguments`; whether
/// there was one.
pub fn put_in_place_of_link(arguments: &[OsString], go: &GoCommand) -> bool {
    in_place_of_link(arguments, go, Utf8Path::new(EXECUTABLES_PATH)).is_some()
}

fn in_place_of_link(arguments: &[OsString], go: &GoCommand, folder: &Utf8Path) -> Option<()> {
    if go.makes_everything_anew() {
        return None;
    }
    // The last one counts, and who sets another one wants it.
    let mut build_ids = arguments.iter().rev();
    let build_id = build_ids.find_map(|it| it.as_bytes().strip_prefix(BUILD_ID))?;
    let build_id = std::str::from_utf8(build_id).ok()?;
    let mut words = arguments.iter();
    words.find(|word| *word == OUTPUT)?;
    let output = Path::new(words.next()?);
    let executables = Executables::open(folder).ok()?;
    let packed = executables.of_link(build_id)?;
    let mut how = fs_err::OpenOptions::new();
    how.write(true).create(true).truncate(true).mode(0o777);
    let unpacked = packed.unpack(how.open(output).ok()?);
    if unpacked.is_err() {
        let _ = fs_err::remove_file(output);
    }
    unpacked.ok()
}

/// Packs `content`, which `action` links of the program `apis/one`, into `folder`, as `p`.
#[cfg(test)]
pub fn pack_one(folder: &Utf8Path, action: sha256::Sha256Hash, content: &[u8]) {
    use gocache::executables::{Linked, pack};

    let cache = tempfile::tempdir().unwrap();
    let store = Store::create(Utf8Path::from_path(cache.path()).unwrap()).unwrap();
    let entry = store.put_reader(&action, None, content.len() as u64, content, 5);
    let linked = Linked {
        program: "apis/one".into(),
        entry: entry.unwrap(),
    };
    fs_err::create_dir_all(folder).unwrap();
    let index = pack(&store, &[linked], 3, &folder.join("p.zst")).unwrap();
    fs_err::write(folder.join("p.json"), index.to_json()).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toolexec::turn::without_locks;
    use sha256::Sha256Hash;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn only_those_wait_for_each_other_who_put_the_same_executable_into_the_same_cache() {
        let temporary = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(temporary.path()).unwrap();
        pack_one(&path.join("packed"), Sha256Hash::of(b"link"), b"program");
        let executables = Executables::open(&path.join("packed")).unwrap();
        let packed = executables.all().next().unwrap();
        let [one, two] = ["one", "two"].map(|name| Store::create(&path.join(name)).unwrap());

        let pack = File::open(packed.data()).unwrap();
        pack.try_lock().unwrap();
        let other = folder_in(&two, packed).unwrap();
        other.try_lock().unwrap();
        let started = Instant::now();
        put_or_wait_for(packed, &one);
        assert!(packed.is_in(&one));
        assert!(started.elapsed() < PATIENCE / 2);

        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| put_or_wait_for(packed, &two));
            std::thread::sleep(50 * PAUSE);
            assert!(!waiting.is_finished());
            drop(other);
            waiting.join().unwrap();
        });
        assert!(packed.is_in(&two));
    }

    #[test]
    fn what_is_put_into_a_cache_of_the_users_own_may_be_trimmed() {
        let temporary = tempfile::tempdir().unwrap();
        let info = Utf8Path::from_path(temporary.path()).unwrap().join("image");
        let variables = gocache::Identity::GO_ENV_NAMES.map(|name| {
            let value = if name == "GOCACHE" { "/shipped" } else { "" };
            (name.to_owned(), value.to_owned())
        });
        let identity = gocache::Identity::from_go_env(&variables.into()).unwrap();
        let image = serde_json::json!({"schema": 1, "identity": identity, "versions": {}});
        fs_err::write(&info, image.to_string()).unwrap();
        let is_of_image = |gocache: &str| is_of_image(gocache.into(), &info);
        assert!(is_of_image("/shipped") && is_of_image("/tmp/x/go-links-0123"));
        assert!(!is_of_image("/own") && !is_of_image("/shipped/own"));
    }

    #[test]
    fn nobody_waits_where_a_cache_has_no_locks() {
        let started = Instant::now();
        wait(&without_locks(), || false);
        assert!(started.elapsed() < PATIENCE / 2);
    }

    #[test]
    fn a_link_that_the_image_has_made_is_replaced_and_no_other() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temporary.path()).unwrap();
        let (packed, action) = (folder.join("packed"), Sha256Hash::of(b"link"));
        pack_one(&packed, action, b"program");

        let id = gocache::in_build_id(&action);
        let output = folder.join("a.out");
        let replaced_for = |go: &GoCommand, arguments: &str| {
            let arguments: Vec<OsString> = arguments.split(' ').map(OsString::from).collect();
            in_place_of_link(&arguments, go, &packed).is_some()
        };
        let replaced =
            |arguments: &str| replaced_for(&GoCommand::of_line("build .", ""), arguments);
        for other in [
            format!("-o {output} -buildid=other/main/main/other main.a"),
            format!("-o {output} -buildid={id}/x/y/{id} -buildid=own main.a"),
            format!("-o {output} main.a"),
            format!("-buildid={id}/x/y/{id} main.a"),
        ] {
            assert!(!replaced(&other), "{other}");
            assert!(!output.exists());
        }
        let its = format!("-o {output} -importcfg x -buildid={id}/x/y/{id} -extld=gcc main.a");
        assert!(!replaced_for(&GoCommand::of_line("build -a .", ""), &its));
        assert!(!output.exists());
        assert!(replaced(&its));
        assert_eq!(fs_err::read(&output).unwrap(), b"program");
        let mode = fs_err::metadata(&output).unwrap().permissions().mode();
        assert_eq!(mode & 0o100, 0o100);

        let data = packed.join("p.zst");
        let mut damaged = fs_err::read(&data).unwrap();
        let last = damaged.len() - 5;
        damaged[last] ^= 1;
        fs_err::write(&data, damaged).unwrap();
        assert!(!replaced(&its));
        assert!(
            !output.exists(),
            "nothing is left to be taken for the executable"
        );
    }
}
