//! Which packages the builds of modules load: asked of the go command each time, offline, because it decides which
//! packs are still right.

use anyhow::{Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use modules::Module;
use sha256::Sha256Hash;

use crate::foundation::tree::SOURCE;
use crate::resolve::go_list::{FIELDS, ListedError, ListedModule, ListedPackage, stream};
use crate::resolve::go_mod::GoMod;
use crate::resolve::package::{Loaded, Package};
use crate::resolve::refusals::advice::as_here;
use crate::resolve::refusals::excluded;
use crate::resolve::refusals::excluded::Places;
use crate::resolve::refusals::replaced;
use crate::resolve::resolver::Resolver;
use engine::sandbox::Sandbox;
use failure::usage;

/// The profile that the go command takes by default.
const PROFILE: &str = "default.pgo";

/// What to load.
pub enum What<'a> {
    /// Modules.
    Modules(&'a [&'a Module]),
    /// Import paths.
    Packages(&'a [String]),
}

impl Resolver<'_> {
    /// A build cache for the package index alone. The key of a package is its path, and its files' names, times and
    /// sizes; as every source is mounted at the same path, each has a cache of its own.
    fn index(&self) -> Result<Utf8PathBuf> {
        let source = Sha256Hash::of(self.source.as_str().as_bytes()).to_string();
        self.work.shared(&format!("index/{}", &source[..16]))
    }

    /// Where the go command is asked about packages of `go_mod`.
    pub(super) fn listing(&self, scratch: &Utf8Path, go_mod: &GoMod) -> Result<Sandbox> {
        replaced::check(go_mod, self.source)?;
        Ok(self
            .sandbox(scratch, go_mod)
            .read_only(self.go_mod, &self.tree.image.go.gomodcache)
            .writable(&self.index()?, &self.tree.image.go.gocache)
            .env([("GOCACHE", self.tree.image.go.gocache.as_str())]))
    }

    /// The packages that `modules` of `go_mod`, or the given import paths, load.
    pub fn load(&self, go_mod: &GoMod, what: &What<'_>) -> Result<Loaded> {
        let scratch = self.work.scratch("list")?;
        let sandbox = self.listing(scratch.path(), go_mod)?;
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
                    // What is vendored is the source's own, too.
                    module: package
                        .module
                        .filter(|_| !package.dir.starts_with(SOURCE))
                        .and_then(|module| module.in_cache()),
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
            Some(error) => self.explained(go_mod, error)?,
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

    /// What the go command says of a package, with what it leaves unsaid and the way out, where they are known.
    fn explained(&self, go_mod: &GoMod, error: &ListedError) -> Result<String> {
        let places = Places {
            source: self.source,
            module_cache: self.go_mod,
        };
        let (image, platform) = (&self.tree.image, &self.tree.platform);
        if let Some(explained) = excluded::explain(&error.err, places, image, platform)? {
            return Ok(format!("{}\nhint: {}", explained.message, explained.hint));
        }
        let said = as_here(&error.err, self.source);
        Ok(match self.advice(go_mod).hint(&said) {
            Some(hint) => format!("{said}\nhint: {hint}"),
            None => said,
        })
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
}
