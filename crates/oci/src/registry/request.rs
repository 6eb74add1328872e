//! A request to a registry, and what becomes of it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, Error, Result};
use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use super::auth::Access;
use super::patience::Cut;

/// The bytes of all bodies so far.
#[derive(Debug, Default)]
pub struct Meter {
    pub sent: Arc<AtomicU64>,
    pub received: AtomicU64,
}

/// A request.
pub struct Ask {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub access: Access,
}

impl Ask {
    pub fn new(method: Method, url: Url, access: Access) -> Self {
        Self {
            method,
            url,
            access,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// The request with one more header.
    pub fn header(mut self, name: HeaderName, value: impl AsRef<str>) -> Result<Self> {
        let value = value.as_ref();
        let parsed = value.parse();
        let parsed = parsed.with_context(|| format!("{value} cannot be the header {name}"))?;
        self.headers.insert(name, parsed);
        Ok(self)
    }

    /// The request with content.
    pub fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }
}

/// What the registry answered, if it is neither overloaded nor broken.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Where it was in the end.
    pub url: Url,
}

impl Answer {
    /// The header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Why there is no answer.
pub enum Unanswered {
    /// Another try may help.
    Cut(Cut),
    /// It would not.
    Failed(Error),
}

/// What the body of an error says, as the end of a sentence.
pub fn said(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            let errors = value["errors"].as_array().cloned().unwrap_or_default();
            let errors = errors.iter().map(|error| {
                let part = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
                format!("{} {}", part("code"), part("message"))
            });
            errors.collect::<Vec<_>>().join(", ")
        }
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    // Whatever answers is not trusted with the terminal.
    let text: String = text
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .take(200)
        .collect();
    match text.trim() {
        "" => String::new(),
        text => format!(" ({text})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_says_is_shown_in_one_line() {
        for (body, shown) in [
            (
                r#"{"errors": [{"code": "DENIED", "message": "read only"}]}"#,
                " (DENIED read only)",
            ),
            ("<html>\n\u{1b}[2Jgone", " (<html>  [2Jgone)"),
            (r#"{"other": 1}"#, ""),
            ("", ""),
        ] {
            assert_eq!(said(body.as_bytes()), shown);
        }
        assert!(said("x".repeat(10_000).as_bytes()).len() < 210);
    }
}
