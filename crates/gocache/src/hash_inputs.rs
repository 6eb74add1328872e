//! What goes into action IDs, read from the hash log, and the record of it that an image carries.
//!
//! An action ID is a hash of lines: settings, the Go module, files with their hashes, imports with the build IDs of
//! what was compiled. Kept is what a person can change. Build IDs are not: they follow from the imported packages'
//! own lines, and those are recorded as well.
//!
//! Of the source's own packages every file is recorded, so that an edited one can be named; a package of a Go module
//! in the module cache, or of the standard library, has one digest for all its files. Nothing in a record depends on
//! the machine or the time: with `-trimpath` the go command hashes no absolute path.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use crate::GoModule;

/// Version of a record's shape.
pub const RECORD_SCHEMA: u32 = 1;

/// The actions of one build, by import path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HashInputs {
    /// Compiling each package.
    pub packages: BTreeMap<String, ActionInputs>,
    /// Linking each main package.
    pub links: BTreeMap<String, ActionInputs>,
}

/// What one action's ID was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionInputs {
    /// The ID.
    pub action: Sha256Hash,
    /// The Go module; its version is empty where it is the source's own. The standard library has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<GoModule>,
    /// The language version of that Go module's go.mod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go: Option<String>,
    /// All lines that are nothing else, in their order: flags, platform, the compiler's version.
    pub settings: Vec<String>,
    /// The lines of the build info that goes into a program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub build_info: Vec<String>,
    /// Its files.
    #[serde(default, skip_serializing_if = "Files::is_empty")]
    pub files: Files,
    /// Import paths of what it imports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<String>,
}

/// The files of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Files {
    /// Each file's hash, as the go command abbreviates it, by name.
    Named(BTreeMap<String, String>),
    /// One digest for names and hashes of all.
    Digest(Sha256Hash),
}

impl Default for Files {
    fn default() -> Self {
        Self::Named(BTreeMap::new())
    }
}

impl Files {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Named(files) if files.is_empty())
    }

    /// One digest for all.
    pub fn digest(&self) -> Sha256Hash {
        match self {
            Self::Digest(digest) => *digest,
            Self::Named(files) => {
                let lines = files.iter().map(|(name, hash)| format!("{name} {hash}\n"));
                Sha256Hash::of(lines.collect::<String>().as_bytes())
            }
        }
    }
}

impl ActionInputs {
    /// Whether this is a package of the standard library.
    pub fn is_standard(&self) -> bool {
        self.module.is_none()
    }

    /// The Go modules whose code is in a program, by path; of a main package.
    pub fn dependencies(&self) -> BTreeMap<&str, Dependency<'_>> {
        let mut dependencies = BTreeMap::new();
        let mut last = None;
        for line in &self.build_info {
            let mut fields = line.split('\t');
            let kind = fields.next();
            let mut field = || fields.next().unwrap_or_default();
            match (kind, last) {
                (Some("dep"), _) => {
                    let (path, version, sum) = (field(), released(field()), field());
                    let dependency = Dependency {
                        version,
                        sum,
                        replaced_by: None,
                    };
                    dependencies.insert(path, dependency);
                    last = Some(path);
                }
                (Some("=>"), Some(path)) => {
                    let (by, version) = (field(), released(field()));
                    dependencies
                        .entry(path)
                        .and_modify(|dependency: &mut Dependency<'_>| {
                            dependency.replaced_by = Some((by, version));
                        });
                }
                _ => {}
            }
        }
        dependencies
    }

    /// The build settings in a program, by name; of a main package. The main module's own version counts as one.
    pub fn build_settings(&self) -> BTreeMap<&str, &str> {
        let settings = self.build_info.iter().filter_map(|line| {
            if let Some(module) = line.strip_prefix("mod\t") {
                return Some(("mod", module));
            }
            line.strip_prefix("build\t")?.split_once('=')
        });
        settings.collect()
    }
}

/// A Go module whose code is in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dependency<'a> {
    /// Its version; empty where it is the source's own.
    pub version: &'a str,
    /// Hash of its download; empty where it was not downloaded, as in a vendor folder.
    pub sum: &'a str,
    /// What the go.mod replaces it with: a path, and a version unless that is a folder.
    pub replaced_by: Option<(&'a str, &'a str)>,
}

/// Build info calls the version of what was not downloaded `(devel)`; action IDs leave it empty.
fn released(version: &str) -> &str {
    if version == "(devel)" { "" } else { version }
}

impl HashInputs {
    /// Paths of the Go modules that a program of this build replaces with a folder.
    fn replaced_by_folders(&self) -> BTreeSet<&str> {
        let dependencies = self
            .packages
            .values()
            .flat_map(ActionInputs::dependencies)
            .filter(|(_, dependency)| {
                dependency
                    .replaced_by
                    .is_some_and(|(_, version)| version.is_empty())
            });
        dependencies.map(|(path, _)| path).collect()
    }

    /// Import paths of the source's own packages: those of main modules, and of folders that Go modules are replaced
    /// with.
    pub fn own(&self) -> BTreeSet<&str> {
        let folders = self.replaced_by_folders();
        let is_own = |inputs: &ActionInputs| {
            inputs.module.as_ref().is_some_and(|module| {
                module.version.is_empty() || folders.contains(module.path.as_str())
            })
        };
        self.packages
            .iter()
            .filter(|(_, inputs)| is_own(inputs))
            .map(|(path, _)| path.as_str())
            .collect()
    }
}

/// What an image knows of the action IDs in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputsRecord {
    /// [`RECORD_SCHEMA`].
    pub schema: u32,
    /// The modules whose builds are recorded, by their folder relative to the source.
    pub modules: BTreeMap<Utf8PathBuf, RecordedModule>,
    /// Compiling each package: by import path, one for each action ID, sorted by that.
    pub packages: BTreeMap<String, Vec<ActionInputs>>,
    /// Linking each main package, in the same way.
    pub links: BTreeMap<String, Vec<ActionInputs>>,
}

/// What is recorded of a module beside its actions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedModule {
    /// The go.work that was in force, relative to the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub go_work: Option<Utf8PathBuf>,
}

impl Default for InputsRecord {
    fn default() -> Self {
        Self {
            schema: RECORD_SCHEMA,
            modules: BTreeMap::new(),
            packages: BTreeMap::new(),
            links: BTreeMap::new(),
        }
    }
}

impl InputsRecord {
    /// Adds the build of the module in the folder `path`.
    pub fn add(&mut self, path: Utf8PathBuf, module: RecordedModule, mut inputs: HashInputs) {
        let own: BTreeSet<String> = inputs.own().into_iter().map(str::to_owned).collect();
        for (path, package) in &mut inputs.packages {
            if !own.contains(path) {
                package.files = Files::Digest(package.files.digest());
            }
        }
        let one_each = |actions: BTreeMap<String, ActionInputs>| {
            let actions = actions.into_iter();
            actions.map(|(path, inputs)| (path, vec![inputs])).collect()
        };
        self.merge(Self {
            schema: RECORD_SCHEMA,
            modules: BTreeMap::from([(path, module)]),
            packages: one_each(inputs.packages),
            links: one_each(inputs.links),
        });
    }

    /// Adds all of another record.
    pub fn merge(&mut self, other: Self) {
        self.modules.extend(other.modules);
        for (ours, theirs) in [
            (&mut self.packages, other.packages),
            (&mut self.links, other.links),
        ] {
            for (path, actions) in theirs {
                let known = ours.entry(path).or_default();
                for action in actions {
                    if let Err(place) = known.binary_search_by_key(&action.action, |it| it.action) {
                        known.insert(place, action);
                    }
                }
            }
        }
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    /// IDs of all recorded actions.
    pub fn actions(&self) -> BTreeSet<Sha256Hash> {
        let all = self.packages.values().chain(self.links.values());
        all.flatten().map(|inputs| inputs.action).collect()
    }
}

/// Collects actions from the lines of a log, in which those of several may alternate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Collector {
    begun: BTreeMap<String, Begun>,
    done: HashInputs,
}

/// An action whose ID is not known yet.
#[derive(Debug, Clone, Default)]
struct Begun {
    module: Option<GoModule>,
    go: Option<String>,
    settings: Vec<String>,
    build_info: Vec<String>,
    files: BTreeMap<String, String>,
    imports: Vec<String>,
}

impl Collector {
    /// Takes what stands in a line after `HASH[`, if it belongs to a package or a link.
    pub(crate) fn add(&mut self, line: &str) {
        let Some((name, rest)) = line.split_once(']') else {
            return;
        };
        let actions = match name.split_once(' ') {
            Some(("build", _)) => &mut self.done.packages,
            Some(("link", _)) => &mut self.done.links,
            _ => return,
        };
        match rest.strip_prefix(": ") {
            // A hash that is made anew replaces the one before.
            None => {
                self.begun.insert(name.to_owned(), Begun::default());
            }
            Some(input) if input.starts_with('"') => {
                if let Some(begun) = self.begun.get_mut(name) {
                    begun.add(&unquoted(input));
                }
            }
            Some(id) => {
                if let (Some(begun), Ok(action)) = (self.begun.remove(name), id.parse()) {
                    let path = name.split_once(' ').map_or(name, |(_, path)| path);
                    actions.insert(path.to_owned(), begun.finish(action));
                }
            }
        }
    }

    pub(crate) fn finish(self) -> HashInputs {
        self.done
    }
}

impl Begun {
    fn add(&mut self, input: &str) {
        let input = input.trim_end_matches('\n');
        let (word, rest) = input.split_once(' ').unwrap_or((input, ""));
        match word {
            "module" => {
                let (path, version) = rest.rsplit_once('@').unwrap_or((rest, ""));
                self.module = Some(GoModule {
                    path: path.to_owned(),
                    version: version.to_owned(),
                });
            }
            "go" => self.go = Some(rest.to_owned()),
            "file" => {
                let (name, hash) = rest.rsplit_once(' ').unwrap_or((rest, ""));
                self.files.insert(name.to_owned(), hash.to_owned());
            }
            // Quoted, it is the package's own path; otherwise that of an import and its build ID.
            "import" if rest.starts_with('"') => {}
            "import" => {
                let path = rest.split(' ').next().unwrap_or_default();
                self.imports.push(path.to_owned());
            }
            "modinfo" => {
                let lines = unquoted(rest);
                let lines = lines.lines().filter(|line| !line.is_empty());
                self.build_info.extend(lines.map(str::to_owned));
            }
            "packagefile" | "packagemain" => {}
            _ => self.settings.push(input.to_owned()),
        }
    }

    fn finish(self, action: Sha256Hash) -> ActionInputs {
        ActionInputs {
            action,
            module: self.module,
            go: self.go,
            settings: self.settings,
            build_info: self.build_info,
            files: Files::Named(self.files),
            imports: self.imports,
        }
    }
}

/// What Go's `%q` quoted. Escapes other than those of text stay as they are: all that matters is that equal text
/// stays equal.
fn unquoted(text: &str) -> String {
    let text = text.strip_prefix('"').unwrap_or(text);
    let text = text.strip_suffix('"').unwrap_or(text);
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            plain.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some(quoted @ ('"' | '\\')) => plain.push(quoted),
            other => {
                plain.push('\\');
                plain.extend(other);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HashLog;

    const ID: &str = "b467513695b154a0a4c777f0da13677a36b3a4cc6eb5a42c8b94beaf84ab74a7";

    fn scan(text: &str) -> HashInputs {
        HashLog::scan(text.as_bytes()).unwrap().inputs
    }

    fn tiny() -> HashInputs {
        scan(include_str!("../tests/fixtures/gocachehash.log"))
    }

    #[test]
    fn reads_a_real_log() {
        let inputs = tiny();
        let package = &inputs.packages["example.com/tiny"];
        assert_eq!(
            package.action.to_string(),
            "004c8a76eb329d9bcca688a7cc9ca109d75cb07c8c7b8719c2b30177091a06a3"
        );
        assert_eq!(package.module.as_ref().unwrap().path, "example.com/tiny");
        assert_eq!(package.module.as_ref().unwrap().version, "");
        assert_eq!(package.go.as_deref(), Some("1.24"));
        let expected = [
            "go1.26.8",
            "compile",
            "goos linux goarch amd64",
            "omitdebug false standard false local false prefix \"\"",
            "trimpath",
            "compile compile version go1.26.8 [] []",
            "GOAMD64=v1",
        ];
        assert_eq!(package.settings, expected);
        assert_eq!(package.build_info[0], "path\texample.com/tiny");
        assert_eq!(package.build_settings()["CGO_ENABLED"], "0");
        assert_eq!(
            package.files,
            Files::Named(BTreeMap::from([(
                "main.go".into(),
                "13UZImUqKlS_fpdn__0M".into()
            )]))
        );
        assert_eq!(package.imports, ["example.com/tiny/greet", "runtime"]);
        let link = &inputs.links["example.com/tiny"];
        assert_eq!(link.action.to_string(), ID);
        assert!(link.settings.contains(&"linkflags []".to_owned()));
        assert!(link.imports.is_empty() && link.files.is_empty());
    }

    #[test]
    fn actions_may_alternate_and_the_last_one_holds() {
        let inputs = scan(&format!(
            "HASH[build a]\nHASH[build b]\nHASH[build a]: \"file x.go 1\\n\"\nHASH[build b]: \"file y z.go 2\\n\"\n\
             HASH[build a]: {ID}\nHASH[build b]: {ID}\nHASH[build a]\nHASH[build a]: \"file w.go 3\\n\"\n\
             HASH[build a]: {ID}\nHASH[build c]\nHASH[moduleIndex]\nHASH[moduleIndex]: {ID}\nHASH[build d\n"
        ));
        assert_eq!(inputs.packages.len(), 2);
        let names = |path: &str| match &inputs.packages[path].files {
            Files::Named(files) => files.clone(),
            Files::Digest(_) => unreachable!("a log names files"),
        };
        assert_eq!(names("a"), BTreeMap::from([("w.go".into(), "3".into())]));
        assert_eq!(names("b"), BTreeMap::from([("y z.go".into(), "2".into())]));
    }

    #[test]
    fn dependencies_and_what_replaces_them() {
        let info = "dep\tm/a\tv1.0.0\th1:x=\ndep\tm/b\tv0.0.0\n=>\t../b\t(devel)\t\n\ndep\tm/c\t(devel)\t\n";
        let line = format!("{:?}", format!("modinfo {info:?}\n"));
        let inputs = scan(&format!(
            "HASH[build a]\nHASH[build a]: {line}\nHASH[build a]: {ID}\n\
             HASH[build b]\nHASH[build b]: \"module m/b@v0.0.0\\n\"\nHASH[build b]: {ID}\n"
        ));
        let dependencies = inputs.packages["a"].dependencies();
        assert_eq!(dependencies["m/a"].version, "v1.0.0");
        assert_eq!(dependencies["m/a"].sum, "h1:x=");
        assert_eq!(dependencies["m/b"].replaced_by, Some(("../b", "")));
        assert_eq!(dependencies["m/c"].version, "");
        assert_eq!(inputs.own(), BTreeSet::from(["b"]));
    }

    #[test]
    fn a_record_names_own_files_only_and_holds_each_action_once() {
        let mut inputs = tiny();
        let mut dependency = inputs.packages["example.com/tiny"].clone();
        dependency.module.as_mut().unwrap().version = "v1.0.0".into();
        dependency.action = Sha256Hash::of(b"dependency");
        inputs.packages.insert("m/dep".into(), dependency);
        let mut record = InputsRecord::default();
        assert!(record.is_empty());
        for path in ["apis/b", "apis/a"] {
            record.add(path.into(), RecordedModule::default(), inputs.clone());
        }
        assert_eq!(record.modules.len(), 2);
        assert_eq!(record.packages["example.com/tiny"].len(), 1);
        assert!(matches!(
            record.packages["example.com/tiny"][0].files,
            Files::Named(_)
        ));
        assert_eq!(
            record.packages["m/dep"][0].files,
            Files::Digest(inputs.packages["m/dep"].files.digest())
        );
        assert_eq!(record.actions().len(), 3);
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<InputsRecord>(&json).unwrap(), record);

        let mut other = inputs.packages["example.com/tiny"].clone();
        other.action = Sha256Hash::of(b"other");
        let other = BTreeMap::from([("example.com/tiny".to_owned(), vec![other])]);
        let other = InputsRecord {
            packages: other,
            ..InputsRecord::default()
        };
        let mut reversed = other.clone();
        reversed.merge(record.clone());
        record.merge(other);
        assert_eq!(record.packages["example.com/tiny"].len(), 2);
        assert_eq!(record, reversed);
    }
}
