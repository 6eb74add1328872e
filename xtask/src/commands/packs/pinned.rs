//! Images of a repository by tag and digest, as text for scripts: what one job assembled and verified is what another
//! one publishes, whoever moved the tags meanwhile.

use std::fmt::Write as _;

use anyhow::Result;
use camino::Utf8Path;
use oci_spec::distribution::Reference;

use failure::usage;
use pipeline::assemble::platforms::Named;

/// An image of a repository.
#[derive(Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The tag that it had when it was made.
    pub tag: String,
    /// Digest of its manifest.
    pub digest: String,
}

/// The images, HOST/REPO:TAG@DIGEST a line, the one with the tag `whole` first.
pub fn text(repository: &Reference, whole: &str, images: &[Named]) -> String {
    let mut images: Vec<_> = images.iter().collect();
    images.sort_by_key(|image| image.name != whole);
    let mut text = String::new();
    for Named { name, digest } in images {
        let (host, path) = (repository.registry(), repository.repository());
        writeln!(text, "{host}/{path}:{name}@{digest}").expect("a string takes all");
    }
    text
}

/// The images of `file`, all of which must be of `repository`; between them may be any space.
pub fn read(file: &Utf8Path, repository: &Reference) -> Result<Vec<Pinned>> {
    parse(&fs_err::read_to_string(file)?, repository)
}

fn parse(text: &str, repository: &Reference) -> Result<Vec<Pinned>> {
    let pinned = |word: &str| {
        let reference: Reference = word.parse().ok()?;
        let is_there = reference.registry() == repository.registry()
            && reference.repository() == repository.repository();
        let (tag, digest) = (reference.tag()?, reference.digest()?);
        is_there.then(|| Pinned {
            tag: tag.to_owned(),
            digest: digest.to_owned(),
        })
    };
    let words = text.split_whitespace();
    words
        .map(|word| {
            pinned(word).ok_or_else(|| {
                let (host, path) = (repository.registry(), repository.repository());
                usage(
                    format!("{word:?} is no image of {host}/{path} with tag and digest"),
                    "give the list that `assemble --pinned` wrote",
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let text = text(&repository, "v1", &images);
        let first = format!("localhost:5000/iac/runner:v1@{}", images[1].digest);
        assert_eq!(text.lines().next(), Some(first.as_str()));
        let on_one_line = text.replace('\n', " ");
        let read = parse(&on_one_line, &repository).unwrap();
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
            format!("localhost:5000/iac/runner@{digest}"),
            "localhost:5000/iac/runner:v1".to_owned(),
            "null".to_owned(),
        ] {
            let error = parse(&word, &repository).unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage, "{word}");
        }
    }
}
