//! A GOCACHE of this user's own, made of symbolic links to the entries of one that cannot be written to.
//!
//! The go command opens files of GOCACHE by their names and takes links for what they lead to; what is new it writes
//! beside them, into folders that are real. So it works as in a cache that can be written to, where asking a
//! GOCACHEPROG for each entry takes more than half as long again.
//!
//! What holds:
//! - Links lead to entries that are there: the folder's name is a digest of what the image says of itself and of the
//!   times of its cache's folders, which change with whatever is added or removed. A home that several images share has
//!   a folder for each. (Where a link leads nowhere the go command fails when it puts that entry.)
//! - A mark is set after the links that it stands for, and nobody uses a folder without one. Whoever makes links has
//!   the lock, which goes with the process; so what was left half-made is completed by the next one. `go clean -cache`
//!   removes the 256 folders, one after the other, and the mark with the last of them.
//! - Everything lies in a folder that is this user's alone (see [`private_folder`]).
//!
//! Making an inode is what a link costs, so of a large image only those that the program at hand may need are made
//! first, and the others with the next command.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::{FileTimes, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use gocache::image_info::{COMMON, FILES_SUFFIX, ImageInfo, PACKS_PATH, PackInfo};
use rustix::fs::{CWD, Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use sha256::Sha256Hash;

use crate::info;
use crate::private_folder;

/// What the names of these folders begin with.
pub const PREFIX: &str = "go-links-";

/// The mark of a folder in which all entries are linked; one of a pack has the pack's name after it and a dot.
const COMPLETE: &str = "ff/complete";

/// More files than most providers' images have, and as many as can be linked in some 40 ms in memory.
const LINKED_AT_ONCE: usize = 10_000;

/// Less than a program that links and compiles a little puts into its cache.
const ROOM_BYTES: u64 = 32 << 20;

/// How long another process may take to make links before this one goes without.
const PATIENCE: Duration = Duration::from_secs(10);

/// After this time a folder that no command used is removed; Go keeps unused entries as long.
const UNUSED_AFTER: Duration = Duration::from_secs(5 * 24 * 3_600);

/// How old the note of the last use may get.
const NOTED_EVERY: Duration = Duration::from_secs(3_600);

/// A cache of the image, and what decides on links to it.
#[derive(Debug)]
pub struct Shipped {
    gocache: Utf8PathBuf,
    /// Folder of the packs' descriptions.
    descriptions: Utf8PathBuf,
    packs: Vec<PackInfo>,
    name: String,
}

impl Shipped {
    /// The cache of the image in `root`, if that is `gocache`.
    pub fn of_image(root: &Utf8Path, gocache: &Utf8Path) -> Option<Self> {
        let (image, packs) = info::read(root).ok()?;
        let is_its_own = image.identity.gocache.as_str() == gocache.as_str();
        let name = name(&image, &packs, gocache).ok().filter(|_| is_its_own)?;
        Some(Self {
            gocache: gocache.to_owned(),
            descriptions: info::in_root(root, PACKS_PATH),
            packs,
            name,
        })
    }

    /// A GOCACHE in `place`, a folder of user `uid` alone, that has what a program in `program` may need; it is made,
    /// or completed, unless it is there.
    pub fn linked_in(
        &self,
        place: &Utf8Path,
        uid: u32,
        program: Option<&Path>,
    ) -> io::Result<Utf8PathBuf> {
        let folder = place.join(format!("{PREFIX}{}", self.name));
        let is_complete = || folder.join(COMPLETE).exists();
        if private_folder::check(&folder, uid).is_ok() && is_complete() {
            note_use(&folder);
            return Ok(folder);
        }
        let _lock = lock(&place.join(format!("{PREFIX}lock")))?;
        private_folder::make(&folder, uid)?;
        if is_complete() {
            return Ok(folder);
        }
        let pack = program.and_then(|program| self.pack_of(program));
        let pack = pack.filter(|_| self.is_large());
        let mark = pack.map(|pack| folder.join(format!("{COMPLETE}.{}", pack.name)));
        match (pack, mark) {
            (Some(pack), Some(mark)) if !mark.exists() => {
                self.link(&folder, Some(&self.files_of(pack)?))?;
                fs_err::write(mark, "")?;
            }
            _ => {
                self.link(&folder, None)?;
                fs_err::write(folder.join(COMPLETE), "")?;
            }
        }
        remove_unused(place, &folder, uid);
        Ok(folder)
    }

    /// The pack of the module that is in `program`, wherever the source lies: of several, the one whose place in the
    /// source is the longest. That of a module in the source's root is not known from `program`.
    fn pack_of(&self, program: &Path) -> Option<&PackInfo> {
        let places = self.packs.iter().flat_map(|pack| {
            let places = pack.modules.iter().map(|module| &module.path);
            places.map(move |place| (place, pack))
        });
        let its = places.filter(|(place, _)| *place != "" && program.ends_with(place));
        its.max_by_key(|(place, _)| place.components().count())
            .map(|(_, pack)| pack)
    }

    /// Whether linking everything takes longer than people should wait. Entries are spread evenly by their names.
    fn is_large(&self) -> bool {
        let one = fs_err::read_dir(self.gocache.join("00"));
        one.is_ok_and(|entries| entries.count() > LINKED_AT_ONCE / 256)
    }

    /// Names of the files of the cache that are in `common` or in `pack`.
    fn files_of(&self, pack: &PackInfo) -> io::Result<HashSet<String>> {
        let mut names = HashSet::new();
        for pack in [COMMON, &pack.name] {
            let list = self.descriptions.join(format!("{pack}{FILES_SUFFIX}"));
            let list = fs_err::read_to_string(list)?;
            let in_cache = list
                .lines()
                .filter(|line| line.contains(self.gocache.as_str()));
            let files = in_cache.filter_map(|line| Some(line.rsplit_once('/')?.1.to_owned()));
            names.extend(files);
        }
        Ok(names)
    }

    /// Links the entries, or those of `wanted`, as far as they are not linked.
    fn link(&self, folder: &Utf8Path, wanted: Option<&HashSet<String>>) -> io::Result<()> {
        for byte in 0..=u8::MAX {
            let digits = format!("{byte:02x}");
            let (from, to) = (self.gocache.join(&digits), folder.join(&digits));
            if_new(rustix::fs::mkdir(to.as_std_path(), Mode::RWXU))?;
            let to = rustix::fs::openat(
                CWD,
                to.as_std_path(),
                OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            )?;
            for entry in fs_err::read_dir(&from)? {
                let name = entry?.file_name();
                let is_wanted = name.to_str().is_some_and(|name| {
                    is_entry(name) && wanted.is_none_or(|wanted| wanted.contains(name))
                });
                if is_wanted {
                    let target = from.as_std_path().join(&name);
                    if_new(rustix::fs::symlinkat(target, &to, name))?;
                }
            }
        }
        // As if it was trimmed just now: links to entries of the future cannot be, and looking at each takes time.
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        fs_err::write(
            folder.join("trim.txt"),
            format!("{}", now.unwrap_or_default().as_secs()),
        )
    }
}

/// Whether the file system of `place` has room for a cache, and programs may run from it as `go run` has it.
pub fn has_room(place: &Utf8Path) -> bool {
    let there = place.ancestors().find(|folder| folder.exists());
    let Some(Ok(system)) = there.map(|there| rustix::fs::statvfs(there.as_std_path())) else {
        return false;
    };
    let closed = StatVfsMountFlags::NOEXEC | StatVfsMountFlags::RDONLY;
    let has_inodes = system.f_files == 0 || system.f_favail > LINKED_AT_ONCE as u64;
    !system.f_flag.intersects(closed)
        && has_inodes
        && system.f_bavail.saturating_mul(system.f_frsize) >= ROOM_BYTES
}

/// The same wherever and whenever this image is unpacked, and different for every other one.
fn name(image: &ImageInfo, packs: &[PackInfo], gocache: &Utf8Path) -> io::Result<String> {
    let mut text = serde_json::to_string(&(image, packs))?;
    for byte in 0..=u8::MAX {
        let metadata = fs_err::metadata(gocache.join(format!("{byte:02x}")))?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH);
        let _ = write!(text, " {}", modified.unwrap_or_default().as_nanos());
    }
    let digest = Sha256Hash::of(text.as_bytes()).to_string();
    Ok(digest[..16].to_owned())
}

/// A name in a two-digit folder that the go command may look for.
fn is_entry(name: &str) -> bool {
    let kind = name.get(64..);
    matches!(kind, Some("-a" | "-d"))
}

/// What is there already is fine.
fn if_new(made: Result<(), Errno>) -> io::Result<()> {
    match made {
        Err(Errno::EXIST) => Ok(()),
        other => Ok(other?),
    }
}

/// Waits for whoever makes links in the same place.
fn lock(path: &Utf8Path) -> io::Result<std::fs::File> {
    let file = fs_err::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)?
        .into_parts()
        .0;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(2));
            }
            other => return Ok(other.map(|()| file)?),
        }
    }
}

/// Sets the time of the mark, if it is not from just now.
fn note_use(folder: &Utf8Path) {
    let mark = folder.join(COMPLETE);
    if is_older(&mark, NOTED_EVERY)
        && let Ok(file) = fs_err::OpenOptions::new().append(true).open(mark)
    {
        let _ = file
            .file()
            .set_times(FileTimes::new().set_modified(SystemTime::now()));
    }
}

/// Removes the folders of other images that no command has used for long.
fn remove_unused(place: &Utf8Path, own: &Utf8Path, uid: u32) {
    let Ok(entries) = place.read_dir_utf8() else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let folder = entry.path();
        let is_one = entry.file_name().starts_with(PREFIX) && folder != own;
        if is_one && private_folder::check(folder, uid).is_ok() {
            let mark = folder.join(COMPLETE);
            let noted = if mark.exists() { &mark } else { folder };
            if is_older(noted, UNUSED_AFTER) {
                let _ = fs_err::remove_dir_all(folder);
            }
        }
    }
}

fn is_older(path: &Utf8Path, age: Duration) -> bool {
    let modified = fs_err::metadata(path).and_then(|metadata| metadata.modified());
    modified.is_ok_and(|time| time.elapsed().is_ok_and(|elapsed| elapsed > age))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::private_folder::tests::Folder;
    use gocache::{ActionEntry, Store};
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::sync::Barrier;

    fn uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    /// An image in `name` with `entries` and packs of one module each: `aws` has the first entry, `common` none.
    fn image(folder: &Folder, name: &str, entries: &[&str]) -> (Shipped, Vec<ActionEntry>) {
        let store = Store::create(&folder.path(name)).unwrap();
        let put = |seed: &&str| {
            let action = Sha256Hash::of(seed.as_bytes());
            let bytes = seed.as_bytes();
            let size = bytes.len() as u64;
            store.put_reader(&action, None, size, bytes, 1).unwrap()
        };
        let entries: Vec<ActionEntry> = entries.iter().map(put).collect();
        fs_err::write(folder.path(name).join("00/README"), "").unwrap();
        let descriptions = folder.path(&format!("{name}-packs"));
        fs_err::create_dir_all(&descriptions).unwrap();
        let listed = entries.first().map_or(String::new(), |entry| {
            let files = [
                store.action_path(&entry.action),
                store.output_path(&entry.output),
            ];
            files
                .map(|file| format!("{}  {file}\n", entry.output))
                .concat()
        });
        fs_err::write(descriptions.join(format!("aws{FILES_SUFFIX}")), listed).unwrap();
        fs_err::write(descriptions.join(format!("common{FILES_SUFFIX}")), "").unwrap();
        let module = gocache::image_info::PackModule {
            component: "x".into(),
            path: "apis/x/iac/pulumi".into(),
        };
        let pack = PackInfo {
            name: "aws".into(),
            modules: vec![module],
            ..PackInfo::default()
        };
        let shipped = Shipped {
            gocache: folder.path(name),
            descriptions,
            packs: vec![pack],
            name: Sha256Hash::of(name.as_bytes()).to_string()[..16].to_owned(),
        };
        (shipped, entries)
    }

    fn place(folder: &Folder) -> Utf8PathBuf {
        let place = folder.path("mine");
        private_folder::make(&place, uid()).unwrap();
        place
    }

    /// That the go command finds `entries` in `linked`, and puts new ones beside them.
    fn assert_serves(linked: &Utf8Path, entries: &[ActionEntry]) {
        let store = Store::at(linked);
        for entry in entries {
            assert_eq!(store.get(&entry.action).unwrap(), Some(*entry));
        }
        let new = Sha256Hash::of(b"new");
        store.put_reader(&new, None, 3, &b"new"[..], 1).unwrap();
        assert!(store.get(&new).unwrap().is_some());
    }

    #[test]
    fn every_entry_is_found_and_new_ones_stay_beside_them() {
        let folder = Folder::new();
        let (shipped, entries) = image(&folder, "shipped", &["a", "b", "c"]);
        let before = Store::at(&shipped.gocache).files().unwrap();
        let place = place(&folder);
        let linked = shipped.linked_in(&place, uid(), None).unwrap();
        assert_serves(&linked, &entries);
        assert_eq!(linked, shipped.linked_in(&place, uid(), None).unwrap());
        assert!(!linked.join("00/README").exists());
        assert_eq!(Store::at(&shipped.gocache).files().unwrap(), before);
        let mode = fs_err::metadata(&linked).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn what_was_left_half_made_is_completed() {
        let folder = Folder::new();
        let (shipped, entries) = image(&folder, "shipped", &["a", "b", "c"]);
        let place = place(&folder);
        let half = place.join(format!("{PREFIX}{}", shipped.name));
        private_folder::make(&half, uid()).unwrap();
        let first = shipped.gocache.join("00");
        fs_err::create_dir(half.join("00")).unwrap();
        for entry in fs_err::read_dir(first).unwrap().take(1) {
            let entry = entry.unwrap();
            symlink(
                entry.path(),
                half.join("00").join(entry.file_name().to_str().unwrap()),
            )
            .unwrap();
        }
        fs_err::write(place.join(format!("{PREFIX}lock")), "").unwrap();
        let linked = shipped.linked_in(&place, uid(), None).unwrap();
        assert_eq!(linked, half);
        assert_serves(&linked, &entries);
    }

    /// As `go clean -cache` does it.
    #[test]
    fn what_was_cleaned_is_linked_again() {
        let folder = Folder::new();
        let (shipped, entries) = image(&folder, "shipped", &["a", "b", "c"]);
        let place = place(&folder);
        for program in [None, Some(Path::new("/apis/x/iac/pulumi"))] {
            let linked = shipped.linked_in(&place, uid(), program).unwrap();
            assert_serves(&linked, &entries);
            for byte in 0..=u8::MAX {
                fs_err::remove_dir_all(linked.join(format!("{byte:02x}"))).unwrap();
            }
        }
        let linked = shipped.linked_in(&place, uid(), None).unwrap();
        assert_serves(&linked, &entries);
    }

    #[test]
    fn builds_that_start_together_all_find_everything() {
        let folder = Folder::new();
        let (shipped, entries) = image(&folder, "shipped", &["a", "b", "c"]);
        let place = place(&folder);
        let start = Barrier::new(32);
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    start.wait();
                    let linked = shipped.linked_in(&place, uid(), None).unwrap();
                    assert_serves(&linked, &entries);
                });
            }
        });
    }

    #[test]
    fn images_that_share_a_home_do_not_share_links() {
        let folder = Folder::new();
        let place = place(&folder);
        let (one, ones) = image(&folder, "one", &["a", "b"]);
        let (other, others) = image(&folder, "other", &["b", "c"]);
        let linked = [&one, &other].map(|it| it.linked_in(&place, uid(), None).unwrap());
        assert_ne!(linked[0], linked[1]);
        for (linked, entries) in std::iter::zip(linked, [ones, others]) {
            assert_serves(&linked, &entries);
        }
    }

    #[test]
    fn an_image_is_called_by_what_it_says_and_by_its_folders() {
        let folder = Folder::new();
        let (shipped, _) = image(&folder, "shipped", &["a"]);
        let env = include_str!("../../../crates/gocache/tests/fixtures/go-env.json");
        let info: ImageInfo = serde_json::from_value(serde_json::json!({
            "schema": 1,
            "identity": gocache::Identity::from_go_env(&serde_json::from_str(env).unwrap()).unwrap(),
            "versions": {},
        }))
        .unwrap();
        let name_of = |packs: &[PackInfo]| name(&info, packs, &shipped.gocache).unwrap();
        let first = name_of(&shipped.packs);
        assert_eq!(first, name_of(&shipped.packs));
        assert_ne!(first, name_of(&[]));
        let folder = fs_err::File::open(shipped.gocache.join("7f")).unwrap();
        let times = FileTimes::new().set_modified(UNIX_EPOCH);
        folder.file().set_times(times).unwrap();
        assert_ne!(first, name_of(&shipped.packs));
    }

    #[test]
    fn of_a_large_image_the_pack_at_hand_comes_first_and_the_rest_with_the_next_command() {
        let folder = Folder::new();
        let (shipped, entries) = image(&folder, "shipped", &["a", "b", "c"]);
        for number in 0..=LINKED_AT_ONCE / 256 {
            let filler = format!("00/{number:064x}-a");
            fs_err::write(shipped.gocache.join(filler), "").unwrap();
        }
        let place = place(&folder);
        let program = Path::new("/elsewhere/apis/x/iac/pulumi");
        let found = |linked: &Utf8Path| -> Vec<bool> {
            let store = Store::at(linked);
            let entries = entries.iter();
            entries
                .map(|entry| store.get(&entry.action).unwrap().is_some())
                .collect()
        };
        let linked = shipped.linked_in(&place, uid(), Some(program)).unwrap();
        assert_eq!(found(&linked), [true, false, false]);
        shipped.linked_in(&place, uid(), Some(program)).unwrap();
        assert_eq!(found(&linked), [true; 3]);
        let (shipped, entries) = image(&folder, "other", &["a", "b", "c"]);
        let linked = shipped
            .linked_in(&place, uid(), Some(Path::new("/x")))
            .unwrap();
        assert_serves(&linked, &entries);
    }

    #[test]
    fn a_program_is_in_the_pack_whose_module_lies_deepest() {
        let folder = Folder::new();
        let (mut shipped, _) = image(&folder, "shipped", &["a"]);
        let pack = |name: &str, path: &str| PackInfo {
            name: name.into(),
            modules: vec![gocache::image_info::PackModule {
                component: "x".into(),
                path: path.into(),
            }],
            ..PackInfo::default()
        };
        shipped.packs = vec![pack("deep", "a/b"), pack("root", ""), pack("shallow", "b")];
        for (program, expected) in [
            ("/src/a/b", Some("deep")),
            ("/src/b", Some("shallow")),
            ("/src", None),
        ] {
            let found = shipped.pack_of(Path::new(program));
            assert_eq!(found.map(|pack| pack.name.as_str()), expected, "{program}");
        }
    }

    #[test]
    fn a_planted_folder_is_not_used() {
        let plants: [fn(&Utf8Path); 3] = [
            |at| fs_err::write(at, "").unwrap(),
            |at| symlink("/", at).unwrap(),
            |at| {
                fs_err::create_dir_all(at.join("ff")).unwrap();
                fs_err::write(at.join(COMPLETE), "").unwrap();
                fs_err::set_permissions(at, Permissions::from_mode(0o777)).unwrap();
            },
        ];
        for plant in plants {
            let folder = Folder::new();
            let (shipped, _) = image(&folder, "shipped", &["a"]);
            let place = place(&folder);
            plant(&place.join(format!("{PREFIX}{}", shipped.name)));
            assert!(shipped.linked_in(&place, uid(), None).is_err());
        }
    }

    #[test]
    fn folders_that_are_not_used_any_more_go_and_others_stay() {
        let folder = Folder::new();
        let place = place(&folder);
        let linked = ["old", "new"].map(|name| {
            let (shipped, _) = image(&folder, name, &["a"]);
            shipped.linked_in(&place, uid(), None).unwrap()
        });
        let mark = fs_err::OpenOptions::new()
            .append(true)
            .open(linked[0].join(COMPLETE));
        let times = FileTimes::new().set_modified(SystemTime::now() - 2 * UNUSED_AFTER);
        mark.unwrap().file().set_times(times).unwrap();
        let (shipped, _) = image(&folder, "newest", &["a"]);
        shipped.linked_in(&place, uid(), None).unwrap();
        assert_eq!(linked.map(|folder| folder.exists()), [false, true]);
    }
}
