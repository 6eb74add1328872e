//! The source that a command is given, with its modules.

use clap::Args;
use pipeline::image_toml::ImageToml;
use pipeline::workspace::{image_toml, workspace};
use std::collections::BTreeSet;

use anyhow::{Error, Result};
use camino::{Utf8Path, Utf8PathBuf};
use engine::progress;
use modules::{Discovery, Layout, Module, Skipped};

use failure::usage;
use pipeline::names::{PROVIDER_CHARACTERS, is_reserved, is_taggable};

/// Where the modules are.
#[derive(Debug, Args)]
pub struct Source {
    /// Go monorepo whose modules the image warms [default: the catalog of this repository]
    #[arg(long, value_name = "DIR")]
    pub source: Option<Utf8PathBuf>,
}

impl Source {
    /// The folder, as an absolute path.
    pub fn folder(&self) -> Result<Utf8PathBuf> {
        let source = self
            .source
            .clone()
            .unwrap_or_else(|| workspace().join("catalog"));
        source.canonicalize_utf8().map_err(|error| {
            usage(
                format!("the source {source} cannot be read: {error}"),
                "name a folder with --source",
            )
        })
    }
}

/// A source, and which of its providers are meant.
#[derive(Debug, Args)]
pub struct Selection {
    #[command(flatten)]
    source: Source,
    /// Provider; repeat for several [default: all of the source]
    #[arg(long = "provider", value_name = "P")]
    providers: Vec<String>,
}

impl Selection {
    /// The source's folder, all of its modules, and the providers, sorted.
    pub fn read(
        &self,
        image: Option<&Utf8Path>,
    ) -> Result<(Utf8PathBuf, Vec<Module>, Vec<String>)> {
        let source = self.source.folder()?;
        let modules = discover(&source, image)?.modules;
        let providers = select(&modules, &self.providers)?;
        Ok((source, modules, providers))
    }
}

/// The modules of `source`, where the description of an image, or the default one, or the source itself says that they
/// are; what was skipped, and why, goes to standard error.
pub fn discover(source: &Utf8Path, image: Option<&Utf8Path>) -> Result<Discovery> {
    let default = match image {
        Some(image) => ImageToml::read(image)?.source,
        None => ImageToml::read(&image_toml())?.source,
    };
    discover_by(source, default.as_ref())
}

/// The modules of `source`, where it says itself that they are, or else `default`.
pub fn discover_by(source: &Utf8Path, default: Option<&Layout>) -> Result<Discovery> {
    let layout = Layout::of(source, default)?;
    let mut found = modules::discover(source, Some(&layout))?;
    let elsewhere = elsewhere(source, &found)?;
    if found.modules.is_empty() && !elsewhere.is_empty() {
        return Err(no_modules_but(source, &layout, &elsewhere));
    }
    found
        .skipped
        .extend(elsewhere.into_iter().map(|path| Skipped {
            path,
            reason: format!(
                "it has a Pulumi.yaml, but its place is not {}",
                layout.shown()
            ),
            looks_like_program: true,
        }));
    for skipped in &found.skipped {
        eprintln!("skipped {}: {}", skipped.path, skipped.reason);
    }
    if found.modules.is_empty() {
        return Err(usage(
            format!(
                "{source} holds no modules: no folder {} with a Go main package",
                layout.shown()
            ),
            "name the root folder of the monorepo with --source",
        ));
    }
    Ok(found)
}

/// Folders with a Pulumi.yaml for Go that `found` knows nothing of.
fn elsewhere(source: &Utf8Path, found: &Discovery) -> Result<Vec<Utf8PathBuf>> {
    let skipped = found.skipped.iter().map(|skipped| &skipped.path);
    let modules = found.modules.iter().map(|module| &module.path);
    // Modules behind links are known by both names.
    let known: BTreeSet<Utf8PathBuf> = modules
        .chain(skipped)
        .flat_map(|path| {
            let real = source.join(path).canonicalize_utf8().ok();
            let real = real.and_then(|real| Some(real.strip_prefix(source).ok()?.to_owned()));
            [Some(path.clone()), real]
        })
        .flatten()
        .collect();
    let projects = modules::projects(source.as_std_path())?.into_iter();
    Ok(projects
        .map(|folder| Utf8PathBuf::from(folder.to_string_lossy().into_owned()))
        .filter(|folder| !known.contains(folder))
        .collect())
}

/// That there are no modules where they are looked for, but elsewhere, with what it takes to have those.
fn no_modules_but(source: &Utf8Path, layout: &Layout, elsewhere: &[Utf8PathBuf]) -> anyhow::Error {
    const NAMED: usize = 5;
    let mut named: Vec<&str> = elsewhere
        .iter()
        .take(NAMED)
        .map(|folder| match folder.as_str() {
            "" => ".",
            folder => folder,
        })
        .collect();
    if elsewhere.len() > NAMED {
        named.push("…");
    }
    usage(
        format!(
            "{source} holds no modules: no folder {} with a Go main package; but {} folders have a Pulumi.yaml for \
             Go: {}",
            layout.shown(),
            elsewhere.len(),
            named.join(", ")
        ),
        format!(
            "to take these, write `iac-runner.toml` into {source}:\n  [source]\n  discover = \"pulumi-yaml\"\n\
             or say there which part of their path is the provider:\n  [source]\n  modules = [\"{}\"]",
            suggested(&elsewhere[0])
        ),
    )
}

/// A pattern that such a folder fits.
fn suggested(folder: &Utf8Path) -> String {
    match folder.components().count() {
        0 | 1 => "{provider}".to_owned(),
        2 => "{provider}/{component}".to_owned(),
        count => {
            let first = folder.components().next().map_or("*", |it| it.as_str());
            let between = "*/".repeat(count - 3);
            format!("{first}/{between}{{provider}}/{{component}}")
        }
    }
}

/// Says once more, at the end of a build, what it left out that may have been meant.
pub fn warn_of_left_out(found: &Discovery) {
    let left_out: Vec<String> = found
        .skipped
        .iter()
        .filter(|skipped| skipped.looks_like_program)
        .map(|skipped| format!("\n  {}: {}", skipped.path, skipped.reason))
        .collect();
    if !left_out.is_empty() {
        progress::warning(format_args!(
            "left out, though it looks like a program:{}",
            left_out.concat()
        ));
    }
}

/// The providers that were asked for, or all of `modules`; sorted.
pub fn select(modules: &[Module], wanted: &[String]) -> Result<Vec<String>> {
    let known: BTreeSet<&str> = modules
        .iter()
        .map(|module| module.provider.as_str())
        .collect();
    let list = known.iter().copied().collect::<Vec<_>>().join(", ");
    if let Some(name) = known.iter().find(|name| is_reserved(name)) {
        return Err(usage(
            format!("the provider `{name}` has a name that a variant or a pack of ours has"),
            "rename its folder",
        ));
    }
    if let Some(name) = known.iter().find(|name| !is_taggable(name)) {
        return Err(usage(
            format!("the provider {name:?} has a name that no tag of an image can carry"),
            format!(
                "rename its folder: letters, digits, `_`, and after the first also `.` and `-`; \
                 {PROVIDER_CHARACTERS} at most"
            ),
        ));
    }
    for provider in wanted {
        if !known.contains(provider.as_str()) {
            return Err(usage(
                format!("there is no provider `{provider}` in the source"),
                format!("there are: {list}"),
            ));
        }
    }
    let wanted: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    Ok(known
        .into_iter()
        .filter(|provider| wanted.is_empty() || wanted.contains(provider))
        .map(str::to_owned)
        .collect())
}

/// What was selected, or nothing, and what was wrong with the selection, to be told with what else is.
pub fn or_later(selected: Result<Vec<String>>) -> (Vec<String>, Option<Error>) {
    match selected {
        Ok(providers) => (providers, None),
        Err(error) => (Vec::new(), Some(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_no_tag_can_carry_is_refused_whichever_are_wanted() {
        let module = |provider: &str| Module {
            provider: provider.to_owned(),
            component: "one".to_owned(),
            path: "module".into(),
            import_path: "example.com/module".to_owned(),
            go_mod: "go.mod".into(),
            main: None,
        };
        for name in ["a+b", "nonroot"] {
            let error = select(&[module("aws"), module(name)], &["aws".to_owned()]).unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
            assert!(failure::text(&error).contains(name), "{error:#}");
        }
        assert_eq!(select(&[module("aws")], &[]).unwrap(), ["aws"]);
    }
}
