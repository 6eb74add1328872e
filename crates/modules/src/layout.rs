//! Where the modules of a source are, when they are not at the usual place: the table `[source]` of an
//! `iac-runner.toml` in the source's root, or of the image's description.
//!
//! Both programs that look for modules must find the same. So the verifier reads the file in the source as well, and
//! the image carries the table that it was made with.

use std::path::Path;

use camino::Utf8Path;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::place::{Place, usual};
use crate::source_file::{self, MAX_BYTES};

/// The file in a source's root.
pub const FILE: &str = "iac-runner.toml";

/// `apis/**/provider/<provider>/**/iac/pulumi`, for messages.
pub const USUAL: &str = "apis/**/provider/<provider>/**/iac/pulumi";

/// `[source]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Patterns of the modules' folders: `*` is any characters of a name, `**` any number of folders, `{provider}` a
    /// name, and so `{component}`, which may be there several times or not at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
    /// How modules are found without patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discover: Option<By>,
}

/// A way to find modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// By a Pulumi.yaml with `runtime: go`.
    PulumiYaml,
}

/// Why a table cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// What is wrong, as a fragment.
    pub reason: String,
    /// What to do about it.
    pub hint: &'static str,
}

/// Of the table that an image has.
impl From<Unusable> for Error {
    fn from(Unusable { reason, hint }: Unusable) -> Self {
        Self::Layout {
            reason: format!("the image's table [source] cannot be used: {reason}; {hint}"),
        }
    }
}

/// The content of [`FILE`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    source: Layout,
}

impl Layout {
    /// That of `source` itself, or else `default`.
    pub fn of(source: &Utf8Path, default: Option<&Self>) -> Result<Self, Error> {
        let (source, file) = (source.as_std_path(), Path::new(FILE));
        let Some(bytes) = source_file::read(source, file, MAX_BYTES)? else {
            // A folder, or a link that leads nowhere, is not how anybody says that there are no settings.
            return if fs_err::symlink_metadata(source.join(file)).is_ok() {
                Err(source_file::irregular(file, MAX_BYTES))
            } else {
                Ok(default.cloned().unwrap_or_default())
            };
        };
        let refused = |reason: String| Error::Layout {
            reason: format!("{FILE}: [source] cannot be used: {}", reason.trim_end()),
        };
        let text = std::str::from_utf8(&bytes).map_err(|error| refused(error.to_string()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let parsed: File = toml::from_str(text).map_err(|error| refused(error.to_string()))?;
        parsed
            .source
            .check()
            .map_err(|Unusable { reason, hint }| refused(format!("{reason}; {hint}")))?;
        Ok(parsed.source)
    }

    /// Fails for a table that cannot tell where modules are. Only the caller knows the file that it stands in.
    pub fn check(&self) -> Result<(), Unusable> {
        self.places().map(drop)
    }

    /// What tells the folders of modules.
    pub(crate) fn places(&self) -> Result<Places, Unusable> {
        if self.discover.is_some() && !self.modules.is_empty() {
            return Err(Unusable {
                reason: "`modules` and `discover` exclude each other".to_owned(),
                hint: "leave out one of them",
            });
        }
        if self.discover.is_some() {
            return Ok(Places::Projects);
        }
        if self.modules.is_empty() {
            return Ok(Places::Usual);
        }
        let patterns = self.modules.iter().map(|pattern| compiled(pattern));
        Ok(Places::Patterns(patterns.collect::<Result<_, _>>()?))
    }

    /// Where modules are looked for, for messages.
    pub fn shown(&self) -> String {
        match self.discover {
            Some(By::PulumiYaml) => "with a Pulumi.yaml for Go".to_owned(),
            None if self.modules.is_empty() => USUAL.to_owned(),
            None => self.modules.join(" or "),
        }
    }
}

/// What tells the folders of modules.
#[derive(Debug)]
pub(crate) enum Places {
    Usual,
    Patterns(Vec<Regex>),
    Projects,
}

impl Places {
    /// The folder below which they are.
    pub fn root(&self) -> &'static str {
        match self {
            Self::Usual => "apis",
            Self::Patterns(_) | Self::Projects => "",
        }
    }

    /// The place of a folder, given relative to the source; none if no module can be there.
    pub fn place(&self, folder: &str) -> Option<Place> {
        match self {
            Self::Usual => usual(folder),
            Self::Patterns(patterns) => patterns.iter().find_map(|pattern| {
                let found = pattern.captures(folder)?;
                let names = (0..).map_while(|number| found.name(&format!("component{number}")));
                let names: Vec<&str> = names.map(|name| name.as_str()).collect();
                Some(Place::new(&found["provider"], &names.join("/")))
            }),
            Self::Projects => {
                let (provider, component) = folder.split_once('/').unwrap_or((folder, ""));
                let provider = if provider.is_empty() {
                    "root"
                } else {
                    provider
                };
                Some(Place::new(provider, component))
            }
        }
    }
}

fn compiled(pattern: &str) -> Result<Regex, Unusable> {
    let refused = |reason: &str| Unusable {
        reason: format!("the pattern {pattern:?} {reason}"),
        hint: "a pattern is a path from the root with {provider} once, as stacks/*/{provider}/{component}",
    };
    if pattern.starts_with('/')
        || pattern
            .split('/')
            .any(|segment| [".", ".."].contains(&segment))
    {
        return Err(refused("is no path from the source's root"));
    }
    if pattern.matches("{provider}").count() != 1 {
        return Err(refused("must have {provider} once"));
    }
    let segments: Vec<&str> = pattern.trim_end_matches('/').split('/').collect();
    let mut expression = "^".to_owned();
    let mut components = 0;
    for (index, segment) in segments.iter().enumerate() {
        let is_last = index + 1 == segments.len();
        if *segment == "**" {
            expression += if is_last {
                "(?:[^/]+/)*[^/]+"
            } else {
                "(?:[^/]+/)*"
            };
            continue;
        }
        expression += &one_segment(segment, &mut components).ok_or_else(|| {
            refused(
                "has braces around something else, or a name that is empty or begins with a dot",
            )
        })?;
        if !is_last {
            expression.push('/');
        }
    }
    expression.push('$');
    Regex::new(&expression).map_err(|error| refused(&format!("cannot be used: {error}")))
}

/// What stands for a name; `components` counts those of all names.
fn one_segment(segment: &str, components: &mut usize) -> Option<String> {
    if segment.is_empty() || segment.starts_with('.') {
        return None;
    }
    let literal = |text: &str| {
        let stars = text.split('*').map(regex::escape);
        stars.collect::<Vec<_>>().join("[^/]*")
    };
    let mut expression = String::new();
    let mut rest = segment;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        expression += &literal(before);
        expression += match name {
            "provider" => "(?P<provider>[^/]+)".to_owned(),
            "component" => {
                *components += 1;
                format!("(?P<component{}>[^/]+)", *components - 1)
            }
            _ => return None,
        }
        .as_str();
        rest = after;
    }
    if rest.contains('}') {
        return None;
    }
    Some(expression + &literal(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(pattern: &str, folder: &str) -> Option<(String, String)> {
        let layout = Layout {
            modules: vec![pattern.to_owned()],
            discover: None,
        };
        let place = layout.places().unwrap().place(folder)?;
        Some((place.provider, place.component))
    }

    #[test]
    fn patterns_name_provider_and_component() {
        for (pattern, folder, provider, component) in [
            (
                "stacks/*/{provider}/{component}",
                "stacks/prod/aws/a",
                "aws",
                "a",
            ),
            (
                "{provider}/{component}/{component}/deploy/",
                "aws/a/b/deploy",
                "aws",
                "a/b",
            ),
            ("{provider}/{component}/{component}", "aws/a/v1", "aws", "a"),
            (
                "{provider}/{component}/deploy/",
                "aws/v1/deploy",
                "aws",
                "v1",
            ),
            (
                "live/{provider}/**/{component}/run",
                "live/gcp/x/y/z/run",
                "gcp",
                "z",
            ),
            ("**/{provider}", "a/b/aws", "aws", "aws"),
            ("**/{provider}", "aws", "aws", "aws"),
            (
                "infra-{provider}/{component}",
                "infra-aws/vpc",
                "aws",
                "vpc",
            ),
            ("p/{provider}/{component}/v*", "p/aws/vpc/v1", "aws", "vpc"),
            ("x/{component}/{provider}", "x/a/aws", "aws", "a"),
            ("{provider}/**", "aws/a/b", "aws", "aws"),
            ("a.c/{provider}", "a.c/x", "x", "x"),
        ] {
            let expected = Some((provider.to_owned(), component.to_owned()));
            assert_eq!(named(pattern, folder), expected, "{pattern} {folder}");
        }
        for (pattern, folder) in [
            ("stacks/*/{provider}/{component}", "stacks/aws/a"),
            ("stacks/*/{provider}/{component}", "stacks/prod/aws/a/b"),
            ("stacks/*/{provider}", "stacks/prod/aws/a"),
            ("{provider}/{component}/deploy", "aws/deploy"),
            ("a.c/{provider}", "abc/x"),
            ("{provider}/**", "aws"),
        ] {
            assert_eq!(named(pattern, folder), None, "{pattern} {folder}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in [
            "",
            "stacks/*",
            "/{provider}",
            "../{provider}",
            "{provider}/{provider}",
            "{provider}/{stack}",
            "{provider}/a}",
            "{provider}/{a",
            "{provider}//a",
            "{provider}/.git/*",
        ] {
            let layout = Layout {
                modules: vec![pattern.to_owned()],
                discover: None,
            };
            let Unusable { reason, hint } = layout.check().unwrap_err();
            assert!(reason.contains(&format!("{pattern:?}")), "{reason}");
            assert!(hint.contains("stacks/*/{provider}/{component}"), "{hint}");
        }
    }

    #[test]
    fn the_file_of_the_source_is_named_where_it_is_the_one_with_the_pattern() {
        let folder = tempfile::tempdir().unwrap();
        let source = Utf8Path::from_path(folder.path()).unwrap();
        let text = "[source]\nmodules = [\"stacks/*\"]\n";
        fs_err::write(source.join(FILE), text).unwrap();
        let said = Layout::of(source, None).unwrap_err().to_string();
        let begin = "iac-runner.toml: [source] cannot be used: the pattern \"stacks/*\" must have";
        assert!(
            said.starts_with(begin) && said.contains("; a pattern is"),
            "{said}"
        );
    }

    #[test]
    fn projects_are_called_by_their_path() {
        let place = |folder| {
            let place = Places::Projects.place(folder).unwrap();
            (place.provider, place.component)
        };
        let named = |provider: &str, component: &str| (provider.to_owned(), component.to_owned());
        assert_eq!(
            place("stacks/prod/network"),
            named("stacks", "prod/network")
        );
        assert_eq!(place("network"), named("network", "network"));
        assert_eq!(place(""), named("root", "root"));
    }
}
