//! How a registry is told who asks.
//!
//! The first request goes without credentials; what the registry answers says how it wants them: as they are (Basic),
//! or taken to a token service whose token is then shown (Bearer). Which service that is, the registry says, and
//! whoever answers in its place; `token_service` holds who of them gets the credentials.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;

use super::credentials::Credentials;
use super::token_service::TokenServices;

/// How long a token is good where the token service does not say.
const DEFAULT_EXPIRY: Duration = Duration::from_secs(60);
/// No token is used for longer, whatever its service says.
const MAX_EXPIRY: Duration = Duration::from_secs(3600);
/// How long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(10);

/// What a request wants to do in the repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Read.
    Pull,
    /// Read and write.
    Push,
    /// Write what another repository of the registry has.
    Mount(String),
}

impl Scope {
    /// What a token service is asked for.
    fn parameters(&self, repository: &str) -> Vec<String> {
        let push = || format!("repository:{repository}:pull,push");
        match self {
            Self::Pull => vec![format!("repository:{repository}:pull")],
            Self::Push => vec![push()],
            Self::Mount(from) => vec![push(), format!("repository:{from}:pull")],
        }
    }
}

/// What goes into the `Authorization` of a request.
#[derive(Clone, PartialEq, Eq)]
pub enum Authorization {
    /// Nothing: the registry asks for nothing, or nothing is known that it would take.
    None,
    /// A user and a password.
    Basic(Credentials),
    /// A token.
    Bearer(String),
}

impl Authorization {
    /// The request with it.
    pub fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Basic(Credentials { user, password }) => request.basic_auth(user, Some(password)),
            Self::Bearer(token) => request.bearer_auth(token),
        }
    }
}

/// How a registry wants a request to be authorized.
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
    /// What the response with `headers` asks for; a token rather than a password.
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

/// The response of a token service.
#[derive(Deserialize)]
pub struct TokenResponse {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// The credentials for a registry, and the authorizations that it took so far.
pub struct Authenticator {
    repository: String,
    credentials: Option<Credentials>,
    services: TokenServices,
    cache: Mutex<HashMap<Scope, (Authorization, Option<Instant>)>>,
}

impl Authenticator {
    /// `credentials` may go to the token services of `services`.
    pub fn new(
        repository: &str,
        credentials: Option<Credentials>,
        services: TokenServices,
    ) -> Self {
        Self {
            repository: repository.to_owned(),
            credentials,
            services,
            cache: Mutex::default(),
        }
    }

    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// What was taken for `scope`, while it lasts.
    pub fn cached(&self, scope: &Scope) -> Option<Authorization> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let (authorization, expires) = cache.get(scope)?;
        expires
            .is_none_or(|expires| Instant::now() < expires)
            .then(|| authorization.clone())
    }

    /// Keeps `authorization` for `scope` until it expires.
    pub fn cache(&self, scope: &Scope, authorization: Authorization, expires: Option<Instant>) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(scope.clone(), (authorization, expires));
    }

    /// Where to ask for a token; `base` is the registry.
    pub fn token_url(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &Scope,
        base: &Url,
    ) -> Result<Url> {
        let with_credentials = self.credentials.is_some();
        let mut url = self.services.find(realm, base, with_credentials)?;
        {
            let mut query = url.query_pairs_mut();
            if let Some(service) = service {
                query.append_pair("service", service);
            }
            for parameter in scope.parameters(&self.repository) {
                query.append_pair("scope", &parameter);
            }
        }
        Ok(url)
    }

    /// Keeps the token of a response for `scope`.
    pub fn cache_token(&self, scope: &Scope, response: TokenResponse) -> Result<Authorization> {
        let Some(token) = response.token.or(response.access_token) else {
            bail!("its response holds no token");
        };
        let lifetime = response
            .expires_in
            .map_or(DEFAULT_EXPIRY, Duration::from_secs)
            .min(MAX_EXPIRY);
        let expires = Instant::now() + lifetime.saturating_sub(MARGIN);
        let authorization = Authorization::Bearer(token);
        self.cache(scope, authorization.clone(), Some(expires));
        Ok(authorization)
    }
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
    fn a_mount_asks_to_read_the_other_repository_too() {
        let authenticator = Authenticator::new("team/runner", None, TokenServices::default());
        let base = Url::parse("https://registry.example/").unwrap();
        let scope = Scope::Mount("team/packs".to_owned());
        let url = authenticator.token_url("https://auth.example/token", Some("s"), &scope, &base);
        assert_eq!(
            url.unwrap().as_str(),
            "https://auth.example/token?service=s&scope=repository%3Ateam%2Frunner%3Apull%2Cpush\
             &scope=repository%3Ateam%2Fpacks%3Apull"
        );
    }

    #[test]
    fn a_token_is_used_while_it_lasts_and_for_what_it_was_given() {
        let authenticator = Authenticator::new("a", None, TokenServices::default());
        let response = |expires_in| TokenResponse {
            token: None,
            access_token: Some("t".to_owned()),
            expires_in,
        };
        authenticator
            .cache_token(&Scope::Push, response(Some(300)))
            .unwrap();
        assert!(authenticator.cached(&Scope::Push).is_some());
        assert!(authenticator.cached(&Scope::Pull).is_none());
        authenticator
            .cache_token(&Scope::Push, response(Some(1)))
            .unwrap();
        assert!(authenticator.cached(&Scope::Push).is_none());
        authenticator
            .cache_token(&Scope::Pull, response(Some(u64::MAX)))
            .unwrap();
        assert!(authenticator.cached(&Scope::Pull).is_some());
        let empty = TokenResponse {
            token: None,
            access_token: None,
            expires_in: None,
        };
        assert!(authenticator.cache_token(&Scope::Push, empty).is_err());
    }
}
