//! The archive of a plugin, taken apart: whatever is in it, nothing gets out of the folder that it is unpacked into.
//!
//! Plugins are a program and texts beside it. So there are files and folders in an archive, and nothing else: no links,
//! no devices; and the program is one for Linux on the processor that it is said to be for.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, Error, Result};
use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use flate2::read::GzDecoder;
use oci::unpack::limits::{Count, Limits, Meter};
use tar::EntryType;

use crate::plugins::lock::Locked;
use failure::corrupt;

/// More bytes and files than any plugin has.
const LIMITS: (u64, usize) = (4 << 30, 10_000);

/// What to do about an archive that no plugin has.
const HINT: &str = "find out what is at its address, and take its line out of the lock";

/// The program of a plugin.
pub fn program(name: &str) -> String {
    format!("pulumi-resource-{name}")
}

/// Unpacks the `.tar.gz` of the plugin into `to`, which is empty.
///
/// # Errors
/// An archive that no plugin has, even with the digest of the lock, is corrupt.
pub fn unpack(archive: &Utf8Path, plugin: &Locked, to: &Utf8Path) -> Result<()> {
    unpack_from(fs_err::File::open(archive)?, plugin, to, LIMITS)
}

fn unpack_from(
    archive: impl Read,
    plugin: &Locked,
    to: &Utf8Path,
    (max_bytes, max_entries): (u64, usize),
) -> Result<()> {
    let mut tar = Meter::new(GzDecoder::new(archive), Limits::exactly(max_bytes));
    let count = tar.count();
    let program = program(&plugin.name);
    let unpacked = files(&mut tar, &count, max_entries, (&program, to));
    unpacked
        .and_then(|()| {
            let head = begin_of(&to.join(&program))?;
            let head = head.ok_or_else(|| wrong(format!("it holds no {program}")))?;
            let is_fine = check_elf(&head, &plugin.platform);
            is_fine.map_err(|reason| wrong(format!("{program} {reason}")))
        })
        .map_err(|error| {
            let error = count.explain(error);
            match failure::kind(&error, &[]) {
                failure::Kind::Corrupt => wrong(format!("{error:#}")),
                _ => error,
            }
        })
        .with_context(|| {
            let (name, version, platform) = (&plugin.name, &plugin.version, &plugin.platform);
            format!("failed to unpack the plugin {name} {version} for {platform}")
        })
}

fn wrong(reason: impl Into<String>) -> Error {
    corrupt(reason, HINT)
}

/// Writes the files of `tar` to `to`; the one called `program` is executable, whatever the archive says.
fn files(
    tar: impl Read,
    count: &Count,
    max_entries: usize,
    (program, to): (&str, &Utf8Path),
) -> Result<()> {
    let mut tar = tar::Archive::new(tar);
    let mut entries = tar.entries()?;
    let (mut folders, mut files) = (BTreeSet::new(), BTreeSet::new());
    for number in 0.. {
        count.in_headers();
        let Some(entry) = entries.next() else { break };
        let mut entry = entry?;
        count.in_content();
        count.entry(entry.size())?;
        if number >= max_entries {
            return Err(wrong(format!("it has more than {max_entries} entries")));
        }
        let kind = entry.header().entry_type();
        let path = inner(&entry.path_bytes()).map_err(wrong)?;
        let above: Vec<Utf8PathBuf> = path.ancestors().skip(1).map(Utf8Path::to_owned).collect();
        let is_taken = files.contains(&path) || above.iter().any(|it| files.contains(it));
        let is_file = kind == EntryType::Regular && !path.as_str().is_empty();
        if is_taken || is_file && folders.contains(&path) {
            return Err(wrong(format!("{path:?} is there twice")));
        }
        let place = to.join(&path);
        match kind {
            EntryType::XGlobalHeader => {}
            EntryType::Directory => {
                fs_err::create_dir_all(&place)?;
                folders.insert(path);
            }
            _ if is_file => {
                let is_executable = entry.header().mode()? & 0o100 != 0 || path == program;
                fs_err::create_dir_all(place.parent().unwrap_or(to))?;
                let mut file = fs_err::OpenOptions::new();
                file.write(true).create_new(true);
                file.options_mut()
                    .mode(if is_executable { 0o755 } else { 0o644 });
                io::copy(&mut entry, &mut file.open(&place)?)?;
                files.insert(path);
            }
            _ => {
                let reason = format!("{path:?} is neither a file nor a folder ({kind:?})");
                return Err(wrong(reason));
            }
        }
        folders.extend(above);
    }
    Ok(())
}

/// The path of an entry, which stays where it is joined to.
fn inner(path: &[u8]) -> Result<Utf8PathBuf, String> {
    let text = std::str::from_utf8(path);
    let path = text.map_err(|_| {
        format!(
            "{} is no text",
            String::from_utf8_lossy(path).escape_debug()
        )
    })?;
    let mut inner = Utf8PathBuf::new();
    for part in Utf8Path::new(path).components() {
        match part {
            Utf8Component::Normal(name) if !name.contains(char::is_control) => inner.push(name),
            Utf8Component::CurDir => {}
            _ => return Err(format!("{path:?} leads out of it")),
        }
    }
    Ok(inner)
}

/// The first bytes of `file`, if there is one.
fn begin_of(file: &Utf8Path) -> Result<Option<Vec<u8>>> {
    if !file.is_file() {
        return Ok(None);
    }
    let mut head = Vec::new();
    fs_err::File::open(file)?.take(20).read_to_end(&mut head)?;
    Ok(Some(head))
}

/// Whether a file that begins so is a program of Linux for the platform (`e_machine` in the header of ELF).
fn check_elf(head: &[u8], platform: &str) -> Result<(), String> {
    // 64 bits, little endian.
    if head.len() < 20 || !head.starts_with(b"\x7fELF\x02\x01") {
        return Err("is no program of Linux".to_owned());
    }
    let machine = u16::from_le_bytes([head[18], head[19]]);
    let wanted = match platform {
        "linux/amd64" => 62,
        "linux/arm64" => 183,
        _ => {
            return Err(format!(
                "may be for any processor, and {platform} is none that is known"
            ));
        }
    };
    match machine {
        _ if machine == wanted => Ok(()),
        62 => Err("is for linux/amd64".to_owned()),
        183 => Err("is for linux/arm64".to_owned()),
        other => Err(format!("is for the processor {other}")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write as _;

    use sha256::Sha256Hash;

    use super::*;

    /// The first bytes of a program for `machine`.
    pub fn elf(machine: u16) -> Vec<u8> {
        let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
        head.extend(machine.to_le_bytes());
        head
    }

    /// An archive of these entries: path, kind, content.
    pub fn tar_gz(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            // By hand: the library refuses to write what is to be refused here.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_size(content.len() as u64);
            if kind.is_symlink() || kind.is_hard_link() {
                header.set_link_name("/etc/passwd").unwrap();
            }
            header.set_cksum();
            tar.extend(header.as_bytes());
            tar.extend(*content);
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zipped.write_all(&tar).unwrap();
        zipped.finish().unwrap()
    }

    /// The line of a plugin `toy` whose archive is this.
    pub fn locked(archive: &[u8], url: &str) -> Locked {
        Locked {
            name: "toy".into(),
            version: "1.0.0".parse().unwrap(),
            platform: "linux/amd64".into(),
            sha256: Sha256Hash::of(archive),
            size_bytes: Some(archive.len() as u64),
            url: url.into(),
        }
    }

    const SMALL: (u64, usize) = (1 << 20, 5);

    fn unpacked(archive: &[u8]) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(folder.path()).unwrap();
        let to = root.join("to");
        fs_err::create_dir(&to).unwrap();
        let done = unpack_from(archive, &locked(archive, "https://toy.test/a"), &to, SMALL);
        assert_eq!(
            fs_err::read_dir(root).unwrap().count(),
            1,
            "something got out"
        );
        done.map_err(|error| {
            assert_eq!(
                failure::kind(&error, &[]),
                failure::Kind::Corrupt,
                "{error:#}"
            );
            failure::text(&error)
        })?;
        let mode = |path: &Utf8Path| {
            std::os::unix::fs::PermissionsExt::mode(
                &fs_err::metadata(to.join(path)).unwrap().permissions(),
            )
        };
        let files = crate::work::files::files_below(&to).unwrap();
        let shown = files
            .iter()
            .map(|path| format!("{path} {:o}", mode(path) & 0o7777));
        Ok(shown.collect())
    }

    const PROGRAM: &str = "pulumi-resource-toy";

    #[test]
    fn a_program_and_texts_are_unpacked() {
        let archive = tar_gz(&[
            ("./", EntryType::Directory, b""),
            ("LICENSE", EntryType::Regular, b"text"),
            ("docs/README.md", EntryType::Regular, b"text"),
            (PROGRAM, EntryType::Regular, &elf(62)),
        ]);
        assert_eq!(
            unpacked(&archive).unwrap(),
            [
                "LICENSE 644",
                "docs/README.md 644",
                "pulumi-resource-toy 755"
            ]
        );
    }

    #[test]
    fn nothing_leads_out_and_nothing_but_files_and_folders_is_in_it() {
        let (file, folder) = (EntryType::Regular, EntryType::Directory);
        let program = elf(62);
        for (path, kind, reason) in [
            ("../up", file, "leads out"),
            ("a/../../up", file, "leads out"),
            ("/etc/up", file, "leads out"),
            ("../up", folder, "leads out"),
            ("a\nb", file, "leads out"),
            ("link", EntryType::Symlink, "neither a file nor a folder"),
            ("link", EntryType::Link, "neither a file nor a folder"),
            ("disk", EntryType::Block, "neither a file nor a folder"),
            ("tty", EntryType::Char, "neither a file nor a folder"),
            ("pipe", EntryType::Fifo, "neither a file nor a folder"),
            (PROGRAM, file, "is there twice"),
            (PROGRAM, folder, "is there twice"),
            ("pulumi-resource-toy/below", file, "is there twice"),
            ("", file, "neither a file nor a folder"),
        ] {
            let archive = tar_gz(&[(PROGRAM, file, &program), (path, kind, b"")]);
            let said = unpacked(&archive).unwrap_err();
            assert!(said.contains(reason), "{path} {kind:?}: {said}");
        }
    }

    #[test]
    fn a_plugin_of_another_platform_or_none_is_refused() {
        for (content, reason) in [
            (&elf(183)[..], "is for linux/arm64"),
            (&elf(40), "for the processor 40"),
            (b"MZ this program cannot be run", "no program of Linux"),
            (b"#!/usr/bin/env node\nrequire('x')", "no program of Linux"),
            (b"", "no program of Linux"),
        ] {
            let archive = tar_gz(&[(PROGRAM, EntryType::Regular, content)]);
            let said = unpacked(&archive).unwrap_err();
            assert!(said.contains(reason), "{said}");
        }
        for path in ["pulumi-resource-other", "bin/pulumi-resource-toy"] {
            let said = unpacked(&tar_gz(&[(path, EntryType::Regular, &elf(62))])).unwrap_err();
            assert!(said.contains("holds no pulumi-resource-toy"), "{said}");
        }
    }

    #[test]
    fn an_archive_has_an_end() {
        let program = elf(62);
        let zeros = vec![0; (1 << 20) + 1];
        let big = tar_gz(&[
            (PROGRAM, EntryType::Regular, &program),
            ("big", EntryType::Regular, &zeros),
        ]);
        assert!(
            unpacked(&big)
                .unwrap_err()
                .contains("more than 1048576 bytes")
        );
        let names: Vec<String> = (0..6).map(|number| format!("file{number}")).collect();
        let many: Vec<_> = names
            .iter()
            .map(|it| (it.as_str(), EntryType::Regular, &b""[..]))
            .collect();
        assert!(
            unpacked(&tar_gz(&many))
                .unwrap_err()
                .contains("more than 5 entries")
        );
        let long = tar_gz(&[
            ("name", EntryType::GNULongName, &zeros[1..]),
            (PROGRAM, EntryType::Regular, &program),
        ]);
        assert!(
            unpacked(&long)
                .unwrap_err()
                .contains("more than 1048576 bytes")
        );
        let cut = &big[..big.len() / 2];
        for broken in [cut, b"", b"no gzip"] {
            assert!(unpacked(broken).is_err());
        }
    }
}
