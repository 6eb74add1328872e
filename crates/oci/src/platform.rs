//! For which machines an image is, and which of several is for a machine.

use anyhow::{Context as _, Result};
use failure::usage;
use oci_spec::image::{Arch, Descriptor, Os, PlatformBuilder};

/// Operating system and architecture, in the words of the image specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `linux`, for example.
    pub os: String,
    /// `amd64`, for example.
    pub arch: String,
}

impl Platform {
    /// The platform of this machine.
    pub fn host() -> Self {
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            os: std::env::consts::OS.to_owned(),
            arch: arch.to_owned(),
        }
    }

    /// As an index has it.
    pub fn to_oci(&self) -> Result<oci_spec::image::Platform> {
        PlatformBuilder::default()
            .os(Os::from(self.os.as_str()))
            .architecture(Arch::from(self.arch.as_str()))
            .build()
            .context("failed to describe the platform")
    }
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)
    }
}

/// The manifest for `platform`; the only one need not say what it is for.
pub fn pick<'a>(manifests: &[&'a Descriptor], platform: &Platform) -> Result<&'a Descriptor> {
    if let [only] = manifests
        && only.platform().is_none()
    {
        return Ok(only);
    }
    let platforms = || {
        manifests.iter().filter_map(|manifest| {
            let found = manifest.platform().as_ref()?;
            Some((
                *manifest,
                found.os().to_string(),
                found.architecture().to_string(),
            ))
        })
    };
    let found = platforms().find(|(_, os, arch)| is_for(platform, os, arch));
    found.map(|(manifest, ..)| manifest).ok_or_else(|| {
        let there: Vec<String> = platforms()
            .map(|(_, os, arch)| format!("{os}/{arch}"))
            .collect();
        usage(
            format!(
                "there is no image for {platform}, only for {}",
                there.join(", ")
            ),
            format!("name an image for {platform}"),
        )
    })
}

/// Whether what is for `os` and `arch` is for `platform`.
pub fn is_for(platform: &Platform, os: &str, arch: &str) -> bool {
    os == platform.os && arch == platform.arch
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::image::{Arch, MediaType, Os, PlatformBuilder, Sha256Digest};

    fn manifest(platform: Option<(&str, &str)>, digit: &str) -> Descriptor {
        let digest: Sha256Digest = digit.repeat(64).parse().unwrap();
        let mut descriptor = Descriptor::new(MediaType::ImageManifest, 1, digest);
        descriptor.set_platform(platform.map(|(os, arch)| {
            PlatformBuilder::default()
                .os(Os::from(os))
                .architecture(Arch::from(arch))
                .build()
                .unwrap()
        }));
        descriptor
    }

    #[test]
    fn the_platform_decides() {
        let arm = Platform {
            os: "linux".into(),
            arch: "arm64".into(),
        };
        let manifests = [
            manifest(Some(("linux", "amd64")), "1"),
            manifest(Some(("linux", "arm64")), "2"),
            manifest(Some(("unknown", "unknown")), "3"),
        ];
        let all: Vec<&Descriptor> = manifests.iter().collect();
        assert_eq!(pick(&all, &arm).unwrap(), &manifests[1]);
        let error = pick(&all[..1], &arm).unwrap_err().to_string();
        assert_eq!(
            error,
            "there is no image for linux/arm64, only for linux/amd64"
        );
        let only = manifest(None, "4");
        assert_eq!(pick(&[&only], &arm).unwrap(), &only);
    }
}
