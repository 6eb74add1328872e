//! The configuration of an image and of its `-nonroot` twin: environment, labels, user and history.
//!
//! A pure function of `image.toml` and the layers; nothing in it depends on today.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use camino::Utf8Path;
use gocache::image_info::LAUNCHERS_PATH;
use oci_spec::image::{
    Arch, ConfigBuilder, HistoryBuilder, ImageConfigurationBuilder, Os, RootFsBuilder,
};

use crate::assemble::variants::Variant;
use crate::image_toml::ImageToml;
use crate::names::VERIFIER;
use crate::pack::PackLayer;
use oci::platform::Platform;

/// The variable without which Pulumi fetches plugins that it does not find.
const NO_FETCHING: &str = "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION";
/// The label that says what an image is for.
const DESCRIPTION: &str = "org.opencontainers.image.description";
/// What an image without Go is for.
const WITHOUT_GO: &str = "Pulumi programs that are built already, with Pulumi and without Go";

/// Variables, or labels, by name.
type Variables = BTreeMap<String, String>;

/// The environment of the image, or of its `-nonroot` twin.
pub fn env(image: &ImageToml, platform: &Platform, nonroot: bool) -> BTreeMap<String, String> {
    let mut env = image.env.clone();
    env.extend(image.go_env(platform));
    if let Some(path) = env.get_mut("PATH") {
        *path = format!("{LAUNCHERS_PATH}:{path}");
    }
    if nonroot {
        // Where GOCACHE cannot be written to the go command fails by itself; this serves it from where it is.
        env.insert("GOCACHEPROG".to_owned(), cacheprog(&image.go.gocache));
        env.extend(user_env(image));
    }
    env
}

/// The environment of an image without Go, or of its `-nonroot` twin: nothing in it is about Go, or leads to a folder
/// that this image has not.
pub fn env_without_go(image: &ImageToml, nonroot: bool) -> BTreeMap<String, String> {
    let mut env = image.env.clone();
    env.retain(|_, value| {
        !image
            .writable
            .folders
            .iter()
            .any(|folder| folder == value.as_str())
    });
    if let Some(path) = env.get_mut("PATH") {
        let folders = path.split(':');
        let folders = folders.filter(|folder| !Utf8Path::new(folder).starts_with(&image.go.goroot));
        let folders: Vec<&str> = [LAUNCHERS_PATH].into_iter().chain(folders).collect();
        *path = folders.join(":");
    }
    if nonroot {
        env.extend(user_env(image));
    }
    env
}

/// What the twin of every image says of its user.
fn user_env(image: &ImageToml) -> [(String, String); 2] {
    // Programs that ask for the user's name find none for the random uid of a cluster.
    [
        ("HOME".to_owned(), image.user.home.to_string()),
        ("USER".to_owned(), image.user.name.clone()),
    ]
}

/// The labels of every variant.
pub fn labels(image: &ImageToml) -> Result<BTreeMap<String, String>> {
    let created = created(image)?;
    let labels = [
        ("title", image.image.title.as_str()),
        ("description", &image.image.description),
        ("licenses", &image.image.licenses),
        ("version", env!("CARGO_PKG_VERSION")),
        ("created", &created),
    ];
    Ok(labels
        .map(|(name, value)| (format!("org.opencontainers.image.{name}"), value.to_owned()))
        .into())
}

/// Labels that say of each tool in a variant which version it is, and where it comes from.
fn tool_labels(variant: &Variant) -> impl Iterator<Item = (String, String)> {
    let tools = variant.tools.iter();
    tools.map(|(name, described)| (format!("iac-runner.tools.{name}"), described.clone()))
}

/// When an image says that it was made.
pub fn created(image: &ImageToml) -> Result<String> {
    Ok(
        jiff::Timestamp::from_second(i64::try_from(image.image.epoch)?)
            .context("image.epoch is no time")?
            .to_string(),
    )
}

/// What serves a GOCACHE that cannot be written to.
pub fn cacheprog(gocache: &Utf8Path) -> String {
    format!("{VERIFIER} cacheprog --shipped {gocache}")
}

/// The configuration of an image, or of its `-nonroot` twin.
pub fn config(
    image: &ImageToml,
    platform: &Platform,
    variant: &Variant,
    nonroot: bool,
) -> Result<serde_json::Value> {
    let mut env = if variant.has_go {
        env(image, platform, nonroot)
    } else {
        env_without_go(image, nonroot)
    };
    if variant.has_all_plugins {
        // A plugin that is not there is one that nobody checked.
        env.insert(NO_FETCHING.to_owned(), "true".to_owned());
    }
    let mut config = ConfigBuilder::default()
        .cmd(vec!["/bin/bash".to_owned()])
        .working_dir("/".to_owned());
    if nonroot {
        config = config
            .user(image.user.uid.to_string())
            .working_dir(image.user.home.to_string());
    }
    let mut labels = labels(image)?;
    if !variant.has_go {
        labels.insert(DESCRIPTION.to_owned(), WITHOUT_GO.to_owned());
    }
    let labels = labels.into_iter().chain(tool_labels(variant)).collect();
    of_layers(image, platform, &variant.layers, (config, env, labels))
}

/// The configuration of a volume, whose environment is for whoever mounts it.
pub fn of_volume(
    image: &ImageToml,
    platform: &Platform,
    layers: &[PackLayer],
) -> Result<serde_json::Value> {
    let mut labels = labels(image)?;
    let description = format!("Go caches, to be mounted at {}", image.volume_place()?);
    labels.insert(DESCRIPTION.to_owned(), description);
    let env = image.volume_env(platform)?;
    let config = ConfigBuilder::default();
    of_layers(image, platform, layers, (config, env, labels))
}

fn of_layers(
    image: &ImageToml,
    platform: &Platform,
    layers: &[PackLayer],
    (config, env, labels): (ConfigBuilder, Variables, Variables),
) -> Result<serde_json::Value> {
    let created = created(image)?;
    let env = env.into_iter();
    let config = config
        .env(
            env.map(|(name, value)| format!("{name}={value}"))
                .collect::<Vec<_>>(),
        )
        .labels(labels.into_iter().collect::<HashMap<_, _>>())
        .build()
        .context("failed to describe the image's configuration")?;
    let diff_ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("sha256:{}", layer.layer.diff_id))
        .collect();
    let rootfs = RootFsBuilder::default()
        .typ("layers".to_owned())
        .diff_ids(diff_ids)
        .build();
    let history = layers
        .iter()
        .map(|layer| {
            HistoryBuilder::default()
                .created(created.clone())
                .created_by(layer.title.clone())
                .build()
        })
        .collect::<Result<Vec<_>, _>>()
        .context("failed to describe the image's history")?;
    let built = ImageConfigurationBuilder::default()
        .created(created)
        .architecture(Arch::from(platform.arch.as_str()))
        .os(Os::from(platform.os.as_str()))
        .config(config)
        .rootfs(rootfs.context("failed to describe the image's layers")?)
        .history(history)
        .build()
        .context("failed to describe the image's configuration")?;
    // Labels come from a hash map; through a JSON value their order is that of their names.
    serde_json::to_value(&built).context("failed to serialize the image's configuration")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::variants;
    use crate::fixtures::{image, packs, platform};

    fn snapshot(nonroot: bool) -> serde_json::Value {
        let variants = variants::of(&packs(&["civo"]), "latest").unwrap();
        let mut config = config(&image(), &platform(), &variants[0], nonroot).unwrap();
        let version = &mut config["config"]["Labels"]["org.opencontainers.image.version"];
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        *version = "[version]".into();
        config
    }

    #[test]
    fn an_image_runs_as_root_at_the_root_folder() {
        insta::assert_json_snapshot!("root", snapshot(false));
    }

    #[test]
    fn pulumi_fetches_no_plugin_where_it_has_all() {
        let mut packs = packs(&["civo"]);
        let fetches = |packs: &[crate::pack::Pack]| {
            let variants = variants::of(packs, "latest").unwrap();
            let config = config(&image(), &platform(), &variants[0], true).unwrap();
            let env = config["config"]["Env"].as_array().unwrap();
            !env.contains(&format!("{NO_FETCHING}=true").into())
        };
        assert!(fetches(&packs));
        packs.push(crate::fixtures::plugins("civo", &["civo 2.4.8"]));
        assert!(!fetches(&packs));
    }

    #[test]
    fn an_image_without_go_says_nothing_of_it() {
        let mut image = image();
        image.writable.folders = vec!["/var/plugins".into()];
        image.env.insert("PLUGINS".into(), "/var/plugins".into());
        let env = env_without_go(&image, true);
        insta::assert_json_snapshot!(env, @r#"
        {
          "HOME": "/home/me",
          "PATH": "/usr/local/lib/iac-runner/bin:/bin",
          "USER": "me"
        }
        "#);
        let mut root = env;
        root.retain(|name, _| !["HOME", "USER"].contains(&name.as_str()));
        assert_eq!(env_without_go(&image, false), root);
    }

    #[test]
    fn its_twin_runs_as_the_user_with_caches_that_cannot_be_written_to() {
        insta::assert_json_snapshot!("nonroot", snapshot(true));
    }
}
