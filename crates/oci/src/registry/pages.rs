//! Lists that a registry hands out in pages: they are read to their end, or not at all, for what is missing may be what
//! decides.

use anyhow::{Context as _, Error, Result};
use reqwest::Url;
use reqwest::header::LINK;
use serde::de::DeserializeOwned;

use super::client::{Client, MAX_RESPONSE};
use super::request::{Request, Response};
use failure::corrupt;

/// As many pages of a list are asked for; registries that give fewer tags at once give a hundred.
const MAX_PAGES: usize = 1000;

/// A list.
pub(super) struct List<'a> {
    pub client: &'a Client,
    /// The host.
    pub registry: &'a str,
    /// What it lists, for people.
    pub what: String,
    /// What a page has that brings nothing, for people.
    pub nothing: &'static str,
    /// What to do where it has no end.
    pub cure: &'static str,
}

/// What a page brings.
pub(super) enum Page {
    /// Something.
    Something,
    /// Nothing, so it should be the last one.
    Nothing,
    /// All that is wanted: no other is asked for.
    Last,
}

impl Page {
    /// One that brings something, or not.
    pub fn of(has_something: bool) -> Self {
        if has_something {
            Self::Something
        } else {
            Self::Nothing
        }
    }
}

impl List<'_> {
    /// Asks for the page at `url` and those that follow, by `request`, and hands each to `take` with its number.
    ///
    /// # Errors
    /// A list without an end, in pages or bytes, is corrupt.
    pub fn read(
        &self,
        mut url: Url,
        request: impl Fn(Url) -> Result<Request>,
        mut take: impl FnMut(usize, &Response) -> Result<Page>,
    ) -> Result<()> {
        let mut left_bytes = MAX_RESPONSE;
        for number in 0..MAX_PAGES {
            let response = self.client.send(&request(url)?)?;
            let page = take(number, &response)?;
            left_bytes = match left_bytes.checked_sub(response.body.len()) {
                Some(left) => left,
                None => {
                    return Err(self.endless(&format!("there are more than {MAX_RESPONSE} bytes")));
                }
            };
            let links = response.headers.get_all(LINK).iter();
            let mut links = links.filter_map(|link| next_page(link.to_str().ok()?));
            url = match (links.next(), page) {
                (None, _) | (_, Page::Last) => return Ok(()),
                (Some(_), Page::Nothing) => {
                    let nothing = self.nothing;
                    return Err(self.endless(&format!("a page that has {nothing} names another")));
                }
                (Some(next), Page::Something) => self
                    .client
                    .next_url(&response, next)
                    .with_context(|| format!("failed to list all of {}", self.what))?,
            };
        }
        Err(self.endless(&format!("there are more than {MAX_PAGES} pages")))
    }

    /// What a page says.
    pub fn page<P: DeserializeOwned>(&self, response: &Response) -> Result<P> {
        let Self { registry, what, .. } = self;
        if !response.status.is_success() {
            return Err(self.client.refused(response, &format!("list {what}")));
        }
        serde_json::from_slice(&response.body).map_err(|error| {
            corrupt(
                format!("the registry {registry} answers no list of {what}: {error}"),
                "ask again, and if that does not help, name another registry",
            )
        })
    }

    pub fn endless(&self, reason: &str) -> Error {
        let Self { registry, what, .. } = self;
        corrupt(
            format!("the registry {registry} lists {what} without an end: {reason}"),
            self.cure,
        )
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
}
