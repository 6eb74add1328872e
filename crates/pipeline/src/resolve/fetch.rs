//! Which Go modules a go.mod requires, all of them fetched: needs the network once, and is then kept by the content of
//! go.mod, go.sum and go.work.

use std::cell::Cell;
use std::collections::BTreeSet;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use gocache::GoModule;

use crate::foundation::tree::SCRATCH;
use crate::resolve::go_list::{Download, Failure, stream};
use crate::resolve::go_mod::{GoMod, is_inside, read};
use crate::resolve::refusals::replaced;
use crate::resolve::requirements::{Required, Requirements};
use crate::resolve::resolver::Resolver;
use crate::work;
use crate::work::files::files_below;
use crate::work::{Key, Scratch};
use engine::progress;
use engine::sandbox::Done;

/// What Pulumi and the go command ask of the module graph.
const GRAPH: [&[&str]; 2] = [
    &["go", "list", "-m", "-json", "all"],
    &["go", "mod", "graph"],
];

/// The kind of kept work that tells what was fetched.
pub const KIND: &str = "requirements";

/// The key of what `go_mod` of `source` requires.
pub fn key(
    go_mod: &GoMod,
    source: &Utf8Path,
    go_version: &str,
    unchecked: &[String],
) -> Result<Key> {
    Key::of(&(go_mod.digest(source)?, go_mod.folder(), go_version))?.with(unchecked)
}

impl Resolver<'_> {
    /// The Go modules behind `go_mod`, all of them fetched.
    pub fn requirements(&self, go_mod: &GoMod) -> Result<Requirements> {
        let go_version = &self.tree.image.go.version;
        let key = key(go_mod, self.source, go_version, self.unchecked)?;
        let is_new = Cell::new(false);
        let fetched = |folder: &Utf8Path| -> Result<()> {
            is_new.set(true);
            let requirements = self.fetch(go_mod)?;
            fs_err::write(
                folder.join("requirements.json"),
                serde_json::to_vec(&requirements)?,
            )?;
            Ok(())
        };
        let folder = self.work.keep(KIND, &key, fetched)?;
        let read = |folder: &Utf8Path| -> Result<Requirements> {
            Ok(serde_json::from_slice(&fs_err::read(
                folder.join("requirements.json"),
            )?)?)
        };
        let requirements =
            read(&folder).map_err(|error| work::discard(&folder, &format!("{error:#}")))?;
        if requirements
            .required
            .iter()
            .all(|required| self.is_fetched(&required.module))
            && (requirements.not_fetched.is_empty() || is_new.get())
        {
            return Ok(requirements);
        }
        // The list was kept, but the module cache beside it is gone; or what was out of reach may not be any more.
        self.fetch(go_mod)
    }

    /// Whether the Go module is in the module cache, all of it: the go command marks those that it still extracts.
    fn is_fetched(&self, module: &GoModule) -> bool {
        let is_partial = self.go_mod.join(module.download_file("partial")).exists();
        !is_partial && self.go_mod.join(module.folder()).is_dir()
    }

    fn fetch(&self, go_mod: &GoMod) -> Result<Requirements> {
        let fetch = Fetch::of(self, go_mod)?;
        let (required, not_fetched) = fetch.download(&[])?;
        for arguments in GRAPH {
            let done = fetch.go(arguments)?;
            // What is vendored needs no graph to be built.
            if not_fetched.is_empty() {
                self.succeeded(go_mod, arguments, done)?;
            }
        }
        Ok(Requirements {
            required,
            stubs: BTreeSet::new(),
            graph: self.graph(go_mod, not_fetched.is_empty())?,
            not_fetched,
        })
    }

    /// Copies the files that decide what `go_mod` requires: the go command adds hashes to go.sum and go.work.sum, and
    /// the source is not ours to write to.
    fn copy_module_files(&self, go_mod: &GoMod, to: &Utf8Path) -> Result<()> {
        let files = go_mod.module_files(self.source)?.into_iter();
        // What lies outside of the source is for the go command to miss, if it needs it.
        for file in files {
            if !is_inside(self.source, &file)? {
                continue;
            }
            let copy = to.join(&file);
            fs_err::create_dir_all(copy.parent().unwrap_or(to))?;
            fs_err::copy(self.source.join(&file), copy)?;
        }
        Ok(())
    }

    /// The files that it takes to know the module graph of `go_mod`: those that end up in an empty module cache. Not
    /// every node's `.mod` is among them, as the go command prunes the graph; and the shared module cache holds
    /// those of other go.mods as well.
    fn graph(&self, go_mod: &GoMod, is_whole: bool) -> Result<BTreeSet<Utf8PathBuf>> {
        let scratch = self.work.scratch("graph")?;
        let shared = "/run/go-mod";
        let sandbox = self
            .sandbox(scratch.path(), go_mod)
            .read_only(self.go_mod, shared)
            .env([
                ("GOMODCACHE", format!("{SCRATCH}/go-mod")),
                ("GOPROXY", format!("file://{shared}/cache/download")),
                ("GOFLAGS", "-mod=readonly -modcacherw".to_owned()),
                // Everything was checked when it was fetched.
                ("GOSUMDB", "off".to_owned()),
            ]);
        for arguments in GRAPH {
            let done = sandbox.run(arguments)?;
            if is_whole {
                self.succeeded(go_mod, arguments, done)?;
            }
        }
        let root = scratch.path().join("go-mod");
        let mut files = BTreeSet::new();
        if !root.join("cache/download").exists() {
            // A go.mod that requires nothing.
            return Ok(files);
        }
        let download = Utf8Path::new("cache/download");
        for file in files_below(&root.join(download))? {
            if matches!(file.extension(), Some("mod" | "info")) {
                files.insert(download.join(file));
            }
        }
        Ok(files)
    }

    /// Fetches these Go modules, which `go_mod` requires, and no others.
    pub fn download(
        &self,
        go_mod: &GoMod,
        wanted: &BTreeSet<GoModule>,
    ) -> Result<BTreeSet<Required>> {
        let names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (required, _) = Fetch::of(self, go_mod)?.download(&names)?;
        Ok(required)
    }

    /// Fetches the Go modules that hold these packages and what they import.
    pub fn fetch_packages(&self, go_mod: &GoMod, packages: &[String]) -> Result<()> {
        let mut arguments = vec!["go", "list", "-e", "-deps", "-f", "", "--"];
        arguments.extend(packages.iter().map(String::as_str));
        let done = Fetch::of(self, go_mod)?.go(&arguments)?;
        if go_mod.is_vendored(self.source) {
            return Ok(());
        }
        self.succeeded(go_mod, &arguments, done).map(drop)
    }
}

/// A fetch for one go.mod, with copies of the files that decide what it requires: the go command adds hashes to go.sum
/// and go.work.sum, and the source is not ours to write to.
struct Fetch<'a> {
    resolver: &'a Resolver<'a>,
    go_mod: &'a GoMod,
    scratch: Scratch,
    files: Scratch,
}

impl<'a> Fetch<'a> {
    fn of(resolver: &'a Resolver<'a>, go_mod: &'a GoMod) -> Result<Self> {
        replaced::check(go_mod, resolver.source)?;
        let scratch = resolver.work.scratch("fetch")?;
        let files = resolver.work.scratch("module-files")?;
        resolver.copy_module_files(go_mod, files.path())?;
        Ok(Self {
            resolver,
            go_mod,
            scratch,
            files,
        })
    }

    fn go(&self, arguments: &[&str]) -> Result<Done> {
        let folders = (self.scratch.path(), self.files.path());
        self.resolver.fetching(self.go_mod, folders, arguments)
    }

    /// Fetches the Go modules of these names, or all that are required; those that cannot be fetched are the second
    /// half, where packages are vendored.
    fn download(&self, names: &[&str]) -> Result<(BTreeSet<Required>, BTreeSet<String>)> {
        let (resolver, go_mod) = (self.resolver, self.go_mod);
        let mut arguments = vec!["go", "mod", "download", "-json"];
        if !names.is_empty() {
            arguments.push("--");
        }
        arguments.extend(names);
        let mut done = self.go(&arguments)?;
        let mut listed: Vec<Download> = Vec::new();
        if done.status.success() {
            listed = stream(&done.stdout)?;
        } else if go_mod.is_vendored(resolver.source) {
            (done, listed) = self.download_apart(names)?;
        }
        let failures: Vec<Failure> = listed.iter().filter_map(Download::failure).collect();
        if !done.status.success() && failures.is_empty() {
            return Err(resolver.advice(go_mod).error(&arguments, &done));
        }
        for failure in &failures {
            progress::note(format_args!(
                "note: {} is taken from vendor, and the image has no Go module of it, which Pulumi may want: {}",
                failure.name,
                failure.said.lines().next().unwrap_or_default()
            ));
        }
        let fetched = listed.into_iter().filter(|it| it.failure().is_none());
        let required = fetched.map(Download::required).collect::<Result<_>>()?;
        Ok((required, failures.into_iter().map(|it| it.name).collect()))
    }

    /// Fetches Go modules for which the module graph need not be known, which the one that cannot be fetched is part
    /// of: those of these names, or all that packages are vendored of. They are compared with go.sum all the same.
    fn download_apart(&self, names: &[&str]) -> Result<(Done, Vec<Download>)> {
        let (resolver, go_mod) = (self.resolver, self.go_mod);
        let files = resolver.work.scratch("module-files")?;
        let folder = files.path().join(go_mod.folder());
        fs_err::create_dir_all(&folder)?;
        fs_err::write(folder.join("go.mod"), "module vendored\n")?;
        let mut sums = String::new();
        for file in go_mod.module_files(resolver.source)? {
            if file.extension() == Some("sum") {
                sums += &read(resolver.source, &file)?;
                sums += "\n";
            }
        }
        fs_err::write(folder.join("go.sum"), sums)?;
        let vendored = go_mod.vendored(resolver.source)?;
        let mut arguments = vec!["go", "mod", "download", "-json", "--"];
        if names.is_empty() {
            arguments.extend(vendored.iter().map(String::as_str));
        }
        arguments.extend(names);
        let folders = (self.scratch.path(), files.path());
        let done = resolver.fetching(go_mod, folders, &arguments)?;
        let listed = stream(&done.stdout)?;
        Ok((done, listed))
    }
}
