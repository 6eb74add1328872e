//! An image of one file: written into a layout, read back, and pushed to the reference that is the argument.

use anyhow::{Context as _, Result};
use camino::Utf8Path;
use oci::blob::Blobs as _;
use oci::events::Silent;
use oci::image::Image;
use oci::layer::{Compression, CompressionSettings, LayerWriter, Meta};
use oci::layout::{reader::Layout, writer::LayoutWriter};
use oci::platform::Platform;
use oci::reference::LATEST;
use oci::registry::Registry;
use oci_spec::distribution::Reference;
use oci_spec::image::{ImageConfigurationBuilder, ImageManifestBuilder, MediaType, RootFsBuilder};

fn main() -> Result<()> {
    let reference = std::env::args().nth(1);
    let reference: Reference = reference.context("name HOST/REPOSITORY:TAG")?.parse()?;
    let folder = tempfile::tempdir()?;
    let folder = Utf8Path::from_path(folder.path()).context("a path that is not UTF-8")?;

    let settings = CompressionSettings {
        zstd_level: 3,
        zstd_window_log: 20,
        zstd_table_log: 16,
        gzip_level: 6,
    };
    let meta = |mode| Meta {
        mode,
        uid: 0,
        gid: 0,
        mtime: 0,
    };
    let blob = folder.join("layer");
    let mut layer = LayerWriter::create(&blob, Compression::Zstd, settings, |_| meta(0o755))?;
    layer.bytes("etc/motd".into(), b"hello\n", meta(0o644))?;
    let layer = layer.finish()?;

    let mut layout = LayoutWriter::create(&folder.join("oci"))?;
    let rootfs = RootFsBuilder::default().diff_ids(vec![format!("sha256:{}", layer.diff_id)]);
    let config = ImageConfigurationBuilder::default().rootfs(rootfs.build()?);
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(layout.json(MediaType::ImageConfig, &config.build()?)?)
        .layers(vec![layout.link(&layer, &blob)?])
        .build()?;
    layout.manifest(LATEST, &manifest, None)?;
    layout.finish()?;

    let layout = Layout::open(&folder.join("oci"))?;
    let platform = Platform::host();
    let descriptor = layout.find(None, &platform)?;
    let image = Image::fetch(&layout, descriptor, &platform)?;
    println!("{} has {} layer", image.digest, image.layers.len());

    let registry = Registry::open(&reference, false, folder.to_owned(), &Silent)?;
    for blob in manifest.layers().iter().chain([manifest.config()]) {
        registry.push_blob(blob, &layout.fetch(blob)?, None)?;
    }
    let content = fs_err::read(layout.fetch(descriptor)?)?;
    let tag = reference.tag().unwrap_or(LATEST);
    registry.push_manifest(&content, descriptor.media_type(), tag)?;
    println!("{reference} is {}", registry.find()?.digest());
    Ok(())
}
