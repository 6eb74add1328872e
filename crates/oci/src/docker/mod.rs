//! The local Docker: reaching it, and handing it images.

pub mod save;

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::ImportImageOptions;
use futures_util::{TryStreamExt as _, stream};
use serde_json::{Value, json};
use sha256::Sha256Hash;
use tar::{EntryType, Header};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::layer::{self, LayerBlob};

/// Docker before 25 writes a whole archive to its disk before it answers.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// What to do where no daemon answers.
pub const REACH: &str = "failed to reach Docker; check that its daemon runs (`docker info`), or name it by \
                         DOCKER_HOST";

/// What speaks to Docker, for one conversation.
pub fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start what speaks to Docker")
}

/// The daemon that the environment names.
pub async fn connect() -> Result<Docker> {
    let docker = Docker::connect_with_defaults().context(REACH)?;
    let docker = docker.with_timeout(TIMEOUT).negotiate_version().await;
    docker.context(REACH)
}

/// An image to be loaded.
#[derive(Debug)]
pub struct Loadable<'a> {
    /// Repository and tag.
    pub name: String,
    /// Its configuration.
    pub config: Value,
    /// Its layers, the lowest first.
    pub layers: Vec<&'a LayerBlob>,
}

/// Hands Docker images that it does not have.
pub fn load(images: &[Loadable<'_>]) -> Result<()> {
    let runtime = runtime()?;
    let docker = runtime.block_on(connect())?;
    let mut missing = Vec::new();
    for image in images {
        let config = serde_json::to_vec(&image.config)
            .context("failed to serialize an image's configuration")?;
        let id = Sha256Hash::of(&config);
        let there = match runtime.block_on(docker.inspect_image(&image.name)) {
            Ok(there) => there.id == Some(format!("sha256:{id}")),
            Err(Error::DockerResponseServerError {
                status_code: 404, ..
            }) => false,
            Err(error) => return Err(error).context(REACH),
        };
        if !there {
            missing.push((image, id, config));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let (sender, receiver) = mpsc::channel::<Vec<u8>>(16);
    let body = stream::unfold(receiver, |mut receiver| async {
        let chunk = receiver.recv().await?;
        Some((Ok(chunk.into()), receiver))
    });
    let (loaded, written) = std::thread::scope(|scope| {
        let writing = scope.spawn(|| write_archive(&missing, Sender(sender)));
        let options = ImportImageOptions::default();
        let loading = docker.import_image(options, bollard::body_try_stream(body), None);
        let loaded = runtime.block_on(loading.try_for_each(|_| async { Ok(()) }));
        (loaded, writing.join())
    });
    let written = written.map_err(|_| anyhow!("what sends images to Docker stopped"));
    let written = written.and_then(|written| written);
    match (loaded, written) {
        (Ok(()), written) => written,
        (Err(refused), Ok(())) => Err(refused).context("Docker failed to load an image"),
        // Each may be the other's cause.
        (Err(refused), Err(error)) => {
            Err(error.context(format!("Docker failed to load an image: {refused}")))
        }
    }
}

/// Where the archive goes, chunk by chunk.
struct Sender(mpsc::Sender<Vec<u8>>);

impl Write for Sender {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(data.to_vec());
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The archive that every version of Docker loads: `manifest.json`, and each layer as a plain tar.
fn write_archive(
    images: &[(&Loadable<'_>, Sha256Hash, Vec<u8>)],
    sender: impl Write,
) -> Result<()> {
    let buffer = io::BufWriter::with_capacity(1 << 20, sender);
    let mut archive = tar::Builder::new(buffer);
    let mut put = |path: &str, size: u64, content: &mut dyn io::Read| {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_size(size);
        let appended = archive.append_data(&mut header, path, content);
        appended.with_context(|| format!("failed to send {path} to Docker"))
    };
    let path = |layer: &LayerBlob| format!("{}/layer.tar", layer.layer.diff_id);
    let mut sent = Vec::new();
    for layer in images.iter().flat_map(|(image, ..)| &image.layers) {
        let path = path(layer);
        if !sent.contains(&path) {
            let mut tar = layer::reader(&layer.blob, Some(layer.layer.compression))?;
            put(&path, layer.layer.uncompressed_bytes, &mut tar)?;
            sent.push(path);
        }
    }
    let mut manifest = Vec::new();
    for (image, id, config) in images {
        let file = format!("{id}.json");
        put(&file, config.len() as u64, &mut config.as_slice())?;
        let layers: Vec<String> = image.layers.iter().map(|layer| path(layer)).collect();
        manifest.push(json!({"Config": file, "RepoTags": [image.name], "Layers": layers}));
    }
    let manifest = serde_json::to_vec(&manifest).context("failed to describe an archive")?;
    put(
        "manifest.json",
        manifest.len() as u64,
        &mut manifest.as_slice(),
    )?;
    let mut buffer = archive.into_inner().context("failed to send to Docker")?;
    buffer.flush().context("failed to send to Docker")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Compression, Layer};
    use camino::Utf8Path;

    #[test]
    fn images_share_the_layers_of_their_archive() {
        let folder = tempfile::tempdir().unwrap();
        let blob = Utf8Path::from_path(folder.path()).unwrap().join("blob");
        fs_err::write(&blob, zstd::encode_all(&b"tar"[..], 1).unwrap()).unwrap();
        let hash = Sha256Hash::of(b"tar");
        let layer = LayerBlob {
            blob,
            layer: Layer {
                compression: Compression::Zstd,
                digest: hash,
                size_bytes: 0,
                diff_id: hash,
                uncompressed_bytes: 3,
            },
        };
        let images = ["one", "two"].map(|name| Loadable {
            name: name.into(),
            config: json!({"name": name}),
            layers: vec![&layer],
        });
        let missing: Vec<_> = images
            .iter()
            .map(|image| {
                let config = image.config.to_string().into_bytes();
                (image, Sha256Hash::of(&config), config)
            })
            .collect();
        let mut written = Vec::new();
        write_archive(&missing, &mut written).unwrap();
        let mut archive = tar::Archive::new(written.as_slice());
        let mut paths = Vec::new();
        let mut manifest = Value::Null;
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            if path == "manifest.json" {
                manifest = serde_json::from_reader(&mut entry).unwrap();
            }
            paths.push(path);
        }
        assert_eq!(paths.len(), 4);
        let file = format!("{hash}/layer.tar");
        assert_eq!(paths[0], file);
        assert_eq!(manifest[0]["RepoTags"], json!(["one"]));
        assert_eq!(manifest[1]["Layers"], json!([file]));
    }
}
