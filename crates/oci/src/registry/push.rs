//! Blobs that go to a registry, and what a push has to know first.
//!
//! A blob that the registry has is not sent; one that another repository of the same registry has is mounted from
//! there. Whatever digest the registry answers must be the one that was meant.

use std::io::Cursor;

use anyhow::{Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::image::Descriptor;
use reqwest::header::{CONTENT_LENGTH, LOCATION};
use reqwest::{Method, StatusCode};

use super::auth::Scope;
use super::repository::{DIGEST_HEADER, Registry};
use super::request::{Request, Response};
use super::upload::Source;
use failure::corrupt;

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
        let url = self.client.url(&format!("blobs/{}", blob.digest()))?;
        let response = self
            .client
            .send(&Request::new(Method::HEAD, url, Scope::Pull))?;
        match response.status {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => {
                let length = response.header(CONTENT_LENGTH.as_str());
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
                .client
                .refused(&response, &format!("look for {}", blob.digest()))),
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
                Ok(response) if response.status == StatusCode::CREATED => {
                    self.check_stored(blob, &response)?;
                    return Ok(Pushed::Mounted);
                }
                // It cannot, and has begun an upload instead.
                Ok(response) if response.status == StatusCode::ACCEPTED => begun = Some(response),
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

    fn mount(&self, blob: &Descriptor, from: &str) -> Result<Response> {
        let mut url = self.client.url("blobs/uploads/")?;
        url.query_pairs_mut()
            .append_pair("mount", blob.digest().as_ref())
            .append_pair("from", from);
        let scope = Scope::Mount(from.to_owned());
        self.client.send(&Request::new(Method::POST, url, scope))
    }

    /// Checks that `response` is about `blob`, by the digest or the place that it names.
    pub(super) fn check_stored(&self, blob: &Descriptor, response: &Response) -> Result<()> {
        let digest = blob.digest().to_string();
        let named = response.header(DIGEST_HEADER).or_else(|| {
            let place = response.header(LOCATION.as_str())?;
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
}
