//! Which Go modules a go.mod requires, all of them fetched: needs the network once, and is then kept by the content of
//! go.mod, go.sum and go.work.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use gocache::GoModule;

use crate::foundation::tree::{SCRATCH, SOURCE};
use crate::resolve::go_list::{Download, stream};
use crate::resolve::go_mod::GoMod;
use crate::resolve::requirements::{Required, Requirements};
use crate::resolve::resolver::Resolver;
use crate::work;
use crate::work::Key;
use crate::work::files::files_below;

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
        let fetched = |folder: &Utf8Path| -> Result<()> {
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
        {
            return Ok(requirements);
        }
        // The list was kept, but the module cache beside it is gone.
        self.fetch(go_mod)
    }

    /// Whether the Go module is in the module cache, all of it: the go command marks those that it still extracts.
    fn is_fetched(&self, module: &GoModule) -> bool {
        let is_partial = self.go_mod.join(module.download_file("partial")).exists();
        !is_partial && self.go_mod.join(module.folder()).is_dir()
    }

    fn fetch(&self, go_mod: &GoMod) -> Result<Requirements> {
        let scratch = self.work.scratch("fetch")?;
        let files = self.work.scratch("module-files")?;
        self.copy_module_files(go_mod, files.path())?;
        let sandbox = self
            .fetching(scratch.path(), go_mod)
            .writable(files.path(), SOURCE);
        let downloaded: Vec<Download> =
            stream(&self.go(&sandbox, go_mod, &["go", "mod", "download", "-json"])?)?;
        for arguments in GRAPH {
            self.go(&sandbox, go_mod, arguments)?;
        }
        let required = downloaded
            .into_iter()
            .map(Download::required)
            .collect::<Result<_>>()?;
        Ok(Requirements {
            required,
            graph: self.graph(go_mod)?,
        })
    }

    /// Copies the files that decide what `go_mod` requires: the go command adds hashes to go.sum and go.work.sum, and
    /// the source is not ours to write to.
    fn copy_module_files(&self, go_mod: &GoMod, to: &Utf8Path) -> Result<()> {
        let files = go_mod.module_files(self.source)?.into_iter();
        // What lies outside of the source is for the go command to miss, if it needs it.
        for file in files.filter(|file| !file.starts_with("..")) {
            let copy = to.join(&file);
            fs_err::create_dir_all(copy.parent().unwrap_or(to))?;
            fs_err::copy(self.source.join(&file), copy)?;
        }
        Ok(())
    }

    /// The files that it takes to know the module graph of `go_mod`: those that end up in an empty module cache. Not
    /// every node's `.mod` is among them, as the go command prunes the graph; and the shared module cache holds
    /// those of other go.mods as well.
    fn graph(&self, go_mod: &GoMod) -> Result<BTreeSet<Utf8PathBuf>> {
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
            self.go(&sandbox, go_mod, arguments)?;
        }
        let root = scratch.path().join("go-mod");
        let mut files = BTreeSet::new();
        if !root.exists() {
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
        let scratch = self.work.scratch("fetch")?;
        let names: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        let mut arguments = vec!["go", "mod", "download", "-json", "--"];
        arguments.extend(names.iter().map(String::as_str));
        let downloaded: Vec<Download> =
            stream(&self.go(&self.fetching(scratch.path(), go_mod), go_mod, &arguments)?)?;
        downloaded.into_iter().map(Download::required).collect()
    }

    /// Fetches the Go modules that hold these packages and what they import.
    pub fn fetch_packages(&self, go_mod: &GoMod, packages: &[String]) -> Result<()> {
        let scratch = self.work.scratch("fetch")?;
        let mut arguments = vec!["go", "list", "-e", "-deps", "-f", "", "--"];
        arguments.extend(packages.iter().map(String::as_str));
        self.go(&self.fetching(scratch.path(), go_mod), go_mod, &arguments)
            .map(drop)
    }
}
