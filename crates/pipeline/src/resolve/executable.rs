//! Executables among the files of a Go module: tools for who works on it, for one platform, which no build reads.
//!
//! They are known by their content. A shared library looks the same, so what decides whether a build may read one is
//! [`Embedding`](super::embedding::Embedding).

use std::io::{Read, Seek as _, SeekFrom};

use anyhow::{Context as _, Result};
use camino::Utf8Path;

/// Mach-O, in both widths and byte orders.
const MACH_O: [[u8; 4]; 4] = [
    [0xfe, 0xed, 0xfa, 0xce],
    [0xfe, 0xed, 0xfa, 0xcf],
    [0xce, 0xfa, 0xed, 0xfe],
    [0xcf, 0xfa, 0xed, 0xfe],
];

/// Mach-O for several processors. Classes of Java begin likewise, but have a version where this has its count.
const FAT: [u8; 4] = [0xca, 0xfe, 0xba, 0xbe];
const OLDEST_JAVA: u32 = 45;

/// Where a DOS header says where the header of Windows begins, and what that begins with.
const PE_OFFSET: usize = 0x3c;
const PE: [u8; 4] = *b"PE\0\0";

/// Whether `file` is machine code for Linux, macOS or Windows.
pub fn is_executable(file: &Utf8Path) -> Result<bool> {
    let mut opened = fs_err::File::open(file)?;
    let mut head = Vec::new();
    (&mut opened)
        .take(PE_OFFSET as u64 + 4)
        .read_to_end(&mut head)?;
    let number = |at: usize| -> Option<[u8; 4]> { head.get(at..at + 4)?.try_into().ok() };
    let Some(magic) = number(0) else {
        return Ok(false);
    };
    if magic.starts_with(b"MZ") {
        let Some(offset) = number(PE_OFFSET) else {
            return Ok(false);
        };
        let offset = u64::from(u32::from_le_bytes(offset));
        let mut found = Vec::new();
        opened
            .seek(SeekFrom::Start(offset))
            .with_context(|| format!("failed to read {file}"))?;
        opened.take(4).read_to_end(&mut found)?;
        return Ok(found == PE);
    }
    let is_fat =
        magic == FAT && number(4).is_some_and(|count| u32::from_be_bytes(count) < OLDEST_JAVA);
    Ok(magic == *b"\x7fELF" || MACH_O.contains(&magic) || is_fat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_known_by_their_content() {
        let mut windows = vec![0; 0x80];
        windows[..2].copy_from_slice(b"MZ");
        windows[PE_OFFSET] = 0x40;
        windows[0x40..0x44].copy_from_slice(&PE);
        let mut dos = windows.clone();
        dos[0x40] = b'N';
        let mut cut = windows.clone();
        cut.truncate(0x41);
        let mach_o = [&MACH_O[3][..], &[7, 0, 0, 1]].concat();
        let fat = [&FAT[..], &[0, 0, 0, 2]].concat();
        let class = [&FAT[..], &[0, 0, 0, 61]].concat();
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path()).unwrap().join("file");
        for (content, expected) in [
            (&b"\x7fELF\x02\x01"[..], true),
            (&windows, true),
            (&mach_o, true),
            (&fat, true),
            (&class, false),
            (&dos, false),
            (&cut, false),
            (b"MZ is how this text begins", false),
            (b"#!/bin/sh\n", false),
            (b"\x7fEL", false),
            (b"", false),
        ] {
            fs_err::write(&file, content).unwrap();
            assert_eq!(is_executable(&file).unwrap(), expected, "{content:?}");
        }
    }
}
