//! The walk through a source: which folders may be modules, and where the program of each is.
//!
//! Links are followed as the go command follows them, by the name they have, as long as they stay in the source; the
//! program may be another folder, which Pulumi.yaml names. What leads out is refused, what leads nowhere is listed.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::Error;
use crate::discovery::{Discovery, Skipped};
use crate::error::{Named as _, escaped};
use crate::go_file::head;
use crate::layout::Places;
use crate::links::{Target, resolve};
use crate::place::Place;
use crate::project::Project;
use crate::source_file::{self, MAX_GO_BYTES};

/// More links than any source has behind other links; folders that link to each other have no end otherwise.
const MAX_NESTED_LINKS: usize = 1000;

const CIRCLE: &str = "a link to a folder that holds it";

/// A walk, with what it came across.
pub(crate) struct Walk<'a> {
    pub source: &'a Path,
    pub places: Places,
    pub found: Discovery,
    /// What leads out of the source, and why.
    pub outside: Vec<(String, String)>,
}

impl Walk<'_> {
    /// Every folder that may hold a module, relative to the source, sorted.
    pub fn candidates(&mut self) -> Result<Vec<PathBuf>, Error> {
        let root = self.source.join(self.places.root());
        match fs_err::symlink_metadata(&root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.named(&root)?,
        };
        let mut folders = Vec::new();
        // How deep the link is behind which the walk is.
        let mut link_depth = usize::MAX;
        let mut nested_links = 0;
        let mut entries = WalkDir::new(root).follow_links(true).into_iter();
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.note_failed(error)?;
                    continue;
                }
            };
            if entry.depth() <= link_depth {
                link_depth = usize::MAX;
            }
            let Ok(folder) = entry.path().strip_prefix(self.source).map(Path::to_owned) else {
                continue;
            };
            if !folder.as_os_str().is_empty() && !is_looked_into(&entry) {
                if entry.file_type().is_dir() {
                    entries.skip_current_dir();
                }
                continue;
            }
            if entry.path_is_symlink() && !folder.as_os_str().is_empty() {
                match resolve(self.source, &folder).named(entry.path())? {
                    Target::Inside(real) if self.holds(&real, &folder)? => {
                        self.skip(&folder, CIRCLE.into(), false);
                        entries.skip_current_dir();
                        continue;
                    }
                    Target::Inside(_) => {}
                    Target::Outside { link, to } => {
                        // Elsewhere there may be links of all kinds, to what tools made, for example.
                        if matches!(self.places, Places::Usual) || self.is_place(&folder) {
                            self.refuse(&link, &to);
                        } else {
                            let reason = "a link that leads out of the source".into();
                            self.skip(&folder, reason, Project::is_in(entry.path()));
                        }
                        entries.skip_current_dir();
                        continue;
                    }
                    Target::Nowhere => {
                        self.skip(&folder, "a link that leads nowhere".into(), true);
                        entries.skip_current_dir();
                        continue;
                    }
                }
                if link_depth == usize::MAX {
                    link_depth = entry.depth();
                } else {
                    nested_links += 1;
                }
                if nested_links > MAX_NESTED_LINKS {
                    let path = escaped(&folder);
                    return Err(Error::TooManyLinks { path });
                }
            }
            folders.push(folder);
        }
        // By the text of the path, as scripts that read the list would sort it.
        folders.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
        Ok(folders)
    }

    /// What the place of a folder says, if a module may be there.
    pub fn place(&self, folder: &Path) -> Result<Option<Place>, Error> {
        let place = self.places.place(&folder.to_string_lossy());
        if !matches!(self.places, Places::Projects) {
            return Ok(place);
        }
        let project = unless_denied(Project::of_source(self.source, folder))?.flatten();
        let may_be = |it: Project| it.is_go() || it.not_understood.is_some();
        Ok(place.filter(|_| project.is_some_and(may_be)))
    }

    /// Whether a module may be in a folder behind a link that leads to none, which so has no project.
    fn is_place(&self, folder: &Path) -> bool {
        let is_named = !matches!(self.places, Places::Projects);
        is_named && self.places.place(&folder.to_string_lossy()).is_some()
    }

    /// The folder of the program whose folder is `folder`, relative to the source; none if there is no main package,
    /// which is then listed.
    pub fn program(&mut self, folder: &Path) -> Result<Option<PathBuf>, Error> {
        let project = Project::of_source(self.source, folder)?;
        if let Some(name) = project.as_ref().and_then(|project| project.not_understood) {
            // Where the program is can only be guessed, and whether there is one.
            let is_program = self.why_no_main_package(folder)?.is_none();
            if is_program || !matches!(self.places, Places::Projects) {
                self.skip(folder, format!("{name} cannot be understood"), true);
            }
            return Ok(None);
        }
        let is_go = project.as_ref().is_some_and(Project::is_go);
        let main = project.and_then(|project| project.main);
        let program = match &main {
            None => folder.to_owned(),
            Some(main) => match self.main(folder, main)? {
                Some(program) => program,
                None => return Ok(None),
            },
        };
        let Some(reason) = self.why_no_main_package(&program)? else {
            return Ok(Some(program));
        };
        let looks_like_program = is_go || main.is_some() || reason == NO_CLAUSE;
        let reason = match main {
            Some(main) => format!("{reason} in {main}, which Pulumi.yaml names"),
            None => reason,
        };
        self.skip(folder, reason, looks_like_program);
        Ok(None)
    }

    /// The folder that Pulumi.yaml in `folder` means by `main`, as Pulumi finds it.
    fn main(&mut self, folder: &Path, main: &str) -> Result<Option<PathBuf>, Error> {
        let named = Path::new(main);
        let program = if named.is_absolute() {
            None
        } else {
            clean(&folder.join(named))
        };
        let Some(program) = program else {
            self.outside.push((
                escaped(&folder.join("Pulumi.yaml")),
                format!("names the program {main:?}"),
            ));
            return Ok(None);
        };
        match resolve(self.source, &program).named(&self.source.join(&program))? {
            Target::Outside { link, to } => {
                self.refuse(&link, &to);
                Ok(None)
            }
            Target::Nowhere => {
                let reason = format!("{main}, which Pulumi.yaml names, is not there");
                self.skip(folder, reason, true);
                Ok(None)
            }
            Target::Inside(real) if self.source.join(&real).is_file() => {
                Ok(program.parent().map(Path::to_owned))
            }
            Target::Inside(_) => Ok(Some(program)),
        }
    }

    /// None if the folder holds a main package, otherwise the reason why it does not.
    fn why_no_main_package(&mut self, folder: &Path) -> Result<Option<String>, Error> {
        let mut names = Vec::new();
        let place = self.source.join(folder);
        for entry in fs_err::read_dir(&place).named(&place)? {
            let entry = entry?;
            let name = entry.file_name();
            let text = name.to_string_lossy();
            if text.ends_with(".go")
                && !text.starts_with(['.', '_'])
                && self.is_file(&folder.join(&name), entry.file_type()?)?
            {
                names.push(name);
            }
        }
        names.sort();
        main_package(self.source, folder, names)
    }

    /// Whether a Go file is one for the go command, too, which follows links to files.
    fn is_file(&mut self, path: &Path, file_type: std::fs::FileType) -> Result<bool, Error> {
        if !file_type.is_symlink() {
            return Ok(file_type.is_file());
        }
        match resolve(self.source, path).named(&self.source.join(path))? {
            Target::Inside(real) => Ok(self.source.join(real).is_file()),
            Target::Outside { link, to } => {
                self.refuse(&link, &to);
                Ok(false)
            }
            Target::Nowhere => Ok(false),
        }
    }

    /// Whether the folder `real` is above the link `link`.
    fn holds(&self, real: &Path, link: &Path) -> Result<bool, Error> {
        let above = link.parent().unwrap_or(Path::new(""));
        let above = resolve(self.source, above).named(&self.source.join(above))?;
        Ok(matches!(above, Target::Inside(above) if above.starts_with(real)))
    }

    fn note_failed(&mut self, error: walkdir::Error) -> Result<(), Error> {
        let path = error.path().map(Path::to_owned).unwrap_or_default();
        let relative = path.strip_prefix(self.source).unwrap_or(&path);
        if error.loop_ancestor().is_some() {
            self.skip(relative, CIRCLE.into(), false);
            return Ok(());
        }
        let error = io::Error::from(error);
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Err(error).named(&path);
        }
        let is_link = fs_err::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink());
        if is_link && !path.exists() {
            self.skip(
                relative,
                "a link that leads nowhere".into(),
                self.is_place(relative),
            );
            return Ok(());
        }
        Err(error.into())
    }

    fn skip(&mut self, path: &Path, reason: String, looks_like_program: bool) {
        self.found.skipped.push(Skipped {
            path: path.to_string_lossy().into_owned().into(),
            reason,
            looks_like_program,
        });
    }

    fn refuse(&mut self, link: &Path, to: &Path) {
        let refused = (
            escaped(link),
            format!("a link to {}", to.to_string_lossy().escape_default()),
        );
        if !self.outside.contains(&refused) {
            self.outside.push(refused);
        }
    }
}

/// Every folder of a source with a project file of a program in Go, relative to it, sorted. Links are not followed, and
/// what the user may not read is passed over: most of the source is no build's business.
pub fn projects(source: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut folders = Vec::new();
    let entries = WalkDir::new(source)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| entry.depth() == 0 || is_looked_into(entry));
    for entry in entries {
        let Some(entry) = unless_denied(entry.map_err(io::Error::from).named(source))? else {
            continue;
        };
        let folder = entry.path().strip_prefix(source).unwrap_or(entry.path());
        // What cannot be used is no build's business either.
        let project = Project::of_source(source, folder);
        if project.is_ok_and(|project| project.is_some_and(|project| project.is_go())) {
            folders.push(folder.to_owned());
        }
    }
    Ok(folders)
}

fn unless_denied<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Err(Error::Unreadable { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// The path without `.` and `..`, as Pulumi cleans it; none if it leads out of the source.
fn clean(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                if !clean.pop() {
                    return None;
                }
            }
            other => clean.push(other),
        }
    }
    Some(clean)
}

fn is_looked_into(entry: &DirEntry) -> bool {
    let name = entry.file_name().as_encoded_bytes();
    let left_out = [b"vendor".as_slice(), b"testdata", b"node_modules"];
    entry.file_type().is_dir()
        && !name.starts_with(b".")
        && !name.starts_with(b"_")
        && !left_out.contains(&name)
}

/// As much of a Go file as has its head.
fn bytes_of_head(source: &Path, file: &Path) -> Result<Vec<u8>, Error> {
    const USUAL_BYTES: u64 = 64 << 10;
    let begin = source_file::read_begin(source, file, USUAL_BYTES)?;
    let text = String::from_utf8_lossy(&begin);
    let is_whole = head(&text)
        .package
        .is_some_and(|package| !text.ends_with(package));
    if is_whole || (begin.len() as u64) < USUAL_BYTES {
        return Ok(begin);
    }
    Ok(source_file::read(source, file, MAX_GO_BYTES)?.unwrap_or_default())
}

const NO_CLAUSE: &str = "no file has a package clause";

/// None if the files `names` in `folder` of `source` are a main package, otherwise the reason why they are not.
fn main_package(
    source: &Path,
    folder: &Path,
    mut names: Vec<OsString>,
) -> Result<Option<String>, Error> {
    if names.is_empty() {
        return Ok(Some("no Go files".into()));
    }
    names.retain(|name| !name.to_string_lossy().ends_with("_test.go"));
    if names.is_empty() {
        return Ok(Some("only test files".into()));
    }
    let mut other_package = None;
    let mut all_ignored = true;
    for name in names {
        let file = folder.join(name);
        let bytes = bytes_of_head(source, &file)?;
        let text = String::from_utf8_lossy(&bytes);
        let head = head(&text);
        if head.ignored {
            continue;
        }
        all_ignored = false;
        match head.package {
            Some("main") => return Ok(None),
            Some(package) => other_package = other_package.or_else(|| Some(package.to_owned())),
            None => {}
        }
    }
    Ok(Some(match other_package {
        Some(package) => format!("package {package} instead of main"),
        None if all_ignored => "all files are excluded by `//go:build ignore`".into(),
        None => NO_CLAUSE.into(),
    }))
}
