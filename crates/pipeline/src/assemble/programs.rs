//! Programs as artifacts of their own, beside the images: which there are, and what each is called.
//!
//! A tag names component and platform; an image's annotations lead to the artifacts of its programs by their digests,
//! so that whoever has the digest of an image has them, too.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result};
use gocache::image_info::programs::Program;
use oci_spec::image::{Descriptor, ImageManifest, ImageManifestBuilder, MediaType};
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use crate::assemble::target::Target;
use crate::names::{PROGRAM, TAG_CHARACTERS};
use crate::pack::description::Description;
use crate::pack::{Pack, PackLayer};
use failure::usage;
use oci::platform::Platform;

/// What the artifact of a program is.
pub const ARTIFACT_TYPE: &str = "application/vnd.iac-runner.program.v1";
/// Media type of its config, a [`Described`].
pub const CONFIG_TYPE: &str = "application/vnd.iac-runner.program.config.v1+json";
/// Begins the annotations of an image that lead to its programs' artifacts; the folder of the program follows.
pub const ANNOTATION: &str = "iac-runner.program.";

/// The name of a file or folder in an artifact.
const TITLE: &str = "org.opencontainers.image.title";
/// By which `oras` knows that an archive is a folder, and the digest of the archive without its compression.
const UNPACK: [&str; 2] = ["io.deis.oras.content.unpack", "io.deis.oras.content.digest"];

/// As much of a digest as keeps two tags apart.
const DIGEST_CHARACTERS: usize = 8;

/// What an artifact says of its program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// The program.
    pub program: Program,
    /// For what it was built.
    pub platform: String,
    /// SHA-256 of the archive without its compression.
    pub diff_id: Sha256Hash,
    /// Size of the archive without its compression, in bytes.
    pub uncompressed_bytes: u64,
}

/// A program's artifact.
#[derive(Debug, Clone)]
pub struct ProgramArtifact {
    /// Its tag.
    pub name: String,
    /// The program.
    pub program: Program,
    /// The archive of its folder.
    pub archive: PackLayer,
}

/// The artifacts of all programs of `packs`, sorted by the programs' folders, for images called `version`.
///
/// # Errors
/// Two programs that have the same place are refused by name.
pub fn of(packs: &[Pack], version: &str) -> Result<Vec<ProgramArtifact>> {
    let mut programs: BTreeMap<&str, (&Program, PackLayer, &str)> = BTreeMap::new();
    for pack in packs {
        let Description { name, platform, .. } = &pack.description;
        for (packed, archive) in pack.programs() {
            let program = &packed.program;
            let there = programs.insert(program.folder.as_str(), (program, archive, platform));
            if let Some((other, _, _)) = there {
                return Err(usage(
                    format!(
                        "{} and {}, which the pack {name} has, would both be in the folder {} of an image",
                        other.path, program.path, program.folder
                    ),
                    "give one of them another name",
                ));
            }
        }
    }
    let tags = programs.iter().map(|(folder, (_, _, platform))| {
        let platform = platform.replace('/', "-");
        let tag = format!(
            "{version}-{PROGRAM}-{}-{platform}",
            folder.replace('/', "-")
        );
        let told_apart = format!("{folder} {platform}");
        (tag, Sha256Hash::of(told_apart.as_bytes()).to_string())
    });
    let names = apart(tags.collect());
    let artifacts = names.into_iter().zip(programs.into_values());
    let artifact =
        |(name, (program, archive, _)): (String, (&Program, PackLayer, &str))| ProgramArtifact {
            name,
            program: program.clone(),
            archive,
        };
    Ok(artifacts.map(artifact).collect())
}

/// Tags that no two programs share, and that a registry takes: those that would not be have a part of the digest.
fn apart(tags: Vec<(String, String)>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (tag, _) in &tags {
        *counts.entry(tag.clone()).or_default() += 1;
    }
    let alone = |(tag, digest): (String, String)| {
        if counts[&tag] == 1 && tag.len() <= TAG_CHARACTERS {
            return tag;
        }
        let kept = TAG_CHARACTERS - DIGEST_CHARACTERS - 1;
        // All of its characters are ASCII.
        let begin = &tag[..tag.len().min(kept)];
        format!("{begin}-{}", &digest[..DIGEST_CHARACTERS])
    };
    tags.into_iter().map(alone).collect()
}

/// Writes an artifact, whose descriptor its manifest has.
pub fn write(
    target: &mut dyn Target,
    platform: &Platform,
    artifact: &ProgramArtifact,
) -> Result<Descriptor> {
    let ProgramArtifact {
        name,
        program,
        archive,
    } = artifact;
    let layer = &archive.layer;
    let mut descriptor = target.layer(archive)?;
    let folder = program.folder.file_name().unwrap_or_default();
    let [unpack, digest] = UNPACK.map(str::to_owned);
    descriptor.set_annotations(Some(HashMap::from([
        (TITLE.to_owned(), folder.to_owned()),
        (unpack, "true".to_owned()),
        (digest, format!("sha256:{}", layer.diff_id)),
    ])));
    let described = Described {
        program: program.clone(),
        platform: platform.to_string(),
        diff_id: layer.diff_id,
        uncompressed_bytes: layer.uncompressed_bytes,
    };
    let described = serde_json::to_vec(&described).context("failed to describe a program")?;
    let config = target.bytes(CONFIG_TYPE.into(), &described)?;
    let manifest: ImageManifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .artifact_type(MediaType::from(ARTIFACT_TYPE))
        .config(config)
        .layers(vec![descriptor])
        .build()
        .context("failed to describe a program's artifact")?;
    target.manifest(name, &manifest, platform.to_oci()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::packs;

    fn names(packs: &[Pack], version: &str) -> Vec<String> {
        let artifacts = of(packs, version).unwrap().into_iter();
        artifacts.map(|artifact| artifact.name).collect()
    }

    #[test]
    fn a_tag_names_component_and_platform() {
        let expected = ["aws", "civo"].map(|name| format!("v1-program-{name}-one-linux-amd64"));
        assert_eq!(names(&packs(&["civo", "aws"]), "v1"), expected);
    }

    #[test]
    fn tags_are_apart_and_no_longer_than_a_registry_takes() {
        let mut packs = packs(&["a", "a-b"]);
        let mut folder = |pack: usize, folder: &str| {
            let pack = packs[pack].description.pack.as_mut().unwrap();
            pack.programs[0].program.folder = folder.into();
        };
        folder(3, "a/b-c");
        folder(4, "a-b/c");
        let two = names(&packs, "v1");
        assert_ne!(two[0], two[1]);
        assert!(
            two[0].starts_with("v1-program-a-b-c-linux-amd64-"),
            "{two:?}"
        );
        let long = names(&packs, &"v".repeat(120));
        assert_ne!(long[0], long[1]);
        assert!(
            long.iter().all(|tag| tag.len() == TAG_CHARACTERS),
            "{long:?}"
        );
        for pack in &mut packs {
            pack.description.platform = "linux/arm64".into();
        }
        let other = names(&packs, &"v".repeat(120));
        assert!(other.iter().all(|tag| !long.contains(tag)), "{other:?}");
    }

    #[test]
    fn two_programs_in_one_place_are_refused() {
        let mut packs = packs(&["civo.1of2", "civo.2of2"]);
        for pack in &mut packs[3..] {
            let pack = pack.description.pack.as_mut().unwrap();
            pack.programs[0].program.folder = "civo/one".into();
        }
        let error = of(&packs, "v1").unwrap_err();
        assert!(error.to_string().contains("civo/one"), "{error}");
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
    }
}
