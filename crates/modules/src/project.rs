//! Pulumi's project file, as far as it says where the program is, what runs it, and which plugins it wants.

pub mod prebuilt;

use std::io;
use std::path::Path;

use serde::Deserialize as _;
use serde_yaml_ng::{Deserializer, Value};

use crate::Error;
use crate::source_file;

/// The names of a project file, in the order in which Pulumi looks for them.
const NAMES: [&str; 3] = ["Pulumi.yaml", "Pulumi.yml", "Pulumi.json"];

/// Larger than any project file that means well: to read YAML takes time.
const MAX_BYTES: u64 = 256 << 10;

/// More than any project file opens that means well: the time to read them grows with their square.
const MAX_BRACKETS: usize = 1000;

/// What it says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// The folder of the program, or a file in it, relative to the project's; where there is none, the project's.
    pub main: Option<String>,
    /// The name of the file, where nothing can be made of it.
    pub not_understood: Option<&'static str>,
    /// Plugins that are in folders of the machine.
    pub plugins: Vec<LocalPlugin>,
    /// Packages that are installed.
    pub packages: Vec<Package>,
    runtime: Option<String>,
    options: RuntimeOptions,
}

/// What stands below `plugins`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPlugin {
    /// Its name.
    pub name: String,
    /// The folder that it is in.
    pub path: String,
}

/// What stands below `packages`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// What the program calls it.
    pub name: String,
    /// The name of a plugin, or where one is.
    pub source: String,
    /// Which version of it.
    pub version: Option<String>,
}

/// What a project tells the language host of Go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuntimeOptions {
    /// The executable that is run instead of what the program is compiled to.
    pub binary: Option<String>,
    /// Where the executable is left that the program is compiled to.
    pub build_target: Option<String>,
}

impl Project {
    /// Whether `folder` has a project file, which is not opened.
    pub(crate) fn is_in(folder: &Path) -> bool {
        NAMES.iter().any(|name| folder.join(name).is_file())
    }

    /// The project file in `folder`, relative to `source`, if there is one.
    ///
    /// # Errors
    /// A file that leads out of the source, or is larger than any that means well.
    pub fn of_source(source: &Path, folder: &Path) -> Result<Option<Self>, Error> {
        for name in NAMES {
            if let Some(bytes) = source_file::read(source, &folder.join(name), MAX_BYTES)? {
                return Ok(Some(Self::parse(name, &bytes)));
            }
        }
        Ok(None)
    }

    /// The project file in `folder`, if there is one, wherever a link leads.
    fn read(folder: &Path) -> io::Result<Option<Self>> {
        for name in NAMES {
            let found = fs_err::canonicalize(folder.join(name));
            match found {
                Ok(file) if file.is_file() => {
                    return Ok(Some(Self::parse(
                        name,
                        &regular_file::read(&file, MAX_BYTES)?,
                    )));
                }
                // It may be there.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    }

    /// What `bytes` say. What is no text says nothing, nor does what is of another type: that is for Pulumi to refuse.
    fn parse(name: &'static str, bytes: &[u8]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let Some(value) = value(bytes) else {
            return Self {
                not_understood: Some(name),
                ..Self::default()
            };
        };
        let text = |value: Option<&Value>| value?.as_str().map(str::to_owned);
        let runtime = value.get("runtime");
        let options = runtime.and_then(|runtime| runtime.get("options"));
        let option = |name: &str| text(options.and_then(|options| options.get(name)));
        Self {
            main: text(value.get("main")).filter(|main| !main.is_empty()),
            not_understood: None,
            plugins: local_plugins(&value),
            packages: packages(&value),
            runtime: text(runtime).or_else(|| text(runtime?.get("name"))),
            options: RuntimeOptions {
                binary: option("binary"),
                build_target: option("buildTarget"),
            },
        }
    }

    /// The project file in `folder` or the next folder above that has one, which is Pulumi's for commands in `folder`.
    pub fn around(folder: &Path) -> io::Result<Option<Self>> {
        for folder in folder.ancestors() {
            if let Some(project) = Self::read(folder)? {
                return Ok(Some(project));
            }
        }
        Ok(None)
    }

    /// The options of its runtime.
    pub fn runtime_options(&self) -> RuntimeOptions {
        self.options.clone()
    }

    /// Whether its program is in Go.
    pub fn is_go(&self) -> bool {
        self.runtime.as_deref() == Some("go")
    }
}

/// Providers, languages and analyzers alike.
fn local_plugins(project: &Value) -> Vec<LocalPlugin> {
    let kinds = project.get("plugins").and_then(Value::as_mapping);
    let lists = kinds.into_iter().flat_map(|kinds| kinds.values());
    let plugins = lists.filter_map(Value::as_sequence).flatten();
    let text = |plugin: &Value, key: &str| Some(plugin.get(key)?.as_str()?.to_owned());
    let plugins = plugins.filter_map(|plugin| {
        Some(LocalPlugin {
            name: text(plugin, "name")?,
            path: text(plugin, "path").unwrap_or_default(),
        })
    });
    plugins.collect()
}

/// Each is `SOURCE`, `SOURCE@VERSION`, or a table with both.
fn packages(project: &Value) -> Vec<Package> {
    let packages = project.get("packages").and_then(Value::as_mapping);
    let package = |(name, said): (&Value, &Value)| {
        let of_table = |key: &str| said.get(key).and_then(Value::as_str);
        let (source, version) = if let Some(text) = said.as_str() {
            let parts = text.rsplit_once('@');
            parts.map_or((text, None), |(source, version)| (source, Some(version)))
        } else {
            (of_table("source")?, of_table("version"))
        };
        Some(Package {
            name: name.as_str()?.to_owned(),
            source: source.to_owned(),
            version: version.filter(|it| !it.is_empty()).map(str::to_owned),
        })
    };
    packages.into_iter().flatten().filter_map(package).collect()
}

/// The first document, which is the one that counts for Pulumi; none if it is no table.
fn value(bytes: &[u8]) -> Option<Value> {
    let is_opening = |byte: &&u8| matches!(byte, b'[' | b'{');
    if bytes.iter().filter(is_opening).count() > MAX_BRACKETS {
        return None;
    }
    let Some(document) = Deserializer::from_slice(bytes).next() else {
        return Some(Value::Null);
    };
    let mut value = Value::deserialize(document).ok()?;
    value.apply_merge().ok()?;
    (value.is_mapping() || value.is_null()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_and_packages_are_read_in_every_form() {
        let text = "plugins:\n  providers:\n  - name: a\n    path: ./bin\n    version: 1.0.0\n  - path: nameless\n  \
                    analyzers:\n  - name: b\n  languages: none\n\
                    packages:\n  one: aws@7.3.0\n  two: ./local\n  3: numbered\n  four:\n    source: azure\n    \
                    version: 6.32.0\n    parameters: [x]\n  five:\n    version: 1.0.0\n  six: civo@\n";
        let project = Project::parse("Pulumi.yaml", text.as_bytes());
        let plugins = project
            .plugins
            .iter()
            .map(|it| (it.name.as_str(), it.path.as_str()));
        assert_eq!(plugins.collect::<Vec<_>>(), [("a", "./bin"), ("b", "")]);
        let packages = project.packages.iter();
        let packages =
            packages.map(|it| (it.name.as_str(), it.source.as_str(), it.version.as_deref()));
        let expected = [
            ("one", "aws", Some("7.3.0")),
            ("two", "./local", None),
            ("four", "azure", Some("6.32.0")),
            ("six", "civo", None),
        ];
        assert_eq!(packages.collect::<Vec<_>>(), expected);
        for wrong in [
            "plugins: x\npackages: [a]\n",
            "plugins:\n- a\n",
            "packages:\n  a: [b]\n",
        ] {
            let project = Project::parse("Pulumi.yaml", wrong.as_bytes());
            assert!(
                project.plugins.is_empty() && project.packages.is_empty(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_options_of_the_runtime_are_those_of_the_project_around() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("a/b");
        fs_err::create_dir_all(&below).unwrap();
        let options = |text: &str| {
            fs_err::write(folder.path().join("Pulumi.yml"), text).unwrap();
            let options = Project::around(&below).unwrap().unwrap().runtime_options();
            [options.binary, options.build_target]
        };
        let of = |value: &str| Some(value.to_owned());
        for (text, expected) in [
            ("runtime: go\n", [None, None]),
            ("runtime:\n  name: go\n", [None, None]),
            (
                "runtime:\n  name: go\n  options:\n    binary: bin/x\n",
                [of("bin/x"), None],
            ),
            (
                "runtime: {name: go, options: {buildTarget: out, other: 1}}\n",
                [None, of("out")],
            ),
        ] {
            assert_eq!(options(text), expected, "{text}");
        }
    }

    #[test]
    fn main_and_runtime_have_several_spellings() {
        let read = |text: &str| {
            let project = Project::parse(NAMES[0], text.as_bytes());
            (project.is_go(), project.main)
        };
        for (text, is_go, main) in [
            (
                "name: x\nruntime: go\nmain: cmd/app\n",
                true,
                Some("cmd/app"),
            ),
            ("runtime:\n  name: go\n  options: {binary: b}\n", true, None),
            (
                "# main: no\nruntime: nodejs\n\"main\": 'a b' # c\n",
                false,
                Some("a b"),
            ),
            (
                r#"{"runtime": {"name": "go"}, "main": "./x"}"#,
                true,
                Some("./x"),
            ),
            ("config:\n  main: no\nruntime: go\n", true, None),
            ("", false, None),
            ("\u{feff}runtime: go\nmain: app\n", true, Some("app")),
            (
                "runtime: {name: go, options: }\nmain: app\n",
                true,
                Some("app"),
            ),
            (
                "runtime: {name: go, options: {binary: 5, buildTarget: [a]}}\nmain: app\n",
                true,
                Some("app"),
            ),
            ("runtime: {name: go}\nmain: [app]\n", true, None),
            ("runtime: [go]\nmain: app\n", false, Some("app")),
            (
                "runtime: go\nmain: app\n---\nmain: other\n",
                true,
                Some("app"),
            ),
        ] {
            let found = Project::parse(NAMES[0], text.as_bytes());
            assert_eq!(found.not_understood, None, "{text:?}");
            assert_eq!(read(text), (is_go, main.map(str::to_owned)), "{text:?}");
        }
    }

    #[test]
    fn options_do_not_depend_on_each_other() {
        let text = "runtime:\n  name: 1\n  options:\n    binary: 5\n    buildTarget: out\n";
        let options = Project::parse(NAMES[0], text.as_bytes()).runtime_options();
        assert_eq!(options.binary, None);
        assert_eq!(options.build_target.as_deref(), Some("out"));
    }

    #[test]
    fn what_cannot_be_understood_says_so_and_takes_no_time() {
        let start = std::time::Instant::now();
        for text in [
            "main: [",
            "- a list\n",
            "a text",
            "a: b: c",
            &"[".repeat(100_000),
            &"[ # ]\n".repeat(30_000),
            &"{a: ".repeat(30_000),
            &"- ".repeat(100_000),
            &format!("{}{}", "[".repeat(MAX_BRACKETS), ",a".repeat(100_000)),
        ] {
            let found = Project::parse(NAMES[1], text.as_bytes());
            let begin = &text[..text.len().min(20)];
            assert_eq!(found.not_understood, Some("Pulumi.yml"), "{begin}");
        }
        let taken = start.elapsed();
        assert!(taken.as_secs() < 10, "{taken:?}");
    }
}
