//! What is in a layer of a volume, read from the layer of an image.
//!
//! A layer is believed when it has its digest without compression, and no sooner: what was written by then is thrown
//! away otherwise.

use std::io::{self, Read};

use anyhow::{Context as _, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use failure::corrupt;
use gocache::image_info::volume::{self, FOLDER, INFO, SCRIPT};
use gocache::image_info::{IMAGE_INFO_PATH, ImageInfo, PACKS_PATH, is_inside};
use oci::layer::{CompressionSettings, Layer, LayerWriter, reader};
use serde::Serialize;
use sha256::{HashingReader, Sha256Hash};
use tar::{Archive, Entry};

use crate::image_toml::ImageToml;
use crate::names::VERIFIER;
use crate::owners::{Owners, relative};

const TEMPLATE: &str = include_str!("verifier.sh");

/// As much of a digest as tells two verifiers apart.
const DIGEST_CHARACTERS: usize = 16;

/// What is taken from a layer of an image.
#[derive(Debug, Serialize)]
pub enum Content {
    /// The verifier, with the script that starts it, what the volume says of itself, and the folders that every cache
    /// has.
    Verifier(Box<ImageInfo>),
    /// All that it has of caches, and what packs say of themselves.
    Caches,
}

impl Content {
    /// Writes the layer `to`, under the compression of `from`.
    pub fn write(
        &self,
        image: &ImageToml,
        (blob, from): (&Utf8Path, &Layer),
        to: &Utf8Path,
        settings: CompressionSettings,
    ) -> Result<Layer> {
        let place = relative(image.volume_place()?);
        let owners = Owners(image);
        let above = |folder: &Utf8Path| owners.folder(&place.join(folder));
        let mut layer = LayerWriter::create(to, from.compression, settings, above)?;
        match self {
            Self::Caches => each_entry(blob, from, |path, entry| match in_volume(place, path) {
                None => Ok(()),
                Some(_) if entry.link_name()?.is_some() => bail!("{path} is a link"),
                Some(path) => layer.copy_entry(entry, &path),
            })?,
            Self::Verifier(info) => {
                let mut verifier = Vec::new();
                each_entry(blob, from, |path, entry| {
                    if path == relative(Utf8Path::new(VERIFIER)) {
                        entry.read_to_end(&mut verifier)?;
                    }
                    Ok(())
                })?;
                if verifier.is_empty() {
                    bail!("{blob} has no {VERIFIER}");
                }
                let digest = Sha256Hash::of(&verifier).to_string();
                let script = TEMPLATE.replace("DIGEST", &digest[..DIGEST_CHARACTERS]);
                let info = serde_json::to_vec_pretty(info)
                    .context("failed to serialize a volume's description")?;
                for (name, content, is_program) in [
                    (INFO, &info[..], false),
                    (volume::VERIFIER, &verifier, true),
                    (SCRIPT, script.as_bytes(), false),
                ] {
                    let path = Utf8Path::new(FOLDER).join(name);
                    let meta = owners.file(&place.join(&path), is_program);
                    layer.bytes(&path, content, meta)?;
                }
                let below =
                    |cache: &Utf8Path| relative(cache).strip_prefix(place).map(Utf8Path::to_owned);
                for first_byte in 0..=u8::MAX {
                    layer.folder(&below(&image.go.gocache)?.join(format!("{first_byte:02x}")))?;
                }
                layer.folder(&below(&image.go.gomodcache)?)?;
            }
        }
        layer.finish()
    }
}

/// Where something of an image is in a volume; nowhere if it is neither a cache's nor a pack's.
fn in_volume(place: &Utf8Path, path: &Utf8Path) -> Option<Utf8PathBuf> {
    if let Ok(below) = path.strip_prefix(place) {
        return is_inside(below).then(|| below.to_owned());
    }
    let packs = relative(Utf8Path::new(PACKS_PATH));
    let told = relative(Utf8Path::new(IMAGE_INFO_PATH)).parent()?;
    let below = path.strip_prefix(told).ok()?;
    let is_taken = path.starts_with(packs) && is_inside(below);
    is_taken.then(|| Utf8Path::new(FOLDER).join(below))
}

type Layered = HashingReader<io::Take<Box<dyn Read>>>;

/// Hands over each entry of a layer, and makes sure that there was nothing else in it than is known of it.
fn each_entry(
    blob: &Utf8Path,
    layer: &Layer,
    mut take: impl FnMut(&Utf8Path, &mut Entry<'_, Layered>) -> Result<()>,
) -> Result<()> {
    let mut read = || -> Result<Sha256Hash> {
        let tar = reader(blob, Some(layer.compression))?;
        // One byte more than there may be changes the digest.
        let tar = HashingReader::new(tar.take(layer.uncompressed_bytes.saturating_add(1)));
        let mut archive = Archive::new(tar);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let path = Utf8PathBuf::try_from(path).context("a path is not UTF-8")?;
            take(&path, &mut entry)?;
        }
        let mut tar = archive.into_inner();
        io::copy(&mut tar, &mut io::sink())?;
        Ok(tar.finish().0)
    };
    let digest = read().with_context(|| format!("failed to take caches out of {blob}"))?;
    if digest != layer.diff_id {
        return Err(corrupt(
            format!("{blob} does not unpack to what is known of it"),
            "remove it and run the same command again",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::image;
    use oci::layer::{Compression, Meta};
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    const META: Meta = Meta {
        mode: 0o640,
        uid: 7,
        gid: 8,
        mtime: 9,
    };

    /// A layer with these files, each with its path for content, and a link.
    fn layer(folder: &Utf8Path, files: &[&str], link: Option<&str>) -> (Utf8PathBuf, Layer) {
        let blob = folder.join("blob");
        let settings = image().layers;
        let mut layer =
            LayerWriter::create(&blob, Compression::Gzip, settings, |_: &Utf8Path| META).unwrap();
        for file in files {
            layer
                .bytes(Utf8Path::new(file), file.as_bytes(), META)
                .unwrap();
        }
        if let Some(link) = link {
            layer
                .hard_link(Utf8Path::new(link), Utf8Path::new(files[0]), META)
                .unwrap();
        }
        let layer = layer.finish().unwrap();
        (blob, layer)
    }

    fn written(
        content: &Content,
        (blob, layer): &(Utf8PathBuf, Layer),
    ) -> Result<Vec<(String, u64, String)>> {
        let image = image();
        let to = blob.with_extension("volume");
        let made = content.write(&image, (blob, layer), &to, image.layers)?;
        assert_eq!(made.compression, layer.compression);
        let mut tar = Archive::new(reader(&to, Some(made.compression))?);
        let entries = tar.entries()?.map(|entry| {
            let mut entry = entry?;
            let mut text = String::new();
            entry.read_to_string(&mut text)?;
            let path = entry
                .path()?
                .to_string_lossy()
                .trim_end_matches('/')
                .to_owned();
            Ok((path, entry.header().uid()?, text))
        });
        entries.collect()
    }

    fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
        (folder, path)
    }

    const FILES: [&str; 5] = [
        "var/build/ab/abc-d",
        "var/mod/example.com/x@v1.0.0/x.go",
        "opt/iac-runner/programs/civo/one/Pulumi.yaml",
        "usr/local/share/iac-runner/packs/civo.json",
        "usr/local/share/iac-runner/other.json",
    ];

    #[test]
    fn caches_and_what_packs_say_are_taken_with_paths_of_the_volume() {
        let (_guard, folder) = folder();
        // A program is a second name of an entry.
        let from = layer(
            &folder,
            &FILES,
            Some("opt/iac-runner/programs/civo/one/one"),
        );
        let entries = written(&Content::Caches, &from).unwrap();
        let files = entries.into_iter().filter(|(_, _, text)| !text.is_empty());
        let files: Vec<_> = files.collect();
        let expected = [
            ("build/ab/abc-d", FILES[0]),
            ("mod/example.com/x@v1.0.0/x.go", FILES[1]),
            ("iac-runner/packs/civo.json", FILES[3]),
        ];
        assert_eq!(
            files,
            expected.map(|(path, text)| (path.to_owned(), 7, text.to_owned()))
        );
    }

    /// Containers that share a folder for temporary files have processes of the same ID, and one may have been killed.
    #[test]
    fn the_copy_of_another_process_with_the_same_id_is_in_nobodys_way() {
        let (_guard, folder) = folder();
        let (script, verifier) = (folder.join(SCRIPT), folder.join(volume::VERIFIER));
        fs_err::write(&script, TEMPLATE).unwrap();
        fs_err::write(&verifier, "#!/bin/sh\necho \"verifier $*\"\n").unwrap();
        fs_err::set_permissions(&verifier, Permissions::from_mode(0o755)).unwrap();
        let in_the_way = r#"
            own=$TMPDIR/iac-runner-$(id -u)
            mkdir -m 700 "$own" "$own/verifier-DIGEST-$$"
            exec /bin/sh "$0" one
        "#;
        let sh = xshell::Shell::new().unwrap();
        let started = xshell::cmd!(sh, "sh -euc {in_the_way} {script}").env("TMPDIR", &folder);
        assert_eq!(started.read().unwrap(), "verifier one");
    }

    #[test]
    fn what_is_no_cache_is_refused() {
        let (_guard, folder) = folder();
        let linked = layer(&folder, &FILES, Some("var/build/ab/other-d"));
        let error = written(&Content::Caches, &linked).unwrap_err();
        assert!(
            format!("{error:#}").contains("var/build/ab/other-d is a link"),
            "{error:#}"
        );
        let (blob, mut known) = layer(&folder, &FILES, None);
        for changed in [known.uncompressed_bytes, known.uncompressed_bytes - 1, 600] {
            known.uncompressed_bytes = changed;
            known.diff_id = Sha256Hash::of(b"another layer");
            assert!(
                written(&Content::Caches, &(blob.clone(), known.clone())).is_err(),
                "{changed}"
            );
        }
        let (blob, mut known) = layer(&folder, &FILES, None);
        known.diff_id = Sha256Hash::of(b"another layer");
        let error = written(&Content::Caches, &(blob, known)).unwrap_err();
        assert_eq!(
            failure::kind(&error, &[]),
            failure::Kind::Corrupt,
            "{error:#}"
        );
    }
}
