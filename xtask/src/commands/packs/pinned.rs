//! Images of a repository by tag and digest, as text for scripts: what one job assembled and verified is what another
//! one publishes, whoever moved the tags meanwhile.

use std::fmt::Write as _;

use anyhow::Result;
use camino::Utf8Path;
use oci_spec::distribution::Reference;
use oci_spec::image::Descriptor;

use failure::usage;
use pipeline::assemble::platforms::Named;

/// What a file names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Images.
    pub images: Vec<Pinned>,
    /// Digests of artifacts that say something of them.
    pub said: Vec<String>,
}

/// An image of a repository.
#[derive(Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The tag that it had when it was made.
    pub tag: String,
    /// Digest of its manifest.
    pub digest: String,
}

/// The images, HOST/REPO:TAG@DIGEST a line, the one with the tag `whole` first, and then what is said of them, which has
/// no tag.
pub fn text(repository: &Reference, whole: &str, images: &[Named], said: &[Descriptor]) -> String {
    let mut images: Vec<_> = images.iter().collect();
    images.sort_by_key(|image| image.name != whole);
    let mut text = String::new();
    let (host, path) = (repository.registry(), repository.repository());
    for Named { name, digest } in images {
        writeln!(text, "{host}/{path}:{name}@{digest}").expect("a string takes all");
    }
    for said in said {
        writeln!(text, "{host}/{path}@{}", said.digest()).expect("a string takes all");
    }
    text
}

/// What `file` names, all of which must be in `repository`; between them may be any space.
pub fn read(file: &Utf8Path, repository: &Reference) -> Result<List> {
    parse(&fs_err::read_to_string(file)?, repository)
}

fn parse(text: &str, repository: &Reference) -> Result<List> {
    let mut list = List::default();
    for word in text.split_whitespace() {
        let reference = word.parse::<Reference>().ok().filter(|reference| {
            reference.registry() == repository.registry()
                && reference.repository() == repository.repository()
        });
        let tag = reference.as_ref().and_then(|it| it.tag());
        match (reference.as_ref().and_then(|it| it.digest()), tag) {
            (Some(digest), Some(tag)) => list.images.push(Pinned {
                tag: tag.to_owned(),
                digest: digest.to_owned(),
            }),
            (Some(digest), None) => list.said.push(digest.to_owned()),
            (None, _) => {
                let (host, path) = (repository.registry(), repository.repository());
                return Err(usage(
                    format!("{word:?} is nothing of {host}/{path} with a digest"),
                    "give the list that `assemble --pinned` wrote",
                ));
            }
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci::blob;
    use oci_spec::image::MediaType;
    use sha256::Sha256Hash;

    fn image(name: &str, fill: char) -> Named {
        Named {
            name: name.to_owned(),
            digest: format!("sha256:{}", fill.to_string().repeat(64)),
        }
    }

    #[test]
    fn a_list_has_the_whole_image_first_and_reads_as_it_was_written() {
        let repository: Reference = "localhost:5000/iac/runner".parse().unwrap();
        let images = [
            image("v1-aws", 'a'),
            image("v1", 'b'),
            image("v1-nonroot", 'c'),
        ];
        let said = blob::descriptor(MediaType::ImageManifest, Sha256Hash::of(b"said"), 1).unwrap();
        let text = text(&repository, "v1", &images, std::slice::from_ref(&said));
        let first = format!("localhost:5000/iac/runner:v1@{}", images[1].digest);
        assert_eq!(text.lines().next(), Some(first.as_str()));
        let on_one_line = text.replace('\n', " ");
        let read = parse(&on_one_line, &repository).unwrap();
        assert_eq!(read.said, [said.digest().to_string()]);
        let read = read.images;
        let tags: Vec<_> = read.iter().map(|image| image.tag.as_str()).collect();
        assert_eq!(tags, ["v1", "v1-aws", "v1-nonroot"]);
        assert_eq!(read[0].digest, images[1].digest);
    }

    #[test]
    fn a_list_names_no_other_repository_and_nothing_without_a_digest() {
        let repository: Reference = "localhost:5000/iac/runner".parse().unwrap();
        let digest = image("", 'a').digest;
        for word in [
            format!("localhost:5000/iac/other:v1@{digest}"),
            format!("example.com/iac/runner:v1@{digest}"),
            format!("localhost:5000/iac/other@{digest}"),
            "localhost:5000/iac/runner:v1".to_owned(),
            "null".to_owned(),
        ] {
            let error = parse(&word, &repository).unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage, "{word}");
        }
    }
}
