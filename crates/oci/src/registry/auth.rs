//! How a registry is told who asks.
//!
//! The first request goes without credentials; what the registry answers says how it wants them: as they are (Basic),
//! or taken to a token service whose token is then shown (Bearer). The token service may be on another host by the
//! distribution specification, so credentials go there only where nobody on the way can read them: over HTTPS, on this
//! machine, or to the very host that the user named as insecure.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use oci_client::token_cache::{RegistryToken, RegistryTokenType};
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;

use super::credentials::Credentials;
use super::is_this_machine;

/// How long a token is good where the token service does not say.
const DEFAULT_EXPIRY: Duration = Duration::from_secs(60);
/// How long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(10);

/// What a request wants to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Access {
    /// Read.
    Pull,
    /// Read and write.
    Push,
    /// Write what another repository of the registry has.
    Mount(String),
}

impl Access {
    /// What a token service calls it.
    fn scopes(&self, repository: &str) -> Vec<String> {
        let push = || format!("repository:{repository}:pull,push");
        match self {
            Self::Pull => vec![format!("repository:{repository}:pull")],
            Self::Push => vec![push()],
            Self::Mount(from) => vec![push(), format!("repository:{from}:pull")],
        }
    }
}

/// What is shown to the registry.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// It asks for nothing.
    None,
    /// A user and a password.
    Basic(Credentials),
    /// A token.
    Bearer(String),
}

impl Proof {
    /// The request with the proof.
    pub fn show(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Basic(Credentials { user, password }) => request.basic_auth(user, Some(password)),
            Self::Bearer(token) => request.bearer_auth(token),
        }
    }

    /// What the library that pulls calls it.
    pub fn for_pull(self) -> Option<RegistryTokenType> {
        match self {
            Self::None => None,
            Self::Basic(Credentials { user, password }) => {
                Some(RegistryTokenType::Basic(user, password))
            }
            Self::Bearer(token) => Some(RegistryTokenType::Bearer(RegistryToken::Token { token })),
        }
    }
}

/// How a registry wants to be told.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    /// By user and password.
    Basic,
    /// By a token of `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

impl Challenge {
    /// What the answer with `headers` asks for; a token rather than a password.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let texts = headers.get_all(WWW_AUTHENTICATE).iter();
        let texts: Vec<&str> = texts.filter_map(|value| value.to_str().ok()).collect();
        let challenges: Vec<ChallengeRef> = texts
            .iter()
            .flat_map(|text| ChallengeParser::new(text).filter_map(Result::ok))
            .collect();
        let bearer = challenges.iter().find_map(|challenge| {
            let parameter = |name: &str| {
                let found = |(key, _): &&(&str, _)| key.eq_ignore_ascii_case(name);
                let found = challenge.params.iter().find(found);
                found.map(|(_, value): &(_, http_auth::ParamValue)| value.to_unescaped())
            };
            let realm =
                parameter("realm").filter(|_| challenge.scheme.eq_ignore_ascii_case("Bearer"))?;
            Some(Self::Bearer {
                realm,
                service: parameter("service"),
            })
        });
        let basic = || {
            let mut schemes = challenges.iter().map(|challenge| challenge.scheme);
            schemes
                .any(|scheme| scheme.eq_ignore_ascii_case("Basic"))
                .then_some(Self::Basic)
        };
        bearer.or_else(basic)
    }
}

/// What a token service answers.
#[derive(Deserialize)]
pub struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// Who asks, and what was agreed on with the registry so far.
pub struct Auth {
    repository: String,
    credentials: Option<Credentials>,
    held: Mutex<HashMap<Access, (Proof, Option<Instant>)>>,
}

impl Auth {
    pub fn new(repository: &str, credentials: Option<Credentials>) -> Self {
        Self {
            repository: repository.to_owned(),
            credentials,
            held: Mutex::default(),
        }
    }

    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// What was agreed on for `access`, while it lasts.
    pub fn held(&self, access: &Access) -> Option<Proof> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (proof, until) = held.get(access)?;
        until
            .is_none_or(|until| Instant::now() < until)
            .then(|| proof.clone())
    }

    /// Keeps `proof` for `access` until then.
    pub fn hold(&self, access: &Access, proof: Proof, until: Option<Instant>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.insert(access.clone(), (proof, until));
    }

    /// Where to ask for a token; `base` is the registry.
    pub fn token_url(
        &self,
        realm: &str,
        service: Option<&str>,
        access: &Access,
        base: &Url,
    ) -> Result<Url> {
        let mut url = token_service(realm, base)?;
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = service {
                query.append_pair("service", service);
            }
            for scope in access.scopes(&self.repository) {
                query.append_pair("scope", &scope);
            }
        }
        Ok(url)
    }

    /// Keeps the token that a service answered.
    pub fn hold_token(&self, access: &Access, answer: TokenAnswer) -> Result<Proof> {
        let Some(token) = answer.token.or(answer.access_token) else {
            bail!("its answer holds no token");
        };
        let lasts = answer
            .expires_in
            .map_or(DEFAULT_EXPIRY, Duration::from_secs);
        let until = Instant::now() + lasts.saturating_sub(MARGIN);
        self.hold(access, Proof::Bearer(token.clone()), Some(until));
        Ok(Proof::Bearer(token))
    }
}

/// The token service `realm` of the registry at `base`, if credentials may go there.
fn token_service(realm: &str, base: &Url) -> Result<Url> {
    let url = Url::parse(realm).ok();
    let allowed = |url: &Url| {
        let host = url.host_str().unwrap_or_default();
        url.scheme() == "https"
            || url.scheme() == "http" && (is_this_machine(host) || url.origin() == base.origin())
    };
    url.filter(allowed).ok_or_else(|| {
        anyhow::anyhow!(
            "the registry {} sends its users to the token service {realm}; credentials go to one only over https",
            base.authority()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_says_how_to_log_in() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
            })
        };
        for (texts, challenge) in [
            (
                vec![r#"Bearer realm="https://auth.example/token",service="a b",scope="x""#],
                bearer("https://auth.example/token", Some("a b")),
            ),
            (
                vec![r#"Basic realm="r""#, r#"bearer realm="https://a""#],
                bearer("https://a", None),
            ),
            (vec![r#"Basic realm="r""#], Some(Challenge::Basic)),
            (vec![r#"Bearer service="no realm""#], None),
            (vec!["Negotiate"], None),
            (vec![], None),
        ] {
            let mut headers = HeaderMap::new();
            for text in &texts {
                headers.append(WWW_AUTHENTICATE, text.parse().unwrap());
            }
            assert_eq!(Challenge::of(&headers), challenge, "{texts:?}");
        }
    }

    #[test]
    fn credentials_go_to_a_token_service_only_where_nobody_reads_them() {
        let base = Url::parse("http://registry.example:5000/").unwrap();
        for good in [
            "https://auth.example/token",
            "http://127.0.0.1:5001/token",
            "http://[::1]:5001/token",
            "http://localhost/token",
            "http://registry.example:5000/token",
        ] {
            assert!(token_service(good, &base).is_ok(), "{good}");
        }
        for bad in [
            "http://auth.example/token",
            "http://registry.example/token",
            "http://127.0.0.1.auth.example/",
            "ftp://127.0.0.1/",
            "/token",
            "",
        ] {
            assert!(token_service(bad, &base).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mount_asks_to_read_the_other_repository_too() {
        let auth = Auth::new("iac/runner", None);
        let base = Url::parse("https://registry.example/").unwrap();
        let access = Access::Mount("iac/packs".to_owned());
        let url = auth.token_url("https://auth.example/token", Some("s"), &access, &base);
        assert_eq!(
            url.unwrap().as_str(),
            "https://auth.example/token?service=s&scope=repository%3Aiac%2Frunner%3Apull%2Cpush\
             &scope=repository%3Aiac%2Fpacks%3Apull"
        );
    }

    #[test]
    fn a_token_is_used_while_it_lasts_and_for_what_it_was_given() {
        let auth = Auth::new("a", None);
        let answer = |expires_in| TokenAnswer {
            token: None,
            access_token: Some("t".to_owned()),
            expires_in,
        };
        auth.hold_token(&Access::Push, answer(Some(300))).unwrap();
        assert!(auth.held(&Access::Push).is_some());
        assert!(auth.held(&Access::Pull).is_none());
        auth.hold_token(&Access::Push, answer(Some(1))).unwrap();
        assert!(auth.held(&Access::Push).is_none());
        let empty = TokenAnswer {
            token: None,
            access_token: None,
            expires_in: None,
        };
        assert!(auth.hold_token(&Access::Push, empty).is_err());
    }
}
