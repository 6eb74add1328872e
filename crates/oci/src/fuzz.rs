//! Layers, documents and names that are almost right: each is taken or refused, never a crash, and what is promised of
//! those that are taken holds for these as well.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use camino::{Utf8Path, Utf8PathBuf};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use sha256::Sha256Hash;
use tar::{EntryType, Header};
use walkdir::WalkDir;

use crate::image::Image;
use crate::layer::Compression;
use crate::layout::reader::Layout;
use crate::platform::Platform;
use crate::reference::{ImageReference, names_a_host, repository};
use crate::unpack::limits::Limits;
use crate::unpack::unpack;
use mutation::{mutated, mutated_text};

/// What a layer may unpack to here.
const MAX_BYTES: u64 = 1 << 20;

/// Names that lead out, hide, or are only odd, beside ordinary ones.
const NAMES: [&str; 18] = [
    "a",
    "a/b",
    "a/b/c",
    "d",
    "d/e",
    "./f",
    "../out",
    "a/../../out",
    "/absolute",
    "link",
    "link/below",
    "a/.wh.b",
    ".wh.a",
    "a/.wh..wh..opq",
    ".wh.",
    ".wh...",
    "",
    "/",
];

#[derive(Debug, Clone)]
struct TarEntry {
    kind: EntryType,
    name: &'static str,
    target: &'static str,
    mode: u32,
    content: Vec<u8>,
}

fn tar_entry() -> impl Strategy<Value = TarEntry> {
    let kinds = vec![
        EntryType::Regular,
        EntryType::Regular,
        EntryType::Directory,
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Fifo,
        EntryType::XHeader,
        EntryType::GNULongName,
        EntryType::GNUSparse,
    ];
    let modes = select(vec![0o644, 0o755, 0o4755, 0o2755, 0o1777, 0, 0o7777]);
    let parts = (
        select(kinds),
        select(&NAMES[..]),
        select(&NAMES[..]),
        modes,
        vec(any::<u8>(), 0..700),
    );
    parts.prop_map(|(kind, name, target, mode, content)| TarEntry {
        kind,
        name,
        target,
        mode,
        content,
    })
}

/// The tar of these entries, as the format has it, whatever they are called.
fn tar(entries: &[TarEntry]) -> Vec<u8> {
    let mut tar = Vec::new();
    for entry in entries {
        let is_link = matches!(entry.kind, EntryType::Symlink | EntryType::Link);
        let content: &[u8] = if is_link || entry.kind == EntryType::Directory {
            &[]
        } else {
            &entry.content
        };
        let mut header = Header::new_gnu();
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_uid(u64::from(rustix::process::getuid().as_raw()));
        header.set_gid(u64::from(rustix::process::getgid().as_raw()));
        header.set_mtime(1);
        header.set_size(content.len() as u64);
        let raw = header.as_old_mut();
        raw.name[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
        if is_link {
            raw.linkname[..entry.target.len()].copy_from_slice(entry.target.as_bytes());
        }
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        tar.extend_from_slice(content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn compressed(tar: &[u8], compression: Option<Compression>) -> Vec<u8> {
    use std::io::Write as _;
    match compression {
        None => tar.to_vec(),
        Some(Compression::Zstd) => zstd::encode_all(tar, 1).unwrap(),
        Some(Compression::Gzip) => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(tar).unwrap();
            gzip.finish().unwrap()
        }
    }
}

/// A blob, and how it is said to be compressed: faults in the tar, in what is compressed, or in what is said.
fn layer() -> impl Strategy<Value = (Vec<u8>, Option<Compression>)> {
    let ways = vec![None, Some(Compression::Zstd), Some(Compression::Gzip)];
    let tars = || vec(tar_entry(), 0..8).prop_map(|entries| tar(&entries));
    let of_tar =
        (mutated(tars()), select(ways.clone())).prop_map(|(tar, how)| (compressed(&tar, how), how));
    let of_blob = select(ways.clone()).prop_flat_map(move |how| {
        let blob = tars().prop_map(move |tar| compressed(&tar, how));
        (mutated(blob), select(ways.clone()))
    });
    prop_oneof![3 => of_tar, 1 => of_blob]
}

/// Every file below `root` by its path from there, with its content if this user may read it.
fn files(root: &Utf8Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let entries = WalkDir::new(root).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    let read = files.map(|entry| {
        let path = entry.path().strip_prefix(root).unwrap().to_owned();
        (path, fs_err::read(entry.path()).ok())
    });
    read.collect()
}

fn temporary() -> (tempfile::TempDir, Utf8PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = Utf8PathBuf::from_path_buf(folder.path().to_owned()).unwrap();
    (folder, path)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_layer_stays_in_its_folder_and_within_its_limits((blob, compression) in layer()) {
        let (_guard, folder) = temporary();
        let (root, file, beside) = (folder.join("root"), folder.join("blob"), folder.join("out"));
        fs_err::create_dir(&root).unwrap();
        fs_err::write(&file, &blob).unwrap();
        fs_err::write(&beside, "beside").unwrap();
        let said = unpack(&file, compression, &root, Limits::exactly(MAX_BYTES));
        let mut bytes = 0;
        for entry in WalkDir::new(&root).into_iter().flatten() {
            let there = entry.path().symlink_metadata().unwrap();
            let kind = there.file_type();
            prop_assert!(kind.is_file() || kind.is_dir() || kind.is_symlink(), "{}", entry.path().display());
            prop_assert_eq!(there.permissions().mode() & 0o6000, 0);
            // A second link to a file is none of the layer's bytes.
            bytes += if kind.is_file() { there.len() / there.nlink() } else { 0 };
        }
        prop_assert!(bytes <= MAX_BYTES, "{} bytes", bytes);
        let mut names: Vec<_> = folder.read_dir_utf8().unwrap().map(|it| it.unwrap().file_name().to_owned()).collect();
        names.sort();
        prop_assert_eq!(names, ["blob", "out", "root"]);
        prop_assert_eq!(fs_err::read_to_string(&beside).unwrap(), "beside");
        prop_assert_eq!(beside.metadata().unwrap().nlink(), 1);
        if let Ok(unpacked) = said {
            prop_assert!(unpacked <= MAX_BYTES);
            let before = files(&root);
            // What was taken is taken again, and gives the same.
            let again = folder.join("again");
            fs_err::create_dir(&again).unwrap();
            prop_assert_eq!(unpack(&file, compression, &again, Limits::exactly(MAX_BYTES)).unwrap(), unpacked);
            prop_assert_eq!(before, files(&again));
        }
    }

    #[test]
    fn an_ordinary_layer_comes_back_as_it_was(
        contents in proptest::collection::btree_map("[a-c]{1,3}/[a-zé ]{1,8}", vec(any::<u8>(), 0..2000), 0..8)
    ) {
        let (_guard, folder) = temporary();
        let (root, file) = (folder.join("root"), folder.join("blob"));
        fs_err::create_dir(&root).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in &contents {
            let mut header = Header::new_gnu();
            header.set_mode(0o644);
            header.set_uid(u64::from(rustix::process::getuid().as_raw()));
            header.set_gid(u64::from(rustix::process::getgid().as_raw()));
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, &content[..]).unwrap();
        }
        let tar = tar.into_inner().unwrap();
        fs_err::write(&file, compressed(&tar, Some(Compression::Zstd))).unwrap();
        let size = unpack(&file, Some(Compression::Zstd), &root, Limits::exactly(tar.len() as u64)).unwrap();
        prop_assert_eq!(size, tar.len() as u64);
        let expected = contents.into_iter().map(|(path, content)| (path.into(), Some(content)));
        let expected: BTreeMap<PathBuf, _> = expected.collect();
        prop_assert_eq!(files(&root), expected);
        let error = unpack(&file, Some(Compression::Zstd), &root, Limits::exactly(tar.len() as u64 - 1)).unwrap_err();
        prop_assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
    }

    #[test]
    fn a_layout_is_read_or_refused_by_name(
        which in 0..3_usize,
        documents in documents(),
    ) {
        let (_guard, folder) = temporary();
        let layout = written(&folder, &documents, which);
        let platform = Platform { os: "linux".into(), arch: "amd64".into() };
        let image = Layout::open(&layout)
            .and_then(|layout| Image::fetch(&layout, &layout.find(Some("latest"), &platform)?.clone(), &platform));
        match image {
            Ok(image) => {
                // Whoever changed it said so everywhere: a blob is what its descriptor says.
                for layer in &image.layers {
                    prop_assert_eq!(fs_err::metadata(&layer.blob).unwrap().len(), layer.size_bytes);
                }
            }
            Err(error) => {
                let said = failure::text(&error);
                prop_assert!(!said.is_empty());
                prop_assert!(!said.lines().any(|line| line.chars().any(failure::is_hidden)), "{said:?}");
            }
        }
    }

    #[test]
    fn a_name_is_read_and_shown_as_it_was_read(text in mutated_text(name())) {
        if let Ok(reference) = ImageReference::parse(&text, |folder| folder == "folder") {
            let shown = reference.to_string();
            let again = ImageReference::parse(&shown, |folder| folder == "folder").unwrap();
            prop_assert_eq!(&again, &reference, "{:?} is shown as {:?}", text, shown);
            if let ImageReference::Registry(_) = reference {
                prop_assert!(names_a_host(&text));
            }
        }
        if let Ok(reference) = repository(&text) {
            prop_assert_eq!(format!("{}/{}", reference.registry(), reference.repository()), text);
        }
    }
}

/// Names of images of every kind.
fn name() -> impl Strategy<Value = String> {
    let digest = Sha256Hash::of(b"x");
    let names = vec![
        "folder".to_owned(),
        "folder:latest".to_owned(),
        "docker:name:tag".to_owned(),
        "registry.test/a/b:v1.2.3".to_owned(),
        "localhost:5000/a".to_owned(),
        format!("registry.test:443/a/b@sha256:{digest}"),
        format!("127.0.0.1:5000/a:tag@sha256:{digest}"),
    ];
    select(names)
}

/// The texts of an index, a manifest and a configuration, of which one has faults.
fn documents() -> impl Strategy<Value = String> {
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Env": ["PATH=/bin"], "User": "1"},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", Sha256Hash::of(b"layer"))]},
        "history": [{"created_by": "x"}],
    });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config.to_string()),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", "layer")],
    });
    let mut named = descriptor(
        "application/vnd.oci.image.manifest.v1+json",
        &manifest.to_string(),
    );
    named["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    let index = json!({"schemaVersion": 2, "manifests": [named]});
    mutated_text(select(
        [index, manifest, config].map(|it| it.to_string()).to_vec(),
    ))
}

fn descriptor(media_type: &str, content: &str) -> Value {
    let digest = Sha256Hash::of(content.as_bytes());
    json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len()})
}

/// A layout in which `changed` stands for the configuration, the manifest or the index, and descriptors lead to it.
fn written(folder: &Utf8Path, changed: &str, which: usize) -> Utf8PathBuf {
    let layout = folder.join("layout");
    let blobs = layout.join("blobs/sha256");
    fs_err::create_dir_all(&blobs).unwrap();
    let put = |content: &str| {
        let digest = Sha256Hash::of(content.as_bytes());
        fs_err::write(blobs.join(digest.to_string()), content).unwrap();
    };
    put("layer");
    let config = if which == 0 {
        changed
    } else {
        "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}}"
    };
    put(config);
    let manifest = json!({
        "schemaVersion": 2,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", "layer")],
    });
    let manifest = if which == 1 {
        changed.to_owned()
    } else {
        manifest.to_string()
    };
    put(&manifest);
    let mut named = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
    named["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
    let index = json!({"schemaVersion": 2, "manifests": [named]}).to_string();
    let index = if which == 2 { changed } else { &index };
    fs_err::write(layout.join("index.json"), index).unwrap();
    fs_err::write(
        layout.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    layout
}
