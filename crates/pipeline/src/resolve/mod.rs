//! What modules need: which Go modules their go.mod requires, and which packages their builds load.
//!
//! The first needs the network once and is kept by the content of go.mod, go.sum and go.work; the second is asked
//! of the go command each time, offline, because it decides which packs are still right. Both are the go command's
//! own answers: nothing here guesses how Go reads a source.

pub mod embedding;
pub mod go_list;
pub mod go_mod;
pub mod go_mod_files;
pub mod shared;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::GoModule;
use modules::Module;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use crate::foundation::tree::{SCRATCH, SOURCE, Tree};
use crate::resolve::go_list::{Download, FIELDS, ListedModule, ListedPackage, stream};
use crate::resolve::go_mod::GoMod;
use crate::work;
use crate::work::files::files_below;
use crate::work::{Key, Work};
use engine::sandbox::{Done, Sandbox};
use failure::{failed, usage};

/// A Go module that a go.mod requires, with the hash that the download was checked against.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Required {
    /// The Go module; the replacement where one is in force.
    #[serde(flatten)]
    pub module: GoModule,
    /// `h1:` hash of its files.
    pub sum: String,
}

/// The Go modules behind a go.mod.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Requirements {
    /// Those that it requires: the image holds their folders.
    pub required: BTreeSet<Required>,
    /// `.mod` and `.info` files that the go command reads to know the module graph, relative to the module cache.
    pub graph: BTreeSet<Utf8PathBuf>,
}

impl Requirements {
    /// Adds what another go.mod needs.
    pub fn extend(&mut self, other: Self) {
        self.required.extend(other.required);
        self.graph.extend(other.graph);
    }
}

/// A package that a build loads.
#[derive(Debug, Clone, Serialize)]
pub struct Package {
    /// Import path.
    pub import_path: String,
    /// Package name.
    pub name: String,
    /// Whether it is in the standard library.
    pub standard: bool,
    /// The Go module it is from, unless it is the source's own.
    pub module: Option<GoModule>,
    /// Version of the language that its go.mod names.
    pub go_version: Option<String>,
    /// Files of the source's own packages, by name, with their digests.
    pub files: Vec<(String, Sha256Hash)>,
    /// Import paths that it imports itself.
    pub imports: Vec<String>,
}

/// The packages that the modules of one go.mod load.
#[derive(Debug, Default)]
pub struct Loaded {
    /// By import path.
    pub packages: BTreeMap<String, Package>,
    /// Modules (by path) and packages (by import path) that cannot be loaded, with the go command's reason.
    pub broken: BTreeMap<String, String>,
}

/// The profile that the go command takes by default.
const PROFILE: &str = "default.pgo";

/// What Pulumi and the go command ask of the module graph.
const GRAPH: [&[&str]; 2] = [
    &["go", "list", "-m", "-json", "all"],
    &["go", "mod", "graph"],
];

/// Asks the go command about one source.
pub struct Resolver<'a> {
    /// Kept work.
    pub work: &'a Work,
    /// The image's tree.
    pub tree: &'a Tree,
    /// The source.
    pub source: &'a Utf8Path,
    /// The module cache that all fetches share.
    pub go_mod: &'a Utf8Path,
    /// Whether the network is out of bounds.
    pub offline: bool,
}

impl Resolver<'_> {
    fn sandbox(&self, scratch: &Utf8Path, go_mod: &GoMod) -> Sandbox {
        self.tree
            .sandbox(scratch)
            .read_only(self.source, SOURCE)
            .env([("GOCACHE", format!("{SCRATCH}/go-build"))])
            .folder(Utf8Path::new(SOURCE).join(go_mod.folder()))
    }

    /// A build cache for the package index alone. The key of a package is its path, and its files' names, times and
    /// sizes; as every source is mounted at the same path, each has a cache of its own.
    fn index(&self) -> Result<Utf8PathBuf> {
        let source = Sha256Hash::of(self.source.as_str().as_bytes()).to_string();
        self.work.shared(&format!("index/{}", &source[..16]))
    }

    /// Digests of the files that decide what `go_mod` requires.
    pub fn digest(&self, go_mod: &GoMod) -> Result<Vec<(Utf8PathBuf, Sha256Hash)>> {
        go_mod.digest(self.source)
    }

    /// The Go modules behind `go_mod`, all of them fetched.
    pub fn requirements(&self, go_mod: &GoMod) -> Result<Requirements> {
        let key = Key::of(&(
            go_mod.digest(self.source)?,
            go_mod.folder(),
            &self.tree.image.go.version,
        ))?;
        let fetched = |folder: &Utf8Path| -> Result<()> {
            let requirements = self.fetch(go_mod)?;
            fs_err::write(
                folder.join("requirements.json"),
                serde_json::to_vec(&requirements)?,
            )?;
            Ok(())
        };
        let folder = self.work.keep("requirements", &key, fetched)?;
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

    /// Copies the files that decide what `go_mod` requires: the go command adds hashes to go.sum and go.work.sum, and the
    /// source is not ours to write to.
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

    fn fetching(&self, scratch: &Utf8Path, go_mod: &GoMod) -> Sandbox {
        // Vendored packages are compiled from `vendor`, but Pulumi asks for the Go modules all the same.
        let sandbox = self
            .sandbox(scratch, go_mod)
            .writable(self.go_mod, &self.tree.image.go.gomodcache)
            .env([("GOFLAGS", "-mod=readonly"), ("GODEBUG", "goindex=0")]);
        if self.offline {
            sandbox
        } else {
            sandbox.env([("GOPROXY", "")]).with_network()
        }
    }

    fn go(&self, sandbox: &Sandbox, go_mod: &GoMod, arguments: &[&str]) -> Result<String> {
        let done = sandbox.run(arguments)?;
        if done.status.success() {
            Ok(done.stdout)
        } else {
            Err(self.explained(go_mod, arguments, &done))
        }
    }

    /// The packages that `modules` of `go_mod`, or the given import paths, load.
    pub fn load(&self, go_mod: &GoMod, what: &What<'_>) -> Result<Loaded> {
        let scratch = self.work.scratch("list")?;
        let sandbox = self
            .sandbox(scratch.path(), go_mod)
            .read_only(self.go_mod, &self.tree.image.go.gomodcache)
            .writable(&self.index()?, &self.tree.image.go.gocache)
            .env([("GOCACHE", self.tree.image.go.gocache.as_str())]);
        let patterns: Vec<String> = match what {
            What::Modules(modules) => go_mod.patterns(modules.iter().copied()).collect(),
            What::Packages(packages) => packages.to_vec(),
        };
        let mut arguments = vec!["go", "list", "-e", "-deps", FIELDS, "--"];
        arguments.extend(patterns.iter().map(String::as_str));
        let listed: Vec<ListedPackage> = stream(&self.go(&sandbox, go_mod, &arguments)?)?;
        let mut loaded = Loaded::default();
        for package in listed {
            if !package.dep_only {
                self.note_errors(go_mod, &package, what, &mut loaded)?;
            }
            let files = if package.dir.starts_with(SOURCE) {
                self.own_files(&package)?
            } else {
                Vec::new()
            };
            loaded.packages.insert(
                package.import_path.clone(),
                Package {
                    import_path: package.import_path,
                    name: package.name,
                    standard: package.standard,
                    go_version: package.module.as_ref().and_then(ListedModule::language),
                    module: package.module.and_then(|module| module.in_cache()),
                    files,
                    imports: package.imports,
                },
            );
        }
        Ok(loaded)
    }

    fn note_errors(
        &self,
        go_mod: &GoMod,
        package: &ListedPackage,
        what: &What<'_>,
        loaded: &mut Loaded,
    ) -> Result<()> {
        let first = package.error.iter().chain(&package.deps_errors).next();
        let reason = match first {
            Some(error) => match self.hint(go_mod, &error.err) {
                Some(hint) => format!("{}\nhint: {hint}", error.err),
                None => error.err.clone(),
            },
            None if matches!(what, What::Modules(_)) && package.name != "main" => {
                format!(
                    "is package {}, not main, for {}",
                    package.name, self.tree.platform
                )
            }
            None => return Ok(()),
        };
        let name = match what {
            What::Packages(_) => package.import_path.clone(),
            What::Modules(_) => match package.dir.strip_prefix(SOURCE) {
                Ok(folder) => folder.to_string(),
                Err(_) => bail!("{}: {}: {reason}", go_mod.path, package.import_path),
            },
        };
        loaded.broken.insert(name, reason);
        Ok(())
    }

    fn own_files(&self, package: &ListedPackage) -> Result<Vec<(String, Sha256Hash)>> {
        let folder = package.dir.strip_prefix(SOURCE).map_err(|_| {
            usage(
                format!(
                    "{} is outside of the source, in {}",
                    package.import_path, package.dir
                ),
                "name a source that holds all of it with --source",
            )
        })?;
        let mut files: Vec<&str> = package.own_files().map(String::as_str).collect();
        // A profile beside a main package changes every action of its program.
        if package.name == "main" && self.source.join(folder).join(PROFILE).is_file() {
            files.push(PROFILE);
        }
        files.sort_unstable();
        files.dedup();
        files
            .into_iter()
            .map(|name| {
                Ok((
                    name.to_owned(),
                    sha256::hash_file(&self.source.join(folder).join(name))?.0,
                ))
            })
            .collect()
    }

    /// What the go command said, with the way out where it is known.
    fn explained(&self, go_mod: &GoMod, arguments: &[&str], done: &Done) -> anyhow::Error {
        let mut said = done.stderr.trim().to_owned();
        if said.is_empty() {
            // `go mod download -json` puts its errors into the JSON.
            said = done
                .stdout
                .lines()
                .filter(|line| line.contains("\"Error\""))
                .take(3)
                .collect::<Vec<_>>()
                .join("\n");
        }
        let said: Vec<&str> = said
            .lines()
            .filter(|line| !line.starts_with("go: downloading "))
            .take(8)
            .collect();
        let message = format!(
            "{}: `{}` failed: {}",
            go_mod.path,
            arguments[..arguments.len().min(3)].join(" "),
            said.join("\n")
        );
        if Self::is_network(&message) {
            let way_out = if self.offline {
                "run once without --offline"
            } else {
                "check the network, GOPROXY and the proxy variables"
            };
            return failed(
                message,
                format!("the Go modules could not be fetched; {way_out}"),
            );
        }
        let hint = self.hint(go_mod, &message);
        let hint = hint
            .unwrap_or_else(|| format!("make `go build ./...` work beside {} first", go_mod.path));
        usage(message, hint)
    }

    fn is_network(message: &str) -> bool {
        const SIGNS: [&str; 7] = [
            "dial tcp",
            "no such host",
            "proxyconnect",
            "connection refused",
            "i/o timeout",
            "network is unreachable",
            "module lookup disabled",
        ];
        SIGNS.iter().any(|sign| message.contains(sign))
    }

    /// What mends what the go command says in `message`, where that is known.
    fn hint(&self, go_mod: &GoMod, message: &str) -> Option<String> {
        const UNTIDY: [&str; 6] = [
            "missing go.sum entry",
            "updates to go.mod needed",
            "go mod tidy",
            "no required module provides package",
            "is not in std",
            "cannot find module providing",
        ];
        let folder = if go_mod.folder().as_str().is_empty() {
            Utf8Path::new(".")
        } else {
            go_mod.folder()
        };
        let go = &self.tree.image.go.version;
        if message.contains("requires go >=") || message.contains("requires go1.") {
            Some(format!(
                "the image has Go {go}; raise [go] version in image.toml"
            ))
        } else if UNTIDY.iter().any(|sign| message.contains(sign)) {
            Some(format!(
                "run `go mod tidy` in {folder} and commit go.mod and go.sum"
            ))
        } else {
            None
        }
    }
}

/// What to load.
pub enum What<'a> {
    /// Modules.
    Modules(&'a [&'a Module]),
    /// Import paths.
    Packages(&'a [String]),
}
