//! Layers that are damaged, or meant to fill memory or disk: each ends in a message and a kind, and in bounded bytes.

use std::io::{Read as _, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use tar::{EntryType, Header};

use super::limits::Limits;
use super::unpack;
use crate::layer::Compression;

/// What an entry of `size` bytes is called and holds, as far as it does.
fn entry(kind: EntryType, name: &str, size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header.set_size(size);
    header.set_path(name).unwrap();
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    tar.extend_from_slice(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
    tar
}

/// A file of `size` bytes of which the tar holds none.
fn sparse(size: u64) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1);
    header.set_size(0);
    header.set_path("sparse").unwrap();
    let gnu = header.as_gnu_mut().unwrap();
    let digits = format!("{size:011o}\0");
    gnu.realsize.copy_from_slice(digits.as_bytes());
    gnu.sparse[0].offset.copy_from_slice(digits.as_bytes());
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn end(mut tar: Vec<u8>) -> Vec<u8> {
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// What `layer`, unpacked within `limits`, ends with: the message, the exit code, and the bytes that are there.
fn unpacked(layer: &[u8], compression: Option<Compression>, limits: Limits) -> (String, u8, u64) {
    let folder = tempfile::tempdir().unwrap();
    let folder = Utf8Path::from_path(folder.path()).unwrap();
    let (blob, root): (Utf8PathBuf, _) = (folder.join("blob"), folder.join("root"));
    fs_err::write(&blob, layer).unwrap();
    fs_err::create_dir(&root).unwrap();
    let error = unpack(&blob, compression, &root, limits).unwrap_err();
    let files = walkdir::WalkDir::new(&root).into_iter().map(Result::unwrap);
    let files = files.filter(|file| file.file_type().is_file());
    let bytes = files.map(|file| file.metadata().unwrap().len()).sum();
    let code = failure::kind(&error, &[]).exit_code();
    (failure::text(&error), code, bytes)
}

fn gzip(tar: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_damaged_layer_is_corrupt() {
    let noise: Vec<u8> = (0..40_000u64)
        .flat_map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .collect();
    let tar = end(entry(
        EntryType::Regular,
        "file",
        noise.len() as u64,
        &noise,
    ));
    let packed = [
        (
            Some(Compression::Zstd),
            zstd::encode_all(&tar[..], 1).unwrap(),
        ),
        (Some(Compression::Gzip), gzip(&tar)),
        (None, tar.clone()),
    ];
    for (compression, whole) in packed {
        let half = whole.len() / 2;
        let mut flipped = whole.clone();
        // Only gzip has a checksum of what is inside.
        let is_checked = compression == Some(Compression::Gzip);
        flipped[if is_checked { half } else { 3 }] ^= 0x55;
        for damaged in [&whole[..half], &flipped, b"not a tar, not compressed"] {
            let (said, code, _) = unpacked(damaged, compression, Limits::exactly(1 << 30));
            assert_eq!(code, 4, "{compression:?}: {said}");
            assert!(said.contains("it is damaged"), "{said}");
        }
    }
    let mut outside = end(entry(EntryType::Regular, "a//b", 0, b""));
    outside[..3].copy_from_slice(b"../");
    let mut header = Header::from_byte_slice(&outside[..512]).clone();
    header.set_cksum();
    outside[..512].copy_from_slice(header.as_bytes());
    let (said, code, _) = unpacked(&outside, None, Limits::exactly(1 << 30));
    assert_eq!(code, 4, "{said}");
}

#[test]
fn a_layer_fills_neither_disk_nor_memory() {
    const LIMIT: u64 = 4 << 20;
    const HUGE: u64 = 6 << 30;
    let zeros = |head: Vec<u8>, bytes: u64| {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(&head).unwrap();
        std::io::copy(&mut std::io::repeat(0).take(bytes), &mut encoder).unwrap();
        encoder.finish().unwrap()
    };
    let many: Vec<u8> = (0..9000)
        .flat_map(|number| entry(EntryType::Regular, &format!("{number}"), 0, b""))
        .collect();
    let limits = Limits::exactly(LIMIT);
    for (name, layer, reason) in [
        (
            "a file of zeros",
            zeros(entry(EntryType::Regular, "file", 64 << 20, b""), 64 << 20),
            "more than 4194304 bytes",
        ),
        (
            "a file that is promised",
            zeros(entry(EntryType::Regular, "file", HUGE, b""), 0),
            "more than 4194304 bytes",
        ),
        (
            "a file with holes",
            zeros(sparse(HUGE), 1024),
            "more than 4194304 bytes",
        ),
        (
            "a long name",
            zeros(entry(EntryType::GNULongName, "name", 2 << 20, b""), 3 << 20),
            "more than 1048576 bytes",
        ),
        (
            "a long extended header",
            zeros(entry(EntryType::XHeader, "name", 2 << 20, b""), 3 << 20),
            "more than 1048576 bytes",
        ),
        (
            "what follows the end",
            zeros(Vec::new(), 64 << 20),
            "more than 4194304 bytes",
        ),
        ("many files", zeros(many, 1024), "more than 4194304 bytes"),
    ] {
        let (said, code, bytes) = unpacked(&layer, Some(Compression::Zstd), limits);
        assert_eq!(code, 4, "{name}: {said}");
        assert!(said.contains(reason), "{name}: {said}");
        assert!(bytes <= LIMIT, "{name}: {bytes}");
    }
}
