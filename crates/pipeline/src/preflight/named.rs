//! Whether the providers that an `image.toml` names are those of the source: a name that nobody has is a mistake, of
//! which the image would tell nothing.

use std::collections::BTreeSet;

use anyhow::Result;
use camino::Utf8Path;
use failure::usage;
use modules::Module;

use crate::image_toml::{ImageToml, Providers};

/// Fails for a provider of `image`, which `file` describes, that is none of `modules`, all those of the source.
pub fn check(file: &Utf8Path, image: &ImageToml, modules: &[Module]) -> Result<()> {
    let known: BTreeSet<&str> = modules.iter().map(|it| it.provider.as_str()).collect();
    let lists = [
        ("[plugins] bake", &image.plugins.bake),
        ("[volume] providers", &image.volume.providers),
    ];
    let named = lists.into_iter().flat_map(|(key, list)| match list {
        Providers::Of(names) => names.iter().map(|name| (key, name)).collect(),
        Providers::All(_) => Vec::new(),
    });
    let unknown = named
        .into_iter()
        .find(|(_, name)| !known.contains(name.as_str()));
    let Some((key, name)) = unknown else {
        return Ok(());
    };
    let known: Vec<&str> = known.into_iter().collect();
    Err(usage(
        format!("{key} in {file} names `{name}`, which is no provider of the source"),
        format!("there are: {}", known.join(", ")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::image;

    fn module(provider: &str) -> Module {
        Module {
            provider: provider.to_owned(),
            component: "one".to_owned(),
            path: "module".into(),
            import_path: "example.com/module".to_owned(),
            go_mod: "go.mod".into(),
            main: None,
        }
    }

    fn of(names: &[&str]) -> Providers {
        Providers::Of(names.iter().map(|it| (*it).to_owned()).collect())
    }

    #[test]
    fn a_list_names_providers_of_the_source() {
        let modules = ["civo", "aws", "aws"].map(module);
        let checked = |plugins: Providers, volumes: Providers| {
            let mut image = image();
            image.plugins.bake = plugins;
            image.volume.providers = volumes;
            check("x/image.toml".into(), &image, &modules)
        };
        let (all, none) = (Providers::All(true), Providers::All(false));
        checked(all.clone(), none.clone()).unwrap();
        checked(of(&["aws"]), of(&["aws", "civo"])).unwrap();
        for (plugins, volumes, key) in [
            (of(&["aws", "nope"]), none, "[plugins] bake"),
            (all, of(&["nope"]), "[volume] providers"),
        ] {
            let error = checked(plugins, volumes).unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
            let said = format!(
                "{key} in x/image.toml names `nope`, which is no provider of the source\nhint: there are: aws, civo"
            );
            assert_eq!(failure::text(&error), said);
        }
    }
}
