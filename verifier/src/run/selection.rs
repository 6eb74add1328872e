//! Which modules are measured, by the names on the command line.

use anyhow::Result;
use failure::usage;
use std::collections::BTreeSet;

use camino::Utf8Path;
use modules::{Discovery, Layout, Module};
use report::name;

/// Names listed in an error; more would hide it.
const LISTED: usize = 30;

/// Names on the command line: providers, and modules.
pub type Names<'a> = (&'a [String], &'a [String]);

/// The modules of `source` that both filters let through; a filter without names lets all through. A name that fits no
/// module is an error, and so is a source without modules.
pub fn of_source(
    source: &Utf8Path,
    layout: Option<&Layout>,
    discovery: Discovery,
    names: Names<'_>,
) -> Result<Vec<Module>> {
    let Discovery { modules, skipped } = discovery;
    if modules.is_empty() {
        let reasons = skipped.iter().take(LISTED);
        let reasons: Vec<_> = reasons
            .map(|folder| format!("\n  {}: {}", folder.path, folder.reason))
            .collect();
        let message = format!(
            "there are no modules in {source}: no folder matches {} and holds a Go main package{}",
            Layout::of(source, layout)?.shown(),
            reasons.concat()
        );
        return Err(usage(message, "name a source that holds modules"));
    }
    select(modules, source.as_str(), names)
}

/// The same of the modules whose programs an image has built already.
pub fn of_image(modules: Vec<Module>, names: Names<'_>) -> Result<Vec<Module>> {
    select(modules, "this image", names)
}

/// Those of `modules`, which are in `place`, that both filters let through.
fn select(modules: Vec<Module>, place: &str, (providers, names): Names<'_>) -> Result<Vec<Module>> {
    let existing: BTreeSet<&str> = modules
        .iter()
        .map(|module| module.provider.as_str())
        .collect();
    if let Some(unknown) = providers
        .iter()
        .find(|provider| !existing.contains(provider.as_str()))
    {
        return Err(usage(
            format!("there is no provider {unknown:?} in {place}"),
            format!("there are {}", list(existing)),
        ));
    }
    let is_named = |module: &Module, wanted: &String| {
        let wanted = wanted.trim_end_matches('/');
        *wanted == module.path || *wanted == name(&module.provider, &module.component)
    };
    if let Some(unknown) = names
        .iter()
        .find(|wanted| !modules.iter().any(|module| is_named(module, wanted)))
    {
        let existing = modules
            .iter()
            .map(|module| name(&module.provider, &module.component))
            .collect();
        return Err(usage(
            format!("there is no module {unknown:?} in {place}"),
            format!("there are {}", strings(existing)),
        ));
    }
    let is_selected = |module: &Module| {
        (providers.is_empty() || providers.contains(&module.provider))
            && (names.is_empty() || names.iter().any(|wanted| is_named(module, wanted)))
    };
    let selected: Vec<_> = modules.into_iter().filter(is_selected).collect();
    if selected.is_empty() {
        return Err(usage(
            "no module fits both --provider and --module",
            "leave out one of them",
        ));
    }
    Ok(selected)
}

fn list(names: BTreeSet<&str>) -> String {
    strings(names.into_iter().map(str::to_owned).collect())
}

fn strings(names: BTreeSet<String>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let mut names: Vec<_> = names.into_iter().take(LISTED).collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use modules::Skipped;

    fn discovery() -> Discovery {
        let module = |provider: &str, component: &str| Module {
            provider: provider.into(),
            component: component.into(),
            path: format!("apis/provider/{provider}/{component}/v1/iac/pulumi").into(),
            import_path: "m".into(),
            go_mod: "go.mod".into(),
            main: None,
        };
        Discovery {
            modules: vec![
                module("aws", "lambda"),
                module("aws", "s3"),
                module("civo", "volume"),
            ],
            skipped: vec![],
        }
    }

    fn select(providers: &[&str], names: &[&str]) -> Result<Vec<String>, String> {
        let strings = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let names = (&strings(providers)[..], &strings(names)[..]);
        let selected = super::of_source("src".into(), None, discovery(), names);
        let selected = selected.map_err(|error| failure::text(&error))?;
        Ok(selected
            .into_iter()
            .map(|module| module.component)
            .collect())
    }

    #[test]
    fn names_select() {
        assert_eq!(select(&[], &[]).unwrap(), ["lambda", "s3", "volume"]);
        assert_eq!(select(&["aws"], &[]).unwrap(), ["lambda", "s3"]);
        assert_eq!(select(&["civo", "aws"], &["aws/s3"]).unwrap(), ["s3"]);
        assert_eq!(
            select(&[], &["apis/provider/civo/volume/v1/iac/pulumi/", "aws/s3"]).unwrap(),
            ["s3", "volume"]
        );
    }

    #[test]
    fn unknown_names_are_errors_that_list_the_known_ones() {
        let errors = [
            select(&["azure"], &[]),
            select(&[], &["lambda"]),
            select(&["civo"], &["aws/s3"]),
        ];
        let errors: Vec<String> = errors.into_iter().map(Result::unwrap_err).collect();
        insta::assert_snapshot!(errors.join("\n\n"), @r#"
        there is no provider "azure" in src
        hint: there are aws, civo

        there is no module "lambda" in src
        hint: there are aws/lambda, aws/s3, civo/volume

        no module fits both --provider and --module
        hint: leave out one of them
        "#);
    }

    #[test]
    fn a_source_without_modules_says_what_was_skipped() {
        let skipped = vec![Skipped {
            path: "apis/x".into(),
            reason: "no Go files".into(),
            looks_like_program: false,
        }];
        let found = Discovery {
            modules: vec![],
            skipped,
        };
        let error = super::of_source("src".into(), None, found, (&[], &[])).unwrap_err();
        assert!(
            error.to_string().ends_with("\n  apis/x: no Go files"),
            "{error}"
        );
    }
}
