//! Files of a source, read as what somebody else wrote: a link in it may lead to the secrets of whoever runs this, and
//! a file may have no end.
//!
//! So nothing is opened that a link out of the source leads to, it is refused by the link's own name; only regular
//! files are read, and only up to a size.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::error::{Named as _, escaped};
use crate::links::{Target, resolve};

/// The size of any go.mod, go.work, `vendor/modules.txt` and `iac-runner.toml`, at most.
pub const MAX_BYTES: u64 = 4 << 20;

/// The size of any go.sum and go.work.sum, at most.
pub const MAX_SUM_BYTES: u64 = 64 << 20;

/// The size of any Go file of which more than the begin has to be read, at most.
pub const MAX_GO_BYTES: u64 = 16 << 20;

/// The content of `path`, relative to `source`, of at most `max_bytes`; none if there is none, or a folder.
pub fn read(source: &Path, path: &Path, max_bytes: u64) -> Result<Option<Vec<u8>>, Error> {
    let Some(file) = locate(source, path)? else {
        return Ok(None);
    };
    match regular_file::read(&file, max_bytes) {
        Err(error) if error.kind() == ErrorKind::InvalidData => Err(irregular(path, max_bytes)),
        other => Ok(Some(other.named(&file)?)),
    }
}

/// Whether there is a file at `path`, relative to `source`, which must then be a regular one of at most `max_bytes`.
pub fn is_there(source: &Path, path: &Path, max_bytes: u64) -> Result<bool, Error> {
    let Some(file) = locate(source, path)? else {
        return Ok(false);
    };
    let metadata = fs_err::metadata(&file).named(&file)?;
    if metadata.is_file() && metadata.len() <= max_bytes {
        Ok(true)
    } else {
        Err(irregular(path, max_bytes))
    }
}

/// The first bytes of `path`, relative to `source`, of at most `max_bytes`; none if there is no regular file.
pub(crate) fn read_begin(source: &Path, path: &Path, max_bytes: u64) -> Result<Vec<u8>, Error> {
    let mut begin = Vec::new();
    if let Some(file) = locate(source, path)? {
        let opened = regular_file::open(&file).named(&file)?;
        opened.take(max_bytes).read_to_end(&mut begin)?;
    }
    Ok(begin)
}

/// Where the file is that `path`, relative to `source`, leads to; none if there is none, or a folder.
pub fn locate(source: &Path, path: &Path) -> Result<Option<PathBuf>, Error> {
    match resolve(source, path).named(&source.join(path))? {
        Target::Inside(real) => Ok(Some(source.join(real)).filter(|file| !file.is_dir())),
        Target::Outside { link, to } => Err(Error::outside(&link, &to)),
        Target::Nowhere => Ok(None),
    }
}

pub(crate) fn irregular(path: &Path, max_bytes: u64) -> Error {
    Error::Irregular {
        path: escaped(path),
        max_bytes,
    }
}
