//! What is said of images beside them, as a registry lists it.
//!
//! A registry of version 1.1 of OCI's API has a list of its own for that; in others it is an index under a tag, which
//! whoever adds to it writes anew.

use anyhow::Result;
use oci_spec::image::{Descriptor, ImageIndex, MediaType};
use reqwest::header::ACCEPT;
use reqwest::{Method, StatusCode};

use super::auth::Scope;
use super::pages::{List, Page};
use super::repository::Registry;
use super::request::Request;
use crate::referrer::{self, MAX_REFERRERS, Referrers};

/// What registries answer that know no list.
const UNKNOWN: [StatusCode; 3] = [
    StatusCode::NOT_FOUND,
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_ACCEPTABLE,
];

impl Referrers for Registry<'_> {
    fn referrers(&self, subject: &Descriptor) -> Result<Vec<Descriptor>> {
        let repository = self.reference.repository();
        let digest = subject.digest();
        let list = List {
            client: &self.client,
            registry: self.reference.registry(),
            what: format!("what is said of {repository}@{digest}"),
            nothing: "none",
            cure: "ask who runs it, or name another registry",
        };
        let request =
            |url| Request::new(Method::GET, url, Scope::Pull).header(ACCEPT, MediaType::ImageIndex);
        let (mut all, mut has_list) = (Vec::new(), true);
        let url = self.client.url(&format!("referrers/{digest}"))?;
        list.read(url, request, |number, response| {
            if number == 0 && UNKNOWN.contains(&response.status) {
                has_list = false;
                return Ok(Page::Last);
            }
            let index: ImageIndex = list.page(response)?;
            all.extend(index.manifests().iter().cloned());
            if all.len() > MAX_REFERRERS {
                return Ok(Page::Last);
            }
            Ok(Page::of(!index.manifests().is_empty()))
        })?;
        if !has_list {
            all = self.listed(&referrer::fallback_tag(subject))?;
        }
        referrer::bounded(all, subject)
    }
}
