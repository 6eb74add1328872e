//! The one hash of Go's cache: SHA-256, which names both actions and outputs.
//!
//! In text it is always 64 lower-case hex digits, as in Go's file names; upper case is refused, because a file
//! of that name would never be found.
//!
//! One file: the digest, and hashing of bytes, files and streams.

#![warn(missing_docs)]

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use camino::Utf8Path;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// Files are read in pieces of this size, so memory does not grow with them; most files are smaller, and it is cleared
/// for each.
const BUFFER_BYTES: usize = 16 * 1024;

/// A SHA-256 digest: an action ID, an output ID, or the digest of any file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Hash([u8; 32]);

impl Sha256Hash {
    /// The hash with these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The hash of bytes at hand.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        hex::encode_to_slice(self.0, &mut digits).expect("32 bytes are 64 digits");
        f.write_str(std::str::from_utf8(&digits).expect("hex digits are ASCII"))
    }
}

impl fmt::Debug for Sha256Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not 64 lower-case hex digits")]
pub struct ParseHashError(String);

impl FromStr for Sha256Hash {
    type Err = ParseHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        if text.bytes().any(|b| b.is_ascii_uppercase())
            || hex::decode_to_slice(text, &mut bytes).is_err()
        {
            return Err(ParseHashError(text.chars().take(80).collect()));
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// Hashes and counts what is read through it.
#[derive(Debug)]
pub struct HashingReader<R> {
    inner: R,
    hasher: Sha256,
    size_bytes: u64,
}

impl<R: Read> HashingReader<R> {
    /// Nothing read yet.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            size_bytes: 0,
        }
    }

    /// The hash and the number of the bytes read so far.
    pub fn finish(self) -> (Sha256Hash, u64) {
        (Sha256Hash(self.hasher.finalize().into()), self.size_bytes)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.size_bytes += count as u64;
        Ok(count)
    }
}

/// Hashes and counts what is written through it.
#[derive(Debug)]
pub struct HashingWriter<W> {
    inner: W,
    hasher: Sha256,
    size_bytes: u64,
}

impl<W: Write> HashingWriter<W> {
    /// Nothing written yet.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            hasher: Sha256::new(),
            size_bytes: 0,
        }
    }

    /// The writer, and the hash and the number of the bytes that it took.
    pub fn finish(self) -> (W, Sha256Hash, u64) {
        let hash = Sha256Hash(self.hasher.finalize().into());
        (self.inner, hash, self.size_bytes)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(data)?;
        self.hasher.update(&data[..count]);
        self.size_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Reads to the end; returns hash and size in bytes.
pub fn hash_reader(reader: impl Read) -> io::Result<(Sha256Hash, u64)> {
    let mut reader = HashingReader::new(reader);
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(reader.finish()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Hash and size in bytes of a file.
pub fn hash_file(path: &Utf8Path) -> io::Result<(Sha256Hash, u64)> {
    hash_reader(fs_err::File::open(path)?)
}

/// Fails unless `file` has this size and digest.
pub fn check_file(file: &Utf8Path, size_bytes: u64, digest: &Sha256Hash) -> Result<(), String> {
    let found = fs_err::metadata(file)
        .map_err(|error| error.to_string())?
        .len();
    if found != size_bytes {
        return Err(format!("{file} has {found} bytes instead of {size_bytes}"));
    }
    let opened = fs_err::File::open(file).map_err(|error| error.to_string())?;
    let (actual, _) = hash_reader(opened.take(size_bytes)).map_err(|error| error.to_string())?;
    if actual == *digest {
        Ok(())
    } else {
        Err(format!(
            "{file} has the digest {actual} instead of {digest}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn agrees_with_the_known_digests() {
        assert_eq!(Sha256Hash::of(b"").to_string(), EMPTY);
        let (hash, size) = hash_reader(&b"abc"[..]).unwrap();
        assert_eq!(
            hash.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(size, 3);
    }

    #[test]
    fn reads_more_than_one_buffer() {
        let bytes = vec![7; 3 * BUFFER_BYTES + 11];
        assert_eq!(
            hash_reader(&bytes[..]).unwrap(),
            (Sha256Hash::of(&bytes), bytes.len() as u64)
        );
    }

    #[test]
    fn hashes_only_what_a_writer_took() {
        /// Takes three bytes at a time.
        struct Short(Vec<u8>);
        impl Write for Short {
            fn write(&mut self, data: &[u8]) -> io::Result<usize> {
                let count = data.len().min(3);
                self.0.extend_from_slice(&data[..count]);
                Ok(count)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = HashingWriter::new(Short(Vec::new()));
        writer.write_all(b"12345678").unwrap();
        let (short, hash, size_bytes) = writer.finish();
        assert_eq!(short.0, b"12345678");
        assert_eq!((hash, size_bytes), (Sha256Hash::of(b"12345678"), 8));
    }

    #[test]
    fn hashes_a_file_and_names_a_missing_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("f");
        fs_err::write(&path, b"").unwrap();
        assert_eq!(hash_file(&path).unwrap().0.to_string(), EMPTY);
        let message = hash_file(&path.with_extension("gone"))
            .unwrap_err()
            .to_string();
        assert!(message.contains("f.gone"), "{message}");
    }

    #[test]
    fn refuses_what_go_would_not_write() {
        for text in [
            "",
            "ab",
            &EMPTY.to_uppercase(),
            &EMPTY[1..],
            &format!("{EMPTY}0"),
            &EMPTY.replace('e', "g"),
        ] {
            assert!(text.parse::<Sha256Hash>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_and_json_round_trip(bytes: [u8; 32]) {
            let hash = Sha256Hash::from_bytes(bytes);
            prop_assert_eq!(hash.to_string().parse::<Sha256Hash>().unwrap(), hash);
            let json = serde_json::to_string(&hash).unwrap();
            prop_assert_eq!(&json, &format!("\"{hash}\""));
            prop_assert_eq!(serde_json::from_str::<Sha256Hash>(&json).unwrap(), hash);
        }
    }
}
