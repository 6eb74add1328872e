//! Layers with executables in them, as files and packed.

use camino::Utf8Path;
use gocache::Store;
use gocache::executables::{self, Linked as InCache};
use gocache::image_info::EXECUTABLES_PATH;
use oci::layer::{Compression, CompressionSettings, LayerWriter, Meta};

use super::go_binary::tests::{MODULES, written};
use super::*;

const META: Meta = Meta {
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: 0,
};

/// An executable of which nothing is known but what is in its section `name`.
fn elf(name: &str, content: &[u8]) -> Vec<u8> {
    const HEADER: usize = 64;
    let names = format!("\0{name}\0");
    let place = HEADER + content.len();
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(16, 0);
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend([0; 16]);
    elf.extend((place + names.len()).to_le_bytes());
    elf.extend([0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 64, 0, 3, 0, 2, 0]);
    elf.extend(content);
    elf.extend(names.as_bytes());
    elf.extend([0; 64]);
    // Of bytes that mean nothing but themselves, and of names.
    for (name, kind, offset, size) in [
        (1_u32, 1_u32, HEADER, content.len()),
        (0, 3, place, names.len()),
    ] {
        elf.extend([name.to_le_bytes(), kind.to_le_bytes()].concat());
        elf.extend([0; 16]);
        elf.extend([offset.to_le_bytes(), size.to_le_bytes()].concat());
        elf.extend([0; 24]);
    }
    elf
}

struct Fixture(tempfile::TempDir);

impl Fixture {
    fn folder(&self) -> &Utf8Path {
        Utf8Path::from_path(self.0.path()).unwrap()
    }

    /// A layer of these files, with their modes, and of a second name of the first one.
    fn layer(&self, files: &[(&str, &[u8], u32)]) -> Result<ImageLayer> {
        let blob = self.folder().join("layer");
        let settings = CompressionSettings {
            zstd_level: 1,
            zstd_window_log: 20,
            zstd_table_log: 18,
            gzip_level: 1,
        };
        let mut layer =
            LayerWriter::create(&blob, Compression::Zstd, settings, |_: &Utf8Path| META)?;
        for (path, content, mode) in files {
            let meta = Meta {
                mode: *mode,
                ..META
            };
            layer.bytes(Utf8Path::new(path), content, meta)?;
        }
        layer.hard_link("opt/second".into(), files[0].0.into(), META)?;
        Ok(ImageLayer {
            compression: Some(Compression::Zstd),
            size_bytes: layer.finish()?.size_bytes,
            blob,
        })
    }

    /// What is in such a layer.
    fn inventory(&self, files: &[(&str, &[u8], u32)]) -> Result<Inventory> {
        let layer = self.layer(files)?;
        let limits = Limits::of_image(layer.size_bytes, self.folder())?;
        Inventory::of(&layer, &Places::default(), limits, self.folder())
    }
}

#[test]
fn executables_are_found_as_files_and_packed_and_what_is_damaged_is_refused() {
    let fixture = Fixture(tempfile::tempdir().unwrap());
    let [one, two] = ["go1.27.4", "go1.27.5"].map(|go| elf(".go.buildinfo", &written(go, MODULES)));
    let store = Store::create(&fixture.folder().join("cache")).unwrap();
    let (action, size) = (Sha256Hash::of(b"link"), two.len() as u64);
    let packed = InCache {
        program: "apis/two/pulumi".into(),
        entry: store.put_reader(&action, None, size, &two[..], 0).unwrap(),
    };
    let data = fixture.folder().join("data");
    let index = executables::pack(&store, &[packed], 1, &data)
        .unwrap()
        .to_json();
    let mut data = fs_err::read(data).unwrap();
    let place = |name: &str| format!("{}/{name}", &EXECUTABLES_PATH[1..]);
    let found = |data: &[u8]| {
        let (json, zst) = (place("civo.json"), place("civo.zst"));
        fixture.inventory(&[
            ("usr/bin/one", &one, 0o755),
            ("usr/share/no-program", &one, 0o644),
            ("usr/bin/script", b"#!/bin/sh\n", 0o755),
            (&json, &index, 0o644),
            (&zst, data, 0o644),
        ])
    };
    let executables = found(&data).unwrap().executables;
    let told = |executable: &Executable| match &executable.linked {
        Linked::Go(info) => (info.go.clone(), info.modules().count()),
        Linked::Rust(_) => panic!("it is of Go"),
    };
    let [file, packed] = &executables[..] else {
        panic!("{executables:?}");
    };
    assert_eq!(file.paths, ["usr/bin/one", "opt/second"]);
    assert_eq!(
        (file.sha256, told(file)),
        (Sha256Hash::of(&one), ("1.27.4".into(), 4))
    );
    assert_eq!(packed.paths, [place("civo.zst:apis/two/pulumi").as_str()]);
    assert_eq!(
        (packed.sha256, told(packed)),
        (Sha256Hash::of(&two), ("1.27.5".into(), 4))
    );
    *data.last_mut().unwrap() ^= 1;
    let error = found(&data).unwrap_err();
    assert_eq!(
        failure::kind(&error, &[]),
        failure::Kind::Corrupt,
        "{error:#}"
    );
}

#[test]
fn a_debian_package_has_the_digest_of_its_archive_wherever_the_list_of_them_is() {
    let fixture = Fixture(tempfile::tempdir().unwrap());
    let digest = Sha256Hash::of(b"archive");
    let status = "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n";
    let list =
        format!("linux/amd64 a all 1 sha256:{digest}\nlinux/amd64 b all 1 sha256:{digest}\n");
    let [status, list] = [
        (DPKG_STATUS, status.as_bytes(), 0o644),
        (&BASE_PACKAGES_PATH[1..], list.as_bytes(), 0o644),
    ];
    for files in [[status, list], [list, status]] {
        let [package] = &fixture.inventory(&files).unwrap().debian[..] else {
            panic!("there is one package");
        };
        assert_eq!(
            (package.name.as_str(), package.archive),
            ("a", Some(digest))
        );
    }
    let without = fixture.inventory(&[status]).unwrap();
    assert_eq!(without.debian[0].archive, None);
    assert!(fixture.inventory(&[(list.0, b"a all 1", 0o644)]).is_err());
}

fn is_corrupt(error: &anyhow::Error, reason: &str) {
    let said = failure::text(error);
    assert_eq!(failure::kind(error, &[]), failure::Kind::Corrupt, "{said}");
    assert!(said.contains(reason), "{said}");
}

#[test]
fn the_layers_of_an_image_have_together_no_more_than_the_image_may() {
    let fixture = Fixture(tempfile::tempdir().unwrap());
    let zeros = vec![0; 600_000];
    let files: [(&str, &[u8], u32); 1] = [("usr/share/zeros", &zeros, 0o644)];
    let layers = [(), ()].map(|()| fixture.layer(&files).unwrap());
    let found = |layers: &[ImageLayer]| {
        let limits = Limits::exactly(1_000_000);
        Inventory::of_all(layers, &Places::default(), limits, fixture.folder())
    };
    for layer in layers.chunks(1) {
        assert_eq!(found(layer).unwrap(), [Inventory::default()]);
    }
    is_corrupt(&found(&layers).unwrap_err(), "it unpacks to more than");
}

#[test]
fn no_hash_is_longer_than_a_hash() {
    let fixture = Fixture(tempfile::tempdir().unwrap());
    let places = Places {
        gomodcache: Some("cache".into()),
        goroot: None,
    };
    let found = |bytes: usize| {
        let file = "cache/cache/download/x.test/one/@v/v1.0.0.ziphash";
        let layer = fixture.layer(&[(file, &vec![b'='; bytes], 0o644)])?;
        let limits = Limits::exactly(1 << 20);
        Inventory::of(&layer, &places, limits, fixture.folder())
    };
    assert_eq!(found(1024).unwrap().hashes.len(), 1);
    is_corrupt(&found(1025).unwrap_err(), "more than 1024 bytes");
}

#[test]
fn an_executable_that_is_too_large_to_hold_is_not_read() {
    let fixture = Fixture(tempfile::tempdir().unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_path("usr/bin/one").unwrap();
    header.set_mode(0o755);
    header.set_size((512 << 20) + 1);
    header.set_cksum();
    let blob = fixture.folder().join("layer");
    fs_err::write(&blob, [header.as_bytes().as_slice(), b"\x7fELF"].concat()).unwrap();
    let layer = ImageLayer {
        blob,
        compression: None,
        size_bytes: 1,
    };
    let limits = Limits::exactly(1 << 40);
    let found = Inventory::of(&layer, &Places::default(), limits, fixture.folder());
    is_corrupt(&found.unwrap_err(), "more than 536870912 bytes");
}

#[test]
fn packed_executables_count_with_what_they_unpack_to() {
    let fixture = Fixture(tempfile::tempdir().unwrap());
    let store = Store::create(&fixture.folder().join("cache")).unwrap();
    let noise: Vec<u8> = (0..12_500_u64)
        .flat_map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .collect();
    let packed = ["one", "two", "three"].map(|program| {
        let content = [&noise, program.as_bytes()].concat();
        let (action, size) = (Sha256Hash::of(program.as_bytes()), content.len() as u64);
        let entry = store.put_reader(&action, None, size, &content[..], 0);
        InCache {
            program: program.into(),
            entry: entry.unwrap(),
        }
    });
    let data = fixture.folder().join("data");
    let index = executables::pack(&store, &packed, 1, &data).unwrap();
    let refer = index.frames.iter().filter(|frame| frame.after_first);
    assert_eq!(refer.count(), 2);
    let (index, data) = (index.to_json(), fs_err::read(data).unwrap());
    let place = |name: &str| format!("{}/{name}", &EXECUTABLES_PATH[1..]);
    let (json, zst) = (place("civo.json"), place("civo.zst"));
    let files: [(&str, &[u8], u32); 2] = [(&json, &index, 0o644), (&zst, &data, 0o644)];
    let layer = fixture.layer(&files).unwrap();
    // Each takes 100 kB, and the first one is unpacked once, though two others refer to it.
    let in_files = (index.len() + data.len()) as u64;
    let found = |bytes: u64| {
        let limits = Limits::exactly(in_files + bytes);
        Inventory::of(&layer, &Places::default(), limits, fixture.folder())
    };
    assert_eq!(found(310_000).unwrap(), Inventory::default());
    is_corrupt(&found(290_000).unwrap_err(), "it unpacks to more than");
}
