//! What is tried: other settings of zstd, other orders of files, other divisions into layers, and files left out.

use anyhow::Result;
use rayon::prelude::*;

use crate::bench::sizes::recompress::{Entry, Files, compressed};
use failure::usage;
use oci::layer::CompressionSettings;
use oci::layer::zstd_settings::{Far, Zstd};
use pipeline::names::{BASE, TOOLS};
use pipeline::pack::layer_content::LayerContent;

/// The changes that have one of `names` in theirs, or all.
pub(super) fn wanted<'a>(
    mut changes: Vec<Change<'a>>,
    names: &[String],
) -> Result<Vec<Change<'a>>> {
    let is_wanted = |change: &Change<'_>| names.iter().any(|name| change.name.contains(name));
    if !names.is_empty() {
        changes.retain(is_wanted);
    }
    if changes.is_empty() {
        return Err(usage(
            "no change has such a name",
            "without --change all are tried",
        ));
    }
    Ok(changes)
}

/// What a layer belongs to: the base system, the tools, or a pack.
pub(super) fn part_of(holds: &LayerContent) -> String {
    match holds {
        LayerContent::Base => BASE.to_owned(),
        LayerContent::Pulumi | LayerContent::Tools => TOOLS.to_owned(),
        LayerContent::Caches(pack)
        | LayerContent::Objects(pack)
        | LayerContent::Executables(pack)
        | LayerContent::Programs(pack) => pack.clone(),
        LayerContent::Plugin { .. } => holds.to_string(),
    }
}

/// The size of each of `layers`, compressed.
pub(super) fn sizes(layers: &[Composed<'_>], zstd: Zstd) -> Result<Vec<u64>> {
    let layers = layers.par_iter();
    layers.map(|layer| compressed(&layer.files, zstd)).collect()
}

/// A layer as it could be put together.
#[derive(Clone)]
pub(super) struct Composed<'a> {
    pub(super) part: String,
    pub(super) holds: LayerContent,
    pub(super) files: Files<'a>,
}

/// Something to try: the layers that it concerns, as they would be.
pub(super) struct Change<'a> {
    pub(super) name: String,
    pub(super) concerns: fn(&LayerContent) -> bool,
    pub(super) layers: Vec<Composed<'a>>,
    pub(super) zstd: Zstd,
}

/// All that can be tried with the layers `all` of an image whose layers are compressed as `layers` says.
pub(super) fn changes<'a>(all: &[Composed<'a>], layers: CompressionSettings) -> Vec<Change<'a>> {
    let shipped = Zstd::of(layers);
    let everything = |name: String, zstd| Change {
        name,
        concerns: |_| true,
        layers: all.to_vec(),
        zstd,
    };
    let levels = [1, 3, 9, 12, 15, 17, 18, 19].into_iter();
    let levels = levels.filter(|level| *level != shipped.level).map(|level| {
        let zstd = Zstd::of(CompressionSettings {
            zstd_level: level,
            ..layers
        });
        everything(format!("zstd level {level}"), zstd)
    });
    let windows = [23, 25, 30].into_iter().map(|window_log| {
        let zstd = Zstd {
            window_log,
            ..shipped
        };
        let name = format!("window of {} MiB", (1_u64 << window_log) >> 20);
        everything(name, zstd)
    });
    let tables = [22, 24, 27].map(|log| {
        (
            format!("tables of {} Mi", (1 << log) >> 20),
            Far::Tables(log),
        )
    });
    let ways = [
        ("no repetitions far apart".to_owned(), Far::No),
        ("long repetitions far apart".to_owned(), Far::Samples),
    ];
    let ways = tables.into_iter().chain(ways);
    let ways = ways.map(|(name, far)| everything(name, Zstd { far, ..shipped }));
    let mut changes: Vec<_> = levels.chain(windows).chain(ways).collect();

    let caches = |holds: &LayerContent| matches!(holds, LayerContent::Caches(_));
    let executables = |holds: &LayerContent| matches!(holds, LayerContent::Executables(_));
    let packs = |holds: &LayerContent| {
        matches!(
            holds,
            LayerContent::Caches(_) | LayerContent::Executables(_)
        )
    };
    let mut some = |name: &str, concerns: fn(&LayerContent) -> bool, compose: &Compose<'a>| {
        let concerned = all.iter().filter(|layer| concerns(&layer.holds));
        changes.push(Change {
            name: name.to_owned(),
            concerns,
            layers: compose(concerned.cloned().collect()),
            zstd: shipped,
        });
    };
    some("caches by path", caches, &|layers| {
        ordered(layers, |entry| entry.path.to_string())
    });
    some("caches by kind of file", caches, &|layers| {
        ordered(layers, by_kind)
    });
    some("caches by size of file", caches, &|layers| {
        ordered(layers, by_size)
    });
    some("executables by size of file", executables, &|layers| {
        ordered(layers, by_size)
    });
    some(
        "executables of all providers in one layer",
        executables,
        &|layers| in_one(layers, |_| "executables".to_owned()),
    );
    some(
        "caches and executables of a provider in one layer",
        packs,
        &|layers| in_one(layers, |layer| layer.part.clone()),
    );
    some("no test files of Go modules", caches, &|layers| {
        without(layers, is_test)
    });
    changes
}

fn by_kind(entry: &Entry) -> String {
    let kind = entry.path.as_str().rsplit(['-', '.']).next();
    format!("{} {}", kind.unwrap_or_default(), entry.path)
}

fn by_size(entry: &Entry) -> String {
    format!("{:016} {}", entry.size_bytes, entry.path)
}

fn is_test(entry: &Entry) -> bool {
    entry.path.as_str().ends_with("_test.go")
}

/// Puts layers together in another way.
type Compose<'a> = dyn Fn(Vec<Composed<'a>>) -> Vec<Composed<'a>>;

/// The files of each layer in the order of their keys.
fn ordered(mut layers: Vec<Composed<'_>>, key: fn(&Entry) -> String) -> Vec<Composed<'_>> {
    for layer in &mut layers {
        layer.files.sort_by_cached_key(|(_, entry)| key(entry));
    }
    layers
}

/// The files of each layer but those that are out.
fn without(mut layers: Vec<Composed<'_>>, is_out: fn(&Entry) -> bool) -> Vec<Composed<'_>> {
    for layer in &mut layers {
        layer.files.retain(|(_, entry)| !is_out(entry));
    }
    layers
}

/// One layer of all that have the same key, in the order of their first.
fn in_one<'a>(layers: Vec<Composed<'a>>, key: fn(&Composed<'_>) -> String) -> Vec<Composed<'a>> {
    let mut united: Vec<Composed<'a>> = Vec::new();
    for layer in layers {
        let part = key(&layer);
        match united.iter_mut().find(|it| it.part == part) {
            Some(there) => there.files.extend(layer.files),
            None => united.push(Composed { part, ..layer }),
        }
    }
    united
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::names::COMMON;

    const SHIPPED: CompressionSettings = CompressionSettings {
        zstd_level: 9,
        zstd_window_log: 27,
        zstd_table_log: 26,
        gzip_level: 6,
    };

    fn layer(holds: LayerContent) -> Composed<'static> {
        Composed {
            part: part_of(&holds),
            holds,
            files: Vec::new(),
        }
    }

    fn layers() -> Vec<Composed<'static>> {
        let of = |pack: &str| {
            [
                LayerContent::Caches(pack.into()),
                LayerContent::Executables(pack.into()),
            ]
        };
        let packs = ["civo", "aws"].into_iter().flat_map(of);
        let all = [
            LayerContent::Base,
            LayerContent::Pulumi,
            LayerContent::Tools,
            LayerContent::Caches(COMMON.into()),
        ];
        all.into_iter().chain(packs).map(layer).collect()
    }

    #[test]
    fn changes_are_found_by_a_part_of_their_names() {
        let names = |wanted_names: &[&str]| -> Vec<String> {
            let names: Vec<String> = wanted_names.iter().map(ToString::to_string).collect();
            let found = wanted(changes(&layers(), SHIPPED), &names).unwrap();
            found.into_iter().map(|change| change.name).collect()
        };
        assert_eq!(
            names(&["level 18", "window of 1024"]),
            ["zstd level 18", "window of 1024 MiB"]
        );
        assert!(names(&[]).len() > 12);
        assert!(!names(&[]).contains(&"zstd level 9".to_owned()));
        let refused = wanted(changes(&[], SHIPPED), &["levle".to_owned()]);
        assert!(refused.err().unwrap().to_string().contains("no change"));
    }

    #[test]
    fn a_change_concerns_the_layers_it_names() {
        let all = changes(&layers(), SHIPPED);
        let parts = |name: &str| -> Vec<&str> {
            let change = all.iter().find(|change| change.name.starts_with(name));
            let layers = change.unwrap().layers.iter();
            layers.map(|layer| layer.part.as_str()).collect()
        };
        assert_eq!(parts("caches by kind"), ["common", "civo", "aws"]);
        assert_eq!(parts("executables of all"), ["executables"]);
        assert_eq!(parts("caches and executables"), ["common", "civo", "aws"]);
        assert_eq!(parts("zstd level 18").len(), 8);
    }
}
