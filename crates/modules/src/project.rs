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
    Table { name: String },
}

impl Project {
    /// The project file in `folder`, if there is one. One that cannot be understood says nothing: that is for Pulumi to
    /// refuse.
    pub fn read(folder: &Path) -> io::Result<Option<Self>> {
        let Some(file) = NAMES
            .into_iter()
            .map(|name| folder.join(name))
            .find(|file| file.is_file())
        else {
            return Ok(None);
        };
        let bytes = fs_err::read(file)?;
        Ok(Some(Self::parse(&bytes)))
    }

    fn parse(bytes: &[u8]) -> Self {
        serde_yaml_ng::from_slice(bytes).unwrap_or_default()
    }

    /// Whether its program is in Go.
    pub fn is_go(&self) -> bool {
        match &self.runtime {
            Some(Runtime::Name(name) | Runtime::Table { name }) => name == "go",
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
