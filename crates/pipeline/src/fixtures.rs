//! What tests have in common: the description of a small image, and packs of it without content.

use std::sync::Arc;

use gocache::Identity;
use gocache::image_info::programs::Program;
use oci::layer::{Compression, Layer, LayerBlob};
use oci::platform::Platform;
use sbom::inventory::Inventory;
use sha256::Sha256Hash;

use crate::image_toml::ImageToml;
use crate::origin::{Commit, Origin};
use crate::pack::description::Plugins;
use crate::pack::manifest::{Manifest, Timings, WarmModule};
use crate::pack::part::Part;
use crate::pack::programs::PackedProgram;
use crate::pack::{KeptPack, Pack};
use crate::plugins::lock::Locked;
use crate::work::Key;

/// An image whose every value is one of this test, and of no release.
pub fn image() -> ImageToml {
    image_with_tools("")
}

/// The same with `[tools.…]` tables.
pub fn image_with_tools(tools: &str) -> ImageToml {
    let text = r#"
        [image]
        title = "A title"
        description = "What it is for"
        licenses = "Apache-2.0"
        epoch = 1735689600
        cache_entry_time = 2114380800
        [base]
        suite = "sid"
        packages = []
        exclude = []
        include = []
        [user]
        name = "me"
        uid = 7
        home = "/home/me"
        [go]
        version = "9.8.7"
        goroot = "/go"
        gomodcache = "/var/mod"
        gocache = "/var/build"
        goamd64 = "v1"
        goarm64 = "v8.0"
        flags = ["-trimpath"]
        dwarf = false
        symbols = false
        test_data = false
        [common]
        packages = []
        [env]
        PATH = "/go/bin:/bin"
        [writable]
        folders = []
        [layers]
        zstd_level = 1
        zstd_window_log = 20
        zstd_table_log = 18
        gzip_level = 1
        [tools]
        "#;
    ImageToml::parse(&format!("{text}{tools}")).expect("the description is valid")
}

/// The one platform of the fixtures, whatever this machine is.
pub fn platform() -> Platform {
    Platform {
        os: "linux".into(),
        arch: "amd64".into(),
    }
}

/// A layer whose digests are those of its name.
pub fn layer(name: &str) -> Layer {
    Layer {
        compression: Compression::Zstd,
        digest: Sha256Hash::of(name.as_bytes()),
        size_bytes: name.len() as u64,
        diff_id: Sha256Hash::of(format!("tar of {name}").as_bytes()),
        uncompressed_bytes: 10 * name.len() as u64,
    }
}

pub fn key(of: &str) -> Key {
    Key::of(&of).expect("a string is JSON")
}

/// A program whose digests are those of its name.
fn program(provider: &str, component: &str) -> PackedProgram {
    let name = format!("{provider}/{component}");
    let digest = Sha256Hash::of(name.as_bytes());
    PackedProgram {
        artifact: Layer {
            compression: Compression::Gzip,
            ..layer(&name)
        },
        program: Program {
            provider: provider.into(),
            component: component.into(),
            path: format!("apis/provider/{provider}/{component}/v1/iac/pulumi").into(),
            folder: name.into(),
            binary: component.into(),
            sha256: digest,
            size_bytes: 1,
            project_sha256: digest,
            project: None,
            link_action: digest,
        },
    }
}

/// The manifest of a pack with one module and no files.
pub fn manifest(name: &str) -> Manifest {
    let identity: Identity = image().identity(&platform());
    Manifest {
        schema: 1,
        name: name.to_owned(),
        identity,
        modules: vec![WarmModule {
            component: "one".into(),
            path: format!("apis/provider/{name}/one/v1/iac/pulumi").into(),
            link_action: None,
            executable_bytes: 1,
            build_ms: 1200,
        }],
        go_modules: Vec::new(),
        unchecked: Vec::new(),
        files: Vec::new(),
        files_sha256: Some(Sha256Hash::of(format!("files of {name}").as_bytes())),
        left_out_sha256: None,
        caches: layer(&format!("{name} caches")),
        objects: Some(layer(&format!("{name} object code"))),
        executables: Some(layer(&format!("{name} executables"))),
        program_folders: Some(layer(&format!("{name} programs"))),
        programs: vec![program(name, "one")],
        links_not_cached: Vec::new(),
        broken: Vec::new(),
        timings: Timings {
            build_ms: 2500,
            seal_ms: 10,
            check_ms: 20,
            pack_ms: 30,
            peak_memory_bytes: Some(1_400_000_000),
        },
    }
}

/// A kept pack whose blobs are nowhere.
pub fn kept(name: &str) -> KeptPack {
    KeptPack {
        folder: format!("/kept/{name}").into(),
        manifest: manifest(name),
    }
}

/// What as many layers have: each a Go of its number.
pub fn inventories(layers: usize) -> Vec<Arc<Inventory>> {
    let inventory = |number: usize| Inventory {
        go: Some(number.to_string()),
        ..Inventory::default()
    };
    (0..layers)
        .map(|number| Arc::new(inventory(number)))
        .collect()
}

/// The pack of these plugins of a provider, each called `NAME VERSION`.
pub fn plugins(provider: &str, plugins: &[&str]) -> Pack {
    let locked = plugins.iter().map(|plugin| {
        let (name, version) = plugin.split_once(' ').expect("a name and a version");
        Locked {
            name: name.into(),
            version: version.parse().expect("a version"),
            platform: platform().to_string(),
            sha256: Sha256Hash::of(plugin.as_bytes()),
            size_bytes: Some(1),
            url: format!("https://toy.test/{name}.tar.gz"),
        }
    });
    let layers = plugins.iter().map(|plugin| LayerBlob {
        blob: format!("/kept/{plugin}/layer").into(),
        layer: layer(plugin),
    });
    let described = Plugins {
        provider: provider.into(),
        locked: locked.collect(),
        left_out: Vec::new(),
    };
    Pack::plugins(key(provider), &platform(), described, layers.collect())
}

/// A checkout without changes, built by a service.
pub fn origin() -> Origin {
    Origin {
        image_toml: Sha256Hash::of(b"image.toml"),
        commits: vec![Commit {
            of: "project",
            repository: Some("https://git.test/a".into()),
            id: "a".repeat(40),
            is_changed: false,
        }],
        builder: "https://git.test/a/workflow".into(),
        run: Some("https://git.test/a/runs/1".into()),
    }
}

/// `base`, `tools` and `common`, and the whole packs of these providers, which fit together.
pub fn packs(providers: &[&str]) -> Vec<Pack> {
    let platform = platform();
    let blob = |name: &str| LayerBlob {
        blob: format!("/kept/{name}/layer").into(),
        layer: layer(name),
    };
    let mut common = kept("common");
    common.manifest.executables = None;
    common.manifest.program_folders = None;
    common.manifest.programs.clear();
    let mut packs = vec![
        Pack::base(key("base"), &platform, blob("base")),
        Pack::tools(
            key("tools"),
            key("base"),
            &platform,
            [blob("pulumi"), blob("tools")],
            [("one".to_owned(), "1.0.0 (release)".to_owned())].into(),
        ),
        Pack::common(key("common"), false, &platform, &common),
    ];
    packs.extend(providers.iter().map(|name| {
        let part = Part::whole(name);
        Pack::provider(part, key(name), key("common"), &platform, &kept(name))
    }));
    for pack in &mut packs {
        pack.inventories = inventories(pack.blobs.len());
    }
    packs
}
