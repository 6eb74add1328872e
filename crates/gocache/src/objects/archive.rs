//! The shape of a package's archive: `!<arch>`, then `__.PKGDEF` with the export data, then object code.

use std::io::{self, ErrorKind, Read};

/// How an archive begins.
const MAGIC: &[u8; 8] = b"!<arch>\n";

/// Name, time, owner, group, mode and size of an entry, and two bytes that end it.
const HEADER_BYTES: usize = 60;

/// The first entry of what the compiler writes: the name in 16 columns.
const EXPORT_DATA: &[u8; 16] = b"__.PKGDEF       ";

/// Where the decimal size of an entry stands in its header.
const SIZE: std::ops::Range<usize> = 48..58;

/// How an entry's header ends.
const END: &[u8; 2] = b"`\n";

/// An archive of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Archive {
    /// With object code, after so many bytes.
    Whole {
        /// Length of the magic, the header of the export data and the export data.
        export_bytes: u64,
    },
    /// Without.
    ExportOnly,
}

impl Archive {
    /// What the beginning of `file`, which has `size_bytes`, says of it; none if it is no archive of a package, or
    /// broken off in its export data.
    pub fn of(mut file: impl Read, size_bytes: u64) -> io::Result<Option<Self>> {
        let mut start = [0; MAGIC.len() + HEADER_BYTES];
        match file.read_exact(&mut start) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let (magic, header) = start.split_at(MAGIC.len());
        if magic != MAGIC || !header.starts_with(EXPORT_DATA) || !header.ends_with(END) {
            return Ok(None);
        }
        let digits = std::str::from_utf8(&header[SIZE]).ok();
        let Some(bytes) = digits.and_then(|digits| digits.trim_end().parse::<u32>().ok()) else {
            return Ok(None);
        };
        // Entries begin at even places.
        let export_bytes = start.len() as u64 + u64::from(bytes).next_multiple_of(2);
        Ok(match size_bytes.cmp(&export_bytes) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(Self::ExportOnly),
            std::cmp::Ordering::Greater => Some(Self::Whole { export_bytes }),
        })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// An archive as the compiler writes it.
    pub fn archive(export_data: &str, object_code: &[u8]) -> Vec<u8> {
        let header = |name: &str, bytes: usize| {
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{bytes:<10}`\n",
                0, 0, 0, 644
            )
        };
        let mut archive = format!("!<arch>\n{}", header("__.PKGDEF", export_data.len()));
        archive.push_str(export_data);
        if export_data.len() % 2 == 1 {
            archive.push('\0');
        }
        archive.push_str(&header("_go_.o", object_code.len()));
        [archive.as_bytes(), object_code].concat()
    }

    fn of(bytes: &[u8]) -> Option<Archive> {
        Archive::of(bytes, bytes.len() as u64).unwrap()
    }

    #[test]
    fn an_archive_is_cut_after_its_export_data_at_an_even_place() {
        for export_data in ["go object\n", "go object 1\n\n"] {
            let whole = archive(export_data, b"code");
            let Some(Archive::Whole { export_bytes }) = of(&whole) else {
                panic!("{export_data:?} is not taken for a whole archive");
            };
            assert_eq!(export_bytes % 2, 0);
            let cut = &whole[..usize::try_from(export_bytes).unwrap()];
            assert_eq!(of(cut), Some(Archive::ExportOnly));
            assert!(whole[cut.len()..].starts_with(b"_go_.o "));
        }
    }

    #[test]
    fn what_is_broken_off_or_something_else_is_no_archive() {
        let whole = archive("go object\n", b"code");
        for bytes in [
            &b""[..],
            b"!<arch>\n",
            b"\x7fELF",
            b"go index v2\n",
            &whole[..70],
        ] {
            assert_eq!(of(bytes), None);
        }
        let foreign = whole.clone();
        let foreign = String::from_utf8(foreign)
            .unwrap()
            .replace("__.PKGDEF", "other.o  ");
        assert_eq!(of(foreign.as_bytes()), None);
        let sizeless = String::from_utf8(whole)
            .unwrap()
            .replacen("10        `", "-1        `", 1);
        assert_eq!(of(sizeless.as_bytes()), None);
    }
}
