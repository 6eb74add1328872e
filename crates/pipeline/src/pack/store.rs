//! Where packs of other runs are found, by what they were made from: a repository of a registry, or a folder.
//!
//! A pack that is found is not made again. So a release in which one provider's inputs changed builds one pack, and the
//! jobs of a matrix start from the same `base` and `common`, whichever machine made them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::distribution::Reference;

use crate::pack::archive;
use crate::pack::artifact::Artifact;
use crate::pack::description::tag;
use crate::work::{Key, Work};
use engine::progress::{self, Step};
use failure::{corrupt, usage};
use oci::layout::reader;
use oci::layout::reader::Layout;
use oci::reference;
use oci::registry::Registry;

/// A place of packs.
#[derive(Debug, Clone)]
pub enum Store {
    /// None, so that everything is made here.
    Nowhere,
    /// A folder with layouts and archives of packs.
    Folder(Utf8PathBuf),
    /// A repository; each pack has its tag in it.
    Repository {
        /// The repository, with whatever tag.
        repository: Reference,
        /// Whether plain HTTP is spoken with it.
        insecure: bool,
        /// Content that came from it so far.
        received_bytes: Arc<AtomicU64>,
    },
}

impl Store {
    /// Reads what the user names.
    pub fn parse(text: Option<&str>, insecure: bool) -> Result<Self> {
        let Some(text) = text else {
            return Ok(Self::Nowhere);
        };
        if Utf8Path::new(text).is_dir() {
            return Ok(Self::Folder(text.into()));
        }
        if reference::names_a_host(text) {
            let repository = reference::repository(text)?;
            return Ok(Self::Repository {
                repository,
                insecure,
                received_bytes: Arc::default(),
            });
        }
        Err(usage(
            format!("there is no folder {text}"),
            "packs are taken from a folder, or from a repository named with its registry (HOST/REPOSITORY)",
        ))
    }

    /// Hands the pack `name` that was made from these inputs to `take`; `None` where there is none.
    ///
    /// # Errors
    /// A pack that is there but damaged is an error, and so is a registry that does not answer: making the pack anew
    /// instead would hide it.
    pub fn find<T>(
        &self,
        work: &Work,
        name: &str,
        key: &Key,
        step: &Step,
        take: impl FnOnce(&Artifact<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let wanted = tag(name, key);
        let take = |artifact: &Artifact<'_>| {
            let found = &artifact.description;
            if found.name != name || found.key != *key {
                return Err(corrupt(
                    format!("{self} calls {wanted} what is {}", found.tag()),
                    "remove it there",
                ));
            }
            progress::note(format_args!("{name}: taken from {self}"));
            take(artifact)
        };
        match self {
            Self::Nowhere => Ok(None),
            Self::Folder(folder) => {
                for file in archive::all_in(folder)? {
                    let index = archive::index(&file)?;
                    let mut named = index
                        .manifests()
                        .iter()
                        .filter(|manifest| reader::name(manifest) == Some(&wanted));
                    if let Some(descriptor) = named.next() {
                        let scratch = work.scratch("pack-file")?;
                        let layout = Layout::open(&archive::unpacked(&file, scratch.path())?)?;
                        let artifact = Artifact::read(&layout, descriptor, file.as_str())?;
                        return take(&artifact).map(Some);
                    }
                }
                Ok(None)
            }
            Self::Repository {
                repository,
                insecure,
                received_bytes,
            } => {
                let reference = reference::with_tag(repository, &wanted);
                let registry = Registry::open(&reference, *insecure, work.shared("blobs")?, step)?;
                let Some((descriptor, _)) = registry.manifest(&wanted)? else {
                    return Ok(None);
                };
                let artifact = Artifact::read(&registry, &descriptor, &reference.to_string())?;
                let taken = take(&artifact)?;
                received_bytes.fetch_add(registry.transferred().received_bytes, Ordering::Relaxed);
                Ok(Some(taken))
            }
        }
    }

    /// Names of all packs of `run`, as they are given to `assemble`.
    pub fn packs_of(&self, run: Option<&str>, work: &Work, step: &Step) -> Result<Vec<String>> {
        let names = match self {
            Self::Nowhere => Vec::new(),
            Self::Folder(folder) => archive::all_in(folder)?
                .into_iter()
                .map(Utf8PathBuf::into_string)
                .collect(),
            Self::Repository {
                repository,
                insecure,
                ..
            } => {
                let run = run.ok_or_else(|| {
                    usage(
                        format!("{self} holds the packs of all runs"),
                        "say with --run which are meant",
                    )
                })?;
                let registry = Registry::open(repository, *insecure, work.shared("blobs")?, step)?;
                let prefix = run_prefix(run);
                let tags = registry.tags()?.into_iter();
                let of_run = tags.filter(|tag| tag.starts_with(&prefix));
                of_run.map(|tag| format!("{self}:{tag}")).collect()
            }
        };
        if names.is_empty() {
            return Err(usage(
                format!("{self} holds no packs of this run"),
                "`cargo xtask warm --push` puts them there",
            ));
        }
        Ok(names)
    }

    /// Content that came from a registry so far.
    pub fn received_bytes(&self) -> u64 {
        match self {
            Self::Repository { received_bytes, .. } => received_bytes.load(Ordering::Relaxed),
            Self::Nowhere | Self::Folder(_) => 0,
        }
    }
}

/// The tag under which the pack `name` of a run is found, one of those for `platform`.
pub fn run_tag(run: &str, name: &str, platform: &str) -> String {
    format!("{}{}", run_prefix(run), archive::name(name, platform))
}

/// What the tags of all packs of a run begin with.
fn run_prefix(run: &str) -> String {
    format!("run-{run}-")
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => f.write_str("nowhere"),
            Self::Folder(folder) => write!(f, "{folder}"),
            Self::Repository { repository, .. } => {
                write!(f, "{}/{}", repository.registry(), repository.repository())
            }
        }
    }
}
