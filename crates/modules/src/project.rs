//! Pulumi's project file, as far as it says where the program is and what runs it.

use std::io;
use std::path::Path;

use serde::Deserialize;

/// The names of a project file, in the order in which Pulumi looks for them.
const NAMES: [&str; 3] = ["Pulumi.yaml", "Pulumi.yml", "Pulumi.json"];

/// What it says.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Project {
    /// The folder of the program, or a file in it, relative to the project's; where there is none, the project's.
    pub main: Option<String>,
    runtime: Option<Runtime>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Runtime {
    Name(String),
    Table {
        name: String,
        #[serde(default)]
        options: RuntimeOptions,
    },
}

/// What a project tells the language host of Go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeOptions {
    /// The executable that is run instead of what the program is compiled to.
    pub binary: Option<String>,
    /// Where the executable is left that the program is compiled to.
    pub build_target: Option<String>,
}

impl Project {
    /// The project file in `folder`, if there is one. One that cannot be understood says nothing: that is for Pulumi to
    /// refuse.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        for file in NAMES.map(|name| folder.join(name)) {
            match fs_err::metadata(&file) {
                Ok(metadata) if metadata.is_file() => {
                    return Ok(Some(Self::parse(&fs_err::read(file)?)));
                }
                // It may be there.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
                _ => {}
            }
        }
        Ok(None)
    }

    fn parse(bytes: &[u8]) -> Self {
        serde_yaml_ng::from_slice(bytes).unwrap_or_default()
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
        match &self.runtime {
            Some(Runtime::Table { options, .. }) => options.clone(),
            _ => RuntimeOptions::default(),
        }
    }

    /// Whether its program is in Go.
    pub fn is_go(&self) -> bool {
        match &self.runtime {
            Some(Runtime::Name(name) | Runtime::Table { name, .. }) => name == "go",
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let project = Project::parse(text.as_bytes());
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
            ("main: [", false, None),
        ] {
            assert_eq!(read(text), (is_go, main.map(str::to_owned)), "{text:?}");
        }
    }
}
