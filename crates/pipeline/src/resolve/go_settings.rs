//! The go command's settings of this machine, as a fetch by hand would have them: environment variables, and what
//! `go env -w` wrote for those that are not set.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Variables of the go command that a fetch takes over from the build machine.
pub const GO_FETCH_VARIABLES: [&str; 8] = [
    "GOAUTH",
    "GOINSECURE",
    "GONOPROXY",
    "GONOSUMDB",
    "GOPRIVATE",
    "GOPROXY",
    "GOSUMDB",
    "GOVCS",
];

/// What `go env -w` wrote.
#[derive(Debug, Default)]
pub struct GoSettings {
    written: BTreeMap<String, String>,
}

impl GoSettings {
    /// Those of this machine's user.
    pub fn read() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let file = match variable("GOENV") {
            Some(off) if off == "off" => return Self::default(),
            Some(file) => Some(PathBuf::from(file)),
            None => variable("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")))
                .map(|folder| folder.join("go/env")),
        };
        let text = file.and_then(|file| fs_err::read_to_string(file).ok());
        Self::parse(&text.unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let is_name = |name: &str| name.starts_with(|first: char| first.is_ascii_uppercase());
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let written = lines.filter(|(name, _)| is_name(name));
        Self {
            written: written
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        }
    }

    /// The value in force, if there is one.
    pub fn value(&self, name: &str) -> Option<String> {
        self.value_in(name, |name| std::env::var(name).ok())
    }

    fn value_in(&self, name: &str, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
        let set = variable(name).filter(|value| !value.is_empty());
        set.or_else(|| self.written.get(name).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_comes_before_what_was_written() {
        let text = "# GOSUMDB=no\nGOPRIVATE=corp.example\nGOPROXY=https://a.example,direct=x\n\nlower=x\nNONE\n";
        let settings = GoSettings::parse(text);
        let environment = |name: &str| match name {
            "GOPROXY" => Some("off".to_owned()),
            "GOPRIVATE" => Some(String::new()),
            _ => None,
        };
        let value = |name: &str| settings.value_in(name, environment);
        assert_eq!(value("GOPROXY").as_deref(), Some("off"));
        assert_eq!(value("GOPRIVATE").as_deref(), Some("corp.example"));
        assert_eq!(settings.written["GOPROXY"], "https://a.example,direct=x");
        for none in ["GOSUMDB", "# GOSUMDB", "lower", "NONE"] {
            assert_eq!(value(none), None, "{none}");
        }
    }
}
