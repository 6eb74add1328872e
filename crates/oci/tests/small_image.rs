//! A small image, from its files to its layout and back: the same input gives the same bytes, down to the digests that
//! stand in the snapshots.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use oci::image::Image;
use oci::layer::{Compression, CompressionSettings, Layer, LayerWriter, Meta, transcode};
use oci::layout::reader::Layout;
use oci::layout::writer::LayoutWriter;
use oci::platform::Platform;
use oci::unpack::limits::Limits;
use oci::unpack::unpack;
use oci_spec::image::{
    Arch, ConfigBuilder, Descriptor, ImageConfigurationBuilder, ImageManifestBuilder, MediaType,
    Os, PlatformBuilder, RootFsBuilder,
};
use serde_json::Value;

const SETTINGS: CompressionSettings = CompressionSettings {
    zstd_level: 3,
    zstd_window_log: 20,
    zstd_table_log: 16,
    gzip_level: 6,
};
const FILE: Meta = Meta {
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: 2_114_380_800,
};

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let guard = tempfile::tempdir().unwrap();
    let folder = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
    (guard, folder)
}

fn write(folder: &Utf8Path, name: &str, compression: Compression) -> Layer {
    let source = folder.join("source");
    fs_err::write(&source, "content").unwrap();
    let meta = |_: &Utf8Path| Meta {
        mode: 0o775,
        uid: 0,
        gid: 0,
        mtime: 1_735_689_600,
    };
    let mut layer = LayerWriter::create(&folder.join(name), compression, SETTINGS, meta).unwrap();
    let (digest, size) = layer
        .file(Utf8Path::new("var/cache/a"), &source, FILE)
        .unwrap();
    assert_eq!(
        (digest, size),
        sha256::hash_reader(&b"content"[..]).unwrap()
    );
    let long = format!("var/cache/{}/b", "x".repeat(150));
    layer.bytes(Utf8Path::new(&long), b"more", FILE).unwrap();
    layer.finish().unwrap()
}

#[test]
fn the_same_input_gives_the_same_bytes_and_unpacks() {
    let (_guard, folder) = folder();
    for compression in [Compression::Zstd, Compression::Gzip] {
        let layer = write(&folder, "one", compression);
        assert_eq!(layer, write(&folder, "two", compression));
        let found = sha256::hash_file(&folder.join("one")).unwrap();
        assert_eq!((layer.digest, layer.size_bytes), found);

        let root = folder.join(format!("{compression:?}"));
        fs_err::create_dir(&root).unwrap();
        let limits = Limits::exactly(layer.uncompressed_bytes);
        let unpacked = unpack(&folder.join("one"), Some(compression), &root, limits).unwrap();
        assert_eq!(unpacked, layer.uncompressed_bytes);
        let file = root.join("var/cache/a");
        assert_eq!(fs_err::read_to_string(&file).unwrap(), "content");
        let file = fs_err::metadata(file).unwrap();
        assert_eq!((file.mtime(), file.mode() & 0o777), (2_114_380_800, 0o644));
        let above = fs_err::metadata(root.join("var/cache")).unwrap();
        assert_eq!(above.mode() & 0o777, 0o775);
    }
}

#[test]
fn transcoding_keeps_the_tar() {
    let (_guard, folder) = folder();
    let zstd = write(&folder, "zstd", Compression::Zstd);
    let (from, to) = (folder.join("zstd"), folder.join("gzip"));
    let gzip = transcode(&from, &zstd, &to, Compression::Gzip, SETTINGS).unwrap();
    assert_eq!(
        (gzip.diff_id, gzip.uncompressed_bytes),
        (zstd.diff_id, zstd.uncompressed_bytes)
    );
    assert_ne!(gzip.digest, zstd.digest);
}

/// A layout of one image of one layer.
fn layout(folder: &Utf8Path) -> Utf8PathBuf {
    let layer = write(folder, "layer", Compression::Zstd);
    let target = folder.join("oci");
    let mut layout = LayoutWriter::create(&target).unwrap();
    let rootfs = RootFsBuilder::default()
        .diff_ids(vec![format!("sha256:{}", layer.diff_id)])
        .build();
    let runtime = ConfigBuilder::default()
        .env(vec!["PATH=/usr/bin".to_owned()])
        .cmd(vec!["/usr/bin/tool".to_owned()])
        .build();
    let config = ImageConfigurationBuilder::default()
        .os(Os::Linux)
        .architecture(Arch::Amd64)
        .config(runtime.unwrap())
        .rootfs(rootfs.unwrap())
        .build();
    let config = layout.json(MediaType::ImageConfig, &config.unwrap());
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(config.unwrap())
        .layers(vec![layout.link(&layer, &folder.join("layer")).unwrap()])
        .build();
    let platform = PlatformBuilder::default()
        .os(Os::Linux)
        .architecture(Arch::Amd64)
        .build();
    layout
        .manifest("small", &manifest.unwrap(), Some(platform.unwrap()))
        .unwrap();
    layout.finish().unwrap();
    target
}

#[test]
fn a_layout_names_its_image_and_the_image_its_parts() {
    let (_guard, folder) = folder();
    let layout = layout(&folder);
    let read = |path: &str| fs_err::read(layout.join(path)).unwrap();
    let json = |path: &str| serde_json::from_slice::<Value>(&read(path)).unwrap();
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().unwrap();
        json(&digest.replace("sha256:", "blobs/sha256/"))
    };
    let index = json("index.json");
    let manifest = blob(&index["manifests"][0]);
    let config = blob(&manifest["config"]);
    insta::assert_json_snapshot!("index", index);
    insta::assert_json_snapshot!("manifest", manifest);
    insta::assert_json_snapshot!("config", config);
    assert_eq!(read("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#);
}

#[test]
fn an_image_is_read_as_it_was_written_and_no_damaged_blob_is() {
    let (_guard, folder) = folder();
    let layout = Layout::open(&layout(&folder)).unwrap();
    let platform = Platform {
        os: "linux".into(),
        arch: "amd64".into(),
    };
    let descriptor: &Descriptor = layout.find(Some("small"), &platform).unwrap();
    let image = Image::fetch(&layout, descriptor, &platform).unwrap();
    assert_eq!(image.digest, descriptor.digest().to_string());
    assert_eq!(image.env().collect::<Vec<_>>(), [("PATH", "/usr/bin")]);
    let [layer] = image.layers.as_slice() else {
        panic!("{image:?}");
    };
    assert_eq!(layer.compression, Some(Compression::Zstd));

    let mut content = fs_err::read(&layer.blob).unwrap();
    content[10] ^= 1;
    fs_err::write(&layer.blob, content).unwrap();
    let error = Image::fetch(&layout, descriptor, &platform).unwrap_err();
    assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
}
