//! An image in an OCI layout, read without any code of the project.

use std::collections::{BTreeMap, BTreeSet};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

/// What the document of an image is.
const DOCUMENT: &str = "application/spdx+json";
/// What the artifact of a program is.
const PROGRAM: &str = "application/vnd.iac-runner.program.v1";

/// An OCI image layout.
pub struct Layout {
    root: Utf8PathBuf,
}

/// One image of a layout.
pub struct Image {
    /// Digest of the manifest.
    pub digest: String,
    /// The manifest.
    pub manifest: Value,
    /// The configuration.
    pub config: Value,
}

/// One pack of a layout.
#[derive(Debug, PartialEq)]
pub struct Pack {
    /// Its name, with the key of what it was made from.
    pub name: String,
    /// Descriptors of its layers and of the list of its files.
    pub layers: Value,
    /// What it says of itself, without how long it took to make it.
    pub config: Value,
}

impl Layout {
    /// The layout below an output folder.
    pub fn below(out: &Utf8Path) -> Self {
        Self::at(&out.join("oci"))
    }

    /// The layout in a folder.
    pub fn at(folder: &Utf8Path) -> Self {
        Self {
            root: folder.to_owned(),
        }
    }

    /// Names of all images and packs, in the order of the index.
    pub fn names(&self) -> Vec<String> {
        let all = self.manifests().into_iter();
        let others = all.filter(|it| it["artifactType"] != PROGRAM && is_named(it));
        others.map(|it| name(&it)).collect()
    }

    /// Names of the artifacts of programs, in the order of the index.
    pub fn programs(&self) -> Vec<String> {
        let all = self.manifests().into_iter();
        let programs = all.filter(|it| it["artifactType"] == PROGRAM);
        programs.map(|it| name(&it)).collect()
    }

    /// What the index says of all that has a name.
    pub fn named(&self) -> Vec<Value> {
        let all = self.manifests().into_iter();
        all.filter(is_named).collect()
    }

    /// The digests of what is said of images.
    pub fn referrers(&self) -> BTreeSet<String> {
        let all = self.manifests().into_iter().filter(|it| !is_named(it));
        all.map(|it| it["digest"].as_str().unwrap().to_owned())
            .collect()
    }

    /// What is said of the image with this digest, by the type of what it says.
    pub fn statements(&self, digest: &str) -> BTreeMap<String, Value> {
        let all = self.manifests().into_iter();
        let referrers = all.filter(|it| !is_named(it));
        let manifests = referrers.map(|it| self.blob(it["digest"].as_str().unwrap()));
        let of_it = manifests.filter(|it| it["subject"]["digest"] == digest);
        let of_it = of_it.filter(|it| it["artifactType"] != DOCUMENT);
        let statements = of_it.map(|manifest| {
            let statement = self.blob(manifest["layers"][0]["digest"].as_str().unwrap());
            let subject = &statement["subject"][0]["digest"]["sha256"];
            assert_eq!(format!("sha256:{}", subject.as_str().unwrap()), digest);
            (
                statement["predicateType"].as_str().unwrap().to_owned(),
                statement,
            )
        });
        statements.collect()
    }

    /// The document of what is in the image with this digest, its one blob.
    pub fn document(&self, digest: &str) -> Vec<u8> {
        let all = self.manifests().into_iter();
        let documents = all.filter(|it| it["artifactType"] == DOCUMENT);
        let manifests = documents.map(|it| self.blob(it["digest"].as_str().unwrap()));
        let mut of_it = manifests.filter(|it| it["subject"]["digest"] == digest);
        let document = of_it.next().unwrap();
        assert_eq!(of_it.next(), None);
        let blob = document["layers"][0]["digest"].as_str().unwrap();
        let blob = blob.strip_prefix("sha256:").unwrap();
        fs_err::read(self.root.join("blobs/sha256").join(blob)).unwrap()
    }

    /// The image with this name.
    pub fn image(&self, wanted: &str) -> Image {
        let descriptor = self
            .manifests()
            .into_iter()
            .find(|manifest| is_named(manifest) && name(manifest) == wanted)
            .unwrap();
        let digest = descriptor["digest"].as_str().unwrap().to_owned();
        let manifest = self.blob(&digest);
        let config = self.blob(manifest["config"]["digest"].as_str().unwrap());
        Image {
            digest,
            manifest,
            config,
        }
    }

    /// All packs, in the order of the index.
    pub fn packs(&self) -> Vec<Pack> {
        let pack = |name: String| {
            let Image {
                manifest,
                mut config,
                ..
            } = self.image(&name);
            if let Some(Value::Object(pack)) = config.get_mut("pack") {
                pack.remove("timings").unwrap();
                for module in pack["modules"].as_array_mut().unwrap() {
                    module["build_ms"].take();
                }
            }
            Pack {
                name,
                layers: manifest["layers"].clone(),
                config,
            }
        };
        self.names().into_iter().map(pack).collect()
    }

    /// Makes sure that every blob has the digest of its name and the size that its descriptor says.
    pub fn check_blobs(&self) {
        for entry in fs_err::read_dir(self.root.join("blobs/sha256")).unwrap() {
            let path = Utf8PathBuf::from_path_buf(entry.unwrap().path()).unwrap();
            let (digest, _) = gocache::hash_file(&path).unwrap();
            assert_eq!(digest.to_string(), path.file_name().unwrap());
        }
        for manifest in self.manifests().into_iter().filter(is_named) {
            let image = self.image(&name(&manifest));
            let layers = image.manifest["layers"].as_array().unwrap();
            for descriptor in layers.iter().chain([&image.manifest["config"], &manifest]) {
                let size = fs_err::metadata(self.blob_path(descriptor["digest"].as_str().unwrap()))
                    .unwrap()
                    .len();
                assert_eq!(descriptor["size"].as_u64(), Some(size));
            }
            if manifest["artifactType"] == PROGRAM {
                continue;
            }
            assert_eq!(
                layers.len(),
                image.config["rootfs"]["diff_ids"].as_array().unwrap().len()
            );
        }
    }

    fn manifests(&self) -> Vec<Value> {
        let index: Value =
            serde_json::from_slice(&fs_err::read(self.root.join("index.json")).unwrap()).unwrap();
        index["manifests"].as_array().unwrap().clone()
    }

    /// The file of the blob with this digest.
    pub fn blob_path(&self, digest: &str) -> Utf8PathBuf {
        self.root
            .join("blobs/sha256")
            .join(digest.strip_prefix("sha256:").unwrap())
    }

    fn blob(&self, digest: &str) -> Value {
        serde_json::from_slice(&fs_err::read(self.blob_path(digest)).unwrap()).unwrap()
    }
}

/// Whether it is an image, a pack or a program, and not what is said of one.
fn is_named(descriptor: &Value) -> bool {
    descriptor.get("annotations").is_some()
}

fn name(descriptor: &Value) -> String {
    descriptor["annotations"]["org.opencontainers.image.ref.name"]
        .as_str()
        .unwrap()
        .to_owned()
}
