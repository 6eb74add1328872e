//! The program of `-toolexec`: starts the go command's tools, and sees to it that the linker gets whole archives.
//!
//! Archives in the image's build cache have no object code, which only the linker reads (see [`gocache::objects`]).
//! Every other tool takes the place of this process. For the linker, the archives that its list names are looked at:
//! those that are export-only are put together, in a folder beside the list, which is the go command's own for this
//! link, and a list that names them instead is handed on. The folder goes when the link ends; were this process killed,
//! the go command removes it with all of its own.
//!
//! What holds: an archive without object code is found by its own shape, whatever it is called and wherever it came
//! from, and is completed or the linker is not started.
//!
//! Every tool's version gets a word more, which makes action IDs that are found under this program alone. There is one
//! exception: `go build -o FILE.a` copies an archive out of the cache without starting a tool, and so does an installation
//! of GOROOT's packages, so they are to find none that is not whole.
//!
//! Links that have archives put together wait for each other: each needs room on the disk, and at first all processors
//! (see [`turn`]). Nobody waits for ever, for whoever has a turn may be stopped.

pub mod executables;
mod parent;
mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use failure::{corrupt, failed};
use gocache::FileKind;
use gocache::image_info::{OBJECTS_PATH, TOOLEXEC, TOOLEXEC_PATH};
use gocache::objects::{self, Archive, Incomplete, Objects};
use rustix::process::{Signal, getpid, kill_process};
use sha256::{Sha256Hash, hash_file};

use self::parent::Parent;
use self::turn::{Turns, processors};

/// As a shell says that a program cannot be run.
const CANNOT_RUN: u8 = 126;

/// How the go command asks for a tool's version.
const VERSION: &str = "-V=full";

/// The compiler.
const COMPILE: &str = "compile";

/// The linker.
const LINK: &str = "link";

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

/// The command line of the tool that this process is to start, if it was started as the program of `-toolexec`.
pub fn arguments() -> Option<Vec<OsString>> {
    let mut arguments = std::env::args_os();
    let own = arguments.next()?;
    let name = Path::new(TOOLEXEC_PATH).file_name();
    // A script that starts it by its path cannot call it by another name.
    let is_it = Path::new(&own).file_name() == name || arguments.next()? == TOOLEXEC;
    is_it.then(|| arguments.collect())
}

/// Starts the tool `arguments[0]`, as the go command does.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let Some((tool, rest)) = arguments.split_first() else {
        eprintln!("error: no tool is named; the go command starts this program, with -toolexec");
        return ExitCode::from(failure::Kind::Usage.exit_code());
    };
    if tool == executables::PUT {
        executables::put();
        return ExitCode::SUCCESS;
    }
    let (is_compiler, is_linker) = (is_named(tool, COMPILE), is_named(tool, LINK));
    let done = if rest.first().is_some_and(|first| first == VERSION) {
        let parent = Parent::of_process();
        match parent.takes_executables() {
            true if is_compiler => executables::begin(),
            true if is_linker => executables::put_or_wait(),
            _ => {}
        }
        version(tool, rest, &parent)
    } else if is_linker && executables::put_in_place_of_link(rest, &Parent::of_process()) {
        return ExitCode::SUCCESS;
    } else if is_linker {
        link(tool, rest, Utf8Path::new(OBJECTS_PATH), &Turns::of_user())
    } else {
        Ok(Done::Become(rest.to_vec()))
    };
    match done {
        Ok(Done::Become(rest)) => {
            let error = command(tool, &rest).exec();
            eprintln!("{}: {error}", tool.display());
            ExitCode::from(CANNOT_RUN)
        }
        Ok(Done::Ended(status)) => end_as(status),
        Err(error) => {
            eprintln!("error: {}", failure::text(&error));
            ExitCode::from(failure::kind(&error, &[gocache::Error::classify]).exit_code())
        }
    }
}

fn is_named(tool: &OsStr, name: &str) -> bool {
    Path::new(tool).file_name() == Some(OsStr::new(name))
}

/// Files, with their digests.
type Digests = BTreeMap<Utf8PathBuf, Sha256Hash>;

/// What is left to do.
enum Done {
    /// To become the tool, with these arguments.
    Become(Vec<OsString>),
    /// To end as it did.
    Ended(ExitStatus),
}

fn command(tool: &OsStr, arguments: &[OsString]) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tool has this process's streams, or takes its place"
    )]
    let mut command = Command::new(tool);
    command.args(arguments);
    command
}

/// Ends this process as another one ended, so that the go command says of the tool what it would say.
fn end_as(status: ExitStatus) -> ExitCode {
    if let Some(signal) = status.signal().and_then(Signal::from_named_raw) {
        // A signal that does not end this process leaves the exit code below.
        let _ = kill_process(getpid(), signal);
    }
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

/// Prints the tool's version, with the word that tells caches of export-only archives apart; without it where `parent`
/// copies an archive out of the cache.
fn version(tool: &OsStr, arguments: &[OsString], parent: &Parent) -> anyhow::Result<Done> {
    if parent.puts_an_archive() {
        return Ok(Done::Become(arguments.to_vec()));
    }
    let output = command(tool, arguments)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("failed to run {}", tool.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let said = if output.status.success() {
        objects::version(&said)
    } else {
        said.into_owned()
    };
    io::stdout().write_all(said.as_bytes())?;
    Ok(Done::Ended(output.status))
}

/// Links, with archives that are whole.
fn link(
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

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn turns(folder: &Utf8Path) -> Turns {
        Turns::in_folder(folder.join("turns"), rustix::process::geteuid().as_raw())
    }

    /// An archive of a package as the compiler writes it, cut where `object_code` is none.
    fn archive(export_data: &str, object_code: Option<&str>) -> String {
        let header = |name: &str, size: usize| {
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 644)
        };
        let code = object_code.map(|it| header("_go_.o", it.len()) + it);
        let export_data = header("__.PKGDEF", export_data.len()) + export_data;
        format!("!<arch>\n{export_data}{}", code.unwrap_or_default())
    }

    #[test]
    fn lists_and_arguments_name_whole_archives_however_they_are_given() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temporary.path()).unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.join(name);
            fs_err::write(&path, content).unwrap();
            path
        };
        let cut = file("cut-d", &archive("go object\n", None));
        let main = file("main.a", &archive("go object mai\n", None));
        let whole = file("whole.a", &archive("go object\n", Some("code")));
        let other = file("other", "no archive");
        let text = format!(
            "# import config\npackagefile a/b={cut}\npackagefile c={whole}\nmodinfo \"x=y\"\n\
             packagefile d={cut}\npackageshlib e={other}\npackagefile gone={folder}/gone\n"
        );
        let list = file("importcfg.link", &text);
        for flag in [
            format!("-importcfg {list}"),
            format!("--importcfg={list}"),
            format!("-importcfg={list}"),
        ] {
            let given = format!("-o {folder}/a.out {flag} -buildid=x -X a.b=c {main}");
            let arguments = words(&given);
            let link = Link::of(&arguments).unwrap();
            assert_eq!(link.folder, folder);
            let incomplete = link.incomplete().unwrap();
            let found: Vec<_> = incomplete.keys().collect();
            assert_eq!(found, [&cut, &main], "{flag}");
            let target = folder.join("whole");
            fs_err::create_dir_all(&target).unwrap();
            let changed = link.with(&incomplete, &target).unwrap();
            let changed: Vec<_> = changed.iter().map(|it| it.to_str().unwrap()).collect();
            let new_list = target.join("importcfg-0");
            let place = |file: &Utf8PathBuf| target.join(incomplete[file].to_string());
            let expected = given
                .replace(list.as_str(), new_list.as_str())
                .replace(main.as_str(), place(&main).as_str());
            assert_eq!(changed.join(" "), expected);
            let written = fs_err::read_to_string(new_list).unwrap();
            assert_eq!(written, text.replace(cut.as_str(), place(&cut).as_str()));
        }
    }

    /// Packs the object code of `whole`, an archive that is `cut` without, into `objects`.
    fn pack(objects: &Utf8Path, cut: &str, whole: &str) {
        let archive = objects::ExportOnly {
            whole: Sha256Hash::of(whole.as_bytes()),
            whole_bytes: whole.len() as u64,
            export_only: Sha256Hash::of(cut.as_bytes()),
            export_bytes: cut.len() as u64,
            actions: Vec::new(),
        };
        fs_err::create_dir_all(objects).unwrap();
        let file = objects.join("whole");
        fs_err::write(&file, whole).unwrap();
        let index = objects::pack(&[archive], |_| file.clone(), 3, &objects.join("p.zst"));
        fs_err::write(objects.join("p.json"), index.unwrap().to_json()).unwrap();
    }

    #[test]
    fn the_linker_gets_whole_archives_has_turns_left_to_others_and_decides_how_it_ends() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temporary.path()).unwrap();
        let [cut, whole] = [None, Some("code")].map(|code| archive("go object\n", code));
        let (objects, file) = (folder.join("objects"), folder.join("cut-d"));
        pack(&objects, &cut, &whole);
        fs_err::write(&file, &cut).unwrap();
        let list = folder.join("importcfg.link");
        fs_err::write(&list, format!("packagefile a={file}\n")).unwrap();
        // Its folder is gone when it ends, as if somebody else was faster.
        let script = format!(
            "list=${{0#*=}}; cmp {objects}/whole $(sed s/.*=// $list) || exit 3
             flock -n {folder}/turns/unpacking/0 true || exit 4
             rm -r ${{list%/*}}; exit 5"
        );
        let arguments = [
            "-c".into(),
            script.into(),
            format!("-importcfg={list}").into(),
        ];
        let linked = link(OsStr::new("/bin/sh"), &arguments, &objects, &turns(folder));
        let Done::Ended(status) = linked.unwrap() else {
            panic!("an archive is to be put together");
        };
        assert_eq!(status.code(), Some(5));
    }

    #[test]
    fn an_output_has_the_digest_of_its_name_and_is_refused_where_that_is_another_ones() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temporary.path()).unwrap();
        let objects = folder.join("objects");
        let [cut, whole] = [None, Some("code")].map(|code| archive("go object\n", code));
        pack(&objects, &cut, &whole);
        let named = Sha256Hash::of(cut.as_bytes());
        let output = gocache::Store::create(&folder.join("cache")).unwrap();
        let output = output.output_path(&named);
        // As long, and as whole by its shape.
        let other = archive("go tcejbo\n", None);
        fs_err::write(&output, &other).unwrap();
        assert_eq!(digest(&output).unwrap(), named);
        let list = folder.join("importcfg.link");
        fs_err::write(&list, format!("packagefile a={output}\n")).unwrap();
        let arguments = words(&format!("-importcfg {list}"));
        let linked = link(
            OsStr::new("/bin/true"),
            &arguments,
            &objects,
            &turns(folder),
        );
        let error = linked.err().expect("it is refused");
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
        let said = failure::text(&error);
        assert!(said.contains("is not whole with it"), "{said}");

        let elsewhere = folder.join(format!("{named}-d"));
        fs_err::write(&elsewhere, &other).unwrap();
        assert_eq!(
            digest(&elsewhere).unwrap(),
            Sha256Hash::of(other.as_bytes())
        );
    }

    #[test]
    fn object_code_is_unpacked_by_one_link_at_a_time() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temporary.path()).unwrap();
        let cut = folder.join("cut-d");
        fs_err::write(&cut, archive("go object\n", None)).unwrap();
        let list = folder.join("importcfg.link");
        fs_err::write(&list, "").unwrap();
        let arguments = words(&format!("-importcfg {list} {cut}"));
        let other = turns(folder).unpack();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let nowhere = folder.join("nowhere");
                link(
                    OsStr::new("/bin/true"),
                    &arguments,
                    &nowhere,
                    &turns(folder),
                )
                .is_err()
            });
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert!(!waiting.is_finished());
            drop(other);
            assert!(waiting.join().unwrap(), "there is no object code");
        });
    }

    #[test]
    fn without_its_object_code_nothing_is_linked_and_nothing_stays() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(temporary.path()).unwrap();
        let cut = folder.join("cut-d");
        fs_err::write(&cut, archive("go object\n", None)).unwrap();
        let list = folder.join("importcfg.link");
        fs_err::write(&list, format!("packagefile a={cut}\n")).unwrap();
        let arguments = words(&format!("-importcfg {list}"));
        let (nowhere, elsewhere) = (folder.join("nowhere"), tempfile::tempdir().unwrap());
        let turns = turns(Utf8Path::from_path(elsewhere.path()).unwrap());
        let linked = link(OsStr::new("/bin/true"), &arguments, &nowhere, &turns);
        let error = linked.err().expect("there is no object code");
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
        let said = failure::text(&error);
        assert!(said.contains("cut-d has no object code to link"), "{said}");
        assert!(said.contains("pull it again"), "{said}");
        assert_eq!(fs_err::read_dir(folder).unwrap().count(), 2);
    }

    #[test]
    fn a_path_is_no_reason_to_refuse_a_link_with_nothing_to_put_together() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join(OsStr::from_bytes(b"\xff"));
        fs_err::create_dir(&folder).unwrap();
        let (archive_file, list) = (folder.join("a.a"), folder.join("importcfg.link"));
        let text = [
            b"packagefile a=",
            archive_file.as_os_str().as_bytes(),
            b"\n",
        ]
        .concat();
        fs_err::write(&list, text).unwrap();
        let arguments = ["-importcfg".into(), list.into()];
        let linked = |code| {
            fs_err::write(&archive_file, archive("go object\n", code)).unwrap();
            let turns = turns("/nowhere".into());
            link(
                OsStr::new("/bin/true"),
                &arguments,
                "/nowhere".into(),
                &turns,
            )
        };
        let Done::Become(unchanged) = linked(Some("code")).unwrap() else {
            panic!("there is nothing to put together");
        };
        assert_eq!(unchanged, arguments);
        let said = failure::text(&linked(None).err().expect("it is refused"));
        assert!(said.contains("its path is no UTF-8"), "{said}");
    }

    #[test]
    fn a_folder_that_no_list_can_name_is_refused_before_anything_is_put_there() {
        let temporary = tempfile::tempdir().unwrap();
        for name in [&b"a\nb"[..], b"\xff"] {
            let folder = temporary.path().join(OsStr::from_bytes(name));
            fs_err::create_dir(&folder).unwrap();
            let (cut, list) = (
                temporary.path().join("cut-d"),
                folder.join("importcfg.link"),
            );
            fs_err::write(&cut, archive("go object\n", None)).unwrap();
            fs_err::write(&list, "").unwrap();
            let arguments = ["-importcfg".into(), list.into(), cut.into()];
            let turns = turns("/nowhere".into());
            let linked = link(
                OsStr::new("/bin/true"),
                &arguments,
                "/nowhere".into(),
                &turns,
            );
            let said = failure::text(&linked.err().expect("it is refused"));
            assert!(said.contains("GOTMPDIR names another place"), "{said}");
            assert_eq!(fs_err::read_dir(folder).unwrap().count(), 1);
        }
    }
}
