//! Requests to one registry, tried again where that may help, and never with credentials for anybody else.
//!
//! What is read may come from elsewhere: registries hand blobs out from storage on other hosts, and the redirect is
//! followed without credentials. What is written goes to the registry alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Error, Result, anyhow, bail};
use bytes::Bytes;
use futures_util::stream;
use oci_client::Reference;
use reqwest::header::{CONTENT_LENGTH, LOCATION};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode, Url};
use tokio::runtime::Runtime;

use super::auth::{Access, Auth, Challenge, Proof};
use super::credentials::Credentials;
use super::patience::{Cut, Patience, retry_after};
use super::request::{Answer, Ask, Meter, Unanswered, said};
use super::{CONNECT, SILENCE, USER_AGENT};

/// How long a registry may keep silent over what it is sent: it checks and stores a whole blob before it answers.
const WRITE_SILENCE: Duration = Duration::from_secs(300);
/// More bytes than any answer but a blob has.
const MAX_ANSWER: usize = 32 << 20;
/// As many redirects as there may be.
const MAX_REDIRECTS: usize = 5;
/// Content is handed to the connection in such pieces.
const PIECE: usize = 64 << 10;

/// A registry that answers requests about one repository.
pub struct Http {
    pub runtime: Runtime,
    pub meter: Meter,
    reader: Client,
    writer: Client,
    base: Url,
    name: String,
    repository: String,
    auth: Auth,
}

impl Http {
    /// The registry of `reference`, in which `credentials` are good.
    pub fn new(
        reference: &Reference,
        plain: bool,
        credentials: Option<Credentials>,
        runtime: Runtime,
    ) -> Result<Self> {
        let scheme = if plain { "http" } else { "https" };
        let host = reference.resolve_registry();
        let base = Url::parse(&format!("{scheme}://{host}/"))
            .with_context(|| format!("{host} is no name of a registry"))?;
        let client = |redirects: Policy, silence: Duration| {
            Client::builder()
                .user_agent(USER_AGENT)
                .connect_timeout(CONNECT)
                .read_timeout(silence)
                .redirect(redirects)
                .build()
                .context("failed to set up TLS")
        };
        Ok(Self {
            runtime,
            meter: Meter::default(),
            // It drops the credentials wherever scheme, host or port change.
            reader: client(Policy::custom(redirect), SILENCE)?,
            writer: client(Policy::none(), WRITE_SILENCE)?,
            base,
            name: reference.registry().to_owned(),
            repository: reference.repository().to_owned(),
            auth: Auth::new(reference.repository(), credentials),
        })
    }

    /// The address of `path` in the repository.
    pub fn url(&self, path: &str) -> Result<Url> {
        let path = format!("v2/{}/{path}", self.repository);
        let url = self.base.join(&path);
        url.with_context(|| format!("{path} is no path of a registry"))
    }

    /// The address at which `answer` says to go on, which must be one of the registry itself.
    pub fn next(&self, answer: &Answer, location: &str) -> Result<Url> {
        let name = &self.name;
        let Ok(url) = answer.url.join(location) else {
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

    /// The address in the `Location` of `answer`.
    pub fn location(&self, answer: &Answer) -> Result<Url> {
        let Some(location) = answer.header(LOCATION.as_str()) else {
            bail!("the registry {} does not say where to go on", self.name);
        };
        self.next(answer, location)
    }

    /// The answer to `ask`, however often it takes.
    pub fn send(&self, ask: &Ask) -> Result<Answer> {
        let mut patience = Patience::default();
        loop {
            match self.once(ask) {
                Ok(answer) => return Ok(answer),
                Err(Unanswered::Cut(cut)) => patience.wait(cut)?,
                Err(Unanswered::Failed(error)) => return Err(error),
            }
        }
    }

    /// The answer to `ask`, if one comes at once.
    pub fn once(&self, ask: &Ask) -> Result<Answer, Unanswered> {
        let proof = self.auth.held(&ask.access).unwrap_or(Proof::None);
        let answer = self.exchange(ask, &proof)?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        // It was not told yet who asks, or the token is not good any more.
        match self.prove(&answer, &ask.access)? {
            Proof::None => Ok(answer),
            proof => self.exchange(ask, &proof),
        }
    }

    /// What to show for `access`, before anything is asked.
    pub fn proof(&self, access: &Access) -> Result<Proof> {
        if let Some(held) = self.auth.held(access) {
            return Ok(held);
        }
        let url = self.base.join("v2/").context("a constant is a path")?;
        let ask = Ask::new(Method::GET, url, access.clone());
        let answer = self.send(&ask)?;
        if self.auth.held(access).is_none() && answer.status.is_success() {
            self.auth.hold(access, Proof::None, None);
        }
        Ok(self.auth.held(access).unwrap_or(Proof::None))
    }

    fn prove(&self, refused: &Answer, access: &Access) -> Result<Proof, Unanswered> {
        match Challenge::of(&refused.headers) {
            None => Ok(Proof::None),
            Some(Challenge::Basic) => Ok(match self.auth.credentials() {
                None => Proof::None,
                Some(credentials) => {
                    let proof = Proof::Basic(credentials.clone());
                    self.auth.hold(access, proof.clone(), None);
                    proof
                }
            }),
            Some(Challenge::Bearer { realm, service }) => {
                self.token(&realm, service.as_deref(), access)
            }
        }
    }

    fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        access: &Access,
    ) -> Result<Proof, Unanswered> {
        let url = self.auth.token_url(realm, service, access, &self.base);
        let url = url.map_err(Unanswered::Failed)?;
        let proof = match self.auth.credentials() {
            Some(credentials) => Proof::Basic(credentials.clone()),
            None => Proof::None,
        };
        let service = format!("the token service {}", url.authority());
        let request = proof.show(self.writer.get(url));
        let answer = self.run(request, &service)?;
        let failed = |why: String| Unanswered::Failed(anyhow!("{service} of {} {why}", self.name));
        match answer.status {
            status if status.is_success() => {
                let token = serde_json::from_slice(&answer.body)
                    .map_err(|_| failed("answers no JSON of a token".to_owned()))?;
                let held = self.auth.hold_token(access, token);
                held.map_err(|error| failed(format!("is of no use: {error}")))
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(failed(format!(
                "refuses a token for {}{}; log in with `docker login {}`",
                self.repository,
                said(&answer.body),
                self.name
            ))),
            status => Err(failed(format!("answers {status}{}", said(&answer.body)))),
        }
    }

    fn exchange(&self, ask: &Ask, proof: &Proof) -> Result<Answer, Unanswered> {
        let reads = [Method::GET, Method::HEAD].contains(&ask.method);
        let client = if reads { &self.reader } else { &self.writer };
        let request = client.request(ask.method.clone(), ask.url.clone());
        let mut request = request.headers(ask.headers.clone());
        if !reads {
            request = request.header(CONTENT_LENGTH, ask.body.len());
        }
        if !ask.body.is_empty() {
            request = request.body(self.metered(ask.body.clone()));
        }
        self.run(proof.show(request), &format!("the registry {}", self.name))
    }

    /// Sends `request` to `who`; what says to come back later is no answer.
    fn run(&self, request: RequestBuilder, who: &str) -> Result<Answer, Unanswered> {
        let answer = self.runtime.block_on(async {
            let response = request.send().await;
            let response = response.map_err(|error| unreached(error, who))?;
            self.read(response, who).await
        })?;
        let status = answer.status;
        if status.is_server_error()
            || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status)
        {
            return Err(Unanswered::Cut(Cut {
                why: anyhow!("{who} answers {status}{}", said(&answer.body)),
                wait: retry_after(&answer.headers, SystemTime::now()),
            }));
        }
        Ok(answer)
    }

    async fn read(&self, mut response: Response, who: &str) -> Result<Answer, Unanswered> {
        let mut body = Vec::new();
        loop {
            let piece = response.chunk().await;
            let Some(piece) = piece.map_err(|error| unreached(error, who))? else {
                break;
            };
            let come = piece.len() as u64;
            self.meter.received.fetch_add(come, Ordering::Relaxed);
            if body.len() + piece.len() > MAX_ANSWER {
                return Err(Unanswered::Failed(anyhow!(
                    "{who} answers with more than {MAX_ANSWER} bytes where a manifest or a list was asked for"
                )));
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            url: response.url().clone(),
            body,
        })
    }

    /// `content` as a body that is counted while the connection takes it.
    fn metered(&self, content: Bytes) -> Body {
        let sent = Arc::clone(&self.meter.sent);
        let starts = (0..content.len()).step_by(PIECE);
        Body::wrap_stream(stream::iter(starts.map(move |start| {
            let piece = content.slice(start..content.len().min(start + PIECE));
            sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
            Ok::<_, std::io::Error>(piece)
        })))
    }

    /// The error of an answer that is none that was hoped for; `what` completes "refuses to".
    pub fn refused(&self, answer: &Answer, what: &str) -> Error {
        let (name, status, said) = (&self.name, answer.status, said(&answer.body));
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            let hint = match self.auth.credentials() {
                None => format!("log in with `docker login {name}`"),
                Some(Credentials { user, .. }) => {
                    format!("{user} may not; log in as a user who may, with `docker login {name}`")
                }
            };
            return anyhow!("the registry {name} refuses to {what}{said}; {hint}");
        }
        if status.is_redirection() {
            let place = answer.header(LOCATION.as_str());
            let place = place.and_then(|place| answer.url.join(place).ok());
            let place = place.map_or("nowhere".to_owned(), |place| {
                place.origin().ascii_serialization()
            });
            return anyhow!(
                "the registry {name} refuses to {what} and redirects to {place}, which nobody named; name the registry \
                 itself"
            );
        }
        anyhow!("the registry {name} refuses to {what}: {status}{said}")
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

fn unreached(error: reqwest::Error, who: &str) -> Unanswered {
    let redirects = error.is_redirect();
    let message = if error.is_connect() {
        format!(
            "failed to reach {who}; check its name, the network, and that it runs (one that speaks plain HTTP takes --insecure)"
        )
    } else if redirects {
        format!("{who} redirects to where it cannot be followed")
    } else {
        format!("the connection to {who} was cut")
    };
    // Addresses of storage carry signatures that are as good as a password.
    let error = Error::from(error.without_url()).context(message);
    if redirects {
        Unanswered::Failed(error)
    } else {
        Unanswered::Cut(Cut::new(error))
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::*;

    fn http() -> Http {
        let reference = "registry.example/iac/runner:1".parse().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        super::super::set_up_tls().unwrap();
        Http::new(&reference, false, None, runtime).unwrap()
    }

    #[test]
    fn an_upload_goes_on_only_at_the_registry() {
        let http = http();
        let answer = Answer {
            status: StatusCode::ACCEPTED,
            headers: HeaderMap::new(),
            body: Vec::new(),
            url: http.url("blobs/uploads/").unwrap(),
        };
        for own in [
            "/v2/iac/runner/blobs/uploads/1?_state=x",
            "1?_state=x",
            "https://registry.example/v2/1",
            "https://registry.example:443/v2/1",
        ] {
            let url = http.next(&answer, own).unwrap();
            assert_eq!(url.host_str(), Some("registry.example"), "{own}");
        }
        for foreign in [
            "https://storage.example/1",
            "https://registry.example:444/1",
            "http://registry.example/1",
            "//storage.example/1",
            "https://user:password@registry.example/1",
        ] {
            let said = http.next(&answer, foreign).unwrap_err().to_string();
            assert!(said.contains("nobody named"), "{foreign}: {said}");
            assert!(!said.contains("password"), "{said}");
        }
    }
}
