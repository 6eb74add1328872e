//! A request to a registry, the response to it, and what may come instead of a response.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use anyhow::{Context as _, Error, Result};
use bytes::Bytes;
use failure::one_line;
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use super::auth::Scope;
use super::pace::Pace;
use super::retry::Transient;

/// The bytes of all bodies so far.
#[derive(Debug, Default)]
pub struct ByteCounters {
    pub sent: Arc<AtomicU64>,
    pub received: AtomicU64,
}

pub struct Request {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub scope: Scope,
}

impl Request {
    pub fn new(method: Method, url: Url, scope: Scope) -> Self {
        Self {
            method,
            url,
            scope,
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

/// A response that was read whole, of a registry that is neither overloaded nor broken.
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Where it came from in the end, redirects followed.
    pub url: Url,
}

impl Response {
    /// The header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A response whose content is being read.
pub struct Streamed {
    pub response: reqwest::Response,
    pub pace: Pace,
}

/// A response whose status has come.
pub enum Opened {
    /// A success, whose content is still to be read.
    Content(Streamed),
    /// Anything else, read whole.
    Refused(Response),
}

/// Why there is no response.
pub enum RequestError {
    /// Another try may help.
    Transient(Transient),
    /// It would not.
    Fatal(Error),
}

impl From<Error> for RequestError {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

impl From<std::io::Error> for RequestError {
    fn from(error: std::io::Error) -> Self {
        Self::Fatal(error.into())
    }
}

/// What the body of an error says, as the end of a sentence.
pub fn error_detail(body: &[u8]) -> String {
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
    let text: String = text.chars().take(200).collect();
    // Whatever answers is not trusted with the terminal.
    match one_line(&text).trim() {
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
            (
                "<html>\n\u{1b}[2J\u{202e}gone",
                " (<html> \u{fffd}[2J\u{fffd}gone)",
            ),
            (r#"{"other": 1}"#, ""),
            ("", ""),
        ] {
            assert_eq!(error_detail(body.as_bytes()), shown);
        }
        assert!(error_detail("x".repeat(10_000).as_bytes()).len() < 210);
    }
}
