//! A link: the archives that its list names, those of them that are put together, and the linker.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use failure::{corrupt, failed};
use gocache::FileKind;
use gocache::objects::{Archive, Incomplete, Objects};
use sha256::{Sha256Hash, hash_file};

use super::turn::{Turns, processors};
use super::{Done, command};

/// The linker's list of archives.
const IMPORTCFG: &str = "importcfg";

/// How a line of that list names the archive of a package.
const PACKAGEFILE: &str = "packagefile ";

/// What to do about an image that is damaged.
const AS_IT_IS: &str =
    "the image is not whole: pull it again; without -toolexec in GOFLAGS everything is compiled";

/// What to do about a place that archives cannot be put together in.
const PUT_ELSEWHERE: &str = "GOTMPDIR names another place";

/// More bytes than a list of a million archives has.
const MAX_LIST_BYTES: u64 = 256 << 20;

/// Files, with their digests.
type Digests = BTreeMap<Utf8PathBuf, Sha256Hash>;

/// Links, with archives that are whole.
pub(super) fn link(
    tool: &OsStr,
    arguments: &[OsString],
    objects: &Utf8Path,
    turns: &Turns,
) -> anyhow::Result<Done> {
    let link = Link::of(arguments)?;
    let incomplete = link.incomplete()?;
    if incomplete.is_empty() {
        return Ok(Done::Become(arguments.to_vec()));
    }
    let within = Utf8Path::from_path(&link.folder).filter(|it| !it.as_str().contains('\n'));
    let within = within.ok_or_else(|| no_line(&link.folder))?;
    let _turn = turns.link();
    let folder = tempfile::Builder::new()
        .prefix("whole-")
        .tempdir_in(within)
        .with_context(|| format!("failed to make a folder in {within}"))?;
    let path = Utf8Path::from_path(folder.path()).context("a path is not UTF-8")?;
    complete(&incomplete, objects, path, turns)?;
    let arguments = link.with(&incomplete, path)?;
    let mut child = command(tool, &arguments)
        .spawn()
        .with_context(|| format!("failed to run {}", tool.display()))?;
    let status = child.wait()?;
    // What the linker made is made. If the folder does not go, the go command removes it with its own.
    let _ = folder.close();
    Ok(Done::Ended(status))
}

/// A list of archives has a line for each.
fn no_line(folder: &Path) -> anyhow::Error {
    let folder = folder.to_string_lossy();
    failed(
        format!(
            "archives of the image cannot be put together in {folder:?}, which is no line of UTF-8"
        ),
        PUT_ELSEWHERE,
    )
}

/// What is to be put together is known by a name that is text.
fn not_utf8(file: &Path) -> anyhow::Error {
    let file = file.to_string_lossy();
    failed(
        format!("{file:?} has no object code, and cannot be put together: its path is no UTF-8"),
        "GOCACHE names another place",
    )
}

/// Puts the archives `incomplete` together in `folder`, each under the digest that it has without object code.
fn complete(
    incomplete: &Digests,
    objects: &Utf8Path,
    folder: &Utf8Path,
    turns: &Turns,
) -> anyhow::Result<()> {
    let _turn = turns.unpack();
    let known = Objects::open(objects).map_err(|error| corrupt(error.to_string(), AS_IT_IS))?;
    let mut archives: BTreeMap<Sha256Hash, Incomplete> = BTreeMap::new();
    for (export_only, digest) in incomplete {
        if known.find(digest).is_none() {
            return Err(corrupt(
                format!(
                    "{export_only} has no object code to link, and no pack in {objects} has it"
                ),
                AS_IT_IS,
            ));
        }
        archives.insert(
            *digest,
            Incomplete {
                export_only: export_only.clone(),
                digest: *digest,
                whole: folder.join(digest.to_string()),
            },
        );
    }
    let archives: Vec<Incomplete> = archives.into_values().collect();
    let threads = rayon::ThreadPoolBuilder::new().num_threads(processors());
    let threads = threads.build().context("failed to start threads")?;
    let completed = threads.install(|| known.complete(&archives));
    completed.map_err(|error| match error {
        gocache::Error::Io(error) => failed(
            format!("archives of the image cannot be put together in {folder}: {error}"),
            format!("a link takes as much room as the archives that it reads; {PUT_ELSEWHERE}"),
        ),
        error => corrupt(error.to_string(), AS_IT_IS),
    })
}

/// The files that a link reads.
#[derive(Debug)]
struct Link<'a> {
    arguments: &'a [OsString],
    /// Places of arguments that name a list of archives, and its text.
    lists: Vec<(usize, Vec<u8>)>,
    /// The go command's folder for this link.
    folder: PathBuf,
}

impl<'a> Link<'a> {
    fn of(arguments: &'a [OsString]) -> anyhow::Result<Self> {
        let mut lists = Vec::new();
        let mut folder = None;
        for (place, argument) in arguments.iter().enumerate() {
            let Some(file) = list_named(arguments, place, argument) else {
                continue;
            };
            let file = Path::new(file);
            let mut text = Vec::new();
            let opened = fs_err::File::open(file)?;
            opened.take(MAX_LIST_BYTES).read_to_end(&mut text)?;
            if text.len() as u64 == MAX_LIST_BYTES {
                let file = file.display();
                bail!("{file} is no list of archives: it has {MAX_LIST_BYTES} bytes or more");
            }
            folder = folder.or(file.parent().map(Path::to_owned));
            lists.push((place, text));
        }
        let folder = folder.filter(|it| !it.as_os_str().is_empty());
        Ok(Self {
            arguments,
            lists,
            folder: folder.unwrap_or_else(|| ".".into()),
        })
    }

    /// Archives that it would read and that have no object code, with their digests.
    fn incomplete(&self) -> anyhow::Result<Digests> {
        let listed = self.lists.iter().flat_map(|(_, text)| archives(text));
        // The main package is no entry of a list, but an argument.
        let others = self.arguments.iter().map(Path::new);
        let files: BTreeSet<&Path> = listed.chain(others).collect();
        let mut incomplete = Digests::new();
        for file in files {
            let reading = || format!("failed to read {}", file.display());
            if is_export_only(file).with_context(reading)? {
                let file = Utf8Path::from_path(file).ok_or_else(|| not_utf8(file))?;
                incomplete.insert(file.to_owned(), digest(file)?);
            }
        }
        Ok(incomplete)
    }

    /// The arguments that name whole archives in `folder` in place of `incomplete`, in lists of their own.
    fn with(&self, incomplete: &Digests, folder: &Utf8Path) -> anyhow::Result<Vec<OsString>> {
        let whole = |file: &Path| {
            let digest = incomplete.get(Utf8Path::from_path(file)?)?;
            Some(folder.join(digest.to_string()))
        };
        let mut arguments = self.arguments.to_vec();
        for argument in &mut arguments {
            if let Some(whole) = whole(Path::new(&argument)) {
                *argument = whole.into();
            }
        }
        for (number, (place, text)) in self.lists.iter().enumerate() {
            let mut list = Vec::new();
            for line in lines(text) {
                match archive(line).and_then(|(start, file)| Some((start, whole(file)?))) {
                    Some((start, whole)) => {
                        list.extend(start);
                        list.extend(whole.as_str().as_bytes());
                    }
                    None => list.extend(line),
                }
                list.push(b'\n');
            }
            let file = folder.join(format!("{IMPORTCFG}-{number}"));
            fs_err::write(&file, list)?;
            let argument = self.arguments[*place].as_bytes();
            arguments[*place] = match argument.iter().position(|byte| *byte == b'=') {
                Some(equals) if argument.starts_with(b"-") => {
                    let mut flag = OsStr::from_bytes(&argument[..=equals]).to_owned();
                    flag.push(file.as_str());
                    flag
                }
                _ => file.into(),
            };
        }
        Ok(arguments)
    }
}

/// The list of archives that the argument at `place` names, as the linker reads its command line.
fn list_named<'a>(
    arguments: &'a [OsString],
    place: usize,
    argument: &'a OsStr,
) -> Option<&'a OsStr> {
    let name = |argument: &'a OsStr| {
        let flag = argument.as_bytes().strip_prefix(b"-")?;
        let flag = flag.strip_prefix(b"-").unwrap_or(flag);
        flag.strip_prefix(IMPORTCFG.as_bytes())
    };
    let before = place
        .checked_sub(1)
        .map(|before| arguments[before].as_os_str());
    if before.and_then(name).is_some_and(<[u8]>::is_empty) {
        return Some(argument);
    }
    Some(OsStr::from_bytes(name(argument)?.strip_prefix(b"=")?))
}

/// The lines of a list, as the linker reads them.
fn lines(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
}

/// The archives that a list names.
fn archives(list: &[u8]) -> impl Iterator<Item = &Path> {
    lines(list).filter_map(|line| Some(archive(line)?.1))
}

/// What a line of a list says before the file of an archive, and the file.
fn archive(line: &[u8]) -> Option<(&[u8], &Path)> {
    let rest = line.strip_prefix(PACKAGEFILE.as_bytes())?;
    let equals = rest.iter().position(|byte| *byte == b'=')?;
    let (start, file) = line.split_at(PACKAGEFILE.len() + equals + 1);
    Some((start, Path::new(OsStr::from_bytes(file))))
}

/// The digest of an archive. An output in a build cache has it in its name; if that is wrong, what is put together does
/// not have the digest of what was compiled, and is refused.
fn digest(archive: &Utf8Path) -> io::Result<Sha256Hash> {
    let cache = archive.parent().and_then(Utf8Path::parent);
    let in_cache = cache.and_then(|cache| archive.strip_prefix(cache).ok());
    match in_cache.map(FileKind::of) {
        Some(FileKind::Output(digest)) => Ok(digest),
        _ => Ok(hash_file(archive)?.0),
    }
}

/// Whether `file` is an archive without object code; what cannot be opened is for the linker to say.
fn is_export_only(file: &Path) -> io::Result<bool> {
    // Looked at before it is opened: a pipe would be waited for.
    let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file);
    let Some((metadata, file)) = metadata.zip(File::open(file).ok()) else {
        return Ok(false);
    };
    Ok(Archive::of(file, metadata.len())? == Some(Archive::ExportOnly))
}
