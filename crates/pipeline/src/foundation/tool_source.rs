//! Where a tool comes from that has two sources: its release, or the Go modules of which it is compiled.
//!
//! Decided once, and entered into the image's settings, of which the key of the tools' pack is made. A release whose
//! server answers is taken, and must then have its digest; only where it cannot be reached the tool is compiled, and
//! what that one does not do is said.

use std::fmt;

use anyhow::Result;
use clap::ValueEnum as _;
use oci::http::{self, Reached};
use oci::platform::Platform;

use crate::foundation::release;
use crate::image_toml::{ImageToml, Tool, ToolSource};
use crate::work::Work;

/// What is known of releases on this machine.
pub trait Releases {
    /// Whether the archive at `url` was taken apart before.
    fn is_kept(&self, tool: &Tool, url: &str, sha256: &str) -> Result<bool>;
    /// Whether its server can be reached; fails where it answers that there is no such thing.
    fn reach(&self, url: &str) -> Result<Reached>;
}

/// Those of this machine.
#[derive(Debug)]
pub struct OfThisMachine<'a> {
    /// Kept work.
    pub work: &'a Work,
    /// Whether the network is out of bounds.
    pub offline: bool,
}

impl Releases for OfThisMachine<'_> {
    fn is_kept(&self, tool: &Tool, url: &str, sha256: &str) -> Result<bool> {
        let binaries = tool.release.iter().flat_map(|release| &release.binaries);
        let binaries: Vec<String> = binaries.cloned().collect();
        let kept = self
            .work
            .kept(release::KIND, &release::key(url, sha256, &binaries)?)?;
        Ok(kept.is_some())
    }

    fn reach(&self, url: &str) -> Result<Reached> {
        if self.offline {
            return Ok(Reached::No("--offline".to_owned()));
        }
        http::reach(url)
    }
}

/// Gives every tool of `image` one source, and its version there: the `forced` one, or what [`Releases`] allow. Returns
/// what to tell of those that are compiled because of that.
pub fn decide(
    image: &mut ImageToml,
    platform: &Platform,
    forced: Option<ToolSource>,
    releases: &impl Releases,
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for (name, tool) in &mut image.tools {
        if tool.source == ToolSource::Auto {
            let forced = forced.filter(|forced| *forced != ToolSource::Auto);
            let (source, reason) = match forced {
                Some(source) => (source, None),
                None => available(tool, platform, releases)?,
            };
            tool.source = source;
            notes.extend(reason.map(|reason| note(name, tool, &reason)));
        }
        let release = tool
            .release
            .as_ref()
            .filter(|_| tool.source == ToolSource::Release);
        if let Some(version) = release.and_then(|release| release.version.clone()) {
            tool.version = version;
        }
    }
    Ok(notes)
}

/// The source of a tool that has two, and why it is not the release.
fn available(
    tool: &Tool,
    platform: &Platform,
    releases: &impl Releases,
) -> Result<(ToolSource, Option<String>)> {
    let compiled = |reason: String| Ok((ToolSource::ModuleProxy, Some(reason)));
    let release = tool.release.as_ref();
    let digest = release.and_then(|it| Some((it, it.sha256.get(&platform.to_string())?)));
    let Some((release, sha256)) = digest else {
        return compiled(format!("no release for {platform} is known"));
    };
    let version = release.version.as_ref().unwrap_or(&tool.version);
    let url = release.url(version, platform);
    if releases.is_kept(tool, &url, sha256)? {
        return Ok((ToolSource::Release, None));
    }
    match releases.reach(&url)? {
        Reached::Yes => Ok((ToolSource::Release, None)),
        Reached::No(reason) => compiled(format!("{url} cannot be reached ({reason})")),
    }
}

fn note(name: &str, tool: &Tool, reason: &str) -> String {
    let lacks = tool.compiled_lacks.as_deref();
    let lacks = lacks.map(|lacks| format!("; what it then does not do: {lacks}"));
    let lacks = lacks.unwrap_or_default();
    format!(
        "{name} {} is compiled from Go modules: {reason}{lacks}",
        tool.version
    )
}

impl fmt::Display for ToolSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;
    use crate::fixtures;

    /// A machine on which a release is kept, or whose network is one of these.
    enum Machine {
        Keeps,
        Reaches,
        ReachesNothing,
        IsAnswered404,
    }

    impl Releases for Machine {
        fn is_kept(&self, _: &Tool, url: &str, sha256: &str) -> Result<bool> {
            assert_eq!(
                (url, sha256),
                ("http://release/v2.0.0-linux-x64.tar.gz", &*"ab".repeat(32))
            );
            Ok(matches!(self, Self::Keeps))
        }

        fn reach(&self, _: &str) -> Result<Reached> {
            match self {
                Self::Reaches => Ok(Reached::Yes),
                Self::IsAnswered404 => bail!("404"),
                _ => Ok(Reached::No("no route".into())),
            }
        }
    }

    fn image(source: &str) -> ImageToml {
        let sha256 = "ab".repeat(32);
        let tools = format!(
            r#"
            [tools.one]
            version = "3.0.0"
            source = "{source}"
            compiled_lacks = "much"
            [[tools.one.build]]
            binary = "one"
            folder = "tools/one"
            module = "example.com/one"
            package = "example.com/one"
            ldflags = ""
            [tools.one.release]
            version = "2.0.0"
            url = "http://release/v{{version}}-{{os}}-{{arch}}.tar.gz"
            arch = {{ amd64 = "x64" }}
            binaries = ["one"]
            sha256 = {{ "linux/amd64" = "{sha256}" }}
            "#
        );
        fixtures::image_with_tools(&tools)
    }

    fn decided(
        mut image: ImageToml,
        forced: Option<ToolSource>,
        machine: &Machine,
    ) -> (ToolSource, String, Vec<String>) {
        let notes = decide(&mut image, &fixtures::platform(), forced, machine).unwrap();
        let tool = &image.tools["one"];
        (tool.source, tool.version.clone(), notes)
    }

    #[test]
    fn a_release_is_taken_where_it_is_kept_or_its_server_answers() {
        for machine in [Machine::Keeps, Machine::Reaches] {
            let (source, version, notes) = decided(image("auto"), None, &machine);
            assert_eq!((source, version.as_str()), (ToolSource::Release, "2.0.0"));
            assert_eq!(notes, [""; 0]);
        }
        let mut image = image("auto");
        let error = decide(
            &mut image,
            &fixtures::platform(),
            None,
            &Machine::IsAnswered404,
        );
        assert!(error.is_err(), "a server that answers decides");
    }

    #[test]
    fn without_its_server_a_tool_is_compiled_and_what_that_lacks_is_said() {
        let (source, version, notes) = decided(image("auto"), None, &Machine::ReachesNothing);
        assert_eq!(
            (source, version.as_str()),
            (ToolSource::ModuleProxy, "3.0.0")
        );
        let [note] = &notes[..] else {
            panic!("{notes:?}")
        };
        assert!(
            note.contains("no route") && note.ends_with("does not do: much"),
            "{note}"
        );
    }

    #[test]
    fn one_source_is_forced_only_where_there_are_two() {
        let forced = Some(ToolSource::ModuleProxy);
        let (source, ..) = decided(image("auto"), forced, &Machine::Reaches);
        assert_eq!(source, ToolSource::ModuleProxy);
        let (source, ..) = decided(
            image("auto"),
            Some(ToolSource::Release),
            &Machine::ReachesNothing,
        );
        assert_eq!(source, ToolSource::Release);
        let (source, ..) = decided(
            image("module-proxy"),
            Some(ToolSource::Release),
            &Machine::Reaches,
        );
        assert_eq!(source, ToolSource::ModuleProxy);
        let (source, ..) = decided(image("auto"), Some(ToolSource::Auto), &Machine::Reaches);
        assert_eq!(source, ToolSource::Release);
    }
}
