//! Why a build missed what an image holds: a pure function from what was observed and recorded to causes.
//!
//! Every miss has one of four reasons. Its entry is damaged: the action is recorded, but what the cache holds is not
//! whole. Its own inputs differ from the recorded ones: a file, a version, a setting. It is new: nothing of that name
//! is recorded. Or it imports a package of those kinds: a consequence, which is counted and not listed.
//!
//! A source that moves on after the image was made changes its own packages and its go.mod; misses from that are
//! *drift*, and expected. All others are defects: the inputs are those of the record, and yet nothing was found.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::{
    ActionInputs, Damage, Files, GoModule, HashInputs, Hits, InputsRecord, Ratio, Sha256Hash,
};

/// Share of packages compiled because of drift from which a new image pays.
///
/// One percent, what ten days of work without a new version of the SDK come to, makes a first build two to four
/// seconds long instead of a half; at five percent every first build takes about as long as a compile of the
/// provider's own SDK, which is what the image is there to spare.
pub const RELEASE_PAYS_SHARE: f64 = 0.05;

/// What one build of a module did.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// The module's folder, relative to the source.
    pub path: &'a Utf8Path,
    /// The module's import path.
    pub import_path: &'a str,
    /// The actions that the build looked up.
    pub inputs: &'a HashInputs,
    /// Those that ran; none where the build failed.
    pub hits: &'a Hits,
    /// Those of them whose entries are not whole.
    pub damaged: &'a BTreeMap<Sha256Hash, Damage>,
    /// The go.work that was in force, relative to the source.
    pub go_work: Option<&'a Utf8Path>,
}

/// Why a build missed what it missed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Whether there is a record to compare with.
    pub has_record: bool,
    /// Whether the module's own build is recorded.
    pub is_recorded: bool,
    /// Packages from the cache.
    pub packages: Ratio,
    /// Links from the cache.
    pub links: Ratio,
    /// Defects first, then those that cost most.
    pub causes: Vec<Cause>,
    /// Packages that missed only because something they import did.
    pub consequences: u64,
    /// Packages that missed and that nothing is known of, because there is no record.
    pub unknown: Vec<String>,
    /// What the source's own movement costs.
    pub drift: Drift,
}

/// A change, and what it costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// What differs.
    #[serde(flatten)]
    pub change: Change,
    /// In which packages it shows.
    pub packages: Vec<String>,
    /// How the module comes to import the nearest of them: from its own package to that one.
    pub chain: Vec<String>,
    /// Packages that were compiled because of it; one may have several causes.
    pub misses: u64,
    /// Whether that is drift, as opposed to a defect.
    pub is_expected: bool,
}

/// What the source's own movement costs: packages that were compiled because of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Of the source.
    pub own_packages: u64,
    /// Of other Go modules and of the standard library.
    pub other_packages: u64,
    /// Of all packages.
    pub share: f64,
    /// Whether that is [`RELEASE_PAYS_SHARE`] or more.
    pub release_pays: bool,
}

/// What differs from the image. Values that did not exist, or do not exist any more, are none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// An entry of the cache is missing or corrupt.
    Entry {
        /// Import path of the package, or of the program.
        package: String,
        /// Whether it is the program's executable.
        is_link: bool,
        /// What is wrong with it.
        #[serde(flatten)]
        damage: Damage,
    },
    /// The inputs are those of the record, and nothing else explains the miss.
    Unexplained,
    /// Files of a Go module (of the standard library for none) differ although its version does not.
    ModuleFiles {
        /// The Go module.
        module: Option<GoModule>,
    },
    /// Another setting.
    Setting {
        /// As recorded.
        old: Option<String>,
        /// As observed.
        new: Option<String>,
    },
    /// The commit is stamped into the program.
    Stamp,
    /// Another go.work is in force.
    GoWork {
        /// As recorded, relative to the source.
        old: Option<Utf8PathBuf>,
        /// As observed.
        new: Option<Utf8PathBuf>,
    },
    /// A vendor folder came or went.
    Vendor {
        /// Whether it came.
        is_new: bool,
    },
    /// A go.mod replaces a Go module otherwise than before.
    Replace {
        /// The Go module's path.
        module: String,
        /// What it was replaced with.
        old: Option<String>,
        /// What it is replaced with.
        new: Option<String>,
    },
    /// Another version of a Go module; an empty one is the source's own.
    Version {
        /// The Go module's path.
        module: String,
        /// As recorded.
        old: Option<String>,
        /// As observed.
        new: Option<String>,
    },
    /// Another language version in a go.mod of the source.
    Language {
        /// The Go module's path.
        module: String,
        /// As recorded.
        old: Option<String>,
        /// As observed.
        new: Option<String>,
    },
    /// Another default of the settings that GODEBUG changes at run time.
    DefaultGodebug {
        /// As recorded.
        old: Option<String>,
        /// As observed.
        new: Option<String>,
    },
    /// Another profile for profile-guided optimisation: a `default.pgo` beside the program.
    Profile,
    /// A file of the source.
    File {
        /// Import path of its package.
        package: String,
        /// Its name.
        file: String,
        /// What happened to it.
        what: FileChange,
    },
    /// Packages that were not part of any recorded build.
    New {
        /// Their Go module; none for the standard library.
        module: Option<GoModule>,
    },
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileChange {
    /// It has another content.
    Edited,
    /// It is new.
    Added,
    /// It is gone.
    Removed,
}

impl Change {
    /// Whether a source that moves on does that.
    fn is_expected(&self) -> bool {
        match self {
            Self::Entry { .. }
            | Self::Unexplained
            | Self::ModuleFiles { .. }
            | Self::Setting { .. }
            | Self::Stamp => false,
            Self::GoWork { .. }
            | Self::Vendor { .. }
            | Self::Replace { .. }
            | Self::Version { .. }
            | Self::Language { .. }
            | Self::DefaultGodebug { .. }
            | Self::Profile
            | Self::File { .. }
            | Self::New { .. } => true,
        }
    }
}

impl Explanation {
    /// Whether anything missed, or hit wrongly, that should have hit.
    pub fn has_defect(&self) -> bool {
        !self.unknown.is_empty() || self.causes.iter().any(|cause| !cause.is_expected)
    }
}

/// Explains one build by a record, which is empty where there is none.
pub fn explain(observed: &Observed<'_>, record: &InputsRecord) -> Explanation {
    let build = Build::new(observed, record);
    let mut found = Found::default();
    for (path, inputs) in &observed.inputs.packages {
        if !build.find_damage(path, inputs, false, &mut found) && build.ran(path) {
            build.find_differences(path, inputs, &mut found);
        }
    }
    build.find_in_build_info(&mut found);
    build.find_in_link(&mut found);
    build.find_go_work(&mut found);
    if found.changes.is_empty() && found.unknown.is_empty() && !observed.hits.linked.is_empty() {
        found.add(Change::Unexplained, observed.import_path);
    }
    build.explanation(found)
}

/// Changes, each with the packages in which it shows, and packages of which nothing is known.
#[derive(Default)]
struct Found<'a> {
    changes: BTreeMap<Change, BTreeSet<&'a str>>,
    unknown: BTreeSet<&'a str>,
}

impl<'a> Found<'a> {
    fn add(&mut self, change: Change, package: &'a str) {
        self.changes.entry(change).or_default().insert(package);
    }
}

/// A build beside its record.
struct Build<'a> {
    observed: Observed<'a>,
    record: &'a InputsRecord,
    /// Packages that were compiled.
    compiled: BTreeSet<&'a str>,
    /// The source's own packages.
    own: BTreeSet<&'a str>,
    recorded_actions: BTreeSet<Sha256Hash>,
    /// The program's own package, as observed and as recorded.
    programs: Option<(&'a ActionInputs, &'a ActionInputs)>,
}

impl<'a> Build<'a> {
    fn new(observed: &Observed<'a>, record: &'a InputsRecord) -> Self {
        let program = observed.inputs.packages.get(observed.import_path);
        let programs = program.and_then(|program| {
            Some((
                program,
                nearest(&record.packages, observed.import_path, program)?,
            ))
        });
        Self {
            observed: *observed,
            record,
            compiled: observed.hits.compiled.iter().map(String::as_str).collect(),
            own: observed.inputs.own(),
            recorded_actions: record.actions(),
            programs,
        }
    }

    fn ran(&self, package: &str) -> bool {
        self.compiled.contains(package)
    }

    /// Whether the entry of an action that is recorded, or is there, is not whole.
    fn find_damage(
        &self,
        package: &'a str,
        inputs: &ActionInputs,
        is_link: bool,
        found: &mut Found<'a>,
    ) -> bool {
        let damage = match self.observed.damaged.get(&inputs.action) {
            Some(Damage::NoEntry { .. }) if !self.recorded_actions.contains(&inputs.action) => None,
            damage => damage,
        };
        if let Some(damage) = damage {
            let change = Change::Entry {
                package: package.to_owned(),
                is_link,
                damage: damage.clone(),
            };
            found.add(change, package);
        }
        damage.is_some()
    }

    /// Why a package that was compiled is another one than recorded.
    fn find_differences(&self, path: &'a str, inputs: &'a ActionInputs, found: &mut Found<'a>) {
        if self.record.is_empty() {
            found.unknown.insert(path);
            return;
        }
        let Some(recorded) = nearest(&self.record.packages, path, inputs) else {
            let change = self.newcomer(inputs);
            found.add(change, path);
            return;
        };
        let changes = self.changes(path, inputs, recorded);
        let is_program = path == self.observed.import_path;
        if changes.is_empty() && !is_program && !self.follows(inputs, recorded) {
            found.add(Change::Unexplained, path);
        }
        for change in changes {
            found.add(change, path);
        }
    }

    /// What to call a package of which nothing is recorded.
    fn newcomer(&self, inputs: &ActionInputs) -> Change {
        let recorded = self.record.packages.values().flatten();
        let mut recorded = recorded.filter_map(|inputs| inputs.module.as_ref());
        match &inputs.module {
            Some(module)
                if !module.version.is_empty()
                    && !recorded.any(|recorded| recorded.path == module.path) =>
            {
                Change::Version {
                    module: module.path.clone(),
                    old: None,
                    new: Some(module.version.clone()),
                }
            }
            module => Change::New {
                module: module.clone(),
            },
        }
    }

    /// Whether something that a package imports explains that it is another one than recorded.
    fn follows(&self, inputs: &ActionInputs, recorded: &ActionInputs) -> bool {
        !self.recorded_actions.contains(&inputs.action)
            && (inputs.imports != recorded.imports
                || inputs
                    .imports
                    .iter()
                    .any(|import| self.ran(import) || self.is_ambiguous(import)))
    }

    /// Whether a package that hit may be another one than what its importer was recorded with.
    fn is_ambiguous(&self, package: &str) -> bool {
        self.record
            .packages
            .get(package)
            .is_some_and(|actions| actions.len() > 1)
    }

    /// In what a package's own inputs differ from those that were recorded.
    fn changes(&self, path: &str, inputs: &ActionInputs, recorded: &ActionInputs) -> Vec<Change> {
        if let (Some(old), Some(new)) = (&recorded.module, &inputs.module)
            && old.version != new.version
        {
            return vec![Change::Version {
                module: new.path.clone(),
                old: Some(old.version.clone()),
                new: Some(new.version.clone()),
            }];
        }
        let mut changes = Vec::new();
        let same_files = inputs.files.digest() == recorded.files.digest();
        let (settings, has_profile) = settings(&recorded.settings, &inputs.settings, same_files);
        changes.extend(settings);
        changes.extend(has_profile.then_some(Change::Profile));
        if same_files && inputs.go == recorded.go {
            return changes;
        }
        if let Some(change) = self.moved(inputs, recorded) {
            changes.push(change);
            return changes;
        }
        match (&recorded.files, &inputs.files) {
            (Files::Named(old), Files::Named(new)) if self.own.contains(path) => {
                changes.extend(files(path, old, new));
                if inputs.go != recorded.go
                    && let Some(module) = &inputs.module
                {
                    changes.push(Change::Language {
                        module: module.path.clone(),
                        old: recorded.go.clone(),
                        new: inputs.go.clone(),
                    });
                }
            }
            _ => changes.push(Change::ModuleFiles {
                module: inputs.module.clone(),
            }),
        }
        changes
    }

    /// Whether a Go module's files come from another place than recorded, although its version is the same.
    fn moved(&self, inputs: &ActionInputs, recorded: &ActionInputs) -> Option<Change> {
        let path = inputs.module.as_ref()?.path.as_str();
        let is_own = |inputs: &ActionInputs| matches!(inputs.files, Files::Named(_));
        if let Some((observed, known)) = self.programs {
            let change = replacement(path, known, observed);
            return change.or_else(|| {
                let is_new = vendored(known, observed)?;
                (!is_own(recorded)).then_some(Change::Vendor { is_new })
            });
        }
        // The record knows the Go module, but not from this program.
        let program = self
            .observed
            .inputs
            .packages
            .get(self.observed.import_path)?;
        let dependencies = program.dependencies();
        let (by, _) = dependencies.get(path)?.replaced_by?;
        (!is_own(recorded)).then(|| Change::Replace {
            module: path.to_owned(),
            old: None,
            new: Some(by.to_owned()),
        })
    }

    /// What the program's build info tells: it names every Go module, also those whose packages all hit.
    fn find_in_build_info(&self, found: &mut Found<'a>) {
        let Some((observed, known)) = self.programs else {
            return;
        };
        if !self.ran(self.observed.import_path) {
            return;
        }
        let program = self.observed.import_path;
        let vendored = vendored(known, observed);
        if let Some(is_new) = vendored {
            found.add(Change::Vendor { is_new }, program);
        }
        let (old, new) = (known.dependencies(), observed.dependencies());
        let paths: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
        for path in paths {
            let change = match (old.get(path), new.get(path)) {
                (Some(old), Some(new)) if old == new => continue,
                (Some(old), Some(new)) if old.version == new.version => {
                    match replacement(path, known, observed) {
                        Some(change) => change,
                        None if vendored.is_some() => continue,
                        None => Change::ModuleFiles {
                            module: Some(GoModule {
                                path: path.to_owned(),
                                version: new.version.to_owned(),
                            }),
                        },
                    }
                }
                (old, new) => Change::Version {
                    module: path.to_owned(),
                    old: old.map(|dependency| dependency.version.to_owned()),
                    new: new.map(|dependency| dependency.version.to_owned()),
                },
            };
            let packages = self.observed.inputs.packages.iter();
            let of_module = packages.filter(|(_, inputs)| {
                let module = inputs.module.as_ref();
                module.is_some_and(|module| module.path == path)
            });
            found.changes.entry(change.clone()).or_default();
            for (package, _) in of_module {
                found.add(change.clone(), package);
            }
        }
        let (old, new) = (known.build_settings(), observed.build_settings());
        let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
        for name in names {
            let [old, new] = [&old, &new].map(|settings| settings.get(name).copied());
            if old == new {
                continue;
            }
            let [old, new] = [old, new].map(|value| value.map(str::to_owned));
            let change = match name {
                "mod" => Change::Stamp,
                _ if name == "vcs" || name.starts_with("vcs.") => Change::Stamp,
                "-pgo" => Change::Profile,
                // It follows from the language version of the go.mod.
                "DefaultGODEBUG" if known.go != observed.go => continue,
                "DefaultGODEBUG" => Change::DefaultGodebug { old, new },
                _ => {
                    let line = |value: String| format!("{name}={value}");
                    Change::Setting {
                        old: old.map(line),
                        new: new.map(line),
                    }
                }
            };
            found.add(change, program);
        }
    }

    /// Why a link ran although its package is the recorded one.
    fn find_in_link(&self, found: &mut Found<'a>) {
        let program = self.observed.import_path;
        let Some(inputs) = self.observed.inputs.links.get(program) else {
            return;
        };
        if self.find_damage(program, inputs, true, found)
            || self.observed.hits.linked.is_empty()
            || !self.compiled.is_empty()
        {
            return;
        }
        if self.record.is_empty() {
            found.unknown.insert(program);
            return;
        }
        let changes = nearest(&self.record.links, program, inputs)
            .map(|recorded| settings(&recorded.settings, &inputs.settings, true).0);
        let changes = changes.filter(|changes| !changes.is_empty());
        for change in changes.unwrap_or_else(|| vec![Change::Unexplained]) {
            found.add(change, program);
        }
    }

    /// A go.work decides on versions and on the default of GODEBUG, so it explains changes of those.
    fn find_go_work(&self, found: &mut Found<'a>) {
        let Some(module) = self.record.modules.get(self.observed.path) else {
            return;
        };
        let (old, new) = (module.go_work.as_deref(), self.observed.go_work);
        if old == new {
            return;
        }
        let (explained, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut found.changes)
                .into_iter()
                .partition(|(change, _)| matches!(change, Change::DefaultGodebug { .. }));
        found.changes = rest;
        let moved = found.changes.iter().filter(|(change, _)| {
            matches!(change, Change::Version { .. } | Change::Replace { .. })
        });
        let packages: BTreeSet<&str> = moved
            .chain(&explained)
            .flat_map(|(_, packages)| packages)
            .copied()
            .collect();
        if !packages.is_empty() {
            let change = Change::GoWork {
                old: old.map(Utf8Path::to_owned),
                new: new.map(Utf8Path::to_owned),
            };
            found.changes.insert(change, packages);
        }
    }

    fn explanation(&self, found: Found<'a>) -> Explanation {
        let packages = &self.observed.inputs.packages;
        let distances = Distances::from(self.observed.import_path, packages);
        let importers = self.importers();
        let (mut causes, mut drift, mut causing) =
            (Vec::new(), BTreeSet::new(), found.unknown.clone());
        for (change, packages) in found.changes {
            let reached = self.reached(&change, &packages, &importers);
            let is_expected = change.is_expected();
            if is_expected {
                drift.extend(reached.iter().copied());
            }
            causing.extend(packages.iter().copied());
            causes.push(Cause {
                chain: distances.chain_to_nearest(&packages),
                packages: packages.into_iter().map(str::to_owned).collect(),
                misses: reached.len() as u64,
                is_expected,
                change,
            });
        }
        // What is equal keeps the order of the changes themselves, outer ones first.
        causes.sort_by_key(|cause| (cause.is_expected, u64::MAX - cause.misses));
        let own = drift.iter().filter(|path| self.own.contains(*path)).count() as u64;
        let total = self.observed.hits.packages.total;
        let share = if total == 0 {
            0.0
        } else {
            drift.len() as f64 / total as f64
        };
        Explanation {
            has_record: !self.record.is_empty(),
            is_recorded: self.record.modules.contains_key(self.observed.path),
            packages: self.observed.hits.packages,
            links: self.observed.hits.links,
            consequences: self.compiled.difference(&causing).count() as u64,
            causes,
            unknown: found.unknown.into_iter().map(str::to_owned).collect(),
            drift: Drift {
                own_packages: own,
                other_packages: drift.len() as u64 - own,
                share,
                release_pays: share >= RELEASE_PAYS_SHARE,
            },
        }
    }

    /// Who imports each package, of those that are not as they were recorded.
    fn importers(&self) -> BTreeMap<&'a str, Vec<&'a str>> {
        let mut importers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (path, inputs) in &self.observed.inputs.packages {
            if self.ran(path) || self.is_ambiguous(path) {
                for import in &inputs.imports {
                    importers.entry(import).or_default().push(path);
                }
            }
        }
        importers
    }

    /// The packages that were compiled because of a change in `packages`.
    fn reached(
        &self,
        change: &Change,
        packages: &BTreeSet<&'a str>,
        importers: &BTreeMap<&'a str, Vec<&'a str>>,
    ) -> BTreeSet<&'a str> {
        let mut reached = packages.clone();
        let mut left: Vec<&str> = packages.iter().copied().collect();
        match change {
            // Compiled again, a package is what it was.
            Change::Entry { .. } => left.clear(),
            // The program names every version in its build info.
            Change::Version { .. } | Change::Replace { .. } | Change::GoWork { .. } => {
                reached.insert(self.observed.import_path);
            }
            _ => {}
        }
        while let Some(package) = left.pop() {
            for importer in importers.get(package).into_iter().flatten() {
                if reached.insert(importer) {
                    left.push(importer);
                }
            }
        }
        reached.retain(|package| self.ran(package));
        reached
    }
}

/// How far each package is from the program, and by way of which importer.
struct Distances<'a>(BTreeMap<&'a str, (usize, Option<&'a str>)>);

impl<'a> Distances<'a> {
    fn from(program: &'a str, packages: &'a BTreeMap<String, ActionInputs>) -> Self {
        let mut distances = BTreeMap::from([(program, (0, None))]);
        let mut next = VecDeque::from([(program, 0)]);
        while let Some((package, distance)) = next.pop_front() {
            for import in packages.get(package).iter().flat_map(|it| &it.imports) {
                if !distances.contains_key(import.as_str()) {
                    distances.insert(import, (distance + 1, Some(package)));
                    next.push_back((import, distance + 1));
                }
            }
        }
        Self(distances)
    }

    fn chain_to_nearest(&self, packages: &BTreeSet<&'a str>) -> Vec<String> {
        let known = packages
            .iter()
            .filter_map(|package| Some((self.0.get(package)?.0, *package)));
        let mut at = known.min().map(|(_, package)| package);
        let mut chain = Vec::new();
        while let Some(package) = at {
            chain.push(package.to_owned());
            at = self.0[package].1;
        }
        chain.reverse();
        chain
    }
}

/// Of the recorded actions of this name, the one that was made of most nearly the same.
fn nearest<'a>(
    recorded: &'a BTreeMap<String, Vec<ActionInputs>>,
    path: &str,
    inputs: &ActionInputs,
) -> Option<&'a ActionInputs> {
    recorded.get(path)?.iter().min_by_key(|recorded| {
        [
            recorded.action != inputs.action,
            recorded.module != inputs.module,
            recorded.files.digest() != inputs.files.digest(),
            recorded.go != inputs.go,
            recorded.settings != inputs.settings,
            recorded.build_info != inputs.build_info,
        ]
    })
}

/// Setting lines that differ, paired by their first word, and whether the profile does. Lines that only came or went
/// belong to the kinds of files a package has, if those differ.
fn settings(old: &[String], new: &[String], same_files: bool) -> (Vec<Change>, bool) {
    fn word(line: &str) -> &str {
        line.split([' ', '=']).next().unwrap_or_default()
    }
    let only_in = |lines: &[String], others: &[String]| -> Vec<String> {
        let lines = lines.iter().filter(|line| !others.contains(line));
        lines.cloned().collect()
    };
    let (old, mut new) = (only_in(old, new), only_in(new, old));
    let mut changes = Vec::new();
    for old in old {
        let place = new.iter().position(|new| word(new) == word(&old));
        changes.push((Some(old), place.map(|place| new.remove(place))));
    }
    changes.extend(new.into_iter().map(|new| (None, Some(new))));
    let is_profile = |(old, new): &(Option<String>, Option<String>)| {
        let line = old.as_ref().or(new.as_ref());
        line.is_some_and(|line| word(line) == "pgofile")
    };
    let has_profile = changes.iter().any(is_profile);
    changes
        .retain(|pair| !is_profile(pair) && (same_files || pair.0.is_some() == pair.1.is_some()));
    let changes = changes.into_iter();
    let changes = changes.map(|(old, new)| Change::Setting { old, new });
    (changes.collect(), has_profile)
}

/// Files that differ.
fn files(
    package: &str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Vec<Change> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter_map(|name| {
        let what = match (old.get(name), new.get(name)) {
            (None, _) => FileChange::Added,
            (_, None) => FileChange::Removed,
            (old, new) if old != new => FileChange::Edited,
            _ => return None,
        };
        Some(Change::File {
            package: package.to_owned(),
            file: name.clone(),
            what,
        })
    });
    changed.collect()
}

/// Whether two programs replace a Go module differently.
fn replacement(path: &str, old: &ActionInputs, new: &ActionInputs) -> Option<Change> {
    let replaced_by = |program: &ActionInputs| {
        let (by, version) = program.dependencies().get(path)?.replaced_by?;
        Some(match version {
            "" => by.to_owned(),
            version => format!("{by} {version}"),
        })
    };
    let (old, new) = (replaced_by(old), replaced_by(new));
    (old != new).then(|| Change::Replace {
        module: path.to_owned(),
        old,
        new,
    })
}

/// Whether a program came to be, or is no longer, built from a vendor folder: there, Go modules have no sums.
fn vendored(old: &ActionInputs, new: &ActionInputs) -> Option<bool> {
    let (old, new) = (old.dependencies(), new.dependencies());
    let mut both = old
        .iter()
        .filter_map(|(path, old)| Some((old, new.get(path)?)))
        .filter(|(old, new)| old.version == new.version && old.replaced_by == new.replaced_by);
    both.find_map(|(old, new)| match (old.sum, new.sum) {
        ("", "") => None,
        (_, "") => Some(true),
        ("", _) => Some(false),
        _ => None,
    })
}

impl fmt::Display for Change {
    /// A sentence without its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry {
                package,
                is_link: false,
                damage,
            } => write!(f, "the cache's entry of package {package} is {damage}"),
            Self::Entry {
                package, damage, ..
            } => write!(
                f,
                "the cache's entry of the executable {package} is {damage}"
            ),
            Self::Unexplained => f.write_str(
                "packages with the recorded inputs and versions missed, and no entry of theirs is damaged",
            ),
            Self::ModuleFiles { module: None } => {
                f.write_str("files of the standard library are not those the caches were made with")
            }
            Self::ModuleFiles {
                module: Some(module),
            } => write!(
                f,
                "files of {module} are not those the caches were made with, although its version is"
            ),
            Self::Setting { old, new } => changed(f, "a build setting", old.as_ref(), new.as_ref()),
            Self::Stamp => f.write_str(
                "the commit is stamped into the program (-buildvcs), so each commit makes another one",
            ),
            Self::GoWork { old, new } => changed(f, "the go.work in force", old.as_ref(), new.as_ref()),
            Self::Vendor { is_new: true } => {
                f.write_str("packages come from a vendor folder, and the caches were made without one")
            }
            Self::Vendor { is_new: false } => {
                f.write_str("the caches were made with a vendor folder, and now there is none")
            }
            Self::Replace { module, old, new } => {
                let what = format!("the replacement of {module} in go.mod");
                changed(f, &what, old.as_ref(), new.as_ref())
            }
            Self::Version { module, old, new } => {
                let version = |version: &Option<String>| {
                    version.as_ref().map(|version| match version.as_str() {
                        "" => "the source's own".to_owned(),
                        version => version.to_owned(),
                    })
                };
                let what = format!("the version of {module}");
                changed(f, &what, version(old).as_ref(), version(new).as_ref())
            }
            Self::Language { module, old, new } => {
                let what = format!("the language version in the go.mod of {module}");
                changed(f, &what, old.as_ref(), new.as_ref())
            }
            Self::DefaultGodebug { old, new } => changed(
                f,
                "the default of GODEBUG (from godebug and go lines)",
                old.as_ref(),
                new.as_ref(),
            ),
            Self::Profile => f.write_str(
                "the profile for optimisation (default.pgo beside the program) is another one, which is an input of \
                 every package",
            ),
            Self::File {
                package,
                file,
                what,
            } => {
                let what = match what {
                    FileChange::Edited => "was edited",
                    FileChange::Added => "was added",
                    FileChange::Removed => "was removed",
                };
                write!(f, "{file} of package {package} {what}")
            }
            Self::New { module: None } => {
                f.write_str("packages of the standard library are used for the first time")
            }
            Self::New {
                module: Some(module),
            } if module.version.is_empty() => {
                write!(f, "packages of {} are new", module.path)
            }
            Self::New {
                module: Some(module),
            } => write!(f, "packages of {module} are used for the first time"),
        }
    }
}

fn changed<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    old: Option<&T>,
    new: Option<&T>,
) -> fmt::Result {
    match (old, new) {
        (Some(old), Some(new)) => write!(f, "{what} changed from {old} to {new}"),
        (None, Some(new)) => write!(f, "{what} is new: {new}"),
        (Some(old), None) => write!(f, "{what} is gone: {old}"),
        (None, None) => write!(f, "{what} changed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordedModule;

    const PROGRAM: &str = "m/app";

    /// A package whose ID is made of everything in it, as Go's are.
    fn package(module: &str, files: &[(&str, &str)], imports: &[&str]) -> ActionInputs {
        let module = (!module.is_empty()).then(|| {
            let (path, version) = module.split_once('@').unwrap();
            GoModule {
                path: path.to_owned(),
                version: version.to_owned(),
            }
        });
        let files = files.iter();
        ActionInputs {
            action: Sha256Hash::of(b""),
            go: module.is_some().then(|| "1.24".to_owned()),
            module,
            settings: vec!["go1.27.4".into(), "compile x [] []".into()],
            build_info: Vec::new(),
            files: Files::Named(
                files
                    .map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned()))
                    .collect(),
            ),
            imports: imports.iter().map(ToString::to_string).collect(),
        }
    }

    /// The program imports a package of its own and a dependency; both import the standard library.
    fn inputs() -> HashInputs {
        let mut program = package("m@", &[("main.go", "1")], &["m/lib", "d/dep", "fmt"]);
        program.build_info = vec![
            "mod\tm\t(devel)\t".into(),
            "dep\td\tv1.0.0\th1:d=".into(),
            "build\tCGO_ENABLED=0".into(),
            "build\tDefaultGODEBUG=x=1".into(),
        ];
        let packages = [
            (PROGRAM, program),
            ("m/lib", package("m@", &[("lib.go", "1")], &["fmt"])),
            (
                "d/dep",
                package("d@v1.0.0", &[("dep.go", "1")], &["d/low", "fmt"]),
            ),
            ("d/low", package("d@v1.0.0", &[("low.go", "1")], &[])),
            ("fmt", package("", &[("fmt.go", "1")], &[])),
        ];
        HashInputs {
            packages: packages
                .into_iter()
                .map(|(path, inputs)| (path.to_owned(), inputs))
                .collect(),
            links: BTreeMap::from([(PROGRAM.to_owned(), package("", &[], &[]))]),
        }
    }

    /// Gives every action the ID that follows from its inputs.
    fn identified(mut inputs: HashInputs) -> HashInputs {
        let mut known: BTreeMap<String, Sha256Hash> = BTreeMap::new();
        for path in ["fmt", "d/low", "d/dep", "m/new", "m/lib", PROGRAM] {
            if let Some(package) = inputs.packages.get_mut(path) {
                let imports: Vec<_> = package.imports.iter().map(|it| known.get(it)).collect();
                let text = format!("{package:?} {imports:?}");
                package.action = Sha256Hash::of(text.as_bytes());
                known.insert(path.to_owned(), package.action);
            }
        }
        let link = inputs.links.get_mut(PROGRAM).unwrap();
        link.action = Sha256Hash::of(format!("{:?} {known:?}", link.settings).as_bytes());
        inputs
    }

    fn record() -> InputsRecord {
        let mut record = InputsRecord::default();
        record.add(
            "apis/app".into(),
            RecordedModule::default(),
            identified(inputs()),
        );
        record
    }

    /// Builds: what is not in the record is compiled.
    fn explain_against(
        record: &InputsRecord,
        inputs: HashInputs,
        damaged: &BTreeMap<Sha256Hash, Damage>,
        go_work: Option<&str>,
    ) -> Explanation {
        let inputs = identified(inputs);
        let recorded = record.actions();
        let ran = |actions: &BTreeMap<String, ActionInputs>| -> Vec<String> {
            let missed = actions.iter().filter(|(_, inputs)| {
                !recorded.contains(&inputs.action) || damaged.contains_key(&inputs.action)
            });
            missed.map(|(path, _)| path.clone()).collect()
        };
        let (compiled, linked) = (ran(&inputs.packages), ran(&inputs.links));
        let ratio = |total: usize, missed: usize| Ratio {
            hits: (total - missed) as u64,
            total: total as u64,
        };
        let hits = Hits {
            packages: ratio(inputs.packages.len(), compiled.len()),
            links: ratio(1, linked.len()),
            compiled,
            linked,
        };
        let observed = Observed {
            path: "apis/app".into(),
            import_path: PROGRAM,
            inputs: &inputs,
            hits: &hits,
            damaged,
            go_work: go_work.map(Utf8Path::new),
        };
        explain(&observed, record)
    }

    fn explained(change: impl FnOnce(&mut HashInputs)) -> Explanation {
        let mut inputs = inputs();
        change(&mut inputs);
        explain_against(&record(), inputs, &BTreeMap::new(), None)
    }

    fn package_of<'a>(inputs: &'a mut HashInputs, path: &str) -> &'a mut ActionInputs {
        inputs.packages.get_mut(path).unwrap()
    }

    fn files(inputs: &mut HashInputs, path: &str, files: &[(&str, &str)]) {
        package_of(inputs, path).files = package("", files, &[]).files;
    }

    fn texts(explanation: &Explanation) -> Vec<String> {
        let causes = explanation.causes.iter();
        causes.map(|cause| cause.change.to_string()).collect()
    }

    #[test]
    fn what_is_as_recorded_hits() {
        let explanation = explained(|_| {});
        assert_eq!(explanation.causes, []);
        assert_eq!(explanation.consequences, 0);
        assert!(explanation.is_recorded && !explanation.has_defect());
        assert_eq!(explanation.drift, Drift::default());
    }

    #[test]
    fn an_edited_file_of_a_library_is_named_with_the_way_to_it() {
        let explanation = explained(|inputs| {
            files(inputs, "m/lib", &[("lib.go", "2"), ("new.go", "1")]);
        });
        assert_eq!(
            texts(&explanation),
            [
                "lib.go of package m/lib was edited",
                "new.go of package m/lib was added"
            ]
        );
        let cause = &explanation.causes[0];
        assert_eq!(cause.chain, [PROGRAM, "m/lib"]);
        assert_eq!((cause.misses, explanation.consequences), (2, 1));
        assert!(!explanation.has_defect());
        assert_eq!(explanation.drift.own_packages, 2);
        assert_eq!(explanation.drift.other_packages, 0);
        assert!(explanation.drift.release_pays, "two of five packages");
    }

    #[test]
    fn a_removed_file_is_named() {
        let explanation = explained(|inputs| files(inputs, PROGRAM, &[]));
        assert_eq!(
            texts(&explanation),
            ["main.go of package m/app was removed"]
        );
    }

    #[test]
    fn a_new_version_is_one_cause_whatever_it_changes() {
        let explanation = explained(|inputs| {
            for path in ["d/dep", "d/low"] {
                let package = package_of(inputs, path);
                package.module.as_mut().unwrap().version = "v1.1.0".into();
                package.go = Some("1.25".into());
            }
            files(inputs, "d/low", &[("low.go", "2"), ("low.s", "1")]);
            package_of(inputs, "d/low").settings.push("asm x".into());
            package_of(inputs, PROGRAM).build_info[1] = "dep\td\tv1.1.0\th1:e=".into();
        });
        assert_eq!(
            texts(&explanation),
            ["the version of d changed from v1.0.0 to v1.1.0"]
        );
        let cause = &explanation.causes[0];
        assert_eq!(cause.packages, ["d/dep", "d/low"]);
        assert_eq!(cause.chain, [PROGRAM, "d/dep"]);
        assert_eq!(cause.misses, 3);
        assert_eq!(explanation.consequences, 1);
        assert!(!explanation.has_defect());
        assert_eq!(explanation.drift.other_packages, 2);
    }

    #[test]
    fn a_version_that_another_program_has_warmed_is_named_too() {
        let mut other = inputs();
        for path in ["d/dep", "d/low"] {
            package_of(&mut other, path)
                .module
                .as_mut()
                .unwrap()
                .version = "v1.1.0".into();
        }
        let mut both = record();
        let mut of_other = identified(other.clone());
        of_other.packages.remove(PROGRAM);
        both.add("apis/other".into(), RecordedModule::default(), of_other);
        package_of(&mut other, PROGRAM).build_info[1] = "dep\td\tv1.1.0\th1:e=".into();
        let explanation = explain_against(&both, other, &BTreeMap::new(), None);
        assert_eq!(
            texts(&explanation),
            ["the version of d changed from v1.0.0 to v1.1.0"]
        );
        assert_eq!(explanation.causes[0].misses, 1);
        assert!(!explanation.has_defect());
    }

    #[test]
    fn files_of_the_same_version_must_be_the_same() {
        let explanation = explained(|inputs| files(inputs, "d/low", &[("low.go", "2")]));
        assert!(texts(&explanation)[0].starts_with("files of d@v1.0.0 are not those"));
        assert!(explanation.has_defect());
        assert_eq!(explanation.causes[0].chain, [PROGRAM, "d/dep", "d/low"]);
        assert_eq!(explanation.causes[0].misses, 3);
        let explanation = explained(|inputs| files(inputs, "fmt", &[("fmt.go", "2")]));
        assert!(texts(&explanation)[0].starts_with("files of the standard library"));
    }

    #[test]
    fn a_replacement_explains_other_files_of_the_same_version() {
        let explanation = explained(|inputs| {
            files(inputs, "d/low", &[("low.go", "2")]);
            let info = &mut package_of(inputs, PROGRAM).build_info;
            info[1] = "dep\td\tv1.0.0".into();
            info.insert(2, "=>\t../d\t(devel)\t".into());
        });
        assert_eq!(
            texts(&explanation),
            ["the replacement of d in go.mod is new: ../d"]
        );
        assert!(!explanation.has_defect());
    }

    #[test]
    fn a_vendor_folder_is_named() {
        let explanation = explained(|inputs| {
            package_of(inputs, "d/dep").go = Some(String::new());
            package_of(inputs, PROGRAM).build_info[1] = "dep\td\tv1.0.0\t".into();
        });
        assert_eq!(
            texts(&explanation),
            ["packages come from a vendor folder, and the caches were made without one"]
        );
        assert_eq!(explanation.causes[0].misses, 2);
    }

    #[test]
    fn a_language_version_explains_the_default_of_godebug() {
        let explanation = explained(|inputs| {
            for path in [PROGRAM, "m/lib"] {
                package_of(inputs, path).go = Some("1.25".into());
            }
            package_of(inputs, PROGRAM).build_info[3] = "build\tDefaultGODEBUG=x=2".into();
        });
        assert_eq!(
            texts(&explanation),
            ["the language version in the go.mod of m changed from 1.24 to 1.25"]
        );
        assert_eq!(explanation.causes[0].packages, [PROGRAM, "m/lib"]);
    }

    #[test]
    fn a_go_work_explains_versions_and_the_default_of_godebug() {
        let mut moved = inputs();
        package_of(&mut moved, PROGRAM).build_info[3] = "build\tDefaultGODEBUG=x=2".into();
        let explanation = explain_against(&record(), moved, &BTreeMap::new(), Some("go.work"));
        assert_eq!(
            texts(&explanation),
            ["the go.work in force is new: go.work"]
        );
        let untouched = explain_against(&record(), inputs(), &BTreeMap::new(), Some("go.work"));
        assert_eq!(untouched.causes, []);
    }

    #[test]
    fn settings_of_the_build_are_defects() {
        let explanation = explained(|inputs| {
            for package in inputs.packages.values_mut() {
                package.settings[1] = "compile x [] [-N]".into();
                package.settings.push("magic GOSSAFUNC=f".into());
            }
        });
        assert_eq!(
            texts(&explanation),
            [
                "a build setting is new: magic GOSSAFUNC=f",
                "a build setting changed from compile x [] [] to compile x [] [-N]"
            ]
        );
        assert_eq!(explanation.causes[0].packages.len(), 5);
        assert_eq!(explanation.consequences, 0);
        assert!(explanation.has_defect());
    }

    #[test]
    fn stamps_and_profiles_are_named() {
        let explanation = explained(|inputs| {
            let program = package_of(inputs, PROGRAM);
            program.build_info.push("build\tvcs.revision=abc".into());
        });
        assert!(texts(&explanation)[0].contains("(-buildvcs)"));
        assert!(explanation.has_defect());
        let explanation = explained(|inputs| {
            for package in inputs.packages.values_mut() {
                package.settings.push("pgofile abc".into());
            }
            let program = package_of(inputs, PROGRAM);
            program.build_info.push("build\t-pgo=default.pgo".into());
        });
        assert_eq!(explanation.causes.len(), 1);
        assert!(texts(&explanation)[0].contains("default.pgo"));
        assert_eq!(explanation.causes[0].misses, 5);
        assert!(!explanation.has_defect());
    }

    #[test]
    fn damaged_entries_are_named_and_what_was_never_there_is_no_damage() {
        let known = identified(inputs()).packages["m/lib"].action;
        let missing = Damage::NoEntry {
            file: "/c/x-a".into(),
        };
        let damaged = BTreeMap::from([(known, missing.clone())]);
        let explanation = explain_against(&record(), inputs(), &damaged, None);
        assert_eq!(
            texts(&explanation),
            ["the cache's entry of package m/lib is missing: there is no /c/x-a"]
        );
        assert_eq!(explanation.causes[0].misses, 1);
        assert!(explanation.has_defect());

        // Compiled again it is what it was, so what imports it is compiled for its own reason alone.
        let mut edited = inputs();
        files(&mut edited, PROGRAM, &[("main.go", "2")]);
        let explanation = explain_against(&record(), edited, &damaged, None);
        let [entry, file] = &explanation.causes[..] else {
            panic!("{explanation:?}")
        };
        assert!(matches!(entry.change, Change::Entry { .. }));
        assert!(matches!(file.change, Change::File { .. }));
        assert_eq!((entry.misses, file.misses), (1, 1));
        assert_eq!(explanation.drift.own_packages, 1);

        let explanation = explain_against(&InputsRecord::default(), inputs(), &damaged, None);
        assert_eq!(explanation.causes, []);
        assert_eq!(explanation.unknown.len(), 5);
        assert!(explanation.has_defect() && !explanation.has_record);
    }

    #[test]
    fn newcomers_are_told_apart() {
        let explanation = explained(|inputs| {
            let new = package("m@", &[("new.go", "1")], &["e/pkg", "d/more"]);
            inputs.packages.insert("m/new".into(), new);
            for (path, module) in [("e/pkg", "e@v2.0.0"), ("d/more", "d@v1.0.0")] {
                inputs
                    .packages
                    .insert(path.into(), package(module, &[], &[]));
            }
            let program = package_of(inputs, PROGRAM);
            program.imports.push("m/new".into());
            program.build_info.push("dep\te\tv2.0.0\th1:e=".into());
            files(inputs, PROGRAM, &[("main.go", "2")]);
        });
        let mut texts = texts(&explanation);
        texts.sort();
        assert_eq!(
            texts,
            [
                "main.go of package m/app was edited",
                "packages of d@v1.0.0 are used for the first time",
                "packages of m are new",
                "the version of e is new: v2.0.0"
            ]
        );
        assert!(!explanation.has_defect());
    }

    #[test]
    fn a_miss_without_a_reason_is_a_defect() {
        let mut record = record();
        record.packages.get_mut("d/low").unwrap()[0].action = Sha256Hash::of(b"other");
        let explanation = explain_against(&record, inputs(), &BTreeMap::new(), None);
        assert!(texts(&explanation)[0].starts_with("packages with the recorded inputs"));
        assert_eq!(explanation.causes[0].packages, ["d/low"]);
        assert!(explanation.has_defect());
    }

    #[test]
    fn a_link_that_runs_alone_is_explained() {
        let explanation = explained(|inputs| {
            let link = inputs.links.get_mut(PROGRAM).unwrap();
            link.settings.push("GO_EXTLINK_ENABLED=1".into());
        });
        assert_eq!(
            texts(&explanation),
            ["a build setting is new: GO_EXTLINK_ENABLED=1"]
        );
        let mut unrecorded = record();
        unrecorded.links.get_mut(PROGRAM).unwrap()[0].action = Sha256Hash::of(b"other");
        let explanation = explain_against(&unrecorded, inputs(), &BTreeMap::new(), None);
        assert!(matches!(explanation.causes[0].change, Change::Unexplained));
    }

    #[test]
    fn json_round_trips() {
        let explanation = explained(|inputs| files(inputs, "d/low", &[("low.go", "2")]));
        let json = serde_json::to_value(&explanation).unwrap();
        assert_eq!(json["causes"][0]["kind"], "module-files");
        assert_eq!(json["causes"][0]["module"]["path"], "d");
        assert_eq!(
            serde_json::from_value::<Explanation>(json).unwrap(),
            explanation
        );
    }
}
