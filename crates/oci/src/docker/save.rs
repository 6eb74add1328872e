//! Images of the local Docker, as the archive that `docker save` writes: an OCI layout from Docker 25 on, and before
//! that a `manifest.json` with plain tars beside it.

use std::io::{self, BufReader, Read};
use std::pin::Pin;

use anyhow::{Context as _, Error, Result};
use bollard::Docker;
use camino::{Utf8Path, Utf8PathBuf};
use futures_util::io::{AsyncRead, AsyncReadExt as _};
use futures_util::{StreamExt as _, TryStreamExt as _};
use oci_spec::image::ImageConfiguration;
use regular_file::in_root;
use serde::Deserialize;
use sha256::Sha256Hash;
use tokio::runtime::Runtime;

use crate::blob::read;
use crate::docker;
use crate::image::{Image, ImageLayer};
use crate::layout::reader::Layout;
use crate::platform::Platform;
use failure::{corrupt, usage};
use sha256::check_file;

/// Takes the image `name` to the folder `archive`, and reads it there.
pub fn fetch(name: &str, archive: &Utf8Path, platform: &Platform) -> Result<Image> {
    let runtime = docker::runtime()?;
    let docker = runtime.block_on(connect_to(name))?;
    let stream = docker.export_image(name).map_err(io::Error::other);
    let received = Received {
        runtime: &runtime,
        stream: Box::pin(stream.boxed().into_async_read()),
    };
    tar::Archive::new(BufReader::with_capacity(1 << 18, received))
        .unpack(archive)
        .with_context(|| format!("failed to take {name} out of Docker"))?;
    open(archive, platform).with_context(|| format!("Docker's archive of {name} cannot be read"))
}

async fn connect_to(name: &str) -> Result<Docker> {
    let docker = docker::connect().await?;
    match docker.inspect_image(name).await {
        Ok(_) => Ok(docker),
        Err(bollard::errors::Error::DockerResponseServerError {
            status_code: 404, ..
        }) => Err(usage(
            format!("Docker has no image {name}"),
            "`docker images` lists those it has",
        )),
        Err(error) => Err(Error::from(error).context(docker::REACH)),
    }
}

/// What Docker sends, as it comes.
struct Received<'a> {
    runtime: &'a Runtime,
    stream: Pin<Box<dyn AsyncRead + 'a>>,
}

impl Read for Received<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.runtime.block_on(self.stream.read(buffer))
    }
}

/// An image in `manifest.json`; paths are relative to the archive.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: Utf8PathBuf,
    layers: Vec<Utf8PathBuf>,
}

/// The image of an unpacked archive that holds one.
fn open(archive: &Utf8Path, platform: &Platform) -> Result<Image> {
    if archive.join("index.json").is_file() {
        let layout = Layout::open(archive)?;
        return Image::fetch(&layout, layout.find(None, platform)?, platform);
    }
    let images: Vec<Saved> = read(&archive.join("manifest.json"), "list of images")?;
    let [saved] = images.as_slice() else {
        return Err(usage(
            format!("the name stands for {} images", images.len()),
            "name one of them with its tag",
        ));
    };
    // Named by its digest, which is the image ID.
    let id = saved.config.file_stem().unwrap_or_default();
    let id: Sha256Hash = id
        .parse()
        .with_context(|| format!("{} is not named by its digest", saved.config))?;
    let file = checked(archive, &saved.config, &id)?;
    let config: ImageConfiguration = read(&file, "configuration of an image")?;
    let diff_ids = config.rootfs().diff_ids();
    if diff_ids.len() != saved.layers.len() {
        return Err(corrupt(
            format!(
                "the configuration names {} layers, and there are {}",
                diff_ids.len(),
                saved.layers.len()
            ),
            "pull or build the image anew",
        ));
    }
    let layers = saved.layers.iter().zip(diff_ids).map(|(path, diff_id)| {
        let digest = diff_id.strip_prefix("sha256:").unwrap_or(diff_id);
        let digest = digest
            .parse()
            .with_context(|| format!("the layer {diff_id} is not named by a SHA-256 digest"))?;
        let blob = checked(archive, path, &digest)?;
        Ok(ImageLayer {
            size_bytes: fs_err::metadata(&blob)?.len(),
            blob,
            compression: None,
        })
    });
    Ok(Image {
        digest: format!("sha256:{id}"),
        layers: layers.collect::<Result<_>>()?,
        config,
    })
}

/// The file `path` of the archive, its digest checked.
fn checked(archive: &Utf8Path, path: &Utf8Path, digest: &Sha256Hash) -> Result<Utf8PathBuf> {
    let file = in_root::resolve_utf8(archive, path)?;
    let size_bytes = fs_err::metadata(&file)?.len();
    check_file(&file, size_bytes, digest)
        .map_err(|reason| corrupt(reason, "pull or build the image anew"))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(archive: &Utf8Path, path: &str, content: &str) -> Sha256Hash {
        let file = archive.join(path);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, content).unwrap();
        Sha256Hash::of(content.as_bytes())
    }

    fn config(diff_ids: &[Sha256Hash]) -> String {
        let diff_ids: Vec<String> = diff_ids.iter().map(|id| format!("sha256:{id}")).collect();
        serde_json::json!({
            "os": "linux", "architecture": "amd64", "container_config": {},
            "config": {"Env": ["A=b=c"], "Labels": null, "Volumes": null, "OnBuild": null},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        })
        .to_string()
    }

    fn platform() -> Platform {
        Platform {
            os: "linux".into(),
            arch: "amd64".into(),
        }
    }

    /// As Docker 20.10 writes it: the second layer is a link to the same tar.
    fn legacy(archive: &Utf8Path) -> Sha256Hash {
        let layer = write(archive, "one/layer.tar", "tar");
        fs_err::create_dir(archive.join("two")).unwrap();
        std::os::unix::fs::symlink("../one/layer.tar", archive.join("two/layer.tar")).unwrap();
        let text = config(&[layer, layer]);
        let id = Sha256Hash::of(text.as_bytes());
        write(archive, &format!("{id}.json"), &text);
        let manifest = serde_json::json!([{
            "Config": format!("{id}.json"), "RepoTags": ["a:b"],
            "Layers": ["one/layer.tar", "two/layer.tar"],
        }]);
        write(archive, "manifest.json", &manifest.to_string());
        id
    }

    #[test]
    fn a_legacy_archive_is_read_and_its_digests_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Utf8Path::from_path(folder.path()).unwrap();
        let id = legacy(archive);
        let image = open(archive, &platform()).unwrap();
        assert_eq!(image.digest, format!("sha256:{id}"));
        assert_eq!(image.env().collect::<Vec<_>>(), [("A", "b=c")]);
        assert_eq!(image.layers.len(), 2);
        assert_eq!(image.layers[1].size_bytes, 3);

        let layer = Sha256Hash::of(b"tar").to_string();
        write(archive, "one/layer.tar", "tbr");
        let error = open(archive, &platform()).unwrap_err().to_string();
        assert!(error.contains(&layer), "{error}");
    }

    #[test]
    fn a_layout_in_the_archive_is_preferred() {
        let folder = tempfile::tempdir().unwrap();
        let archive = Utf8Path::from_path(folder.path()).unwrap();
        legacy(archive);
        let blob = |content: &str| {
            let digest = Sha256Hash::of(content.as_bytes());
            write(archive, &format!("blobs/sha256/{digest}"), content);
            serde_json::json!({"digest": format!("sha256:{digest}"), "size": content.len()})
        };
        let with_type = |mut blob: serde_json::Value, media_type: &str| {
            blob["mediaType"] = media_type.into();
            blob
        };
        let config = blob(&config(&[Sha256Hash::of(b"tar")]));
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "config": with_type(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [with_type(blob("gz"), "application/vnd.oci.image.layer.v1.tar+gzip")],
        });
        let manifest = with_type(
            blob(&manifest.to_string()),
            "application/vnd.oci.image.manifest.v1+json",
        );
        let index = serde_json::json!({"schemaVersion": 2, "manifests": [manifest]});
        write(archive, "index.json", &index.to_string());
        let image = open(archive, &platform()).unwrap();
        assert_eq!(manifest["digest"], image.digest);
        assert_eq!(
            image.layers[0].compression,
            Some(crate::layer::Compression::Gzip)
        );
    }
}
