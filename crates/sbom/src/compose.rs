//! From the layers of an image to its document.
//!
//! An image holds packs, a pack holds what its layers have, and a program needs what it was compiled of. What the tools
//! of scanners expect is kept to: Debian packages are of the system that the image's `os-release` names, Go's standard
//! library is a module called `stdlib`, and package URLs are as the specification has them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::Result;

use crate::document::{Component, Document, Id, Kind, Relation};
use crate::inventory::debian::DebianPackage;
use crate::inventory::go_binary::GoDependency;
use crate::inventory::rust_binary::Crate;
use crate::inventory::{Executable, Inventory, Linked};
use failure::corrupt;

/// What every image is called in its document: a tag, or the place that it was taken from, is not the image's own.
const NAME: &str = "iac-runner-base";

/// A plugin of Pulumi, of which a layer of an image's history tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A layer, in the order of the image.
#[derive(Debug)]
pub struct PackedLayer {
    /// The pack that it is of.
    pub pack: String,
    /// The plugin that it is, if it is one.
    pub plugin: Option<Plugin>,
    /// What it has.
    pub inventory: Arc<Inventory>,
}

/// What is said of the image itself.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of its manifest, `sha256:…`.
    pub digest: String,
    /// For which machines it is, `amd64`.
    pub architecture: String,
    /// The time that it says it was made at, in the form of RFC 3339.
    pub created: String,
}

/// The document of `image`, whose layers are `layers`.
///
/// # Errors
/// An image whose parts contradict each other is refused: a Go module without the hash of its download.
pub fn compose(image: &Image, layers: &[PackedLayer]) -> Result<Document> {
    let mut whole = Component::new(Kind::Image, NAME);
    whole.version = Some(image.digest.clone());
    whole.sha256 = image
        .digest
        .strip_prefix("sha256:")
        .and_then(|digest| digest.parse().ok());
    whole.purl = Some(format!(
        "pkg:oci/{}@{}?arch={}",
        encoded(NAME),
        image.digest.replace(':', "%3A"),
        image.architecture
    ));
    let id = Id::of("image", &image.digest);
    let mut composer = Composer {
        document: Document {
            name: NAME.to_owned(),
            digest: image.digest.clone(),
            created: image.created.clone(),
            image: id.clone(),
            components: BTreeMap::from([(id, whole)]),
            relations: BTreeSet::new(),
            other_licenses: BTreeMap::new(),
        },
        hashes: layers
            .iter()
            .flat_map(|layer| &layer.inventory.hashes)
            .collect(),
        os: layers
            .iter()
            .map(|layer| &layer.inventory.os_release)
            .find(|os| !os.is_empty()),
    };
    for layer in layers {
        composer.layer(layer)?;
    }
    Ok(composer.document)
}

struct Composer<'a> {
    document: Document,
    hashes: BTreeMap<&'a camino::Utf8PathBuf, &'a String>,
    os: Option<&'a BTreeMap<String, String>>,
}

impl Composer<'_> {
    fn layer(&mut self, layer: &PackedLayer) -> Result<()> {
        let PackedLayer {
            pack,
            plugin,
            inventory,
        } = layer;
        let image = self.document.image.clone();
        let pack = self.add(Id::of("pack", pack), Component::new(Kind::Pack, pack));
        self.relate(&image, Relation::Contains, &pack);
        let contain = |composer: &mut Self, component: Component| {
            let component = composer.add_package(component);
            composer.relate(&pack, Relation::Contains, &component);
        };
        if let Some(plugin) = plugin {
            let name = format!("pulumi-resource-{}", plugin.name);
            let mut component = Component::new(Kind::Application, &name);
            component.purl = Some(format!(
                "pkg:generic/{}@{}",
                encoded(&name),
                encoded(&plugin.version)
            ));
            component.version = Some(plugin.version.clone());
            contain(self, component);
        }
        if let Some(os) = self.os.filter(|_| !inventory.debian.is_empty()) {
            let of = |name: &str| os.get(name).cloned();
            let mut system = Component::new(Kind::OperatingSystem, of("ID").unwrap_or_default());
            system.version = of("VERSION_ID");
            let key = format!(
                "{}-{}",
                system.name,
                system.version.as_deref().unwrap_or_default()
            );
            // Trivy knows a system by this beginning of its name in the document, and by nothing else.
            let system = self.add(Id::of("OperatingSystem", &key), system);
            self.relate(&pack, Relation::Contains, &system);
        }
        for package in &inventory.debian {
            let component = self.debian(package, inventory);
            contain(self, component);
        }
        if let Some(version) = &inventory.go {
            let mut go = Component::new(Kind::Application, "go");
            go.version = Some(version.clone());
            go.purl = Some(format!("pkg:generic/go@{}", encoded(version)));
            contain(self, go);
            contain(self, standard_library(version));
        }
        for module in &inventory.go_modules {
            let hash = self.hashes.get(&module.download_file("ziphash"));
            let Some(hash) = hash else {
                return Err(corrupt(
                    format!("the image has a folder of {module} and not the hash of its download"),
                    "make it anew",
                ));
            };
            let h1 = Some(hash.trim().to_owned());
            let (path, version) = (module.path.clone(), Some(module.version.clone()));
            contain(self, go_module(&GoDependency { path, version, h1 }));
        }
        for executable in &inventory.executables {
            for path in &executable.paths {
                self.executable(executable, path, &pack);
            }
        }
        Ok(())
    }

    fn executable(&mut self, executable: &Executable, path: &camino::Utf8Path, pack: &Id) {
        let path = format!("/{path}");
        let mut program = Component::new(Kind::Application, &path);
        program.sha256 = Some(executable.sha256);
        let id = self.add(Id::of("program", &path), program);
        self.relate(pack, Relation::Contains, &id);
        let needed: Vec<Component> = match &executable.linked {
            Linked::Go(info) => {
                let modules = info.modules().map(go_module);
                modules.chain([standard_library(&info.go)]).collect()
            }
            Linked::Rust(crates) => crates.iter().map(rust_crate).collect(),
        };
        for component in needed {
            let component = self.add_package(component);
            self.relate(&id, Relation::DependsOn, &component);
        }
    }

    fn debian(&mut self, package: &DebianPackage, inventory: &Inventory) -> Component {
        let DebianPackage {
            name,
            version,
            architecture,
            source,
            archive,
        } = package;
        let of = |name: &str| {
            self.os
                .and_then(|os| os.get(name))
                .map_or("", String::as_str)
        };
        let mut component = Component::new(Kind::Library, name);
        component.version = Some(version.clone());
        component.sha256 = *archive;
        component.purl = Some(format!(
            "pkg:deb/{}/{}@{}?arch={}&distro={}-{}",
            encoded(of("ID")),
            encoded(name),
            encoded(version),
            encoded(architecture),
            encoded(of("ID")),
            encoded(of("VERSION_ID"))
        ));
        component.built_from = Some(format!("{} {}", source.0, source.1));
        let documented = inventory.documented_by.get(name).unwrap_or(name);
        if let Some(licenses) = inventory.licenses.get(documented) {
            component.licenses = Some(licenses.expression.clone());
            let others = licenses.others.clone();
            self.document.other_licenses.extend(others);
        }
        component
    }

    /// Adds what has a package URL, or else is told apart by its name and version.
    fn add_package(&mut self, component: Component) -> Id {
        let key = match (&component.purl, &component.version) {
            (Some(purl), _) => purl.clone(),
            (None, version) => format!(
                "{}@{}",
                component.name,
                version.as_deref().unwrap_or_default()
            ),
        };
        self.add(Id::of("package", &key), component)
    }

    fn add(&mut self, id: Id, component: Component) -> Id {
        let there = self
            .document
            .components
            .entry(id.clone())
            .or_insert_with(|| component.clone());
        if there.h1.is_none() {
            // An executable does not tell the hash of what its go.mod has replaced.
            there.h1 = component.h1;
        }
        id
    }

    fn relate(&mut self, from: &Id, relation: Relation, to: &Id) {
        self.document
            .relations
            .insert((from.clone(), relation, to.clone()));
    }
}

fn go_module(module: &GoDependency) -> Component {
    let GoDependency { path, version, h1 } = module;
    let mut component = Component::new(Kind::Library, path);
    let at = version
        .as_ref()
        .map(|version| format!("@{}", encoded(version)));
    component.purl = Some(format!(
        "pkg:golang/{}{}",
        encoded(path),
        at.unwrap_or_default()
    ));
    component.version.clone_from(version);
    component.h1.clone_from(h1);
    component
}

fn standard_library(go: &str) -> Component {
    let mut component = Component::new(Kind::Library, "stdlib");
    component.version = Some(go.to_owned());
    component.purl = Some(format!("pkg:golang/stdlib@{}", encoded(go)));
    component
}

fn rust_crate(linked: &Crate) -> Component {
    let mut component = Component::new(Kind::Library, &linked.name);
    component.version = Some(linked.version.clone());
    // What is nowhere published would be another one's crate under this name.
    component.purl = (linked.source == "crates.io").then(|| {
        format!(
            "pkg:cargo/{}@{}",
            encoded(&linked.name),
            encoded(&linked.version)
        )
    });
    component
}

/// Part of a package URL: what is not a letter, a digit or one of `.-_~:/` is written as `%XX`.
fn encoded(part: &str) -> String {
    let mut encoded = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_~:/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes all");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use gocache::GoModule;
    use sha256::Sha256Hash;

    use super::*;
    use crate::inventory::go_binary::BuildInfo;
    use crate::{cyclonedx, licenses, spdx};

    fn image() -> Image {
        Image {
            digest: format!("sha256:{}", Sha256Hash::of(b"image")),
            architecture: "amd64".into(),
            created: "2025-01-01T00:00:00Z".into(),
        }
    }

    fn module() -> GoModule {
        GoModule {
            path: "x.test/One".into(),
            version: "v1.0.0+incompatible".into(),
        }
    }

    /// A base system, caches with one Go module, and a program that was compiled of it.
    fn layers() -> Vec<PackedLayer> {
        let layer = |pack: &str, inventory| PackedLayer {
            pack: pack.into(),
            plugin: None,
            inventory: Arc::new(inventory),
        };
        let base = Inventory {
            os_release: BTreeMap::from([
                ("ID".into(), "debian".into()),
                ("VERSION_ID".into(), "12".into()),
            ]),
            debian: vec![DebianPackage {
                name: "g++".into(),
                version: "1:2~3".into(),
                architecture: "amd64".into(),
                source: ("gcc".into(), "4".into()),
                archive: Some(Sha256Hash::of(b"archive")),
            }],
            documented_by: BTreeMap::from([("g++".into(), "gcc-base".into())]),
            licenses: BTreeMap::from([(
                "gcc-base".into(),
                licenses::of("Format: x\n\nFiles: *\nLicense: GPL-3+\n\nFiles: a\nLicense: own\n")
                    .unwrap(),
            )]),
            ..Inventory::default()
        };
        let hash: Utf8PathBuf = module().download_file("ziphash");
        let caches = Inventory {
            go_modules: [module()].into(),
            hashes: BTreeMap::from([(hash, "h1:abc=\n".into())]),
            ..Inventory::default()
        };
        let GoModule { path, version } = module();
        let program = Inventory {
            executables: vec![Executable {
                paths: vec!["bin/one".into()],
                sha256: Sha256Hash::of(b"program"),
                linked: Linked::Go(BuildInfo {
                    go: "1.27.4".into(),
                    main: None,
                    dependencies: vec![GoDependency {
                        path,
                        version: Some(version),
                        h1: None,
                    }],
                }),
            }],
            ..Inventory::default()
        };
        vec![
            layer("base", base),
            layer("civo", caches),
            layer("civo", program),
        ]
    }

    #[test]
    fn the_document_names_what_the_layers_have_once_and_what_needs_it() {
        let document = compose(&image(), &layers()).unwrap();
        insta::assert_json_snapshot!("spdx", spdx::json(&document));
        insta::assert_json_snapshot!("cyclonedx", cyclonedx::json(&document));
    }

    #[test]
    fn a_go_module_without_the_hash_of_its_download_is_refused() {
        let mut layers = layers();
        Arc::get_mut(&mut layers[1].inventory)
            .unwrap()
            .hashes
            .clear();
        let error = compose(&image(), &layers).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
        assert!(error.to_string().contains("x.test/One@v1.0.0"), "{error}");
    }
}
