//! How zstd compresses layers.
//!
//! The levels are made for small memories: level 9 remembers the last few megabytes. What fills an image, executables
//! above all, has its repetitions tens of megabytes apart, short ones, for addresses differ. Larger tables find them
//! for a fraction of the time that a higher level takes.
//!
//! The highest levels weigh all repetitions that they find against each other. Tables of that size would take them ten
//! times as long; samples of what lies far apart, short ones there, serve them as well. Where samples are enough, the
//! bytes are compressed in pieces by all processors; tables know nothing of the piece before theirs. How many
//! processors there are does not show in what comes out.

use std::io::{self, Write};
use std::ops::RangeInclusive;

use zstd::stream::raw::CParameter;
use zstd::stream::write::Encoder;

use super::compression::CompressionSettings;

/// Settings of zstd.
#[derive(Debug, Clone, Copy)]
pub struct Zstd {
    /// Compression level.
    pub level: i32,
    /// log2 of the window in bytes.
    pub window_log: u32,
    /// How repetitions are found that lie far apart.
    pub far: Far,
}

/// How zstd finds repetitions that lie far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Far {
    /// Not beyond what the level's own tables remember.
    No,
    /// Long ones, by samples of them; how long is up to the level.
    Samples,
    /// All, by tables of 2^this entries.
    Tables(u32),
}

/// Levels for which the tables are worth their time.
const WITH_TABLES: RangeInclusive<i32> = 5..=15;

/// What one thread compresses at a time: large beside what a level's own tables remember, which start anew with each
/// piece.
const PIECE_BYTES: u32 = 64 << 20;

/// Each keeps a piece in memory.
const MOST_THREADS: u32 = 8;

impl Zstd {
    /// Those for layers.
    pub fn of(settings: CompressionSettings) -> Self {
        Self {
            level: settings.zstd_level,
            window_log: settings.zstd_window_log,
            far: if WITH_TABLES.contains(&settings.zstd_level) {
                Far::Tables(settings.zstd_table_log)
            } else {
                Far::Samples
            },
        }
    }

    /// A compressor.
    pub fn encoder<W: Write>(self, inner: W) -> io::Result<Encoder<'static, W>> {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads =
            u32::try_from(processors).map_or(MOST_THREADS, |count| count.min(MOST_THREADS));
        self.encoder_on(threads, inner)
    }

    fn encoder_on<W: Write>(self, threads: u32, inner: W) -> io::Result<Encoder<'static, W>> {
        let mut encoder = Encoder::new(inner, self.level)?;
        encoder.window_log(self.window_log)?;
        match self.far {
            Far::No => {}
            Far::Samples => {
                encoder.long_distance_matching(true)?;
                encoder.multithread(threads)?;
                encoder.set_parameter(CParameter::JobSize(PIECE_BYTES))?;
            }
            Far::Tables(log) => {
                encoder.set_parameter(CParameter::HashLog(log))?;
                encoder.set_parameter(CParameter::ChainLog(log))?;
            }
        }
        Ok(encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::seq::SliceRandom as _;
    use rand::{Rng as _, SeedableRng as _};

    const WINDOW_LOG: u32 = 24;

    fn compress(data: &[u8], far: Far) -> Vec<u8> {
        let settings = Zstd {
            level: 9,
            window_log: WINDOW_LOG,
            far,
        };
        let mut encoder = settings.encoder(Vec::new()).unwrap();
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn tables_find_short_repetitions_that_lie_far_apart() {
        let mut random = StdRng::seed_from_u64(1);
        let mut bytes = |count: usize| {
            let mut bytes = vec![0; count];
            random.fill_bytes(&mut bytes);
            // Of few values: where nothing repeats at all, zstd hurries on.
            bytes.into_iter().map(|byte| byte & 31).collect::<Vec<u8>>()
        };
        let (mut pieces, between) = (bytes(1 << 20), bytes(4 << 20));
        let mut data = [&pieces[..], &between].concat();
        // The same pieces again, in another order: none is long enough for a sample.
        let mut shuffled: Vec<&mut [u8]> = pieces.chunks_mut(48).collect();
        shuffled.shuffle(&mut StdRng::seed_from_u64(2));
        data.extend(shuffled.iter().flat_map(|piece| piece.iter().copied()));

        let [none, samples, tables] =
            [Far::No, Far::Samples, Far::Tables(23)].map(|far| compress(&data, far));
        let [none, samples, tables_bytes] = [&none, &samples, &tables].map(Vec::len);
        let saved = none.min(samples).saturating_sub(tables_bytes);
        assert!(saved > 100_000, "{none} {samples} {tables_bytes}");
        let mut decoder = zstd::stream::read::Decoder::new(&tables[..]).unwrap();
        decoder.window_log_max(WINDOW_LOG).unwrap();
        let mut read = Vec::new();
        io::Read::read_to_end(&mut decoder, &mut read).unwrap();
        assert!(read == data);
    }

    #[test]
    fn what_is_compressed_is_the_same_on_any_number_of_processors() {
        let piece = PIECE_BYTES as usize;
        let mut data = vec![0; piece * 2 + 1000];
        StdRng::seed_from_u64(3).fill_bytes(&mut data[piece - (1 << 20)..piece]);
        data.copy_within(piece - (1 << 20)..piece, piece + 1000);
        let settings = Zstd {
            level: 1,
            window_log: 27,
            far: Far::Samples,
        };
        let outputs = [(1, 1 << 20), (2, 100_000), (5, 1 << 24)].map(|(threads, written)| {
            let mut encoder = settings.encoder_on(threads, Vec::new()).unwrap();
            for chunk in data.chunks(written) {
                encoder.write_all(chunk).unwrap();
            }
            encoder.finish().unwrap()
        });
        assert!(outputs[0] == outputs[1] && outputs[0] == outputs[2]);
    }

    #[test]
    fn low_and_high_levels_do_without_tables() {
        let settings = |zstd_level| CompressionSettings {
            zstd_level,
            zstd_window_log: 27,
            zstd_table_log: 26,
            gzip_level: 6,
        };
        assert_eq!(Zstd::of(settings(1)).far, Far::Samples);
        assert_eq!(Zstd::of(settings(18)).far, Far::Samples);
        assert_eq!(Zstd::of(settings(9)).far, Far::Tables(26));
    }
}
