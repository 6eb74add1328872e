//! Packs as OCI artifacts: what one machine made, in a form that every registry and every OCI layout can hold.
//!
//! The blobs of a pack are the layers of the image themselves, so an image is made of packs by writing a manifest. The
//! artifact's config is the pack's [`Description`]; what is in its layers, which documents of images tell, is a blob
//! of its own, and so is the list of files, which only warming on top of the pack and merging need. What is read here may come from anyone: whatever does not hold together is
//! refused.

use std::io::Read as _;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use camino::Utf8Path;
use gocache::image_info::is_inside;
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, ImageManifest, ImageManifestBuilder, MediaType};

use crate::pack::blobs::{BlobSource, Pack};
use crate::pack::description::{Description, SCHEMA};
use crate::pack::inventory::encoding::{self, decode};
use crate::pack::manifest::{Manifest, PackedFile};
use failure::{corrupt, usage};
use oci::blob::{Blobs, check_document, read, read_document};
use oci::layer::{Layer, LayerBlob};
use oci::layout::writer::LayoutWriter;
use sbom::inventory::Inventory;

/// What the artifact is.
const ARTIFACT_TYPE: &str = "application/vnd.iac-runner.pack.v1";
/// Media type of a [`Description`].
const CONFIG_TYPE: &str = "application/vnd.iac-runner.pack.config.v1+json";
/// Media type of the list of a pack's files, JSON in zstd.
const FILES_TYPE: &str = "application/vnd.iac-runner.pack.files.v1+json+zstd";
/// Media type of what the layers have, JSON in zstd.
const INVENTORY_TYPE: &str = "application/vnd.iac-runner.pack.inventory.v1+json+zstd";
/// More bytes than the list of a pack of a million files has, which is held in memory.
const MAX_FILES_BYTES: u64 = 512 << 20;
/// Fast, and the list is mostly digests.
const FILES_LEVEL: i32 = 3;

/// Adds a pack whose blobs are in these files to a layout; its descriptor, named by the pack's tag.
pub fn write(pack: &Pack, layout: &mut LayoutWriter) -> Result<Descriptor> {
    let mut descriptors = Vec::new();
    for layer in pack.layers() {
        descriptors.push(layout.link(&layer.layer, layer.file()?)?);
    }
    for (_, artifact) in pack.programs() {
        descriptors.push(layout.link(&artifact.layer, artifact.file()?)?);
    }
    if !pack.inventories.is_empty() {
        let inventories = encoding::encode(&pack.inventories)?;
        descriptors.push(layout.bytes(INVENTORY_TYPE.into(), &inventories)?);
    }
    let mut description = pack.description.clone();
    if let Some(pack) = &mut description.pack {
        let files = std::mem::take(&mut pack.files);
        let json = serde_json::to_vec(&files).context("failed to serialize a pack's files")?;
        let files = zstd::encode_all(json.as_slice(), FILES_LEVEL)
            .context("failed to compress a pack's files")?;
        descriptors.push(layout.bytes(FILES_TYPE.into(), &files)?);
    }
    let config = layout.json(CONFIG_TYPE.into(), &description)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .artifact_type(MediaType::from(ARTIFACT_TYPE))
        .config(config)
        .layers(descriptors)
        .build()
        .context("failed to describe a pack")?;
    layout.manifest(&description.tag(), &manifest, None)
}

/// A pack in a layout or in a registry.
pub struct Artifact<'a> {
    /// What it is; the pack's manifest in it lists no files.
    pub description: Description,
    manifest: ImageManifest,
    blobs: &'a dyn Blobs,
}

impl<'a> Artifact<'a> {
    /// Reads the artifact that `descriptor` leads to; `place` names it in messages.
    pub fn read(blobs: &'a dyn Blobs, descriptor: &Descriptor, place: &str) -> Result<Self> {
        let manifest: ImageManifest = read(&blobs.fetch(descriptor)?, "manifest")?;
        if manifest.config().media_type() != &MediaType::from(CONFIG_TYPE) {
            return Err(usage(
                format!(
                    "{place} is no pack, its config is of the type {}",
                    manifest.config().media_type()
                ),
                "`cargo xtask warm` makes packs",
            ));
        }
        let description: Description =
            read_document(blobs, manifest.config(), "description of a pack")?;
        if description.schema != SCHEMA {
            return Err(usage(
                format!(
                    "{place} has the format {} of packs, and this program knows only {SCHEMA}",
                    description.schema
                ),
                "make it with the same version",
            ));
        }
        let layers = manifest.layers();
        let described: Vec<&Layer> = blobs_of(&description).collect();
        // A pack of an earlier version says nothing of what is in its layers.
        let has_inventory = layers.iter().any(is_inventory);
        let others = usize::from(has_inventory) + usize::from(description.pack.is_some());
        let are_described = described.len() + others == layers.len()
            && described.iter().zip(layers).all(|(described, layer)| {
                layer.as_digest_sha256() == Some(described.digest.to_string().as_str())
                    && layer.size() == described.size_bytes
            });
        if !are_described {
            return Err(corrupt(
                format!("{place} does not hold the layers that it describes"),
                "make it anew",
            ));
        }
        let mut programs = description.pack.iter().flat_map(|pack| &pack.programs);
        if let Some(packed) = programs.find(|packed| !packed.program.is_sound()) {
            return Err(corrupt(
                format!(
                    "{place} has the program {:?}, which is no path of one",
                    packed.program.folder
                ),
                "make the pack anew",
            ));
        }
        Ok(Self {
            description,
            manifest,
            blobs,
        })
    }

    /// The layers' blobs on this machine, the lowest first.
    pub fn layers(&self) -> Result<Vec<LayerBlob>> {
        self.fetched(0, self.description.layers.len())
    }

    /// The same without that of programs, of which no cache is made.
    pub fn layers_of_caches(&self) -> Result<Vec<LayerBlob>> {
        let packs = self.description.pack.iter();
        let programs = packs.filter_map(|pack| pack.program_folders.as_ref());
        self.fetched(0, self.description.layers.len() - programs.count())
    }

    /// The artifacts of its programs, on this machine.
    pub fn programs(&self) -> Result<Vec<LayerBlob>> {
        self.fetched(self.description.layers.len(), usize::MAX)
    }

    fn fetched(&self, skipped: usize, most: usize) -> Result<Vec<LayerBlob>> {
        let described = blobs_of(&self.description).zip(self.manifest.layers());
        let fetch = |(layer, descriptor): (&Layer, &Descriptor)| {
            Ok(LayerBlob {
                blob: self.blobs.fetch(descriptor)?,
                layer: layer.clone(),
            })
        };
        described.skip(skipped).take(most).map(fetch).collect()
    }

    /// The pack, its blobs left in the repository where they are, or fetched onto this machine.
    pub fn pack(&self, repository: Option<&Reference>) -> Result<Pack> {
        let description = self.description.clone();
        let layers = description.layers.len();
        let mut blobs: Vec<BlobSource> = if let Some(repository) = repository {
            let source = BlobSource::Registry(repository.clone());
            vec![source; blobs_of(&description).count()]
        } else {
            let fetched = self.fetched(0, usize::MAX)?.into_iter();
            fetched.map(|kept| BlobSource::File(kept.blob)).collect()
        };
        Ok(Pack {
            description,
            artifacts: blobs.split_off(layers),
            blobs,
            inventories: self.inventories()?,
        })
    }

    /// What its layers have; nothing if it does not say, or another version of this project says it.
    fn inventories(&self) -> Result<Vec<Arc<Inventory>>> {
        let mut layers = self.manifest.layers().iter();
        let Some(descriptor) = layers.find(|layer| is_inventory(layer)) else {
            return Ok(Vec::new());
        };
        check_document(descriptor, "list of what is in layers")?;
        let file = self.blobs.fetch(descriptor)?;
        let decoded = decode(&fs_err::read(&file)?, encoding::MAX_BYTES).and_then(|inventories| {
            let Some(inventories) = inventories else {
                return Ok(Vec::new());
            };
            let (found, wanted) = (inventories.len(), self.description.layers.len());
            if found == wanted {
                Ok(inventories)
            } else {
                Err(format!(
                    "it is of {found} layers, and the pack has {wanted}"
                ))
            }
        });
        decoded.map_err(|reason| {
            corrupt(
                format!("{file} does not say what is in the layers of a pack: {reason}"),
                "make the pack anew",
            )
        })
    }

    /// The pack's manifest with its files.
    pub fn pack_manifest(&self) -> Result<Manifest> {
        let name = &self.description.name;
        let Some(mut pack) = self.description.pack.clone() else {
            bail!("{name} is no pack of caches");
        };
        let files = self.manifest.layers().last();
        let files = files
            .filter(|files| files.media_type() == &MediaType::from(FILES_TYPE))
            .with_context(|| format!("the pack {name} lists no files"))?;
        let file = self.blobs.fetch(files)?;
        let json = decompress(&file, MAX_FILES_BYTES)?;
        let files: Vec<PackedFile> = serde_json::from_slice(&json).map_err(|error| {
            corrupt(
                format!("{file} is no list of a pack's files: {error}"),
                "make the pack anew",
            )
        })?;
        let unsafe_path = files.iter().find(|file| !is_inside(&file.path));
        if let Some(file) = unsafe_path {
            return Err(corrupt(
                format!(
                    "the pack {name} lists {:?}, which is no path in an image",
                    file.path
                ),
                "make the pack anew",
            ));
        }
        pack.files = files;
        Ok(pack)
    }
}

fn is_inventory(blob: &Descriptor) -> bool {
    blob.media_type() == &MediaType::from(INVENTORY_TYPE)
}

/// What the blobs of a pack are but those that describe it: its layers, and the artifacts of its programs.
fn blobs_of(description: &Description) -> impl Iterator<Item = &Layer> {
    let layers = description.layers.iter().map(|named| &named.layer);
    let programs = description.pack.iter().flat_map(|pack| &pack.programs);
    layers.chain(programs.map(|program| &program.artifact))
}

/// What is in the zstd of `file`, up to `max_bytes`.
fn decompress(file: &Utf8Path, max_bytes: u64) -> Result<Vec<u8>> {
    let damaged = |reason: String| {
        corrupt(
            format!("{file} is no list of a pack's files: {reason}"),
            "make the pack anew",
        )
    };
    let decoder = zstd::stream::read::Decoder::new(fs_err::File::open(file)?)?;
    let mut json = Vec::new();
    let read = decoder.take(max_bytes + 1).read_to_end(&mut json);
    read.map_err(|error| damaged(format!("it is no zstd: {error}")))?;
    if json.len() as u64 > max_bytes {
        return Err(damaged(format!("it has more than {max_bytes} bytes")));
    }
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use crate::pack::kept::{CACHES, EXECUTABLES, KeptPack, OBJECTS, PROGRAMS};
    use camino::Utf8PathBuf;
    use oci::layout::reader::Layout;
    use serde_json::Value;
    use sha256::Sha256Hash;

    /// A provider's pack in a layout, and what is written of it.
    struct Fixture {
        _folder: tempfile::TempDir,
        folder: Utf8PathBuf,
        pack: Pack,
    }

    impl Fixture {
        fn new() -> Self {
            let temporary = tempfile::tempdir().unwrap();
            let folder = Utf8Path::from_path(temporary.path()).unwrap().to_owned();
            let blob = |file: &str| -> Layer {
                fs_err::write(folder.join(file), file).unwrap();
                Layer {
                    digest: Sha256Hash::of(file.as_bytes()),
                    size_bytes: file.len() as u64,
                    ..fixtures::layer(file)
                }
            };
            let mut manifest = fixtures::manifest("civo");
            (manifest.caches, manifest.executables) = (blob(CACHES), Some(blob(EXECUTABLES)));
            manifest.objects = Some(blob(OBJECTS));
            manifest.program_folders = Some(blob(PROGRAMS));
            let artifact = folder.join(manifest.programs[0].file());
            fs_err::create_dir(artifact.parent().unwrap()).unwrap();
            fs_err::write(artifact, "civo/one").unwrap();
            manifest.files = vec![PackedFile {
                path: "var/mod/file".into(),
                size_bytes: 1,
                sha256: Sha256Hash::of(b"x"),
            }];
            let kept = KeptPack {
                folder: folder.clone(),
                manifest,
            };
            let platform = fixtures::platform();
            let part = crate::pack::part::Part::whole("civo");
            let (key, common) = (fixtures::key("civo"), fixtures::key("common"));
            let mut pack = Pack::provider(part, key, common, &platform, &kept);
            pack.inventories = fixtures::inventories(4);
            Self {
                pack,
                folder,
                _folder: temporary,
            }
        }

        /// Writes the pack, and then once more what `change` makes of its config and manifest; the layout with it.
        fn changed(&self, change: impl FnOnce(&mut Value, &mut Value)) -> (Layout, Descriptor) {
            let folder = self.folder.join("layout");
            let mut writer = LayoutWriter::create(&folder).unwrap();
            let descriptor = write(&self.pack, &mut writer).unwrap();
            writer.finish().unwrap();
            let layout = Layout::open(&folder).unwrap();
            let mut manifest: Value =
                read(&layout.fetch(&descriptor).unwrap(), "manifest").unwrap();
            let parsed: ImageManifest = serde_json::from_value(manifest.clone()).unwrap();
            let mut config: Value =
                read(&layout.fetch(parsed.config()).unwrap(), "config").unwrap();
            change(&mut config, &mut manifest);
            let mut writer = LayoutWriter::create(&folder).unwrap();
            let media_type = manifest["config"]["mediaType"].as_str().unwrap().into();
            let config = writer.json(media_type, &config).unwrap();
            manifest["config"] = serde_json::to_value(config).unwrap();
            let descriptor = writer.json(MediaType::ImageManifest, &manifest).unwrap();
            writer.finish().unwrap();
            (Layout::open(&folder).unwrap(), descriptor)
        }

        fn refusal(&self, change: impl FnOnce(&mut Value, &mut Value)) -> (String, failure::Kind) {
            let (layout, descriptor) = self.changed(change);
            let read = Artifact::read(&layout, &descriptor, "the layout");
            let error = read.err().expect("it is refused");
            (error.to_string(), failure::kind(&error, &[]))
        }
    }

    #[test]
    fn a_pack_reads_back_as_it_was_written() {
        let fixture = Fixture::new();
        let (layout, descriptor) = fixture.changed(|_, _| {});
        let artifact = Artifact::read(&layout, &descriptor, "the layout").unwrap();
        let json = |manifest: &Manifest| serde_json::to_value(manifest).unwrap();
        let written = fixture.pack.description.pack.as_ref().unwrap();
        assert_eq!(json(&artifact.pack_manifest().unwrap()), json(written));
        assert!(artifact.description.pack.as_ref().unwrap().files.is_empty());
        let taken = artifact.pack(None).unwrap().on_this_machine().unwrap();
        let blobs: Vec<_> = taken
            .iter()
            .map(|layer| fs_err::read_to_string(&layer.blob).unwrap())
            .collect();
        assert_eq!(blobs, [CACHES, OBJECTS, EXECUTABLES, PROGRAMS]);
        let caches = artifact.layers_of_caches().unwrap();
        let caches = caches.iter().map(|kept| kept.layer.digest);
        let expected = [CACHES, OBJECTS, EXECUTABLES].map(|file| Sha256Hash::of(file.as_bytes()));
        assert_eq!(caches.collect::<Vec<_>>(), expected);
        let artifacts = artifact.programs().unwrap();
        assert_eq!(
            fs_err::read_to_string(&artifacts[0].blob).unwrap(),
            "civo/one"
        );
        let repository = "registry.test/packs".parse().unwrap();
        let left = artifact.pack(Some(&repository)).unwrap();
        assert_eq!(
            left.blobs,
            vec![BlobSource::Registry(repository.clone()); 4]
        );
        assert_eq!(left.artifacts, [BlobSource::Registry(repository)]);
        assert!(left.on_this_machine().is_err());
        // Who leaves the layers where they are knows all the same what is in them.
        assert_eq!(left.inventories, fixture.pack.inventories);
    }

    #[test]
    fn the_config_is_what_other_machines_read() {
        let fixture = Fixture::new();
        let mut found = None;
        fixture.changed(|config, _| found = Some(config.clone()));
        insta::assert_json_snapshot!(found.unwrap(), {".key" => "[key]", ".made_on" => "[key]"});
    }

    #[test]
    fn another_format_is_refused() {
        let (said, kind) = Fixture::new().refusal(|config, _| config["schema"] = 1.into());
        assert!(said.contains("the format 1 of packs"), "{said}");
        assert_eq!(kind, failure::Kind::Usage);
    }

    #[test]
    fn a_pack_that_does_not_say_what_is_in_each_of_its_layers_is_read_or_refused() {
        let mut fixture = Fixture::new();
        for (layers, is_refused) in [(0, false), (2, true)] {
            fixture.pack.inventories = fixtures::inventories(layers);
            let (layout, descriptor) = fixture.changed(|_, _| {});
            let artifact = Artifact::read(&layout, &descriptor, "the layout").unwrap();
            let read = artifact.pack(None).map(|pack| pack.inventories.len());
            assert_eq!(read.as_ref().ok(), (!is_refused).then_some(&0));
            if let Err(error) = read {
                assert!(error.to_string().contains("2 layers"), "{error}");
                assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
            }
        }
    }

    #[test]
    fn what_is_no_pack_is_refused() {
        let (said, kind) = Fixture::new().refusal(|_, manifest| {
            manifest["config"]["mediaType"] = "application/vnd.oci.image.config.v1+json".into();
        });
        assert!(said.contains("is no pack"), "{said}");
        assert_eq!(kind, failure::Kind::Usage);
    }

    #[test]
    fn layers_that_do_not_fit_their_description_are_refused() {
        let changes: [fn(&mut Value, &mut Value); 5] = [
            |config, _| {
                let digest = Sha256Hash::of(b"another").to_string();
                config["pack"]["programs"][0]["artifact"]["digest"] = digest.into();
            },
            |config, _| config["layers"][0]["layer"]["size_bytes"] = 1.into(),
            |config, _| {
                let digest = Sha256Hash::of(b"another").to_string();
                config["layers"][1]["layer"]["digest"] = digest.into();
            },
            |config, _| drop(config["layers"].as_array_mut().unwrap().pop()),
            |_, manifest| drop(manifest["layers"].as_array_mut().unwrap().remove(0)),
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let (said, kind) = Fixture::new().refusal(change);
            assert!(
                said.contains("does not hold the layers"),
                "{number}: {said}"
            );
            assert_eq!(kind, failure::Kind::Corrupt);
        }
    }

    #[test]
    fn a_path_that_leads_out_of_a_pack_is_refused() {
        for path in ["/etc/passwd", "../up", "var/mod/../../../up", ""] {
            let mut fixture = Fixture::new();
            let manifest = fixture.pack.description.pack.as_mut().unwrap();
            manifest.files[0].path = path.into();
            let (layout, descriptor) = fixture.changed(|_, _| {});
            let artifact = Artifact::read(&layout, &descriptor, "the layout").unwrap();
            let error = artifact.pack_manifest().unwrap_err();
            let expected = format!("lists {path:?}, which is no path in an image");
            assert!(error.to_string().contains(&expected), "{error}");
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
        }
    }

    #[test]
    fn a_program_that_lies_elsewhere_is_refused() {
        let (said, kind) = Fixture::new().refusal(|config, _| {
            config["pack"]["programs"][0]["program"]["folder"] = "../up".into();
        });
        assert!(said.contains("no path of one"), "{said}");
        assert_eq!(kind, failure::Kind::Corrupt);
    }

    #[test]
    fn a_list_of_files_is_of_a_size() {
        let folder = tempfile::tempdir().unwrap();
        let file = Utf8Path::from_path(folder.path()).unwrap().join("list");
        let zeros = zstd::encode_all(&vec![0; 1 << 20][..], 1).unwrap();
        let half = &zeros[..zeros.len() / 2];
        for (content, max_bytes, reason) in [
            (&zeros[..], (1 << 20) - 1, "more than 1048575 bytes"),
            (half, 1 << 20, "no zstd"),
            (b"no zstd", 1 << 20, "no zstd"),
        ] {
            fs_err::write(&file, content).unwrap();
            let error = decompress(&file, max_bytes).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Corrupt);
        }
        fs_err::write(&file, &zeros).unwrap();
        assert_eq!(decompress(&file, 1 << 20).unwrap().len(), 1 << 20);
    }
}
