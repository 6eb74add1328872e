//! Which caches are asked, and where new entries are kept.
//!
//! Asked are, in this order: `$GOCACHE`, the two places below as far as they exist, and the shipped cache.
//!
//! New entries are kept in the first of these that can be written:
//! 1. `$GOCACHE`: where it can be written, what one build adds the next one finds, with or without this program;
//! 2. `${XDG_CACHE_HOME:-$HOME/.cache}/iac-runner/go-build`;
//! 3. `${TMPDIR:-/tmp}/iac-runner-<uid>/go-build`;
//! 4. a folder of this process alone in `${TMPDIR:-/tmp}`, and 5. one in `/dev/shm`: anybody can put something at the
//!    name of the third place, and a disk can be full. They go when this process ends, and so does what was kept there.
//!
//! Whether a place can be written is found out by writing, at the first put: modes say nothing to root and on a
//! read-only mount. One that fails is not tried again by this process, but goes on being asked.
//!
//! Places 2 and 3 are in folders that others may write, so they must be folders (no symbolic links) of this very
//! user that nobody else can write: whoever can add entries to a cache decides what gets built.
//!
//! The executables of an image are compressed (see [`gocache::executables`]). Asked for one, it is unpacked to the first
//! of these places that has room for it.
//!
//! An hour after its last use an entry's time is renewed, as the go command does, so that trimming (see
//! [`super::tidy`]) spares what is in use. The shipped cache is never touched unless it is `$GOCACHE`.

#[cfg(test)]
mod tests;

use std::fs::FileTimes;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::bail;
use camino::{Utf8Path, Utf8PathBuf};
use gocache::executables::{Executables, Packed};
use gocache::image_info::EXECUTABLES_PATH;
use gocache::{ActionEntry, Error, Store};
use sha256::Sha256Hash;

use crate::cacheprog::place::{Place, now_unix_ns};
use crate::private_folder;

const RENEWED_AFTER: Duration = Duration::from_secs(3_600);

/// What of the process decides on the places.
#[derive(Debug, Default)]
pub struct Surroundings {
    pub gocache: Option<Utf8PathBuf>,
    pub xdg_cache_home: Option<Utf8PathBuf>,
    pub home: Option<Utf8PathBuf>,
    pub tmpdir: Option<Utf8PathBuf>,
    pub shared_memory: Option<Utf8PathBuf>,
    /// The folder of the image's executables.
    pub executables: Option<Utf8PathBuf>,
    pub uid: u32,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self {
            gocache: private_folder::named("GOCACHE"),
            xdg_cache_home: private_folder::named("XDG_CACHE_HOME"),
            home: private_folder::named("HOME"),
            tmpdir: private_folder::named("TMPDIR"),
            shared_memory: Some("/dev/shm".into()).filter(|folder: &Utf8PathBuf| folder.is_dir()),
            executables: Some(EXECUTABLES_PATH.into()),
            uid: rustix::process::geteuid().as_raw(),
        }
    }
}

#[derive(Debug)]
pub struct LayeredCaches {
    /// In the order in which they are tried.
    places: Vec<Place>,
    /// Places before this one have failed.
    first_usable: AtomicUsize,
    /// Without `$GOCACHE`.
    shipped: Vec<Store>,
    executables: Executables,
    /// `$GOCACHE/../..` up to the root.
    root_by_way_of_gocache: Option<Utf8PathBuf>,
}

impl LayeredCaches {
    pub fn new(shipped: &[Utf8PathBuf], surroundings: &Surroundings) -> Self {
        let Surroundings {
            gocache,
            xdg_cache_home,
            home,
            tmpdir,
            shared_memory,
            executables,
            uid,
        } = surroundings;
        let cache_home = xdg_cache_home
            .clone()
            .or_else(|| home.as_ref().map(|home| home.join(".cache")));
        let tmpdir = tmpdir.clone().unwrap_or_else(|| "/tmp".into());
        let private = [
            cache_home.map(|folder| folder.join("iac-runner")),
            Some(private_folder::shared(&tmpdir, *uid)),
        ];
        let temporary = std::iter::once(&tmpdir).chain(shared_memory);
        let temporary: Vec<_> = temporary
            .map(|folder| Place::temporary(folder, *uid))
            .collect();
        let places = gocache.iter().map(|root| Place::gocache(root));
        let places = places.chain(
            private
                .into_iter()
                .flatten()
                .map(|folder| Place::private(folder, *uid)),
        );
        let places = places.chain(temporary);
        // Paths in answers must be absolute.
        let absolute =
            |folder: &Utf8PathBuf| camino::absolute_utf8(folder).unwrap_or_else(|_| folder.clone());
        let is_gocache = |folder: &Utf8PathBuf| {
            let gocache = gocache.as_ref();
            gocache.is_some_and(|gocache| is_same_folder(gocache, folder))
        };
        let shipped = shipped.iter().map(absolute);
        let shipped = shipped.filter(|folder| !is_gocache(folder));
        let executables = executables.iter().map(|folder| Executables::open(folder));
        Self {
            // Where they are damaged, programs are linked.
            executables: executables.flatten().next().unwrap_or_default(),
            places: places.collect(),
            first_usable: AtomicUsize::new(0),
            shipped: shipped.map(|folder| Store::at(&folder)).collect(),
            root_by_way_of_gocache: gocache.as_deref().and_then(way_to_root),
        }
    }

    /// Removes what processes that were killed left in folders for temporary files.
    pub fn remove_orphans(&self) {
        self.places.iter().for_each(Place::remove_orphans);
    }

    /// Removes what nobody will ask for again: there are no more requests.
    pub fn close(&self) {
        self.places.iter().for_each(Place::close);
    }

    /// Whether there is any place for new entries, as far as can be told before there are some.
    ///
    /// Without one the go command is told that nothing can be put here, and compiles without keeping anything; a put
    /// that fails would stop its build.
    pub fn can_keep(&self) -> bool {
        self.places.iter().any(|place| place.has_room().is_ok())
    }

    /// The entry of an action and the path of its output. An entry that cannot be used is passed over.
    pub fn get(&self, action: &Sha256Hash) -> Option<(ActionEntry, Utf8PathBuf)> {
        let find = |store: &Store| store.get(action).ok().flatten();
        for place in self
            .places
            .iter()
            .filter(|place| place.exists.load(Ordering::Relaxed))
        {
            if let Some(entry) = find(&place.store) {
                renew(&place.store.action_path(action));
                renew(&place.store.output_path(&entry.output));
                return Some((entry, self.path_for_go(&place.store, &entry)));
            }
        }
        let mut shipped = self.shipped.iter();
        if let Some((store, entry)) = shipped.find_map(|store| Some((store, find(store)?))) {
            return Some((entry, self.path_for_go(store, &entry)));
        }
        self.unpacked(&self.executables.of_action(action)?)
    }

    /// Unpacks an executable in the first place that takes it; where none does, its program is linked.
    ///
    /// What fails here says nothing of a place: it may have no room for an executable and for all else, or it is the
    /// image that cannot be read.
    fn unpacked(&self, packed: &Packed<'_>) -> Option<(ActionEntry, Utf8PathBuf)> {
        let entry = packed.executable().entry();
        let first_usable = self.first_usable.load(Ordering::Relaxed);
        let place = self.places.iter().skip(first_usable).find(|place| {
            let prepared = place.prepare().map_err(Error::from);
            prepared.and_then(|()| packed.put(&place.store)).is_ok()
        })?;
        place.exists.store(true, Ordering::Relaxed);
        Some((entry, self.path_for_go(&place.store, &entry)))
    }

    /// Keeps an output that is at hand, in the first place that takes it.
    pub fn put_bytes(
        &self,
        action: &Sha256Hash,
        output: &Sha256Hash,
        bytes: &[u8],
    ) -> anyhow::Result<(ActionEntry, Utf8PathBuf)> {
        self.put(|place| {
            place.prepare()?;
            place.store.put_reader(
                action,
                Some(output),
                bytes.len() as u64,
                bytes,
                now_unix_ns(),
            )
        })
    }

    /// Keeps an output that can be read only once, in the first place where a file can be made. If that place then
    /// fails, so does the put.
    pub fn put_stream(
        &self,
        action: &Sha256Hash,
        output: &Sha256Hash,
        size_bytes: u64,
        mut body: impl Read,
    ) -> anyhow::Result<(ActionEntry, Utf8PathBuf)> {
        let mut begun = false;
        self.put(|place| {
            if begun {
                return Err(Error::Io(io::Error::other(
                    "the output was already read in part",
                )));
            }
            place.prepare()?;
            place.probe(output)?;
            begun = true;
            place
                .store
                .put_reader(action, Some(output), size_bytes, &mut body, now_unix_ns())
        })
    }

    /// The path of an output, such that the go command will not move the file away.
    fn path_for_go(&self, store: &Store, entry: &ActionEntry) -> Utf8PathBuf {
        let path = store.output_path(&entry.output);
        let is_gocache = self
            .places
            .first()
            .is_some_and(|place| place.private.is_none() && place.store == *store);
        match &self.root_by_way_of_gocache {
            Some(root) if !is_gocache => format!("{root}{path}").into(),
            _ => path,
        }
    }

    /// Tries the places in order. Fails with the reasons of all of them.
    fn put(
        &self,
        mut put: impl FnMut(&Place) -> Result<ActionEntry, Error>,
    ) -> anyhow::Result<(ActionEntry, Utf8PathBuf)> {
        let mut failures = Vec::new();
        let first_usable = self.first_usable.load(Ordering::Relaxed);
        for (index, place) in self.places.iter().enumerate().skip(first_usable) {
            match put(place) {
                Ok(entry) => {
                    place.exists.store(true, Ordering::Relaxed);
                    return Ok((entry, self.path_for_go(&place.store, &entry)));
                }
                Err(Error::Io(error)) => {
                    self.first_usable.fetch_max(index + 1, Ordering::Relaxed);
                    failures.push(error.to_string());
                }
                // The output is not what it should be; no other place would make it so.
                Err(error) => return Err(error.into()),
            }
        }
        if failures.is_empty() {
            failures.push("all of them have failed before".into());
        }
        bail!("no place to keep new entries: {}", failures.join("; "))
    }
}

/// Renews the time of a file last used more than an hour ago; where that fails, trimming may take it, no more.
fn renew(path: &Utf8Path) {
    let last_used = fs_err::metadata(path).and_then(|metadata| metadata.modified());
    let now = SystemTime::now();
    let is_old = last_used.is_ok_and(|time| {
        now.duration_since(time)
            .is_ok_and(|age| age >= RENEWED_AFTER)
    });
    if is_old && let Ok(file) = fs_err::File::open(path) {
        let _ = file
            .file()
            .set_times(FileTimes::new().set_accessed(now).set_modified(now));
    }
}

/// A path to the root that starts with `folder`.
fn way_to_root(folder: &Utf8Path) -> Option<Utf8PathBuf> {
    // `..` leads out of where a symbolic link leads to, not of where it lies.
    let depth = fs_err::canonicalize(folder).ok()?.components().count() - 1;
    Some(format!("{folder}{}", "/..".repeat(depth)).into())
}

fn is_same_folder(a: &Utf8Path, b: &Utf8Path) -> bool {
    matches!((fs_err::metadata(a), fs_err::metadata(b)), (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
}
