//! Which token services get the credentials of a registry.
//!
//! A registry names its token service in the response to a request without credentials, so whoever can answer in its
//! place, or was trusted with a repository only, could name one of their own. Credentials therefore go to the
//! registry's own host, to hosts of its owner, to pairs that are known, and to whom the user lists. The owner of a host
//! is told by the public suffix list; a name that the list does not know, an address, and this machine, on which every
//! user may open a port, are no more than themselves.
//!
//! Without credentials nothing but the name of the repository is told, so any service over HTTPS is asked.

use std::net::IpAddr;

use anyhow::{Result, bail};
use failure::{failed, usage};
use reqwest::Url;

/// The variable that lists further token services.
pub const TOKEN_HOSTS: &str = "IAC_RUNNER_TOKEN_HOSTS";

/// Registries and their token services that belong together, though their names do not say so: the registrable domain
/// of the one, and the host of the other.
const KNOWN: [(&str, &str); 1] = [("scw.cloud", "api.scaleway.com")];

/// Token services that the user trusts with every registry's credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenServices {
    /// Without paths.
    listed: Vec<Url>,
}

impl TokenServices {
    /// Those that the environment lists.
    pub fn from_env() -> Result<Self> {
        Self::parse(&std::env::var(TOKEN_HOSTS).unwrap_or_default())
    }

    /// Those in `list`: HOST[:PORT], or `http://HOST[:PORT]` for one that is spoken to in plain HTTP.
    pub(super) fn parse(list: &str) -> Result<Self> {
        let words = list.split([',', ' ', '\n']).filter(|word| !word.is_empty());
        let listed = words.map(|word| {
            let text = if word.contains("://") {
                word.to_owned()
            } else {
                format!("https://{word}")
            };
            let url = Url::parse(&text).ok().filter(|url| {
                ["https", "http"].contains(&url.scheme())
                    && url.path() == "/"
                    && url.query().is_none()
                    && url.fragment().is_none()
                    && url.username().is_empty()
            });
            url.ok_or_else(|| {
                usage(
                    format!("{TOKEN_HOSTS} lists {word}, which is no host"),
                    "list HOST[:PORT], with commas between several, and http:// before one without TLS",
                )
            })
        });
        Ok(Self {
            listed: listed.collect::<Result<_>>()?,
        })
    }

    /// The token service `realm` of the registry at `base`, if it may be asked `with_credentials`.
    pub fn find(&self, realm: &str, base: &Url, with_credentials: bool) -> Result<Url> {
        let registry = base.authority();
        let url = Url::parse(realm).ok().filter(|url| {
            ["https", "http"].contains(&url.scheme()) && url.has_host() && url.username().is_empty()
        });
        let Some(url) = url else {
            bail!(
                "the registry {registry} sends its users to the token service {realm}, which is no address"
            );
        };
        let is_own = url.origin() == base.origin();
        let is_listed = self.listed.iter().any(|it| it.origin() == url.origin());
        if is_own || is_listed {
            return Ok(url);
        }
        if url.scheme() != "https" {
            return Err(refused(
                registry,
                &url,
                "they go to another host only over https",
            ));
        }
        if !with_credentials || is_known(base, &url) || have_one_owner(base, &url) {
            return Ok(url);
        }
        Err(refused(registry, &url, "nobody says that it belongs there"))
    }
}

fn refused(registry: &str, service: &Url, why: &str) -> anyhow::Error {
    let origin = service.origin().ascii_serialization();
    let entry = origin.strip_prefix("https://").unwrap_or(&origin);
    failed(
        format!(
            "the registry {registry} sends its users with their credentials to the token service {origin}; {why}"
        ),
        format!("if you trust it with them, set {TOKEN_HOSTS}={entry}"),
    )
}

fn is_known(registry: &Url, service: &Url) -> bool {
    let owner = registry.host_str().and_then(owner);
    let is_standard = service.port_or_known_default() == Some(443);
    KNOWN.iter().any(|(domain, host)| {
        is_standard && owner == Some(*domain) && service.host_str() == Some(*host)
    })
}

fn have_one_owner(registry: &Url, service: &Url) -> bool {
    let owner = |url: &Url| url.host_str().and_then(owner).map(str::to_owned);
    owner(registry).is_some_and(|registry| Some(registry) == owner(service))
}

/// The domain that somebody has registered, and `host` is of.
fn owner(host: &str) -> Option<&str> {
    let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    let domain = psl::domain(host.as_bytes()).filter(|domain| domain.suffix().is_known())?;
    let domain = std::str::from_utf8(domain.as_bytes()).ok()?;
    (!is_address).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Registries and the token services that get their credentials, as most of these name them.
    const BELONG: &[&str] = &[
        "https://index.docker.io https://auth.docker.io/token",
        "https://ghcr.io https://ghcr.io/token",
        "https://gcr.io https://gcr.io/v2/token",
        "https://eu-docker.pkg.dev https://eu-docker.pkg.dev/v2/token",
        "https://a.azurecr.io https://a.azurecr.io/oauth2/token",
        "https://public.ecr.aws https://public.ecr.aws/token/",
        "https://registry.gitlab.com https://gitlab.com/jwt/auth",
        "https://registry.digitalocean.com https://api.digitalocean.com/v2/registry/auth",
        "https://rg.fr-par.scw.cloud https://api.scaleway.com/tokens",
        "http://registry.example.com:5000 http://registry.example.com:5000/token",
        "http://127.0.0.1:5000 http://127.0.0.1:5000/token",
    ];
    /// Those that are asked without.
    const STRANGE: &[&str] = &[
        "https://rg.fr-par.scw.cloud https://api.scaleway.com:444/tokens",
        "https://ghcr.io https://collect.example.com/token",
        "https://ghcr.io https://ghcr.io.example.com/token",
        "https://registry.example.co.uk https://other.co.uk/token",
        "https://a.github.io https://b.github.io/token",
        "https://a.corp.internal https://b.corp.internal/token",
        "https://a.svc.cluster.local https://b.svc.cluster.local/token",
        "https://10.0.0.1:5000 https://10.0.0.1:5001/token",
        "https://10.0.0.1 https://20.0.0.1/token",
        "https://[::1]:5000 https://[::1]:5001/token",
        "http://localhost:5000 https://localhost:5001/token",
    ];
    /// Those that are not asked.
    const REFUSED: &[&str] = &[
        "http://127.0.0.1:5000 http://127.0.0.1:5001/token",
        "http://localhost:5000 http://localhost/token",
        "https://registry.example.com http://registry.example.com/token",
        "https://registry.example.com http://127.0.0.1:5001/token",
        "https://registry.example.com http://[::1]:5001/token",
        "https://registry.example.com https://a@registry.example.com/token",
        "https://registry.example.com ftp://registry.example.com/",
        "https://registry.example.com /token",
        "https://registry.example.com ",
    ];

    #[test]
    fn credentials_go_to_the_owner_of_the_registry_alone() {
        for (pairs, expected) in [
            (BELONG, (true, true)),
            (STRANGE, (false, true)),
            (REFUSED, (false, false)),
        ] {
            for pair in pairs {
                let (registry, realm) = pair.split_once(' ').unwrap();
                let base = Url::parse(registry).unwrap();
                let asked = |with| TokenServices::default().find(realm, &base, with).is_ok();
                assert_eq!((asked(true), asked(false)), expected, "{pair}");
            }
        }
    }

    #[test]
    fn the_user_may_list_others() {
        let base = Url::parse("https://registry.example.com/").unwrap();
        let services = TokenServices::parse("auth.test:8443, login.test,http://127.0.0.1:5001");
        let services = services.unwrap();
        for (realm, listed) in [
            ("https://auth.test:8443/token", true),
            ("https://auth.test/token", false),
            ("https://login.test/token", true),
            ("https://x.login.test/token", false),
            ("http://login.test/token", false),
            ("http://127.0.0.1:5001/token", true),
            ("http://127.0.0.1:5002/token", false),
        ] {
            let found = services.find(realm, &base, true);
            assert_eq!(found.is_ok(), listed, "{realm}");
            // What the hint says makes it one that is.
            if let Err(error) = found {
                let hint = failure::text(&error);
                let (_, entry) = hint.rsplit_once(&format!("{TOKEN_HOSTS}=")).unwrap();
                let services = TokenServices::parse(entry).unwrap();
                assert!(services.find(realm, &base, true).is_ok(), "{hint}");
            }
        }
        assert_eq!(TokenServices::parse("").unwrap(), TokenServices::default());
        for wrong in [
            "auth.test/token",
            "ftp://auth.test",
            "a@auth.test",
            "https://",
        ] {
            let error = TokenServices::parse(wrong).unwrap_err();
            assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage, "{wrong}");
        }
    }
}
