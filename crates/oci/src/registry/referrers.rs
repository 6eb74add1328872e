//! What is said of images beside them, as a registry lists it.
//!
//! A registry of version 1.1 of OCI's API has a list of its own for that; in others it is an index under a tag, which
//! whoever adds to it writes anew.

use anyhow::Result;
use oci_spec::image::{Descriptor, ImageIndex, MediaType};
use reqwest::header::{ACCEPT, LINK};
use reqwest::{Method, StatusCode};

use super::auth::Scope;
use super::client::MAX_RESPONSE;
use super::manifests::{MAX_PAGES, next_page};
use super::repository::Registry;
use super::request::Request;
use crate::referrer::{self, MAX_REFERRERS, Referrers};
use failure::corrupt;

/// What registries answer that know no list.
const UNKNOWN: [StatusCode; 3] = [
    StatusCode::NOT_FOUND,
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_ACCEPTABLE,
];

impl Referrers for Registry<'_> {
    fn referrers(&self, subject: &Descriptor) -> Result<Vec<Descriptor>> {
        let repository = self.reference.repository();
        let registry = self.reference.registry();
        let subject_digest = subject.digest();
        let endless = |reason: String| {
            corrupt(
                format!(
                    "the registry {registry} lists what is said of {repository}@{subject_digest} without an end: \
                     {reason}"
                ),
                "ask who runs it, or name another registry",
            )
        };
        let mut url = self.client.url(&format!("referrers/{subject_digest}"))?;
        let mut left_bytes = MAX_RESPONSE;
        let mut all = Vec::new();
        for page in 0..MAX_PAGES {
            let request = Request::new(Method::GET, url, Scope::Pull);
            let request = request.header(ACCEPT, MediaType::ImageIndex)?;
            let response = self.client.send(&request)?;
            if page == 0 && UNKNOWN.contains(&response.status) {
                return referrer::bounded(self.listed(&referrer::fallback_tag(subject))?, subject);
            }
            if !response.status.is_success() {
                let what = format!("list what is said of {repository}@{subject_digest}");
                return Err(self.client.refused(&response, &what));
            }
            let index: ImageIndex = serde_json::from_slice(&response.body).map_err(|error| {
                corrupt(
                    format!(
                        "the registry {registry} answers no list of what is said of {repository}@{subject_digest}: \
                         {error}"
                    ),
                    "ask again, and if that does not help, name another registry",
                )
            })?;
            left_bytes = match left_bytes.checked_sub(response.body.len()) {
                Some(left) => left,
                None => return Err(endless(format!("there are more than {MAX_RESPONSE} bytes"))),
            };
            let before = all.len();
            all.extend(index.manifests().iter().cloned());
            let links = response.headers.get_all(LINK).iter();
            let mut links = links.filter_map(|link| next_page(link.to_str().ok()?));
            match links.next() {
                Some(next) if all.len() <= MAX_REFERRERS => {
                    if all.len() == before {
                        return Err(endless("a page that has none names another".to_owned()));
                    }
                    url = self.client.next_url(&response, next)?;
                }
                _ => return referrer::bounded(all, subject),
            }
        }
        // What is missing may be what decides, so a part of the list is none.
        Err(endless(format!("there are more than {MAX_PAGES} pages")))
    }
}
