//! For which machines an image is, and which of several is for a machine.

use anyhow::{Context as _, Result};
use failure::usage;
use oci_spec::image::{Arch, Descriptor, Os, PlatformBuilder};

/// Platforms that images are made for.
const KNOWN: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// Operating system and architecture, in the words of the image specification.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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

    /// Those that images are made for and this machine's is not.
    pub fn foreign() -> impl Iterator<Item = Self> {
        let known = KNOWN.iter().filter_map(|text| text.parse::<Self>().ok());
        known.filter(Self::is_foreign)
    }

    /// Whether this machine's processor is another one.
    pub fn is_foreign(&self) -> bool {
        *self != Self::host()
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

impl std::str::FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let host = Self::host();
        if text == host.to_string() {
            return Ok(host);
        }
        match (KNOWN.contains(&text), text.split_once('/')) {
            (true, Some((os, arch))) => Ok(Self {
                os: os.to_owned(),
                arch: arch.to_owned(),
            }),
            _ => Err(format!("images are made for {}", KNOWN.join(" and "))),
        }
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
    fn a_platform_reads_as_it_is_written() {
        for text in KNOWN {
            let platform: Platform = text.parse().unwrap();
            assert_eq!(platform.to_string(), text);
            assert_eq!(platform.is_foreign(), platform != Platform::host());
        }
        let host = Platform::host();
        assert_eq!(host.to_string().parse(), Ok(host));
        for text in ["arm64", "linux/arm64/v8", "windows/amd64", "linux/"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
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
