//! Manifests and tags of a repository: read, listed and pushed.
//!
//! A manifest is read whole, so its digest is checked before anybody sees it.

use std::collections::BTreeSet;

use anyhow::Result;
use bytes::Bytes;
use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, MediaType};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use sha256::Sha256Hash;

use super::auth::Scope;
use super::pages::{List, Page};
use super::repository::{DIGEST_HEADER, Registry};
use super::request::{Request, Response};
use crate::blob::{self, descriptor, manifest_json};
use crate::referrer;
use failure::{corrupt, usage};

pub(super) const MANIFEST_TYPES: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// The header by which a registry says that it lists a manifest among the referrers of its subject.
const SUBJECT_HEADER: &str = "oci-subject";
/// As many tags are asked for at once.
const TAGS_AT_ONCE: &str = "1000";
/// As many tags a repository may have.
const MAX_TAGS: usize = 100_000;

/// A manifest or an index, its digest checked.
pub(super) struct Manifest {
    pub digest: Sha256Hash,
    pub media_type: String,
    pub content: Vec<u8>,
}

impl Registry<'_> {
    /// Pushes a manifest or an index, which then goes by `name`, a tag or its own digest; everything that it names must
    /// have been pushed before.
    pub fn push_manifest(
        &self,
        content: &[u8],
        media_type: &MediaType,
        name: &str,
    ) -> Result<Descriptor> {
        Ok(self.put_manifest(content, media_type, name)?.0)
    }

    /// Stores it; the registry's answer, too.
    fn put_manifest(
        &self,
        content: &[u8],
        media_type: &MediaType,
        name: &str,
    ) -> Result<(Descriptor, Response)> {
        let descriptor = describe(content, media_type)?;
        let digest = descriptor.digest().to_string();
        if name.starts_with("sha256:") && name != digest {
            return Err(corrupt(
                format!("the manifest that goes by {name} has the digest {digest}"),
                "make it anew",
            ));
        }
        let url = self.manifest_url(name)?;
        let request = Request::new(Method::PUT, url, Scope::Push)
            .header(CONTENT_TYPE, media_type.as_ref())?
            .body(Bytes::copy_from_slice(content));
        let response = self.client.send(&request)?;
        if !response.status.is_success() {
            let what = format!("store the manifest {}:{name}", self.reference.repository());
            return Err(self.client.refused(&response, &what));
        }
        let stored = match response.header(DIGEST_HEADER) {
            Some(stored) => stored.to_owned(),
            None => match self.manifest(name)? {
                Some((stored, _)) => stored.digest().to_string(),
                None => "nothing".to_owned(),
            },
        };
        if stored != digest {
            return Err(corrupt(
                format!(
                    "the registry {} stored {stored} as {name} instead of {digest}",
                    self.reference.registry()
                ),
                "push again",
            ));
        }
        Ok((descriptor, response))
    }

    /// Pushes the manifest of an artifact whose `subject` need not be there yet; its blobs must. A registry that keeps
    /// no list of referrers gets one under the tag that clients look for then.
    pub fn push_referrer(&self, manifest: &ImageManifest, subject: &Descriptor) -> Result<()> {
        self.push_bytes(&referrer::empty()?, referrer::EMPTY)?;
        let json = manifest_json(manifest)?;
        let media_type = MediaType::ImageManifest;
        let digest = format!("sha256:{}", Sha256Hash::of(&json));
        let (mut descriptor, response) = self.put_manifest(&json, &media_type, &digest)?;
        if response.header(SUBJECT_HEADER).is_some() {
            return Ok(());
        }
        descriptor.set_artifact_type(manifest.artifact_type().clone());
        descriptor.set_annotations(manifest.annotations().clone());
        let tag = referrer::fallback_tag(subject);
        let mut listed = self.listed(&tag)?;
        if listed
            .iter()
            .any(|there| there.digest() == descriptor.digest())
        {
            return Ok(());
        }
        listed.push(descriptor);
        listed.sort_by_key(|descriptor| descriptor.digest().to_string());
        let index = blob::index_json(&blob::index(listed)?)?;
        self.push_manifest(&index, &MediaType::ImageIndex, &tag)?;
        Ok(())
    }

    /// What the index with this tag lists; nothing where there is none.
    pub(super) fn listed(&self, tag: &str) -> Result<Vec<Descriptor>> {
        let Some((_, content)) = self.manifest(tag)? else {
            return Ok(Vec::new());
        };
        let index: ImageIndex = serde_json::from_slice(&content).map_err(|error| {
            corrupt(
                format!(
                    "{}/{}:{tag} is no list of referrers: {error}",
                    self.reference.registry(),
                    self.reference.repository()
                ),
                "delete that tag, then push again",
            )
        })?;
        Ok(index.manifests().clone())
    }

    /// The manifest or index that goes by `name`, a tag or a digest, and its content; none if there is none.
    pub fn manifest(&self, name: &str) -> Result<Option<(Descriptor, Vec<u8>)>> {
        let Some(manifest) = self.get_manifest(name)? else {
            return Ok(None);
        };
        let descriptor = describe(&manifest.content, &manifest.media_type.as_str().into())?;
        Ok(Some((descriptor, manifest.content)))
    }

    pub(super) fn get_manifest(&self, name: &str) -> Result<Option<Manifest>> {
        let url = self.manifest_url(name)?;
        let request = Request::new(Method::GET, url, Scope::Pull);
        let request = request.header(ACCEPT, MANIFEST_TYPES.join(", "))?;
        let response = self.client.send(&request)?;
        if response.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let repository = self.reference.repository();
        if !response.status.is_success() {
            let what = format!("hand out the manifest {repository}:{name}");
            return Err(self.client.refused(&response, &what));
        }
        let digest = Sha256Hash::of(&response.body);
        let found = format!("sha256:{digest}");
        let wanted = Some(name).filter(|name| name.starts_with("sha256:"));
        let sent = response
            .header(DIGEST_HEADER)
            .filter(|sent| !sent.is_empty());
        for meant in [wanted, sent].into_iter().flatten() {
            if meant != found {
                return Err(corrupt(
                    format!(
                        "the registry {} sent {found} as the manifest {repository}:{name} instead of {meant}",
                        self.reference.registry()
                    ),
                    "ask again, and if that does not help, push it again",
                ));
            }
        }
        let media_type = response.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        Ok(Some(Manifest {
            digest,
            media_type: media_type.to_owned(),
            content: response.body,
        }))
    }

    fn manifest_url(&self, name: &str) -> Result<Url> {
        if !is_tag(name) && !name.starts_with("sha256:") {
            return Err(usage(
                format!("{name} is no tag"),
                "a tag has at most 128 letters, digits, dots, hyphens and underscores, and begins with a letter, a \
                 digit or an underscore",
            ));
        }
        self.client.url(&format!("manifests/{name}"))
    }

    /// The tags of the repository; one that does not exist has none.
    pub fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Tags {
            tags: Option<Vec<String>>,
        }

        let repository = self.reference.repository();
        let mut url = self.client.url("tags/list")?;
        url.query_pairs_mut().append_pair("n", TAGS_AT_ONCE);
        let list = List {
            client: &self.client,
            registry: self.reference.registry(),
            what: format!("the tags of {repository}"),
            nothing: "no new ones",
            cure: "ask who runs it, or use a repository with fewer tags",
        };
        let mut tags = BTreeSet::new();
        let request = |url| Ok(Request::new(Method::GET, url, Scope::Pull));
        list.read(url, request, |_, response| {
            if response.status == StatusCode::NOT_FOUND {
                return Ok(Page::Last);
            }
            let page: Tags = list.page(response)?;
            let before = tags.len();
            // What is no tag can be neither asked for nor shown.
            let page = page.tags.unwrap_or_default().into_iter();
            tags.extend(page.filter(|tag| is_tag(tag)));
            if tags.len() > MAX_TAGS {
                return Err(list.endless(&format!("there are more than {MAX_TAGS}")));
            }
            // Each page comes with new ones, so one that leads back to an earlier one is found out there.
            Ok(Page::of(tags.len() > before))
        })?;
        Ok(Vec::from_iter(tags))
    }
}

fn is_tag(name: &str) -> bool {
    let in_words = |char: char| char.is_ascii_alphanumeric() || char == '_';
    name.len() <= 128
        && name.starts_with(in_words)
        && name
            .chars()
            .all(|char| in_words(char) || ".-".contains(char))
}

fn describe(content: &[u8], media_type: &MediaType) -> Result<Descriptor> {
    if media_type.as_ref().is_empty() {
        return Err(usage(
            "a manifest needs a media type",
            "make the layout anew",
        ));
    }
    descriptor(
        media_type.clone(),
        Sha256Hash::of(content),
        content.len() as u64,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_word() {
        for tag in ["latest-civo", "1.2", "_", &"a".repeat(128)] {
            assert!(is_tag(tag), "{tag}");
        }
        for other in [
            "",
            ".",
            "..",
            "-a",
            "a/b",
            "a?b",
            "a%2f",
            "ä",
            &"a".repeat(129),
        ] {
            assert!(!is_tag(other), "{other}");
        }
    }
}
