//! Images of several platforms under the same names: an index for each, of one manifest a platform.
//!
//! What is said of an image is said of its manifest, so of one platform; layers and configurations are shared by none.
//! With one platform there are no indexes, and a name is that of a manifest.

use anyhow::Result;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType, Platform as OciPlatform};
use serde::Serialize;

use crate::assemble::images::{Images, Written};
use crate::assemble::target::Target;
use crate::image_toml::ImageToml;
use crate::pack::PackLayer;
use oci::blob;
use oci::platform::Platform;

/// The images of a platform.
#[derive(Debug)]
pub struct OfPlatform<'a> {
    /// Which.
    pub platform: &'a Platform,
    /// What they are.
    pub images: Images<'a>,
}

/// What was written under a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The name.
    pub name: String,
    /// Digest of the manifest or index.
    pub digest: String,
}

/// What was written of all platforms.
#[derive(Debug, Default)]
pub struct WrittenOfAll {
    /// By platform, in the order given.
    pub platforms: Vec<Written>,
    /// Indexes, in the order in which they were written; none for one platform.
    pub indexes: Vec<Named>,
}

impl WrittenOfAll {
    /// All that has a name, artifacts of programs first.
    pub fn named(&self) -> Vec<Named> {
        let programs = self.platforms.iter().flat_map(|it| &it.programs);
        let images = self.platforms.iter().flat_map(|it| &it.images);
        let images = images.filter(|_| self.indexes.is_empty());
        let named = programs.chain(images).map(|image| Named {
            name: image.name.clone(),
            digest: image.digest.clone(),
        });
        named.chain(self.indexes.iter().cloned()).collect()
    }
}

/// Writes the images of each platform, and where there are several, an index for each name.
pub fn write(
    target: &mut dyn Target,
    image: &ImageToml,
    platforms: &[OfPlatform<'_>],
) -> Result<WrittenOfAll> {
    if let [OfPlatform { platform, images }] = platforms {
        return Ok(WrittenOfAll {
            platforms: vec![images.write(target, image, platform)?],
            indexes: Vec::new(),
        });
    }
    let mut indexed = Indexed {
        target,
        is_first: true,
        names: Vec::new(),
    };
    let mut written = Vec::new();
    for OfPlatform { platform, images } in platforms {
        written.push(images.write(&mut indexed, image, platform)?);
        indexed.is_first = false;
    }
    Ok(WrittenOfAll {
        platforms: written,
        indexes: indexed.finish()?,
    })
}

/// Collects the manifests of images by name, and has everything else written.
struct Indexed<'t> {
    target: &'t mut dyn Target,
    /// Whether the first platform's images are written, which are in the order of the indexes.
    is_first: bool,
    names: Vec<(String, Vec<Descriptor>)>,
}

impl Indexed<'_> {
    fn finish(self) -> Result<Vec<Named>> {
        let mut indexes = Vec::new();
        for (name, manifests) in self.names {
            let descriptor = self.target.index(&name, &blob::index(manifests)?)?;
            let digest = descriptor.digest().to_string();
            indexes.push(Named { name, digest });
        }
        Ok(indexes)
    }
}

impl Target for Indexed<'_> {
    fn layer(&mut self, layer: &PackLayer) -> Result<Descriptor> {
        self.target.layer(layer)
    }

    fn bytes(&mut self, media_type: MediaType, bytes: &[u8]) -> Result<Descriptor> {
        self.target.bytes(media_type, bytes)
    }

    fn manifest(
        &mut self,
        name: &str,
        manifest: &ImageManifest,
        platform: OciPlatform,
    ) -> Result<Descriptor> {
        // An artifact's name has its platform.
        if manifest.artifact_type().is_some() {
            return self.target.manifest(name, manifest, platform);
        }
        let mut descriptor = self.target.unnamed(manifest, platform.clone())?;
        descriptor.set_platform(Some(platform));
        if let Some((_, manifests)) = self.names.iter_mut().find(|(there, _)| there == name) {
            manifests.push(descriptor.clone());
        } else {
            // Which name comes last is for the first platform to say.
            let place = if self.is_first { self.names.len() } else { 0 };
            let new = (name.to_owned(), vec![descriptor.clone()]);
            self.names.insert(place, new);
        }
        Ok(descriptor)
    }

    fn unnamed(&mut self, manifest: &ImageManifest, platform: OciPlatform) -> Result<Descriptor> {
        self.target.unnamed(manifest, platform)
    }

    fn index(&mut self, name: &str, index: &ImageIndex) -> Result<Descriptor> {
        self.target.index(name, index)
    }

    fn referrer(&mut self, manifest: &ImageManifest, subject: &Descriptor) -> Result<()> {
        self.target.referrer(manifest, subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::target::remembered::Remembered;
    use crate::assemble::{programs, variants};
    use crate::fixtures::{image, origin, packs, platform};
    use crate::pack::Pack;
    use sha256::Sha256Hash;

    /// The packs of another platform, which share no layer with those of the fixtures.
    fn foreign(providers: &[&str]) -> (Platform, Vec<Pack>) {
        let mut packs = packs(providers);
        let arm: Platform = "linux/arm64".parse().unwrap();
        for pack in &mut packs {
            pack.description.platform = arm.to_string();
            for named in &mut pack.description.layers {
                let of_arm = format!("{} {arm}", named.layer.digest);
                named.layer.digest = Sha256Hash::of(of_arm.as_bytes());
                named.layer.diff_id = Sha256Hash::of(of_arm.as_bytes());
            }
        }
        (arm, packs)
    }

    fn of<'a>(
        platform: &'a Platform,
        packs: &'a [Pack],
        origin: &'a crate::origin::Origin,
    ) -> OfPlatform<'a> {
        let mut variants = variants::of(packs, "v1").unwrap();
        variants.rotate_left(1);
        let programs = programs::of(packs, "v1").unwrap();
        OfPlatform {
            platform,
            images: Images::without_volumes((packs, origin), variants, programs),
        }
    }

    #[test]
    fn a_name_is_an_index_of_each_platform_and_shares_nothing() {
        let (origin, here) = (origin(), platform());
        let (arm, of_arm) = foreign(&["aws", "civo"]);
        let own = packs(&["civo"]);
        let platforms = [of(&here, &own, &origin), of(&arm, &of_arm, &origin)];
        let mut target = Remembered::default();
        let written = write(&mut target, &image(), &platforms).unwrap();
        let platforms_of = |name: &str| -> Vec<String> {
            let manifests = target.indexes[name].manifests().iter();
            let platforms = manifests.map(|it| it.platform().as_ref().unwrap());
            platforms
                .map(|it| format!("{}/{}", it.os(), it.architecture()))
                .collect()
        };
        for name in ["v1", "v1-nonroot", "v1-civo", "v1-tools-nonroot"] {
            assert_eq!(platforms_of(name), ["linux/amd64", "linux/arm64"], "{name}");
        }
        // Of one that a platform alone has, there is an index, too.
        assert_eq!(platforms_of("v1-aws"), ["linux/arm64"]);
        for index in target.indexes.values() {
            let mut seen = std::collections::BTreeSet::new();
            for manifest in index.manifests() {
                let manifest = &target.manifests[manifest.digest().as_ref()];
                let own: std::collections::BTreeSet<_> = manifest
                    .layers()
                    .iter()
                    .chain([manifest.config()])
                    .map(|blob| blob.digest().to_string())
                    .collect();
                assert!(own.is_disjoint(&seen));
                seen.extend(own);
            }
        }
        // The names that people wait for are the last ones, and artifacts have names of their own.
        let order: Vec<&str> = target.order.iter().map(String::as_str).collect();
        assert_eq!(order[order.len() - 2..], ["v1", "v1-nonroot"]);
        let artifacts = order.iter().filter(|name| name.contains("program"));
        assert_eq!(artifacts.count(), 3);
        let named: Vec<Named> = written.named();
        assert_eq!(named.len(), order.len());
        assert!(named.iter().all(|it| order.contains(&it.name.as_str())));
    }

    #[test]
    fn with_one_platform_a_name_is_a_manifest() {
        let (origin, here, own) = (origin(), platform(), packs(&["civo"]));
        let mut target = Remembered::default();
        let written = write(&mut target, &image(), &[of(&here, &own, &origin)]).unwrap();
        assert!(target.indexes.is_empty() && written.indexes.is_empty());
        let named = written.named();
        assert_eq!(named.len(), target.order.len());
        let manifests = named
            .iter()
            .filter(|it| target.manifests.contains_key(&it.digest));
        assert_eq!(manifests.count(), named.len());
    }
}
