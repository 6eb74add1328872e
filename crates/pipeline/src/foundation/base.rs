//! The base system that `mmdebstrap` makes, as a layer and as the tree in which everything is compiled.
//!
//! The package sources are those of the suite, or the mirror that `image.toml` names: never this machine's own, whose
//! names would end in the image and make it another one on every machine.
//!
//! The archive that mmdebstrap writes is kept as it is, owners included, so that the layer is right even where this
//! process could not have unpacked it so. Files that tell of the build machine are left out, and so are the keys of
//! Debian's other releases, by which nothing of this one is signed; no program keeps a setuid or setgid bit, for a
//! container's user gets no more rights than it comes with.

use std::collections::BTreeSet;
use std::io::Read;

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use xshell::{Shell, cmd};

use crate::image_toml::ImageToml;
use crate::names::BASE;
use crate::pack::store::Store;
use crate::work::kept_layer;
use crate::work::kept_tree::{self, Additions};
use crate::work::{Key, Work};
use engine::host;
use engine::progress::Step;
use oci::layer::LayerBlob;
use oci::layer::{Compression, Layer, LayerWriter, Meta};
use oci::platform::Platform;
use oci::unpack::unpack_layers;

/// Files of the build machine that mmdebstrap copies, and folders that a container gets from its runtime.
const LEFT_OUT: [&str; 4] = ["etc/hostname", "etc/resolv.conf", "dev", "proc"];

/// Folders of the keys by which packages are believed.
const KEYRINGS: [&str; 2] = ["etc/apt/trusted.gpg.d", "usr/share/keyrings"];

/// What the names of Debian's keys begin with; the release follows.
const DEBIAN_KEYS: &str = "debian-archive-";

/// Files that name the package sources, and maybe a key for each.
const SOURCE_LISTS: [&str; 2] = ["etc/apt/sources.list", "etc/apt/sources.list.d"];

/// The base system, kept.
#[derive(Debug)]
pub struct Base {
    /// Digest of everything it was made from.
    pub key: Key,
    /// Its layer; none where the base system is that of the container around this process.
    pub layer: Option<LayerBlob>,
    /// The unpacked tree.
    pub root: Utf8PathBuf,
}

impl Base {
    /// The container around this process.
    pub fn around() -> Result<Self> {
        Ok(Self {
            key: Key::of(&"the container around this process")?,
            layer: None,
            root: "/".into(),
        })
    }
}

/// Makes the base system, unless it is kept, here or in the store.
pub fn make(
    work: &Work,
    image: &ImageToml,
    platform: &Platform,
    store: &Store,
    offline: bool,
    step: &Step,
) -> Result<Base> {
    let key = Key::of(&(
        &image.base,
        image.image.epoch,
        image.layers,
        platform.to_string(),
    ))?;
    let folder = work.keep("base", &key, |folder| {
        let found = store.find(work, BASE, &key, step, |artifact| {
            kept_layer::restore(BASE, &artifact.layers()?, folder)
        })?;
        if found.is_none() {
            write(image, folder, offline)?;
        }
        Ok(())
    })?;
    let layer = kept_layer::read(&folder)?;
    // By the layer, whose digest was checked just now: a damaged tree is unpacked again from the same one.
    let unpacked = Key::of(&layer.layer.digest)?;
    let root = kept_tree::keep(work, "root", &unpacked, Additions::MountPoints, |root| {
        unpack_layers([&layer], root)
    })?;
    Ok(Base {
        layer: Some(layer),
        root,
        key,
    })
}

fn write(image: &ImageToml, folder: &Utf8Path, offline: bool) -> Result<()> {
    if offline {
        bail!("the base system is not kept yet; run once without --offline");
    }
    let archive = folder.join("base.tar");
    debootstrap(image, &archive)?;
    let layer = write_layer(image, &archive, &folder.join(kept_layer::FILE))?;
    kept_layer::write(folder, &layer)?;
    fs_err::remove_file(&archive)?;
    Ok(())
}

fn debootstrap(image: &ImageToml, archive: &Utf8Path) -> Result<()> {
    let base = &image.base;
    let (suite, mirror) = (&base.suite, &base.mirror);
    let packages = base.packages.join(",");
    let exclude = base.exclude.iter();
    let exclude = exclude.map(|path| format!("--dpkgopt=path-exclude={path}"));
    let include = base.include.iter();
    let include = include.map(|path| format!("--dpkgopt=path-include={path}"));
    let sh = Shell::new()?;
    let _epoch = sh.push_env("SOURCE_DATE_EPOCH", image.image.epoch.to_string());
    host::run(cmd!(
        sh,
        "mmdebstrap --mode=auto --variant=minbase --format=tar --skip=output/dev --include={packages}
            {exclude...} {include...} -- {suite} {archive} {mirror...}"
    ))
    .context("failed to make the base system; this takes the network and some space on disk")
}

fn write_layer(image: &ImageToml, archive: &Utf8Path, blob: &Utf8Path) -> Result<Layer> {
    let (mut paths, mut source_lists) = (Vec::new(), String::new());
    each_entry(archive, |entry, path| {
        if SOURCE_LISTS.iter().any(|list| path.starts_with(list)) {
            entry.read_to_string(&mut source_lists)?;
        }
        paths.push(path.to_owned());
        Ok(())
    })?;
    let foreign_keys = foreign_keys(&paths, &image.base.suite, &source_lists);
    let above = |_: &Utf8Path| Meta {
        mode: 0o755,
        uid: 0,
        gid: 0,
        mtime: image.image.epoch,
    };
    let mut writer = LayerWriter::create(blob, Compression::Zstd, image.layers, above)?;
    each_entry(archive, |entry, path| {
        let is_left_out = LEFT_OUT.iter().any(|left_out| path.starts_with(left_out));
        if is_left_out || foreign_keys.contains(path) {
            return Ok(());
        }
        writer.copy_entry(entry, path)
    })?;
    writer.finish()
}

/// Hands every entry of `archive` but its root to `take`, with its path from there.
fn each_entry(
    archive: &Utf8Path,
    mut take: impl FnMut(&mut tar::Entry<'_, Reader>, &Utf8Path) -> Result<()>,
) -> Result<()> {
    let context = || format!("failed to read {archive}");
    let file = fs_err::File::open(archive)?;
    let mut tar = tar::Archive::new(Reader::with_capacity(1 << 20, file));
    for entry in tar.entries().with_context(context)? {
        let mut entry = entry.with_context(context)?;
        let path = entry.path().with_context(context)?.into_owned();
        let path = Utf8PathBuf::from_path_buf(path).map_err(|path| {
            anyhow::anyhow!(
                "{archive} holds a name that is not UTF-8: {}",
                path.display()
            )
        })?;
        let path = path.strip_prefix(".").unwrap_or(&path);
        if !path.as_str().is_empty() {
            take(&mut entry, path)?;
        }
    }
    Ok(())
}

type Reader = std::io::BufReader<fs_err::File>;

/// The keys of Debian among `paths` that are of another release than `suite`, and those of several. A folder without
/// a key of this release, whose names may be others, keeps all; so does a key that a source list names.
fn foreign_keys(paths: &[Utf8PathBuf], suite: &str, source_lists: &str) -> BTreeSet<Utf8PathBuf> {
    let mut foreign = BTreeSet::new();
    for folder in KEYRINGS {
        let keys = paths.iter().filter_map(|path| {
            let key = path.strip_prefix(folder).ok()?.as_str();
            key.strip_prefix(DEBIAN_KEYS).map(|release| (path, release))
        });
        let (own, others): (Vec<_>, Vec<_>) = keys.partition(|(_, release)| {
            release
                .strip_prefix(suite)
                .is_some_and(|rest| rest.starts_with('-'))
        });
        if own.is_empty() {
            continue;
        }
        let is_named = |path: &Utf8Path| {
            // By its stem: a list may name the link to a file that ends otherwise.
            source_lists.contains(path.with_extension("").as_str())
        };
        let others = others.into_iter().map(|(path, _)| path);
        foreign.extend(others.filter(|path| !is_named(path)).cloned());
    }
    foreign
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKWORM: [&str; 2] = [
        "etc/apt/trusted.gpg.d/debian-archive-bookworm-stable.asc",
        "usr/share/keyrings/debian-archive-bookworm-security-automatic.gpg",
    ];
    const OTHERS: [&str; 5] = [
        "etc/apt/trusted.gpg.d/debian-archive-trixie-stable.asc",
        "etc/apt/trusted.gpg.d/debian-archive-bullseye-automatic.asc",
        "usr/share/keyrings/debian-archive-keyring.gpg",
        "usr/share/keyrings/debian-archive-removed-keys.gpg",
        "usr/share/keyrings/debian-archive-trixie-automatic.gpg",
    ];

    fn paths() -> Vec<Utf8PathBuf> {
        let ours = [
            "etc/apt/trusted.gpg.d/mine.asc",
            "usr/share/keyrings/mine.gpg",
        ];
        let all = BOOKWORM.iter().chain(&OTHERS).chain(&ours);
        all.map(|path| Utf8PathBuf::from(*path)).collect()
    }

    fn left_out(suite: &str, source_lists: &str) -> Vec<String> {
        let found = foreign_keys(&paths(), suite, source_lists);
        found.into_iter().map(Utf8PathBuf::into_string).collect()
    }

    #[test]
    fn keys_of_other_releases_are_left_out() {
        let mut expected = OTHERS;
        expected.sort_unstable();
        assert_eq!(
            left_out("bookworm", "deb http://deb.debian.org/debian bookworm main"),
            expected
        );
    }

    #[test]
    fn a_key_that_a_source_list_names_stays() {
        let list =
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.pgp] http://x bookworm main";
        let found = left_out("bookworm", list);
        assert!(
            !found.iter().any(|path| path.ends_with("-keyring.gpg")),
            "{found:?}"
        );
        assert_eq!(found.len(), OTHERS.len() - 1);
    }

    #[test]
    fn a_release_without_keys_of_its_name_keeps_all() {
        for suite in ["sid", "stable", "book", "noble"] {
            assert_eq!(left_out(suite, ""), [""; 0], "{suite}");
        }
    }

    #[test]
    fn the_layer_has_what_the_archive_has_but_rights_and_foreign_keys() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let (archive, blob) = (folder.join("base.tar"), folder.join("layer"));
        let mut tar = tar::Builder::new(fs_err::File::create(&archive).unwrap());
        let list = "deb http://deb.debian.org/debian bookworm main\n";
        let mut entries: Vec<(String, u32, &str)> = paths()
            .into_iter()
            .map(|path| (format!("./{path}"), 0o644, "key"))
            .collect();
        entries.push(("./etc/apt/sources.list".into(), 0o644, list));
        entries.push(("./etc/hostname".into(), 0o644, "mine"));
        entries.push(("./usr/bin/su".into(), 0o4755, "su"));
        for (path, mode, content) in &entries {
            let mut header = tar::Header::new_gnu();
            header.set_mode(*mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(1);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content.as_bytes())
                .unwrap();
        }
        tar.finish().unwrap();
        let mut image = crate::fixtures::image();
        image.base.suite = "bookworm".into();
        write_layer(&image, &archive, &blob).unwrap();
        let mut layer =
            tar::Archive::new(oci::layer::reader(&blob, Some(Compression::Zstd)).unwrap());
        let mut found = Vec::new();
        for entry in layer.entries().unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.header().mode().unwrap() & 0o6000, 0);
            found.push(entry.path().unwrap().to_string_lossy().into_owned());
        }
        let gone = |path: &String| OTHERS.contains(&path.as_str()) || path == "etc/hostname";
        let mut expected: Vec<String> = entries
            .into_iter()
            .map(|(path, ..)| path[2..].to_owned())
            .collect();
        expected.retain(|path| !gone(path));
        assert_eq!(found, expected);
    }
}
