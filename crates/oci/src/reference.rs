//! How an image is named on the command line.

use std::fmt;

use anyhow::Result;
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::distribution::Reference;

use failure::usage;

/// The tag that is meant where none is named.
pub const LATEST: &str = "latest";

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageReference {
    /// In an OCI image layout, `DIR` or `DIR:TAG`.
    Layout {
        /// The layout.
        folder: Utf8PathBuf,
        /// `org.opencontainers.image.ref.name`.
        tag: Option<String>,
    },
    /// In a registry, `HOST[:PORT]/REPOSITORY[:TAG][@DIGEST]`.
    Registry(Reference),
    /// In the local Docker, `docker:NAME`.
    Docker(String),
}

impl ImageReference {
    /// Reads `text`; `is_folder` tells what there is on this machine.
    ///
    /// A registry has to be named with its host, so that a mistyped folder never becomes a request to a registry that
    /// nobody named.
    pub fn parse(text: &str, is_folder: impl Fn(&Utf8Path) -> bool) -> Result<Self> {
        if let Some(name) = text.strip_prefix("docker:") {
            if name.is_empty() {
                return Err(usage("docker: names no image", "write docker:NAME"));
            }
            return Ok(Self::Docker(name.to_owned()));
        }
        let layout = |folder: &str, tag: Option<&str>| Self::Layout {
            folder: folder.into(),
            tag: tag.map(str::to_owned),
        };
        let tagged = text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
        if is_folder(text.into()) {
            return Ok(layout(text, None));
        }
        if let Some((folder, tag)) = tagged
            && is_folder(folder.into())
        {
            return Ok(layout(folder, Some(tag)));
        }
        if names_a_host(text) {
            return match text.parse() {
                Ok(reference) => Ok(Self::Registry(reference)),
                Err(error) => Err(usage(
                    format!("{text} is no reference to a registry: {error}"),
                    "write HOST/REPOSITORY:TAG",
                )),
            };
        }
        Err(usage(
            format!("there is no folder {text}"),
            "name the folder of an OCI layout (DIR/oci:TAG), a reference with its registry (HOST/REPOSITORY:TAG), or \
             docker:NAME",
        ))
    }
}

/// Whether the part before the first slash can only be a host, by the rule that Docker has.
pub fn names_a_host(text: &str) -> bool {
    text.split_once('/').is_some_and(|(first, _)| {
        !first.is_empty()
            && !first.starts_with('.')
            && (first.contains(['.', ':']) || first == "localhost")
    })
}

/// A repository, named with its registry and without a tag.
pub fn repository(text: &str) -> Result<Reference> {
    let reference: Reference = text.parse().map_err(|error| {
        usage(
            format!("{text} is no repository of a registry: {error}"),
            "write HOST/REPOSITORY",
        )
    })?;
    let whole = format!("{}/{}", reference.registry(), reference.repository());
    if whole != text {
        return Err(usage(
            format!("{text} is a repository with a tag"),
            format!("write {whole} without it"),
        ));
    }
    Ok(reference)
}

/// `tag` in the repository of `reference`.
pub fn with_tag(reference: &Reference, tag: &str) -> Reference {
    Reference::with_tag(
        reference.registry().to_owned(),
        reference.repository().to_owned(),
        tag.to_owned(),
    )
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout { folder, tag: None } => write!(f, "{folder}"),
            Self::Layout {
                folder,
                tag: Some(tag),
            } => write!(f, "{folder}:{tag}"),
            Self::Registry(reference) => write!(f, "{reference}"),
            Self::Docker(name) => write!(f, "docker:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ImageReference> {
        let folders = ["out/oci", "/out/oci", "my.images/oci", "localhost/oci"];
        ImageReference::parse(text, |folder| folders.contains(&folder.as_str()))
    }

    fn layout(folder: &str, tag: Option<&str>) -> ImageReference {
        ImageReference::Layout {
            folder: folder.into(),
            tag: tag.map(str::to_owned),
        }
    }

    #[test]
    fn a_folder_is_a_layout() {
        for (text, folder, tag) in [
            ("out/oci", "out/oci", None),
            ("out/oci:latest-civo", "out/oci", Some("latest-civo")),
            ("/out/oci:1.2", "/out/oci", Some("1.2")),
            ("my.images/oci", "my.images/oci", None),
            ("localhost/oci:a", "localhost/oci", Some("a")),
        ] {
            assert_eq!(parse(text).unwrap(), layout(folder, tag), "{text}");
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_host_makes_a_reference_to_a_registry() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, registry, repository, tag) in [
            (
                "127.0.0.1:5000/image",
                "127.0.0.1:5000",
                "image",
                Some("latest"),
            ),
            ("localhost/a/b:1", "localhost", "a/b", Some("1")),
            ("registry.example/a:x", "registry.example", "a", Some("x")),
            (
                &format!("registry.example/a@{digest}"),
                "registry.example",
                "a",
                None,
            ),
        ] {
            let ImageReference::Registry(reference) = parse(text).unwrap() else {
                panic!("{text}");
            };
            assert_eq!(
                (
                    reference.registry(),
                    reference.repository(),
                    reference.tag()
                ),
                (registry, repository, tag)
            );
        }
    }

    #[test]
    fn docker_has_a_prefix_and_the_rest_is_refused() {
        assert_eq!(
            parse("docker:image:1").unwrap(),
            ImageReference::Docker("image:1".into())
        );
        for text in [
            "docker:",
            "",
            "absent/oci",
            "./absent/oci:tag",
            "image:latest",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let refused = parse("registry.example/UPPER").unwrap_err();
        assert!(failure::text(&refused).contains("HOST/REPOSITORY:TAG"));
    }
}
