//! Files of zstd frames, and the index beside each that says what is in them: what object code and executables have in
//! common.
//!
//! Nothing in an index is an offset: frames follow each other without gaps. So an index that fits its file cannot lead
//! out of it, or to the same bytes twice.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};

use camino::{Utf8Path, Utf8PathBuf};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zstd::zstd_safe::CParameter;

use crate::Error;

/// How the name of a pack's frames ends.
pub const DATA_SUFFIX: &str = ".zst";

/// How the name of a pack's [`Index`] ends.
pub const INDEX_SUFFIX: &str = ".json";

/// Raised when a field changes its meaning.
const SCHEMA: u32 = 1;

/// Far more than the index of the largest pack has.
const MAX_INDEX_BYTES: u64 = 256 << 20;

/// log2 of the smallest window.
const MIN_WINDOW_LOG: u32 = 20;

/// Levels that find what lies far apart once their tables are large; higher ones weigh their finds, which takes smaller
/// tables and samples of what lies far apart.
const WITH_TABLES: std::ops::RangeInclusive<i32> = 5..=15;

/// log2 of the entries of those tables; 0.13 GB for each frame under way.
const TABLE_LOG: u32 = 24;

/// What was compressed together.
pub trait Frame {
    /// Length in the file.
    fn bytes(&self) -> u64;
}

/// What is in a file of frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index<F> {
    schema: u32,
    /// In the order of the file.
    pub frames: Vec<F>,
}

impl<F: Frame + Serialize + DeserializeOwned> Index<F> {
    /// Of these frames.
    pub fn new(frames: Vec<F>) -> Self {
        Self {
            schema: SCHEMA,
            frames,
        }
    }

    /// Reads the index `file` of frames that have `data_bytes` in their file.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if it is none, or does not fit.
    pub fn read(file: &Utf8Path, data_bytes: u64) -> Result<Self, Error> {
        let corrupt = |reason: String| Error::corrupt(file, reason);
        let json = regular_file::read(file.as_std_path(), MAX_INDEX_BYTES);
        let json = json.map_err(|error| damaged(file, error))?;
        let index: Self =
            serde_json::from_slice(&json).map_err(|error| corrupt(error.to_string()))?;
        if index.schema != SCHEMA {
            let reason = format!("its format is {}, and only {SCHEMA} is known", index.schema);
            return Err(corrupt(reason));
        }
        let mut frames = index.frames.iter();
        let bytes = frames.try_fold(0_u64, |sum, frame| sum.checked_add(frame.bytes()));
        if bytes != Some(data_bytes) {
            let reason = format!("it is not that of a file of {data_bytes} bytes");
            return Err(corrupt(reason));
        }
        Ok(index)
    }

    /// Its text.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("digests, paths and numbers are JSON")
    }
}

/// The frames of a pack.
#[derive(Debug)]
pub struct Pack<F> {
    /// The file that they are in.
    pub data: Utf8PathBuf,
    /// What is in them.
    pub index: Index<F>,
    /// Where each begins in the file.
    starts: Vec<u64>,
}

impl<F: Frame + Serialize + DeserializeOwned> Pack<F> {
    /// Those in `data`, of which `index` was read.
    fn new(data: Utf8PathBuf, index: Index<F>) -> Self {
        let mut end = 0;
        let starts = index.frames.iter().map(|frame| {
            let start = end;
            end += frame.bytes();
            start
        });
        Self {
            starts: starts.collect(),
            data,
            index,
        }
    }

    /// Those of all packs in `folder`, by name; none if there is no such folder.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for an index that is none, or has no frames, and for what is no regular file.
    pub fn all_in(folder: &Utf8Path) -> Result<Vec<Self>, Error> {
        let entries = match folder.read_dir_utf8() {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names: Vec<String> = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().strip_suffix(INDEX_SUFFIX);
            names.extend(name.map(str::to_owned));
        }
        names.sort();
        let pack = |name: String| {
            let data = folder.join(format!("{name}{DATA_SUFFIX}"));
            let opened = regular_file::open(data.as_std_path());
            let bytes = opened
                .map_err(|error| damaged(&data, error))?
                .metadata()?
                .len();
            let index = Index::read(&folder.join(format!("{name}{INDEX_SUFFIX}")), bytes)?;
            Ok(Self::new(data, index))
        };
        names.into_iter().map(pack).collect()
    }

    /// The bytes of a frame.
    pub fn frame(&self, number: usize) -> io::Result<io::Take<File>> {
        let mut file = regular_file::open(self.data.as_std_path())?;
        file.seek(SeekFrom::Start(self.starts[number]))?;
        Ok(file.take(self.index.frames[number].bytes()))
    }

    /// What is wrong with a frame.
    pub fn corrupt(&self, number: usize, reason: impl std::fmt::Display) -> Error {
        Error::corrupt(&self.data, format!("frame {number}: {reason}"))
    }
}

/// What `error`, of a file that has to be there and may be anybody's, means.
fn damaged(file: &Utf8Path, error: io::Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidData | ErrorKind::NotFound => Error::corrupt(file, error.to_string()),
        _ => error.into(),
    }
}

/// Settings of zstd beside its `level`, for a frame that is to find what it can in `bytes`, its own and those that it
/// refers to, as far as a window allows it of which `max_window_log` is the log2: the memory that a reader needs.
pub fn parameters(level: i32, bytes: u64, max_window_log: u32) -> Vec<CParameter> {
    let log = bytes.next_power_of_two().ilog2();
    let log = log.clamp(MIN_WINDOW_LOG, max_window_log);
    let mut parameters = vec![CParameter::WindowLog(log), CParameter::ChecksumFlag(true)];
    if WITH_TABLES.contains(&level) {
        let table_log = TABLE_LOG.min(log);
        parameters.extend([
            CParameter::HashLog(table_log),
            CParameter::ChainLog(table_log),
        ]);
    } else {
        parameters.push(CParameter::EnableLongDistanceMatching(true));
    }
    parameters
}
