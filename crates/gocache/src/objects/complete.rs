//! Puts archives together again.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};

use camino::{Utf8Path, Utf8PathBuf};
use rayon::prelude::*;
use sha256::{HashingWriter, Sha256Hash};
use zstd::stream::read::Decoder;

use super::index::{Frame, ObjectCode};
use crate::Error;
use crate::frames::Pack;
use crate::store::copy;

/// The object code of all packs in a folder.
#[derive(Debug, Default)]
pub struct Objects {
    packs: Vec<Pack<Frame>>,
    /// Pack, frame, and number in it, by the digest of the export-only archive.
    places: HashMap<Sha256Hash, (usize, usize, usize)>,
}

/// An archive without its object code, and where it is to be with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incomplete {
    /// The file without.
    pub export_only: Utf8PathBuf,
    /// Its digest.
    pub digest: Sha256Hash,
    /// The file with; it must not exist.
    pub whole: Utf8PathBuf,
}

impl Objects {
    /// Those in `folder`; none if there is no such folder.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for an index that is none, or has no object code, and for different object code of one
    /// archive.
    pub fn open(folder: &Utf8Path) -> Result<Self, Error> {
        let packs = Pack::<Frame>::all_in(folder)?;
        let mut places: HashMap<Sha256Hash, (usize, usize, usize)> = HashMap::new();
        for (number, pack) in packs.iter().enumerate() {
            for (frame, content) in pack.index.frames.iter().enumerate() {
                for (place, code) in content.archives.iter().enumerate() {
                    let known = places.insert(code.export_only, (number, frame, place));
                    let whole = known.map(|(pack, frame, place)| {
                        packs[pack].index.frames[frame].archives[place].whole
                    });
                    if whole.is_some_and(|whole| whole != code.whole) {
                        let archive = code.export_only;
                        let reason = format!("there is other object code of {archive}, too");
                        return Err(pack.corrupt(frame, reason));
                    }
                }
            }
        }
        Ok(Self { packs, places })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All of it, with the file that it is in.
    pub fn archives(&self) -> impl Iterator<Item = (&Utf8Path, &ObjectCode)> {
        self.packs.iter().flat_map(|pack| {
            let frames = pack.index.frames.iter();
            let archives = frames.flat_map(|frame| &frame.archives);
            archives.map(|code| (pack.data.as_path(), code))
        })
    }

    /// The object code of the archive that has this digest without it.
    pub fn find(&self, export_only: &Sha256Hash) -> Option<&ObjectCode> {
        let (pack, frame, number) = *self.places.get(export_only)?;
        self.packs[pack].index.frames[frame].archives.get(number)
    }

    /// Writes each whole archive.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for an archive whose object code is not there or is not what was packed; what was written by
    /// then is not to be used. The first in the order of packs is told.
    pub fn complete(&self, archives: &[Incomplete]) -> Result<(), Error> {
        let create = |archive: &Incomplete| fs_err::File::create_new(&archive.whole);
        self.read(archives, create)
            .into_iter()
            .next()
            .map_or(Ok(()), Err)
    }

    /// Hashes each whole archive, and keeps none; what is wrong, one of each frame, in the order of packs.
    pub fn check(&self, archives: &[Incomplete]) -> Vec<Error> {
        self.read(archives, |_| Ok(io::sink()))
    }

    fn read<W: Write>(
        &self,
        archives: &[Incomplete],
        open: impl Fn(&Incomplete) -> io::Result<W> + Sync,
    ) -> Vec<Error> {
        let mut frames: BTreeMap<(usize, usize), BTreeMap<usize, &Incomplete>> = BTreeMap::new();
        for archive in archives {
            let Some(&(pack, frame, number)) = self.places.get(&archive.digest) else {
                let reason = "it has no object code, and no pack has it";
                return vec![Error::corrupt(&archive.export_only, reason)];
            };
            let wanted = frames.entry((pack, frame)).or_default();
            if wanted.insert(number, archive).is_some() {
                let reason = "it is to be completed twice at once";
                return vec![Error::malformed("list of archives", reason)];
            }
        }
        let frames: Vec<_> = frames.into_iter().collect();
        let read: Vec<Result<(), Error>> = frames
            .par_iter()
            .map(|((pack, frame), wanted)| read_frame(&self.packs[*pack], *frame, wanted, &open))
            .collect();
        read.into_iter().filter_map(Result::err).collect()
    }
}

/// Unpacks the frame `number` of `pack` as far as there is something `wanted` in it, by number.
fn read_frame<W: Write>(
    pack: &Pack<Frame>,
    number: usize,
    wanted: &BTreeMap<usize, &Incomplete>,
    open: impl Fn(&Incomplete) -> io::Result<W>,
) -> Result<(), Error> {
    let corrupt = |reason: String| pack.corrupt(number, reason);
    let frame = &pack.index.frames[number];
    let decoder = Decoder::new(pack.frame(number)?).map_err(|error| corrupt(error.to_string()))?;
    let mut content = decoder.single_frame();
    let last = wanted.keys().next_back().copied();
    for (number, code) in frame
        .archives
        .iter()
        .enumerate()
        .take_while(|(it, _)| Some(*it) <= last)
    {
        let mut object_code = Read::by_ref(&mut content).take(code.bytes);
        let Some(archive) = wanted.get(&number) else {
            let passed = io::copy(&mut object_code, &mut io::sink());
            passed.map_err(|error| corrupt(error.to_string()))?;
            continue;
        };
        let export_only = fs_err::File::open(&archive.export_only)?;
        let mut whole = HashingWriter::new(open(archive)?);
        io::copy(&mut &export_only, &mut whole)?;
        copy(&mut object_code, &mut whole)?.map_err(|error| corrupt(error.to_string()))?;
        let (mut written, digest, _) = whole.finish();
        written.flush()?;
        if digest != code.whole {
            let reason = format!("{} is not whole with it", archive.export_only);
            return Err(corrupt(reason));
        }
    }
    if last == frame.archives.len().checked_sub(1) {
        // At its end zstd compares its own checksum.
        let more = content
            .read(&mut [0])
            .map_err(|error| corrupt(error.to_string()))?;
        if more > 0 {
            return Err(corrupt("it is longer than its index says".to_owned()));
        }
    }
    Ok(())
}
