//! A build beside its record: which changes it shows, and which packages were compiled because of each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use camino::{Utf8Path, Utf8PathBuf};
use sha256::Sha256Hash;

use super::change::Change;
use super::differences::{files, nearest, replacement, settings, vendored};
use super::model::{Cause, Drift, Explanation, Observed, RELEASE_PAYS_SHARE};
use crate::{ActionInputs, Damage, Files, GoModule, InputsRecord};

/// Changes, each with the packages in which it shows, and packages of which nothing is known.
#[derive(Default)]
pub(super) struct Found<'a> {
    pub(super) changes: BTreeMap<Change, BTreeSet<&'a str>>,
    pub(super) unknown: BTreeSet<&'a str>,
}

impl<'a> Found<'a> {
    pub(super) fn add(&mut self, change: Change, package: &'a str) {
        self.changes.entry(change).or_default().insert(package);
    }
}

/// A build beside its record.
pub(super) struct Build<'a> {
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
    pub(super) fn new(observed: &Observed<'a>, record: &'a InputsRecord) -> Self {
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

    pub(super) fn ran(&self, package: &str) -> bool {
        self.compiled.contains(package)
    }

    /// Whether the entry of an action that is recorded, or is there, is not whole.
    pub(super) fn find_damage(
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

    /// Several entries that are missing are one cause, not one for each.
    pub(super) fn join_missing(&self, found: &mut Found<'a>) {
        let cache_of = |change: &Change| match change {
            Change::Entry {
                damage: Damage::NoEntry { file },
                ..
            } => file.ancestors().nth(2).map(Utf8Path::to_owned),
            _ => None,
        };
        let missing = found.changes.keys().filter_map(cache_of);
        let missing: BTreeMap<Utf8PathBuf, usize> = missing.fold(BTreeMap::new(), |mut all, it| {
            *all.entry(it).or_default() += 1;
            all
        });
        for (folder, entries) in missing.into_iter().filter(|(_, entries)| *entries > 1) {
            let is_here = |change: &Change| cache_of(change).as_ref() == Some(&folder);
            let (here, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
                std::mem::take(&mut found.changes)
                    .into_iter()
                    .partition(|(change, _)| is_here(change));
            found.changes = others;
            let change = Change::Missing {
                entries,
                all: self.observed.hits.packages.total > 0 && self.observed.hits.packages.hits == 0,
                folder,
            };
            let packages = here.into_values().flatten();
            found.changes.entry(change).or_default().extend(packages);
        }
    }

    /// Why a package that was compiled is another one than recorded.
    pub(super) fn find_differences(
        &self,
        path: &'a str,
        inputs: &'a ActionInputs,
        found: &mut Found<'a>,
    ) {
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
    pub(super) fn find_in_build_info(&self, found: &mut Found<'a>) {
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
    pub(super) fn find_in_link(&self, found: &mut Found<'a>) {
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
    pub(super) fn find_go_work(&self, found: &mut Found<'a>) {
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

    pub(super) fn explanation(&self, found: Found<'a>) -> Explanation {
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
            Change::Entry { .. } | Change::Missing { .. } => left.clear(),
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
