//! What one layer has, in one pass through its tar: nothing but what is asked for is held, and of files only those with
//! packed executables are copied, for as long as it takes to read them.
//!
//! Executables are the regular files with a bit for it, outside of the module cache, whose files nobody runs.

pub mod debian;
pub mod go_binary;
mod packed;
pub mod rust_binary;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::GoModule;
use gocache::image_info::BASE_PACKAGES_PATH;
use oci::image::ImageLayer;
use oci::layer;
use oci::unpack::limits::{Limits, Meter};
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;
use tar::EntryType;

use self::debian::{Archives, DebianPackage};
use self::go_binary::BuildInfo;
use self::packed::Packed;
use self::rust_binary::Crate;
use crate::licenses::{self, Licenses};
use failure::corrupt;

/// Raised when another inventory is made of the same layer, or it is written another way.
pub const FORMAT: u32 = 2;

/// More than dpkg's database or a licence takes.
const MAX_TEXT_BYTES: u64 = 64 << 20;
/// More than the hash of a Go module takes, of which a layer has thousands, and all are kept.
const MAX_HASH_BYTES: u64 = 1 << 10;
/// More than an executable has, which is held in memory.
const MAX_EXECUTABLE_BYTES: u64 = 512 << 20;
/// Where dpkg keeps what is installed.
const DPKG_STATUS: &str = "var/lib/dpkg/status";
/// Where Debian's licences are, each in the folder of a package.
const DOCUMENTATION: &str = "usr/share/doc";
const OS_RELEASE: &str = "usr/lib/os-release";

/// Where the image has its caches and Go, relative to its root; none where it has none.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Places {
    /// The module cache.
    pub gomodcache: Option<Utf8PathBuf>,
    /// Go's distribution.
    pub goroot: Option<Utf8PathBuf>,
}

/// What a compiler wrote into an executable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Linked {
    /// Go.
    Go(BuildInfo),
    /// cargo-auditable, or who writes what it does.
    Rust(Vec<Crate>),
}

/// An executable that says what it is linked of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executable {
    /// Its names in the image, the file's first; of a packed one that of the archive, `:`, and its folder in the source.
    pub paths: Vec<Utf8PathBuf>,
    /// Digest of the file.
    pub sha256: Sha256Hash,
    /// What it says.
    pub linked: Linked,
}

/// What a layer has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// Lines of `os-release`, by name.
    pub os_release: BTreeMap<String, String>,
    /// Packages that are installed.
    pub debian: Vec<DebianPackage>,
    /// What each package's `copyright` names, where it is in the machine-readable form.
    pub licenses: BTreeMap<String, Licenses>,
    /// Packages whose documentation is that of another one.
    pub documented_by: BTreeMap<String, String>,
    /// Go's version, without `go`.
    pub go: Option<String>,
    /// Go modules that have a folder in the module cache.
    pub go_modules: BTreeSet<GoModule>,
    /// What the module cache says of their downloads: the hash of each, by the path of its file in the cache.
    pub hashes: BTreeMap<Utf8PathBuf, String>,
    /// Executables.
    pub executables: Vec<Executable>,
}

impl Inventory {
    /// Reads `layers`, all of an image; more than `limits` in them together is an error. Packed executables are copied
    /// to the disk of `scratch`.
    ///
    /// One after the other: what one has leaves less for the next, and a single executable is held at a time.
    pub fn of_all(
        layers: &[ImageLayer],
        places: &Places,
        limits: Limits,
        scratch: &Utf8Path,
    ) -> Result<Vec<Self>> {
        let mut left = limits;
        let found = layers.iter().map(|layer| {
            let (found, bytes) = Self::read(layer, places, left, scratch)?;
            left = left.less(bytes);
            Ok(found)
        });
        found.collect()
    }

    /// Reads `layer`; more than `limits` in it is an error. Packed executables are copied to the disk of `scratch`.
    pub fn of(
        layer: &ImageLayer,
        places: &Places,
        limits: Limits,
        scratch: &Utf8Path,
    ) -> Result<Self> {
        Self::read(layer, places, limits, scratch).map(|(found, _)| found)
    }

    /// What `layer` has, and how many bytes it unpacks to.
    fn read(
        layer: &ImageLayer,
        places: &Places,
        limits: Limits,
        scratch: &Utf8Path,
    ) -> Result<(Self, u64)> {
        let mut tar = Meter::new(layer::reader(&layer.blob, layer.compression)?, limits);
        let count = tar.count();
        let mut found = Self::default();
        let mut packed: Option<Packed> = None;
        let mut archives = Archives::new();
        let mut read = || -> Result<()> {
            let mut archive = tar::Archive::new(&mut tar);
            count.in_headers();
            for entry in archive.entries()? {
                let mut entry = entry?;
                count.entry(entry.size())?;
                count.in_content();
                let path = Utf8PathBuf::try_from(entry.path()?.into_owned())?;
                let path = path.strip_prefix(".").unwrap_or(&path);
                let is_file = entry.header().entry_type().is_file();
                if let Some(name) = Packed::name(path).filter(|_| is_file) {
                    let packed = match &mut packed {
                        Some(packed) => packed,
                        none => none.insert(Packed::new(scratch)?),
                    };
                    packed.add(name, &mut entry)?;
                } else if is_file && path == BASE_PACKAGES_PATH.trim_start_matches('/') {
                    archives = debian::archives(&text(&mut entry, MAX_TEXT_BYTES)?)
                        .with_context(|| format!("failed to read {path}"))?;
                } else {
                    found
                        .add(path, &mut entry, places)
                        .with_context(|| format!("failed to read {path}"))?;
                }
                io::copy(&mut entry, &mut io::sink())?;
                count.in_headers();
            }
            if let Some(packed) = &packed {
                found.executables.extend(packed.executables(&count)?);
            }
            Ok(())
        };
        read()
            .map_err(|error| count.explain(error))
            .with_context(|| format!("failed to read {}", layer.blob))?;
        for package in &mut found.debian {
            let key = [&package.name, &package.architecture, &package.version];
            package.archive = archives.get(&key.map(Clone::clone)).copied();
        }
        found
            .executables
            .sort_by(|one, other| one.paths.cmp(&other.paths));
        Ok((found, count.unpacked_bytes()))
    }

    fn add(
        &mut self,
        path: &Utf8Path,
        entry: &mut tar::Entry<'_, impl Read>,
        places: &Places,
    ) -> Result<()> {
        let kind = entry.header().entry_type();
        if let Some(cache) = &places.gomodcache
            && let Ok(below) = path.strip_prefix(cache)
        {
            self.go_modules.extend(GoModule::of_extracted(below));
            if below.starts_with("cache/download") && below.extension() == Some("ziphash") {
                let hash = text(entry, MAX_HASH_BYTES)?;
                self.hashes.insert(below.to_owned(), hash);
            }
            return Ok(());
        }
        let document = path.strip_prefix(DOCUMENTATION).ok();
        match kind {
            EntryType::Regular | EntryType::Continuous => self.add_file(path, entry, places),
            EntryType::Link => {
                let target = link(entry)?;
                let executables = self.executables.iter_mut();
                for executable in executables.filter(|it| it.paths[0] == target) {
                    executable.paths.push(path.to_owned());
                }
                Ok(())
            }
            EntryType::Symlink => {
                let Some(package) = document.filter(|below| below.iter().count() == 1) else {
                    return Ok(());
                };
                let target = link(entry)?;
                let other = target.file_name().unwrap_or_default().to_owned();
                self.documented_by.insert(package.to_string(), other);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn add_file(
        &mut self,
        path: &Utf8Path,
        entry: &mut tar::Entry<'_, impl Read>,
        places: &Places,
    ) -> Result<()> {
        if path == DPKG_STATUS {
            self.debian = debian::installed(&text(entry, MAX_TEXT_BYTES)?)?;
        } else if path == OS_RELEASE {
            self.os_release = debian::os_release(&text(entry, MAX_TEXT_BYTES)?);
        } else if let Ok(below) = path.strip_prefix(DOCUMENTATION)
            && below.file_name() == Some("copyright")
            && let Some(package) = below.parent()
        {
            let named = licenses::of(&text(entry, MAX_TEXT_BYTES)?);
            let named = named.map(|licenses| (package.to_string(), licenses));
            self.licenses.extend(named);
        } else if let Some(goroot) = &places.goroot
            && path
                .strip_prefix(goroot)
                .is_ok_and(|below| below == "VERSION")
        {
            let version = text(entry, MAX_TEXT_BYTES)?;
            let version = version
                .lines()
                .next()
                .and_then(|line| line.strip_prefix("go"));
            let version = version.context("it names no version of Go")?;
            self.go = Some(version.to_owned());
        } else if entry.header().mode()? & 0o111 != 0 {
            self.add_executable(path, entry)?;
        }
        Ok(())
    }

    fn add_executable(
        &mut self,
        path: &Utf8Path,
        entry: &mut tar::Entry<'_, impl Read>,
    ) -> Result<()> {
        let mut content = Vec::new();
        entry
            .take(object::elf::ELFMAG.len() as u64)
            .read_to_end(&mut content)?;
        if content != object::elf::ELFMAG {
            return Ok(());
        }
        read_up_to(entry, MAX_EXECUTABLE_BYTES, &mut content)?;
        if let Some(linked) = linked(&content)? {
            self.executables.push(Executable {
                paths: vec![path.to_owned()],
                sha256: Sha256Hash::of(&content),
                linked,
            });
        }
        Ok(())
    }
}

/// What `executable` says of itself; nothing where it is of neither language, or does not say.
fn linked(executable: &[u8]) -> Result<Option<Linked>> {
    Ok(match BuildInfo::of(executable)? {
        Some(info) => Some(Linked::Go(info)),
        None => rust_binary::crates(executable)?.map(Linked::Rust),
    })
}

fn link(entry: &tar::Entry<'_, impl Read>) -> Result<Utf8PathBuf> {
    let target = entry.link_name()?.context("it is a link to nothing")?;
    Ok(Utf8PathBuf::try_from(target.into_owned())?)
}

/// The whole of a file of at most `max_bytes`. Some licences are in an encoding of their own.
fn text(entry: &mut tar::Entry<'_, impl Read>, max_bytes: u64) -> Result<String> {
    let mut content = Vec::new();
    read_up_to(entry, max_bytes, &mut content)?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// Appends what is left of a file of at most `max_bytes` to `content`.
fn read_up_to(
    entry: &mut tar::Entry<'_, impl Read>,
    max_bytes: u64,
    content: &mut Vec<u8>,
) -> Result<()> {
    if entry.size() > max_bytes {
        return Err(corrupt(
            format!("it has more than {max_bytes} bytes"),
            "make the image anew",
        ));
    }
    entry.read_to_end(content)?;
    Ok(())
}

/// What an executable has in the section of this name; none where it has none, or is no executable of this kind.
fn section<'e>(executable: &'e [u8], name: &str) -> Option<&'e [u8]> {
    use object::{Object as _, ObjectSection as _};
    let file = object::File::parse(executable).ok()?;
    let section = file.section_by_name(name)?;
    section.data().ok()
}
