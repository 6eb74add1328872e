//! What the layers of an image hold, as its history names them: for people, and for commands that take an image apart.

use std::fmt::{self, Display, Formatter};

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::image::ImageConfiguration;

use crate::names::{self, COMMON};
use failure::usage;

/// What a layer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerContent {
    /// The base system.
    Base,
    /// Pulumi and the verifier, which are all that executables take.
    Pulumi,
    /// Go and the other tools.
    Tools,
    /// Module cache and build cache of a pack.
    Caches(String),
    /// Object code of a pack's archives.
    Objects(String),
    /// Executables of a pack: as entries of the build cache and as programs, or compressed.
    Executables(String),
    /// Programs of a pack, where its executables are compressed; in images without Go alone.
    Programs(String),
    /// A plugin of Pulumi, which several packs may have.
    Plugin {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
    },
}

const BASE: &str = "base system";
const PULUMI: &str = "Pulumi, verifier";
const TOOLS: &str = "Go, OpenTofu";
const SHARED: &str = "caches that all providers share";
const CACHES: &str = ": caches";
const OBJECTS: &str = ": object code";
const SHARED_OBJECTS: &str = "object code that all providers share";
const EXECUTABLES: &str = ": executables";
const PROGRAMS: &str = ": programs";
const PLUGIN: &str = "plugin ";
/// Begins the name of a layer of a volume; what it was made of follows.
const VOLUME: &str = "volume: ";

impl LayerContent {
    /// Reads what [`Display`] writes; `None` for layers that are not ours.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            BASE => Self::Base,
            PULUMI => Self::Pulumi,
            TOOLS => Self::Tools,
            SHARED => Self::Caches(COMMON.to_owned()),
            SHARED_OBJECTS => Self::Objects(COMMON.to_owned()),
            _ => {
                let of = |suffix: &str| name.strip_suffix(suffix).filter(|pack| is_a_name(pack));
                let caches = of(CACHES).map(|pack| Self::Caches(pack.to_owned()));
                let objects = || of(OBJECTS).map(|pack| Self::Objects(pack.to_owned()));
                let executables = || of(EXECUTABLES).map(|pack| Self::Executables(pack.to_owned()));
                let programs = || of(PROGRAMS).map(|pack| Self::Programs(pack.to_owned()));
                let plugin = || {
                    let (name, version) = name.strip_prefix(PLUGIN)?.split_once(' ')?;
                    let is_a_plugin = is_a_name(name) && is_a_name(&version.replace('+', "-"));
                    is_a_plugin.then(|| Self::Plugin {
                        name: name.to_owned(),
                        version: version.to_owned(),
                    })
                };
                let of_pack = caches.or_else(objects).or_else(executables);
                return of_pack.or_else(programs).or_else(plugin);
            }
        })
    }

    /// Reads the name of a layer of an image, or of a volume, which holds what is kept of that layer of an image.
    pub fn of_either(name: &str) -> Option<Self> {
        Self::parse(name.strip_prefix(VOLUME).unwrap_or(name))
    }

    /// The name of what is kept in a volume of the layer with the name `name`.
    pub fn in_volume(name: &str) -> String {
        format!("{VOLUME}{name}")
    }

    /// The pack that the layer is of; a plugin may be of several, and counts as one by itself.
    pub fn pack(&self) -> String {
        match self {
            Self::Base => names::BASE.to_owned(),
            Self::Pulumi | Self::Tools => names::TOOLS.to_owned(),
            Self::Caches(pack)
            | Self::Objects(pack)
            | Self::Executables(pack)
            | Self::Programs(pack) => pack.clone(),
            Self::Plugin { name, .. } => format!("{}{name}", names::PLUGINS),
        }
    }

    /// Where the layer's archive is in the context of `Dockerfile.merged`.
    pub fn archive(&self) -> Utf8PathBuf {
        let of_pack = |pack: &String, part: &str| Utf8Path::new("packs").join(pack).join(part);
        match self {
            Self::Base => "base.tar".into(),
            Self::Pulumi => "pulumi.tar".into(),
            Self::Tools => "tools.tar".into(),
            Self::Caches(pack) => of_pack(pack, "caches.tar"),
            Self::Objects(pack) => of_pack(pack, "objects.tar"),
            Self::Executables(pack) => of_pack(pack, "executables.tar"),
            Self::Programs(pack) => of_pack(pack, "programs.tar"),
            Self::Plugin { name, version } => format!("plugins/{name}-{version}.tar").into(),
        }
    }
}

/// What every image with Go starts with.
pub const TOOLS_ALONE: [LayerContent; 3] = [
    LayerContent::Base,
    LayerContent::Pulumi,
    LayerContent::Tools,
];

/// What each layer of an image with Go holds, by its history.
pub fn of(config: &ImageConfiguration) -> Result<Vec<LayerContent>> {
    match by_history(config, LayerContent::parse) {
        Some(parts) if parts.starts_with(&TOOLS_ALONE) => Ok(parts),
        _ => Err(usage(
            "its history does not tell what its layers hold",
            "name an image with Go that `base-image` made",
        )),
    }
}

/// What each layer of an image or of a volume holds, by its history; none where it does not say.
pub fn of_any(config: &ImageConfiguration) -> Option<Vec<LayerContent>> {
    by_history(config, LayerContent::of_either)
}

/// Whether an image with this history is a volume.
pub fn is_volume(config: &ImageConfiguration) -> bool {
    let mut history = config.history().iter().flatten();
    let mut names = history.by_ref().filter_map(|it| it.created_by().as_deref());
    names.all(|name| name.starts_with(VOLUME))
}

fn by_history(
    config: &ImageConfiguration,
    parse: fn(&str) -> Option<LayerContent>,
) -> Option<Vec<LayerContent>> {
    let layers = config.rootfs().diff_ids().len();
    let history = config.history().iter().flatten();
    let names: Vec<&str> = history
        .filter(|entry| entry.empty_layer() != Some(true))
        .filter_map(|entry| entry.created_by().as_deref())
        .collect();
    let parts: Option<Vec<LayerContent>> = names.iter().map(|name| parse(name)).collect();
    parts.filter(|parts| parts.len() == layers)
}

/// Whether `pack` is the name of one folder, and one word of a Dockerfile.
fn is_a_name(pack: &str) -> bool {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    !pack.is_empty() && !pack.starts_with('.') && pack.chars().all(allowed)
}

impl Display for LayerContent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str(BASE),
            Self::Pulumi => f.write_str(PULUMI),
            Self::Tools => f.write_str(TOOLS),
            Self::Caches(pack) if pack == COMMON => f.write_str(SHARED),
            Self::Caches(pack) => write!(f, "{pack}{CACHES}"),
            Self::Objects(pack) if pack == COMMON => f.write_str(SHARED_OBJECTS),
            Self::Objects(pack) => write!(f, "{pack}{OBJECTS}"),
            Self::Executables(pack) => write!(f, "{pack}{EXECUTABLES}"),
            Self::Programs(pack) => write!(f, "{pack}{PROGRAMS}"),
            Self::Plugin { name, version } => write!(f, "{PLUGIN}{name} {version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_what_it_was_written_for() {
        let all = [
            (LayerContent::Base, "base.tar"),
            (LayerContent::Pulumi, "pulumi.tar"),
            (LayerContent::Tools, "tools.tar"),
            (
                LayerContent::Caches(COMMON.into()),
                "packs/common/caches.tar",
            ),
            (LayerContent::Caches("aws".into()), "packs/aws/caches.tar"),
            (
                LayerContent::Executables("aws".into()),
                "packs/aws/executables.tar",
            ),
            (
                LayerContent::Programs("aws".into()),
                "packs/aws/programs.tar",
            ),
            (
                LayerContent::Plugin {
                    name: "aws".into(),
                    version: "7.3.0-rc.1+dev".into(),
                },
                "plugins/aws-7.3.0-rc.1+dev.tar",
            ),
        ];
        for (content, archive) in all {
            assert_eq!(
                LayerContent::parse(&content.to_string()),
                Some(content.clone())
            );
            assert_eq!(content.archive(), archive);
        }
    }

    #[test]
    fn what_is_no_name_of_ours_is_refused() {
        for name in [
            "",
            "RUN make",
            ": caches",
            "../aws: caches",
            "a b: caches",
            "plugin aws",
            "plugin ../a 1",
            "plugin a /",
        ] {
            assert_eq!(LayerContent::parse(name), None, "{name}");
        }
    }

    fn config(names: &[&str], layers: usize) -> ImageConfiguration {
        let history: Vec<_> = names
            .iter()
            .map(|name| serde_json::json!({"created_by": name}))
            .collect();
        let config = serde_json::json!({
            "os": "linux", "architecture": "amd64", "history": history,
            "rootfs": {"type": "layers", "diff_ids": vec!["sha256:0"; layers]},
        });
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn the_history_tells_what_the_layers_hold() {
        let ours = [
            "base system",
            "Pulumi, verifier",
            "Go, OpenTofu",
            "caches that all providers share",
            "civo: executables",
        ];
        let found = of(&config(&ours, 5)).unwrap();
        let archives: Vec<_> = found.iter().map(LayerContent::archive).collect();
        assert_eq!(
            archives[3..],
            ["packs/common/caches.tar", "packs/civo/executables.tar"]
        );
        for (names, layers) in [
            (&ours[..], 4),
            (&ours[1..], 4),
            (
                &["base system", "Pulumi, verifier", "civo: executables"][..],
                3,
            ),
            (&["RUN make"][..], 1),
        ] {
            let said = failure::text(&of(&config(names, layers)).unwrap_err());
            assert!(said.contains("base-image"), "{said}");
        }
    }
}
