//! Pushing to a registry, and what a push has to know first.
//!
//! A blob that the registry has is not sent; one that another repository of the same registry has is mounted from
//! there. Whatever digest the registry answers must be the one that was meant.

use std::collections::BTreeSet;
use std::io::Cursor;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::image::{Descriptor, MediaType, Sha256Digest};
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, LINK, LOCATION};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use sha256::Sha256Hash;

use super::Registry;
use super::auth::Access;
use super::pull::MANIFESTS;
use super::request::{Answer, Ask};
use super::upload::Source;
use failure::{corrupt, usage};

/// The header in which a registry says what it stored or sends.
const DIGEST: &str = "docker-content-digest";
/// As many tags are asked for at once.
const TAGS_AT_ONCE: &str = "1000";

/// How a blob came into the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was there.
    Existed,
    /// The registry took it from another of its repositories.
    Mounted,
    /// It was uploaded.
    Sent {
        /// Its size.
        bytes: u64,
    },
}

impl Registry<'_> {
    /// Whether the repository has `blob`.
    pub fn has_blob(&self, blob: &Descriptor) -> Result<bool> {
        let url = self.http.url(&format!("blobs/{}", blob.digest()))?;
        let answer = self.http.send(&Ask::new(Method::HEAD, url, Access::Pull))?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => {
                let length = answer.header(CONTENT_LENGTH.as_str());
                let length = length.and_then(|length| length.parse::<u64>().ok());
                // Some proxies answer 0 to whoever asks for no content.
                match length.filter(|length| *length != 0 && *length != blob.size()) {
                    None => Ok(true),
                    Some(length) => Err(corrupt(
                        format!(
                            "{} has {length} instead of {} bytes in the registry {}",
                            blob.digest(),
                            blob.size(),
                            self.reference.registry()
                        ),
                        "delete it there, then push again",
                    )),
                }
            }
            _ => Err(self
                .http
                .refused(&answer, &format!("look for {}", blob.digest()))),
        }
    }

    /// Sees to it that the repository has `blob`, the content of `file`; `from` is another repository of the same
    /// registry that may have it.
    pub fn push_blob(
        &self,
        blob: &Descriptor,
        file: &Utf8Path,
        from: Option<&str>,
    ) -> Result<Pushed> {
        self.push(blob, from, || {
            Ok(Source {
                name: file.to_string(),
                content: Box::new(fs_err::File::open(file)?),
            })
        })
    }

    /// Sees to it that the repository has `blob`, which its registry has in the repository `from`; only if that cannot
    /// be, it comes by way of this machine, as the file that `fetch` gets.
    pub fn push_from(
        &self,
        blob: &Descriptor,
        from: &str,
        fetch: impl FnOnce() -> Result<Utf8PathBuf>,
    ) -> Result<Pushed> {
        self.push(blob, Some(from), || {
            let file = fetch()?;
            Ok(Source {
                name: file.to_string(),
                content: Box::new(fs_err::File::open(file)?),
            })
        })
    }

    /// Sees to it that the repository has `blob`, which is `content`.
    pub fn push_bytes(&self, blob: &Descriptor, content: &[u8]) -> Result<Pushed> {
        self.push(blob, None, || {
            Ok(Source {
                name: format!("the content for {}", blob.digest()),
                content: Box::new(Cursor::new(content)),
            })
        })
    }

    fn push<'c>(
        &self,
        blob: &Descriptor,
        from: Option<&str>,
        open: impl FnOnce() -> Result<Source<'c>>,
    ) -> Result<Pushed> {
        if self.has_blob(blob)? {
            return Ok(Pushed::Existed);
        }
        let mut begun = None;
        if let Some(from) = from {
            match self.mount(blob, from) {
                Ok(answer) if answer.status == StatusCode::CREATED => {
                    self.check_stored(blob, &answer)?;
                    return Ok(Pushed::Mounted);
                }
                // It cannot, and has begun an upload instead.
                Ok(answer) if answer.status == StatusCode::ACCEPTED => begun = Some(answer),
                // Whoever may not read there may still write here.
                Ok(_) => {}
                Err(error) => self.events.warning(&format!(
                    "{} cannot be had from {from}, and is sent: {error:#}",
                    blob.digest()
                )),
            }
        }
        self.upload(blob, open()?, begun)?;
        Ok(Pushed::Sent { bytes: blob.size() })
    }

    fn mount(&self, blob: &Descriptor, from: &str) -> Result<Answer> {
        let mut url = self.http.url("blobs/uploads/")?;
        url.query_pairs_mut()
            .append_pair("mount", blob.digest().as_ref())
            .append_pair("from", from);
        let access = Access::Mount(from.to_owned());
        self.http.send(&Ask::new(Method::POST, url, access))
    }

    /// Checks that `answer` is about `blob`, by the digest or the place that it names.
    pub(super) fn check_stored(&self, blob: &Descriptor, answer: &Answer) -> Result<()> {
        let digest = blob.digest().to_string();
        let named = answer.header(DIGEST).or_else(|| {
            let place = answer.header(LOCATION.as_str())?;
            place.rsplit('/').next()?.split('?').next()
        });
        match named.filter(|named| named.starts_with("sha256:")) {
            Some(named) if named == digest => Ok(()),
            Some(named) => Err(corrupt(
                format!(
                    "the registry {} stored {named} instead of {digest}",
                    self.reference.registry()
                ),
                "push again",
            )),
            // It does not say; then it must have it.
            None if self.has_blob(blob)? => Ok(()),
            None => bail!(
                "the registry {} says that it stored {digest}, and does not have it; push again",
                self.reference.registry()
            ),
        }
    }

    /// Pushes a manifest or an index, which then goes by `name`, a tag or its own digest; everything that it names must
    /// have been pushed before.
    pub fn push_manifest(
        &self,
        content: &[u8],
        media_type: &MediaType,
        name: &str,
    ) -> Result<Descriptor> {
        let descriptor = describe(content, media_type)?;
        let digest = descriptor.digest().to_string();
        if name.starts_with("sha256:") && name != digest {
            return Err(corrupt(
                format!("the manifest that goes by {name} has the digest {digest}"),
                "make it anew",
            ));
        }
        let url = self.manifest_url(name)?;
        let ask = Ask::new(Method::PUT, url, Access::Push)
            .header(CONTENT_TYPE, media_type.as_ref())?
            .body(Bytes::copy_from_slice(content));
        let answer = self.http.send(&ask)?;
        if !answer.status.is_success() {
            let what = format!("store the manifest {}:{name}", self.reference.repository());
            return Err(self.http.refused(&answer, &what));
        }
        let stored = match answer.header(DIGEST) {
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
        Ok(descriptor)
    }

    /// The manifest or index that goes by `name`, a tag or a digest, and its content; none if there is none.
    pub fn manifest(&self, name: &str) -> Result<Option<(Descriptor, Vec<u8>)>> {
        let url = self.manifest_url(name)?;
        let ask = Ask::new(Method::GET, url, Access::Pull).header(ACCEPT, MANIFESTS.join(", "))?;
        let answer = self.http.send(&ask)?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let repository = self.reference.repository();
        if !answer.status.is_success() {
            let what = format!("hand out the manifest {repository}:{name}");
            return Err(self.http.refused(&answer, &what));
        }
        let media_type = answer.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let descriptor = describe(&answer.body, &media_type.into())?;
        let digest = descriptor.digest().to_string();
        let asked = Some(name).filter(|name| name.starts_with("sha256:"));
        for meant in [asked, answer.header(DIGEST)].into_iter().flatten() {
            if meant != digest {
                return Err(corrupt(
                    format!(
                        "the registry {} sent {digest} as the manifest {repository}:{name} instead of {meant}",
                        self.reference.registry()
                    ),
                    "ask again, and if that does not help, push it again",
                ));
            }
        }
        Ok(Some((descriptor, answer.body)))
    }

    fn manifest_url(&self, name: &str) -> Result<Url> {
        if !is_tag(name) && !name.starts_with("sha256:") {
            return Err(usage(
                format!("{name} is no tag"),
                "a tag has at most 128 letters, digits, dots, hyphens and underscores, and begins with a letter, a digit or an underscore",
            ));
        }
        self.http.url(&format!("manifests/{name}"))
    }

    /// The tags of the repository; one that does not exist has none.
    pub fn tags(&self) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }

        let mut url = self.http.url("tags/list")?;
        url.query_pairs_mut().append_pair("n", TAGS_AT_ONCE);
        let mut seen = BTreeSet::new();
        let mut tags = Vec::new();
        // A registry that goes in circles ends where it came from.
        while seen.insert(url.as_str().to_owned()) {
            let answer = self.http.send(&Ask::new(Method::GET, url, Access::Pull))?;
            let repository = self.reference.repository();
            if answer.status == StatusCode::NOT_FOUND {
                break;
            }
            if !answer.status.is_success() {
                let what = format!("list the tags of {repository}");
                return Err(self.http.refused(&answer, &what));
            }
            let page: Page = serde_json::from_slice(&answer.body).with_context(|| {
                format!(
                    "the registry {} answers no list of tags of {repository}",
                    self.reference.registry()
                )
            })?;
            tags.extend(page.tags.unwrap_or_default());
            let links = answer.headers.get_all(LINK).iter();
            let mut links = links.filter_map(|link| next_page(link.to_str().ok()?));
            match links.next() {
                Some(next) => url = self.next_page(&answer, next)?,
                None => break,
            }
        }
        Ok(tags)
    }

    fn next_page(&self, answer: &Answer, link: &str) -> Result<Url> {
        let next = self.http.next(answer, link);
        next.with_context(|| format!("failed to list all tags of {}", self.reference.repository()))
    }
}

/// The address of the next page in a `Link` header.
fn next_page(header: &str) -> Option<&str> {
    let links = header.split(',').map(str::trim);
    let mut links = links.filter_map(|link| link.strip_prefix('<')?.split_once('>'));
    let next = links.find(|(_, parameters)| {
        let mut parameters = parameters
            .split(';')
            .filter_map(|text| text.split_once('='));
        parameters.any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"') == "next"
        })
    });
    next.map(|(address, _)| address)
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
    let digest = Sha256Hash::of(content).to_string();
    let digest: Sha256Digest = digest.parse().context("a digest is 64 hex digits")?;
    Ok(Descriptor::new(
        media_type.clone(),
        content.len() as u64,
        digest,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_its_next_page() {
        for (header, next) in [
            (
                r#"</v2/a/tags/list?n=2&last=b>; rel="next""#,
                Some("/v2/a/tags/list?n=2&last=b"),
            ),
            (r#"</x>; rel=first, </y>; title="t"; REL=next"#, Some("/y")),
            (r#"</x>; rel="last""#, None),
            ("/x; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_page(header), next, "{header}");
        }
    }

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
