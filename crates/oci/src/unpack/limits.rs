//! How much a layer may unpack to.
//!
//! What is downloaded says little about that: 145 kB of zstd can be 4 GiB, and a tar can promise files that are larger
//! than all that it holds. Where the size is known, it is the limit; else it is a multiple of the blobs' size that no
//! image reaches whose files hold something, or what the user says, and in either case what the disk has room for.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read};
use std::rc::Rc;

use anyhow::{Context as _, Error, Result};
use camino::Utf8Path;
use failure::{Failure, corrupt, failed, usage};

/// The variable that says how many gigabytes an image may unpack to.
pub const MAX_UNPACKED_GB: &str = "IAC_RUNNER_MAX_UNPACKED_GB";

/// As many times its size a compressed image unpacks to, at most, beyond [`SMALL_BYTES`].
const RATIO: u64 = 100;
/// Any image may be as large.
const SMALL_BYTES: u64 = 1 << 30;
/// More entries than an image has.
const MAX_ENTRIES: u64 = 10_000_000;
/// More than the names and extended headers before an entry take, which are held in memory.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// How much may be unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    bytes: u64,
    entries: u64,
    /// What to do about more.
    remedy: Remedy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// The size is known.
    MakeAnew,
    Raise,
    MakeRoom,
}

impl Limits {
    /// Of an archive that has `bytes`, as who wrote it says.
    pub fn exactly(bytes: u64) -> Self {
        Self {
            bytes,
            entries: MAX_ENTRIES,
            remedy: Remedy::MakeAnew,
        }
    }

    /// Of all layers of an image together, whose blobs have `compressed_bytes`, unpacked to the disk of `root`.
    pub fn of_image(compressed_bytes: u64, root: &Utf8Path) -> Result<Self> {
        let said = std::env::var(MAX_UNPACKED_GB).ok();
        Self::new(compressed_bytes, said.as_deref(), free_bytes(root)?)
    }

    fn new(compressed_bytes: u64, said: Option<&str>, free_bytes: u64) -> Result<Self> {
        let bytes = match said {
            None => compressed_bytes
                .saturating_mul(RATIO)
                .saturating_add(SMALL_BYTES),
            Some(said) => {
                let bytes = said.parse::<u64>().ok();
                let bytes = bytes.and_then(|gb| gb.checked_mul(1_000_000_000));
                bytes.ok_or_else(|| {
                    usage(
                        format!("{MAX_UNPACKED_GB} is {said}, which is no number of gigabytes"),
                        "set it to a whole number, or not at all",
                    )
                })?
            }
        };
        let remedy = if bytes <= free_bytes {
            Remedy::Raise
        } else {
            Remedy::MakeRoom
        };
        Ok(Self {
            bytes: bytes.min(free_bytes),
            entries: MAX_ENTRIES,
            remedy,
        })
    }

    /// What is left after `bytes`.
    #[must_use]
    pub fn less(self, bytes: u64) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(bytes),
            ..self
        }
    }

    fn exceeded(&self) -> Error {
        let message = format!("it unpacks to more than {} bytes", self.bytes);
        match self.remedy {
            Remedy::MakeAnew => corrupt(message, "make it anew"),
            Remedy::Raise => failed(
                message,
                format!("if the image is meant to be so large, set {MAX_UNPACKED_GB}"),
            ),
            Remedy::MakeRoom => failed(message, "make room on the disk that it is unpacked to"),
        }
    }
}

/// Counts what is read of a tar, and ends it where it is too much.
pub struct Meter<R> {
    inner: R,
    count: Count,
}

/// What a [`Meter`] has counted; it is shared with whoever reads through it.
#[derive(Debug, Clone)]
pub struct Count {
    limits: Limits,
    state: Rc<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: Cell<u64>,
    /// No byte is read beyond this one.
    end: Cell<u64>,
    entries: Cell<u64>,
    promised_bytes: Cell<u64>,
    exceeded: Cell<bool>,
}

impl<R: Read> Meter<R> {
    /// Nothing read yet.
    pub fn new(inner: R, limits: Limits) -> Self {
        let count = Count {
            limits,
            state: Rc::default(),
        };
        count.in_content();
        Self { inner, count }
    }

    /// What is counted, while somebody reads.
    pub fn count(&self) -> Count {
        self.count.clone()
    }
}

impl Count {
    /// All bytes so far.
    pub fn bytes(&self) -> u64 {
        self.state.bytes.get()
    }

    /// What has been unpacked so far: all bytes, or those of the files alone where they are more than they take in the
    /// tar.
    pub fn unpacked_bytes(&self) -> u64 {
        self.bytes().max(self.state.promised_bytes.get())
    }

    /// What comes next is no file's content.
    pub fn in_headers(&self) {
        let end = self.bytes() + MAX_HEADER_BYTES;
        self.state.end.set(end.min(self.limits.bytes));
    }

    /// What comes next may be.
    pub fn in_content(&self) {
        self.state.end.set(self.limits.bytes);
    }

    /// An entry comes that is a file of `size` bytes, whatever it takes in the tar.
    pub fn entry(&self, size: u64) -> Result<()> {
        let state = &self.state;
        state.entries.set(state.entries.get() + 1);
        let promised = state.promised_bytes.get().saturating_add(size);
        state.promised_bytes.set(promised);
        if promised > self.limits.bytes {
            return Err(self.limits.exceeded());
        }
        if state.entries.get() > self.limits.entries {
            let message = format!("it has more than {} entries", self.limits.entries);
            return Err(corrupt(message, "make it anew with fewer files"));
        }
        Ok(())
    }

    /// What `error`, of reading through the meter, means.
    pub fn explain(&self, error: Error) -> Error {
        if self.state.exceeded.get() {
            return if self.state.end.get() < self.limits.bytes {
                corrupt(
                    format!(
                        "the name or header of an entry has more than {MAX_HEADER_BYTES} bytes"
                    ),
                    "make it anew",
                )
            } else {
                self.limits.exceeded()
            };
        }
        let has_kind = error.chain().any(<dyn std::error::Error>::is::<Failure>);
        // What the machine refuses is not the layer's fault; all else is.
        let is_of_machine = error.chain().any(|cause| {
            let cause = cause.downcast_ref::<io::Error>();
            cause.is_some_and(|cause| cause.raw_os_error().is_some())
        });
        if has_kind || is_of_machine {
            error
        } else {
            corrupt(
                format!("it is damaged: {error:#}"),
                "push or make the image anew",
            )
        }
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let state = &self.count.state;
        let bytes = state.bytes.get() + read as u64;
        state.bytes.set(bytes);
        if bytes > state.end.get() {
            state.exceeded.set(true);
            return Err(io::Error::new(ErrorKind::InvalidData, "too much"));
        }
        Ok(read)
    }
}

/// The bytes that this process may still write to the disk of `path`.
pub fn free_bytes(path: &Utf8Path) -> Result<u64> {
    let disk = rustix::fs::statvfs(path.as_std_path())
        .with_context(|| format!("failed to ask for the space on the disk of {path}"))?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_may_be_as_large_as_its_blobs_the_user_and_the_disk_allow() {
        const GIB: u64 = 1 << 30;
        for (compressed, said, free, bytes, remedy) in [
            (0, None, 100 * GIB, GIB, Remedy::Raise),
            (GIB, None, 200 * GIB, 101 * GIB, Remedy::Raise),
            (GIB, None, 50 * GIB, 50 * GIB, Remedy::MakeRoom),
            (u64::MAX, None, GIB, GIB, Remedy::MakeRoom),
            (0, Some("3"), 100 * GIB, 3_000_000_000, Remedy::Raise),
            (GIB, Some("3"), GIB, GIB, Remedy::MakeRoom),
        ] {
            let limits = Limits::new(compressed, said, free).unwrap();
            assert_eq!((limits.bytes, limits.remedy), (bytes, remedy));
        }
        for wrong in ["", "1.5", "-1", "99999999999999"] {
            let error = Limits::new(0, Some(wrong), GIB).unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage, "{wrong}");
        }
    }
}
