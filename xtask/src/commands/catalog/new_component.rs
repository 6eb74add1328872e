//! `cargo xtask new-component`: the folder of a component, from which one starts.

use crate::source::Source;
use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};

use failure::usage;
use pipeline::work::out::Out;

/// The files of a component, in which `PROVIDER` and `COMPONENT` stand for the names.
const TEMPLATE: [(&str, &str); 5] = [
    (
        "Pulumi.yaml",
        include_str!("../../../templates/component/Pulumi.yaml"),
    ),
    (
        "README.md",
        include_str!("../../../templates/component/README.md"),
    ),
    (
        "main.go",
        include_str!("../../../templates/component/main.go"),
    ),
    (
        "main_test.go",
        include_str!("../../../templates/component/main_test.go"),
    ),
    (
        "testdata/cases.yaml",
        include_str!("../../../templates/component/testdata/cases.yaml"),
    ),
];

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub source: Source,
    /// A provider of the catalog, such as `aws`
    pub provider: String,
    /// What the component is called, such as `s3bucket`
    pub component: String,
}

/// Writes the folder and prints where it is.
pub fn run(flags: &Args) -> Result<()> {
    let catalog = flags.source.folder()?;
    let folder = folder(&catalog, &flags.provider, &flags.component)?;
    fs_err::create_dir_all(folder.parent().unwrap_or(&catalog))?;
    let out = Out::of(&folder, "a component", &[])?;
    let partial = out.begin()?;
    for (name, text) in TEMPLATE {
        let file = partial.join(name);
        fs_err::create_dir_all(file.parent().unwrap_or(partial))?;
        let text = text
            .replace("PROVIDER", &flags.provider)
            .replace("COMPONENT", &flags.component);
        fs_err::write(file, text)?;
    }
    out.complete()?;
    println!("{folder}");
    Ok(())
}

/// Where a component goes that is not there yet.
fn folder(catalog: &Utf8Path, provider: &str, component: &str) -> Result<Utf8PathBuf> {
    for name in [provider, component] {
        let is_lower =
            |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
        if !name.starts_with(|first: char| first.is_ascii_lowercase())
            || !name.chars().all(is_lower)
        {
            return Err(usage(
                format!("{name:?} is no name of a provider or component"),
                "write lowercase letters and digits, starting with a letter",
            ));
        }
    }
    let of_provider = catalog.join("apis/provider").join(provider);
    if !of_provider.join("go.mod").is_file() {
        return Err(usage(
            format!("{of_provider} has no go.mod"),
            "make one like that of another provider first",
        ));
    }
    let folder = of_provider.join(component);
    if folder.exists() {
        return Err(usage(format!("{folder} exists"), "name another component"));
    }
    Ok(folder.join("v1/iac/pulumi"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_a_new_folder_of_a_known_provider() {
        let catalog = tempfile::tempdir().unwrap();
        let catalog = Utf8Path::from_path(catalog.path()).unwrap();
        let of_provider = catalog.join("apis/provider/aws");
        fs_err::create_dir_all(of_provider.join("vpc")).unwrap();
        fs_err::write(of_provider.join("go.mod"), "").unwrap();
        let refused = |provider, component| {
            let refused = super::folder(catalog, provider, component).unwrap_err();
            refused.to_string()
        };
        assert!(refused("gcp", "vpc").contains("has no go.mod"));
        assert!(refused("aws", "vpc").contains("exists"));
        for name in ["", "../x", "My-Name", "1st"] {
            assert!(refused("aws", name).contains("is no name"), "{name}");
        }
        let folder = super::folder(catalog, "aws", "queue").unwrap();
        assert_eq!(folder, of_provider.join("queue/v1/iac/pulumi"));
    }
}
