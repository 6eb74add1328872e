//! Requests to one registry, tried again where that may help, and never with credentials for anybody else.
//!
//! What is read may come from elsewhere: registries hand blobs out from storage on other hosts, and the redirect is
//! followed without credentials. What is written goes to the registry alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use bytes::Bytes;
use failure::corrupt;
use futures_util::stream;
use oci_spec::distribution::Reference;
use reqwest::header::{CONTENT_LENGTH, LOCATION};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Body, Method, RequestBuilder, StatusCode, Url};
use tokio::runtime::Runtime;

use super::auth::{Authenticator, Authorization, Challenge, Scope};
use super::credentials::Credentials;
use super::pace::{Content, Pace};
use super::request::{
    ByteCounters, Opened, Request, RequestError, Response, Streamed, error_detail,
};
use super::retry::{RetryPolicy, Transient, retry_after};
use super::token_service::TokenServices;
use crate::http::{READ_TIMEOUT, client, runtime};

/// How long a registry may keep silent over what it is sent: it checks and stores a whole blob before it responds.
const WRITE_TIMEOUT: Duration = Duration::from_secs(300);
/// More bytes than a manifest or a list has.
pub const MAX_RESPONSE: usize = 32 << 20;
/// More bytes than are needed of a response that says no, or of a token.
const MAX_SMALL_RESPONSE: usize = 1 << 20;
/// As many redirects as there may be.
const MAX_REDIRECTS: usize = 5;
/// Content is handed to the connection in such pieces.
const PIECE: usize = 64 << 10;

/// Sends requests about one repository of one registry.
pub struct Client {
    pub byte_counters: ByteCounters,
    runtime: Runtime,
    reader: reqwest::Client,
    writer: reqwest::Client,
    base: Url,
    /// How messages call the registry.
    name: String,
    repository: String,
    authenticator: Authenticator,
}

impl Client {
    /// The registry of `reference`, in which `credentials` are good, and the token services that may have them.
    pub fn new(
        reference: &Reference,
        plain: bool,
        credentials: Option<Credentials>,
        services: TokenServices,
    ) -> Result<Self> {
        let scheme = if plain { "http" } else { "https" };
        let host = reference.resolve_registry();
        let base = Url::parse(&format!("{scheme}://{host}/"))
            .with_context(|| format!("{host} is no name of a registry"))?;
        let client = |redirects: Policy, read_timeout: Duration| {
            let client = client(read_timeout)?.redirect(redirects);
            client.build().context("failed to set up TLS")
        };
        Ok(Self {
            byte_counters: ByteCounters::default(),
            runtime: runtime()?,
            // It drops the credentials wherever scheme, host or port change.
            reader: client(Policy::custom(redirect), READ_TIMEOUT)?,
            writer: client(Policy::none(), WRITE_TIMEOUT)?,
            base,
            name: reference.registry().to_owned(),
            repository: reference.repository().to_owned(),
            authenticator: Authenticator::new(reference.repository(), credentials, services),
        })
    }

    /// The address of `path` in the repository.
    pub fn url(&self, path: &str) -> Result<Url> {
        let path = format!("v2/{}/{path}", self.repository);
        let url = self.base.join(&path);
        url.with_context(|| format!("{path} is no path of a registry"))
    }

    /// The address at which `response` says to go on, which must be one of the registry itself.
    pub fn next_url(&self, response: &Response, location: &str) -> Result<Url> {
        let name = &self.name;
        let Ok(url) = response.url.join(location) else {
            bail!("the registry {name} says to go on at {location}, which is no address");
        };
        if url.origin() != self.base.origin() || !url.username().is_empty() {
            bail!(
                "the registry {name} wants to be sent the rest at {}, which nobody named: neither content nor \
                 credentials go there; have the registry set up to name itself (Docker's has `http.host` for that)",
                url.origin().ascii_serialization()
            );
        }
        Ok(url)
    }

    /// The address in the `Location` of `response`.
    pub fn location(&self, response: &Response) -> Result<Url> {
        let Some(location) = response.header(LOCATION.as_str()) else {
            bail!("the registry {} does not say where to go on", self.name);
        };
        self.next_url(response, location)
    }

    /// The response to `request`, however often it takes.
    pub fn send(&self, request: &Request) -> Result<Response> {
        let mut retry = RetryPolicy::default();
        loop {
            match self.send_once(request) {
                Ok(response) => return Ok(response),
                Err(RequestError::Transient(transient)) => retry.wait(transient)?,
                Err(RequestError::Fatal(error)) => return Err(error),
            }
        }
    }

    /// The response to `request`, if one comes at once.
    pub fn send_once(&self, request: &Request) -> Result<Response, RequestError> {
        let opened = self.open(request)?;
        self.read(opened, MAX_RESPONSE, &self.sender())
    }

    /// The response to `request`, if one comes at once; the content of a success comes by [`Client::next_piece`].
    pub fn open(&self, request: &Request) -> Result<Opened, RequestError> {
        let cached = self.authenticator.cached(&request.scope);
        let opened = self.exchange(request, &cached.unwrap_or(Authorization::None))?;
        let refused = match opened {
            Opened::Refused(refused) if refused.status == StatusCode::UNAUTHORIZED => refused,
            other => return Ok(other),
        };
        // It was not told yet who asks, or the token is not good any more.
        match self.authorize(&refused, &request.scope)? {
            Authorization::None => Ok(Opened::Refused(refused)),
            authorization => self.exchange(request, &authorization),
        }
    }

    /// What comes next of a content; nothing at its end.
    pub fn next_piece(&self, content: &mut Streamed) -> Result<Option<Bytes>, RequestError> {
        self.piece(content, &self.sender())
    }

    fn sender(&self) -> String {
        format!("the registry {}", self.name)
    }

    fn authorize(&self, refused: &Response, scope: &Scope) -> Result<Authorization, RequestError> {
        match Challenge::of(&refused.headers) {
            None => Ok(Authorization::None),
            Some(Challenge::Basic) => Ok(match self.authenticator.credentials() {
                None => Authorization::None,
                Some(credentials) => {
                    let basic = Authorization::Basic(credentials.clone());
                    self.authenticator.cache(scope, basic.clone(), None);
                    basic
                }
            }),
            Some(Challenge::Bearer { realm, service }) => {
                self.token(&realm, service.as_deref(), scope)
            }
        }
    }

    fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &Scope,
    ) -> Result<Authorization, RequestError> {
        let authenticator = &self.authenticator;
        let url = authenticator.token_url(realm, service, scope, &self.base)?;
        let authorization = match authenticator.credentials() {
            Some(credentials) => Authorization::Basic(credentials.clone()),
            None => Authorization::None,
        };
        let service = format!("the token service {}", url.authority());
        let opened = self.run(authorization.apply(self.writer.get(url)), &service)?;
        let response = self.read(opened, MAX_SMALL_RESPONSE, &service)?;
        let failed = |why: String| RequestError::Fatal(anyhow!("{service} of {} {why}", self.name));
        match response.status {
            status if status.is_success() => {
                let token = serde_json::from_slice(&response.body)
                    .map_err(|_| failed("answers no JSON of a token".to_owned()))?;
                let cached = authenticator.cache_token(scope, token);
                cached.map_err(|error| failed(format!("is of no use: {error}")))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(failed(format!(
                "refuses a token for {}{}; log in with `docker login {}`",
                self.repository,
                error_detail(&response.body),
                self.name
            ))),
            status => Err(failed(format!(
                "answers {status}{}",
                error_detail(&response.body)
            ))),
        }
    }

    fn exchange(
        &self,
        request: &Request,
        authorization: &Authorization,
    ) -> Result<Opened, RequestError> {
        let reads = [Method::GET, Method::HEAD].contains(&request.method);
        let client = if reads { &self.reader } else { &self.writer };
        let mut built = client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone());
        if !reads {
            built = built.header(CONTENT_LENGTH, request.body.len());
        }
        if !request.body.is_empty() {
            built = built.body(self.counted(request.body.clone()));
        }
        self.run(authorization.apply(built), &self.sender())
    }

    /// Sends `request` to `who`; an overloaded or broken server is a transient error.
    fn run(&self, request: RequestBuilder, who: &str) -> Result<Opened, RequestError> {
        // A timer starts with the request, which needs the runtime around it.
        let response = self.runtime.block_on(async { request.send().await });
        let response = response.map_err(|error| transport_error(error, who))?;
        let status = response.status();
        let streamed = |response, content| Streamed {
            response,
            pace: Pace::new(content, Instant::now()),
        };
        if status.is_success() {
            return Ok(Opened::Content(streamed(response, Content::Blob)));
        }
        let refused = Opened::Content(streamed(response, Content::Document));
        let response = self.read(refused, MAX_SMALL_RESPONSE, who)?;
        if status.is_server_error()
            || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status)
        {
            return Err(RequestError::Transient(Transient {
                error: anyhow!("{who} answers {status}{}", error_detail(&response.body)),
                retry_after: retry_after(&response.headers, SystemTime::now()),
            }));
        }
        Ok(Opened::Refused(response))
    }

    fn read(&self, opened: Opened, max_bytes: usize, who: &str) -> Result<Response, RequestError> {
        let mut content = match opened {
            Opened::Refused(response) => return Ok(response),
            Opened::Content(content) => content,
        };
        content.pace = Pace::new(Content::Document, Instant::now());
        let mut body = Vec::new();
        while let Some(piece) = self.piece(&mut content, who)? {
            if body.len() + piece.len() > max_bytes {
                return Err(RequestError::Fatal(corrupt(
                    format!(
                        "{who} answers with more than {max_bytes} bytes where a manifest, a list, a token or an error \
                         was to come"
                    ),
                    "ask who runs it, or name another registry",
                )));
            }
            body.extend_from_slice(&piece);
        }
        let response = content.response;
        Ok(Response {
            status: response.status(),
            headers: response.headers().clone(),
            url: response.url().clone(),
            body,
        })
    }

    fn piece(&self, content: &mut Streamed, who: &str) -> Result<Option<Bytes>, RequestError> {
        let piece = self.runtime.block_on(content.response.chunk());
        let piece = piece.map_err(|error| transport_error(error, who))?;
        let received_bytes = piece.as_ref().map_or(0, Bytes::len);
        let counter = &self.byte_counters.received;
        counter.fetch_add(received_bytes as u64, Ordering::Relaxed);
        if piece.is_some() {
            let paced = content.pace.received(received_bytes, Instant::now());
            paced.map_err(|slow| {
                RequestError::Transient(slow.context(format!("{who} is too slow")).into())
            })?;
        }
        Ok(piece)
    }

    /// `content` as a body that is counted while the connection takes it.
    fn counted(&self, content: Bytes) -> Body {
        let sent = Arc::clone(&self.byte_counters.sent);
        let starts = (0..content.len()).step_by(PIECE);
        Body::wrap_stream(stream::iter(starts.map(move |start| {
            let piece = content.slice(start..content.len().min(start + PIECE));
            sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Ok::<_, std::io::Error>(piece)
        })))
    }

    /// The error of a response that is none that was hoped for; `what` completes "refuses to".
    pub fn refused(&self, response: &Response, what: &str) -> Error {
        let (name, status) = (&self.name, response.status);
        let detail = error_detail(&response.body);
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            let hint = match self.authenticator.credentials() {
                None => format!("log in with `docker login {name}`"),
                Some(Credentials { user, .. }) => {
                    format!("{user} may not; log in as a user who may, with `docker login {name}`")
                }
            };
            return anyhow!("the registry {name} refuses to {what}{detail}; {hint}");
        }
        if status.is_redirection() {
            let target = response.header(LOCATION.as_str());
            let target = target.and_then(|target| response.url.join(target).ok());
            let target = target.map_or("nowhere".to_owned(), |target| {
                target.origin().ascii_serialization()
            });
            return anyhow!(
                "the registry {name} refuses to {what} and redirects to {target}, which nobody named; name the \
                 registry itself"
            );
        }
        anyhow!("the registry {name} refuses to {what}: {status}{detail}")
    }
}

/// Follows a redirect of what is read, unless what was hidden from others would be so no more.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let was_hidden = attempt
        .previous()
        .last()
        .is_some_and(|from| from.scheme() == "https");
    if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error("too many redirects")
    } else if was_hidden && attempt.url().scheme() != "https" {
        attempt.error("a redirect from https to plain http")
    } else {
        attempt.follow()
    }
}

fn transport_error(error: reqwest::Error, who: &str) -> RequestError {
    let redirects = error.is_redirect();
    let message = if error.is_connect() {
        format!(
            "failed to reach {who}; check its name, the network, and that it runs (one that speaks plain HTTP has to \
             be named as insecure)"
        )
    } else if redirects {
        format!("{who} redirects to where it cannot be followed")
    } else {
        format!("the connection to {who} was cut")
    };
    // Addresses of storage carry signatures that are as good as a password.
    let error = Error::from(error.without_url()).context(message);
    if redirects {
        RequestError::Fatal(error)
    } else {
        RequestError::Transient(error.into())
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    #[test]
    fn an_upload_goes_on_only_at_the_registry() {
        let reference = "registry.example/team/runner:1".parse().unwrap();
        let client = Client::new(&reference, false, None, TokenServices::default()).unwrap();
        let response = Response {
            status: StatusCode::ACCEPTED,
            headers: HeaderMap::new(),
            body: Vec::new(),
            url: client.url("blobs/uploads/").unwrap(),
        };
        for own in [
            "/v2/team/runner/blobs/uploads/1?_state=x",
            "1?_state=x",
            "https://registry.example/v2/1",
            "https://registry.example:443/v2/1",
        ] {
            let url = client.next_url(&response, own).unwrap();
            assert_eq!(url.host_str(), Some("registry.example"), "{own}");
        }
        for foreign in [
            "https://storage.example/1",
            "https://registry.example:444/1",
            "http://registry.example/1",
            "//storage.example/1",
            "https://user:password@registry.example/1",
        ] {
            let said = client.next_url(&response, foreign).unwrap_err().to_string();
            assert!(said.contains("nobody named"), "{foreign}: {said}");
            assert!(!said.contains("password"), "{said}");
        }
    }
}
