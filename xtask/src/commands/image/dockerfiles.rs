//! `cargo xtask dockerfiles`: renews the committed Dockerfiles from `image.toml` and the catalog, or says that one of
//! them is out of date.

use anyhow::{Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};

use crate::source;
use oci::platform::Platform;
use pipeline::assemble::dockerfile;
use pipeline::assemble::dockerfile::Settings;
use pipeline::assemble::image_config;
use pipeline::image_toml::ImageToml;
use pipeline::names::COMMON;
use pipeline::pack::layer_content::LayerContent;
use pipeline::workspace::workspace;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write nothing; exit with 1 if a committed Dockerfile is out of date
    #[arg(long)]
    pub check: bool,
}

/// Writes the Dockerfiles, or with `--check` compares them.
pub fn run(flags: &Args) -> Result<()> {
    for (file, text) in all()? {
        if flags.check {
            check(&file, &text)?;
        } else {
            fs_err::write(file, text)?;
        }
    }
    Ok(())
}

fn check(file: &Utf8Path, text: &str) -> Result<()> {
    ensure!(
        fs_err::read_to_string(file)? == text,
        "{file} is out of date; renew it with `cargo xtask dockerfiles`"
    );
    Ok(())
}

/// The committed Dockerfiles, as they should be.
fn all() -> Result<Vec<(Utf8PathBuf, String)>> {
    let folder = workspace().join("base-images/iac-runner");
    let image = ImageToml::read(&folder.join("image.toml"))?;
    // The same text on every machine; what is committed is for the platform that most people have.
    let platform = Platform {
        os: "linux".to_owned(),
        arch: "amd64".to_owned(),
    };
    let settings = Settings {
        env: image_config::env(&image, &platform, false),
        nonroot_env: image_config::env(&image, &platform, true),
        uid: image.user.uid,
        labels: image_config::labels(&image)?,
    };
    let modules = source::discover(&workspace().join("catalog"), None)?.modules;
    let providers = source::select(&modules, &[])?;
    let packs: Vec<LayerContent> = std::iter::once(LayerContent::Caches(COMMON.to_owned()))
        .chain(providers.into_iter().flat_map(|name| {
            [
                LayerContent::Caches(name.clone()),
                LayerContent::Executables(name),
            ]
        }))
        .collect();
    let standalone = dockerfile::standalone(&settings, &image, env!("CARGO_PKG_RUST_VERSION"));
    let merged = dockerfile::merged(&settings, &packs);
    Ok(vec![
        (folder.join("Dockerfile"), standalone),
        (folder.join("Dockerfile.merged"), merged),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_dockerfiles_say_what_image_toml_says() {
        for (file, text) in all().unwrap() {
            check(&file, &text).unwrap();
        }
    }

    #[test]
    fn a_dockerfile_that_is_out_of_date_is_named_with_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path())
            .unwrap()
            .join("Dockerfile");
        fs_err::write(&file, "FROM scratch\n").unwrap();
        let said = check(&file, "FROM debian\n").unwrap_err().to_string();
        assert!(
            said.contains(file.as_str()) && said.contains("cargo xtask dockerfiles"),
            "{said}"
        );
    }
}
