//! Unpacks executables.

use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use camino::Utf8Path;
use sha256::{HashingWriter, Sha256Hash};
use zstd::stream::read::Decoder;
use zstd::zstd_safe::{DCtx, get_error_name};

use super::index::Executable;
use super::pack::MAX_WINDOW_LOG;
use crate::frames::Pack;
use crate::store::{copy, set_time};
use crate::{Error, Store, in_build_id};

/// The executables of all packs in a folder.
#[derive(Debug, Default)]
pub struct Executables {
    packs: Vec<Pack<Executable>>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Packed<'a> {
    pack: &'a Pack<Executable>,
    number: usize,
}

impl Executables {
    /// Those in `folder`; none if there is no such folder.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for an index that is none, or has no executables.
    pub fn open(folder: &Utf8Path) -> Result<Self, Error> {
        let packs = Pack::all_in(folder)?;
        Ok(Self { packs })
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = Packed<'_>> {
        self.packs.iter().flat_map(|pack| {
            let numbers = 0..pack.index.frames.len();
            numbers.map(move |number| Packed { pack, number })
        })
    }

    /// The executable of the program in `folder`, an absolute path: the one whose place in the source is the end of it,
    /// whole components, and the longest where there are several. A source may lie anywhere, so one in its root is
    /// not known from its folder.
    pub fn of_program(&self, folder: &Utf8Path) -> Option<Packed<'_>> {
        let program = |packed: &Packed<'_>| packed.executable().program.clone();
        let found = self.all().filter(|it| {
            let program = program(it);
            program != "" && folder.ends_with(program)
        });
        found.max_by_key(|packed| program(packed).components().count())
    }

    /// The executable that `action` links.
    pub fn of_action(&self, action: &Sha256Hash) -> Option<Packed<'_>> {
        self.all()
            .find(|packed| packed.executable().action == *action)
    }

    /// The executable that a link makes whose build ID, as the go command hands it to the linker, is `build_id`.
    pub fn of_link(&self, build_id: &str) -> Option<Packed<'_>> {
        let (action, _) = build_id.split_once('/')?;
        let is_its = |packed: &Packed<'_>| in_build_id(&packed.executable().action) == action;
        self.all().find(is_its)
    }
}

impl Packed<'_> {
    /// What it is.
    pub fn executable(&self) -> &Executable {
        &self.pack.index.frames[self.number]
    }

    /// The file that it is in.
    pub fn data(&self) -> &Utf8Path {
        &self.pack.data
    }

    /// Whether others of its pack may refer to it.
    pub fn is_first(&self) -> bool {
        self.number == 0
    }

    /// Writes the executable.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is not what was packed; what was written by then is not to be used.
    pub fn unpack(&self, to: impl Write) -> Result<(), Error> {
        let first = if self.executable().after_first {
            self.first()?
        } else {
            Vec::new()
        };
        self.unpack_after(&first, to)
    }

    /// The same by who has `first`, the bytes of the pack's first one, where it refers to that: unpacking many takes
    /// each once.
    pub fn unpack_after(&self, first: &[u8], to: impl Write) -> Result<(), Error> {
        let executable = self.executable();
        let first = if executable.after_first { first } else { &[] };
        let mut to = HashingWriter::new(to);
        if self.is_unpacked_at_once(self.number) {
            to.write_all(&self.content(self.number, first)?)?;
        } else {
            // One byte more shows that it is longer.
            let decoder = self.decoder(first)?;
            let mut content = decoder.take(executable.size_bytes.saturating_add(1));
            copy(&mut content, &mut to)?.map_err(|error| self.pack.corrupt(self.number, error))?;
        }
        let (mut written, output, size_bytes) = to.finish();
        written.flush()?;
        if (output, size_bytes) != (executable.output, executable.size_bytes) {
            let reason = format!("it is not the executable of {}", executable.program);
            return Err(self.pack.corrupt(self.number, reason));
        }
        Ok(())
    }

    /// Puts the executable and its entry into the build cache `store`, unless they are there. What is under a name in
    /// the cache is whole, whenever this ends.
    pub fn put(&self, store: &Store) -> Result<(), Error> {
        self.put_of_time(store, None)
    }

    /// The same for a cache whose entries have the time of those that are shipped: the go command neither removes nor
    /// touches it.
    pub fn put_as_shipped(&self, store: &Store) -> Result<(), Error> {
        let time = u64::try_from(self.executable().time_unix_ns).unwrap_or_default();
        self.put_of_time(store, Some(UNIX_EPOCH + Duration::from_nanos(time)))
    }

    fn put_of_time(&self, store: &Store, time: Option<SystemTime>) -> Result<(), Error> {
        if self.is_in(store) {
            return Ok(());
        }
        let entry = self.executable().entry();
        let written = store.put_written(entry, |file| self.unpack(file))?;
        for path in written {
            let file = fs_err::File::options().write(true).open(path)?;
            file.set_permissions(Permissions::from_mode(0o644))?;
            if let Some(time) = time {
                set_time(&file, time)?;
            }
        }
        Ok(())
    }

    /// Whether the build cache `store` has it.
    pub fn is_in(&self, store: &Store) -> bool {
        // The go command takes an entry that cannot be read for none.
        matches!(store.get(&self.executable().action), Ok(Some(entry)) if entry.output == self.executable().output)
    }

    /// The first executable of the pack.
    fn first(&self) -> Result<Vec<u8>, Error> {
        let first = &self.pack.index.frames[0];
        if first.after_first || !self.is_unpacked_at_once(0) {
            return Err(self.pack.corrupt(0, "others cannot refer to it"));
        }
        self.content(0, &[])
    }

    /// Whether executable `number` takes no more memory than the window of one that is larger.
    fn is_unpacked_at_once(&self, number: usize) -> bool {
        let executable = &self.pack.index.frames[number];
        executable.size_bytes.max(executable.bytes) <= 1 << MAX_WINDOW_LOG
    }

    /// Executable `number`, which refers to `first`: quicker than in pieces, which are copied out of a window.
    fn content(&self, number: usize, first: &[u8]) -> Result<Vec<u8>, Error> {
        let executable = &self.pack.index.frames[number];
        let [mut frame, mut content] = [room(executable.bytes)?, room(executable.size_bytes)?];
        self.pack.frame(number)?.read_to_end(&mut frame)?;
        let mut decompressor = DCtx::create();
        decompressor
            .ref_prefix(first)
            .and_then(|_| decompressor.decompress(&mut content, &frame))
            .map_err(|code| self.pack.corrupt(number, get_error_name(code)))?;
        Ok(content)
    }

    fn decoder<'f>(&self, first: &'f [u8]) -> Result<impl Read + use<'f>, Error> {
        let frame = io::BufReader::new(self.pack.frame(self.number)?);
        let mut decoder = Decoder::with_ref_prefix(frame, first)
            .map_err(|error| self.pack.corrupt(self.number, error))?;
        decoder.window_log_max(MAX_WINDOW_LOG)?;
        Ok(decoder.single_frame())
    }
}

/// Room for so many bytes; where there is none, a link may do with less.
fn room(bytes: u64) -> io::Result<Vec<u8>> {
    let mut room = Vec::new();
    let bytes = usize::try_from(bytes).map_err(io::Error::other)?;
    room.try_reserve_exact(bytes).map_err(io::Error::other)?;
    Ok(room)
}
