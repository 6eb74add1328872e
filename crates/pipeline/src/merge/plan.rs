//! Which pack each file of the merged tree comes from: a function from manifests to data.
//!
//! Packs may disagree only where two answers can both be right. An action entry says which output an action has and
//! when that was found out; a build that is not reproducible to the bit gives two outputs for one action, both of them
//! are in the tree, and Go may use either. A Go module's `.info` is what a proxy happened to answer; no checksum covers
//! it. In both cases `common` wins, since everything else was built on it, and then the pack whose name sorts first.
//! All other files have one right content, which their name or go.sum decides: two of them mean that one is damaged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use camino::{Utf8Path, Utf8PathBuf};
use gocache::image_info::OBJECTS_PATH;
use gocache::{FileKind, Identity};

use crate::merge::record::{Conflict, GO_BUILD, GO_MOD, GO_OBJECTS, MergedPack, Record, SCHEMA};
use crate::names::COMMON;
use crate::owners::relative;
use crate::pack::KeptPack;
use crate::pack::fit::check_identity;
use crate::pack::manifest::PackedFile;
use failure::{corrupt, usage};

/// What is to become of a file of a pack.
#[derive(Debug)]
pub struct Planned<'a> {
    /// The file.
    pub file: &'a PackedFile,
    /// Where it is in the tree, relative to it.
    pub path: Utf8PathBuf,
    /// Whether this pack writes it, and not another one that has it, too.
    pub is_written: bool,
    /// Whether it was met in a layer.
    pub seen: AtomicBool,
}

/// A pack, and what is to become of its files.
#[derive(Debug)]
pub struct PackPlan<'a> {
    /// The pack.
    pub pack: &'a KeptPack,
    /// Its files by their paths in its layers.
    pub files: HashMap<&'a str, Planned<'a>>,
    shared: u64,
    conflicts: u64,
}

/// The whole tree.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The packs in the order in which they win.
    pub packs: Vec<PackPlan<'a>>,
    /// Every folder of the tree, relative to it.
    pub folders: BTreeSet<Utf8PathBuf>,
    identity: &'a Identity,
    shared: u64,
    conflicts: Vec<Conflict>,
}

/// Packs that have a file, by their position, with what each has.
type Holders<'a> = Vec<(usize, &'a PackedFile)>;

impl<'a> Plan<'a> {
    /// The plan for `packs`, whatever their order.
    pub fn of(packs: &'a [KeptPack]) -> Result<Self> {
        let mut packs: Vec<&KeptPack> = packs.iter().collect();
        packs.sort_by_key(|pack| (pack.manifest.name != COMMON, &pack.manifest.name));
        let identity = &packs
            .first()
            .context("there is no pack to merge")?
            .manifest
            .identity;
        check_names(&packs)?;
        check_identity(packs.iter().map(|pack| &pack.manifest))?;
        let mut plans = packs
            .into_iter()
            .map(|pack| PackPlan::of(pack, identity))
            .collect::<Result<Vec<_>>>()?;

        let mut holders: BTreeMap<&str, Holders<'_>> = BTreeMap::new();
        for (number, plan) in plans.iter().enumerate() {
            for planned in plan.files.values() {
                let holders = holders.entry(planned.path.as_str()).or_default();
                holders.push((number, planned.file));
            }
        }
        let folders = folders(holders.keys().copied());
        if let Some(both) = folders
            .iter()
            .find(|folder| holders.contains_key(folder.as_str()))
        {
            return Err(corrupt(
                format!(
                    "{both} is a file in pack {}, and a folder in another",
                    plans[holders[both.as_str()][0].0].name()
                ),
                "make the packs anew",
            ));
        }
        let names: Vec<&str> = plans.iter().map(PackPlan::name).collect();
        let (mut shared, mut conflicts) = (0, Vec::new());
        // Of each pack: the files that it leaves to another, those that it shares, those on which it disagrees.
        let mut told = vec![(Vec::new(), 0, 0); names.len()];
        for (path, holders) in holders.iter().filter(|(_, holders)| holders.len() > 1) {
            let winner = holders[0].1;
            for (number, file) in &holders[1..] {
                told[*number].0.push(file.path.as_str());
            }
            let agree = holders.iter().all(|(_, file)| file.sha256 == winner.sha256);
            for (number, _) in holders {
                let (_, shared, conflicts) = &mut told[*number];
                *(if agree { shared } else { conflicts }) += 1;
            }
            if agree {
                shared += 1;
            } else {
                conflicts.push(conflict(path, holders, &names)?);
            }
        }
        for (plan, (left, shared, conflicts)) in plans.iter_mut().zip(told) {
            for path in left {
                if let Some(planned) = plan.files.get_mut(path) {
                    planned.is_written = false;
                }
            }
            (plan.shared, plan.conflicts) = (shared, conflicts);
        }
        Ok(Self {
            packs: plans,
            folders,
            identity,
            shared,
            conflicts,
        })
    }

    /// The files of the tree, each once, in no order.
    pub fn written(&self) -> impl Iterator<Item = (&Utf8Path, &'a PackedFile)> + Send {
        self.packs
            .iter()
            .flat_map(|plan| plan.files.values())
            .filter(|planned| planned.is_written)
            .map(|planned| (planned.path.as_path(), planned.file))
    }

    /// Whether archives of the packs are to be put together, or executables to be unpacked.
    pub fn is_lean(&self) -> bool {
        self.folders.contains(Utf8Path::new(GO_OBJECTS))
    }

    /// What is written beside the tree, as the packs have it.
    pub fn record(&self) -> Record {
        Record {
            schema: SCHEMA,
            identity: self.identity.clone(),
            packs: self.packs.iter().map(PackPlan::merged).collect(),
            files: self.written().count() as u64,
            size_bytes: self.written().map(|(_, file)| file.size_bytes).sum(),
            shared: self.shared,
            conflicts: self.conflicts.clone(),
        }
    }
}

impl<'a> PackPlan<'a> {
    fn of(pack: &'a KeptPack, identity: &Identity) -> Result<Self> {
        let mut files = HashMap::with_capacity(pack.manifest.files.len());
        for file in &pack.manifest.files {
            let damaged = |what: &str| {
                corrupt(
                    format!(
                        "pack {} in {} lists {}, {what}",
                        pack.manifest.name, pack.folder, file.path
                    ),
                    "make the pack anew",
                )
            };
            let planned = Planned {
                file,
                path: in_tree(&file.path, identity)
                    .ok_or_else(|| damaged("which is in neither cache"))?,
                is_written: true,
                seen: AtomicBool::new(false),
            };
            if files.insert(file.path.as_str(), planned).is_some() {
                return Err(damaged("and does so twice"));
            }
        }
        Ok(Self {
            pack,
            files,
            shared: 0,
            conflicts: 0,
        })
    }

    fn name(&self) -> &str {
        &self.pack.manifest.name
    }

    fn merged(&self) -> MergedPack {
        let manifest = &self.pack.manifest;
        MergedPack {
            name: manifest.name.clone(),
            diff_ids: self
                .pack
                .layers()
                .iter()
                .map(|kept| kept.layer.diff_id)
                .collect(),
            files: manifest.files.len() as u64,
            size_bytes: manifest.files.iter().map(|file| file.size_bytes).sum(),
            shared: self.shared,
            conflicts: self.conflicts,
        }
    }
}

/// Where a file of an image is in the tree.
fn in_tree(path: &Utf8Path, identity: &Identity) -> Option<Utf8PathBuf> {
    let is_plain = |below: &&Utf8Path| {
        below
            .as_str()
            .split('/')
            .all(|part| !matches!(part, "" | "." | ".."))
    };
    [
        (&identity.gomodcache, GO_MOD),
        (&identity.gocache, GO_BUILD),
        (&OBJECTS_PATH.to_owned(), GO_OBJECTS),
    ]
    .into_iter()
    .find_map(|(cache, folder)| {
        let below = path.strip_prefix(relative(Utf8Path::new(cache))).ok();
        below
            .filter(is_plain)
            .map(|below| Utf8Path::new(folder).join(below))
    })
}

/// Every folder above `files`, and both caches, even where one is empty.
fn folders<'p>(files: impl Iterator<Item = &'p str>) -> BTreeSet<Utf8PathBuf> {
    let mut folders = BTreeSet::from([GO_MOD.into(), GO_BUILD.into()]);
    let mut last = "";
    for file in files {
        let parent = file.rsplit_once('/').map_or("", |(parent, _)| parent);
        if parent == last {
            continue;
        }
        last = parent;
        let missing: Vec<_> = Utf8Path::new(parent)
            .ancestors()
            .take_while(|folder| *folder != "" && !folders.contains(*folder))
            .map(Utf8Path::to_owned)
            .collect();
        folders.extend(missing);
    }
    folders
}

/// The conflict of the packs that have `path`, if both may be right.
fn conflict(path: &str, holders: &Holders<'_>, names: &[&str]) -> Result<Conflict> {
    let packs: Vec<String> = holders
        .iter()
        .map(|(number, _)| names[*number].to_owned())
        .collect();
    if may_differ(Utf8Path::new(path)) {
        return Ok(Conflict {
            path: path.into(),
            packs,
        });
    }
    Err(corrupt(
        format!(
            "{path} has different content in the packs {}, although only one can be right",
            packs.join(", ")
        ),
        "make them anew",
    ))
}

/// Whether a file of the tree may have two contents that are both right.
fn may_differ(path: &Utf8Path) -> bool {
    if let Ok(entry) = path.strip_prefix(GO_BUILD) {
        return matches!(FileKind::of(entry), FileKind::Action(_));
    }
    path.starts_with("go-mod/cache/download") && path.extension() == Some("info")
}

fn check_names(sorted: &[&KeptPack]) -> Result<()> {
    let twice = sorted
        .windows(2)
        .find(|pair| pair[0].manifest.name == pair[1].manifest.name);
    match twice {
        Some([one, other]) => Err(usage(
            format!(
                "{} and {} are both packs of {}",
                one.folder, other.folder, one.manifest.name
            ),
            "name one of them",
        )),
        _ => Ok(()),
    }
}
