//! Repositories of registries: images and packs are pulled from them and pushed to them.
//!
//! Credentials come from Docker's own configuration, for the one registry that is asked, and go nowhere else. Plain
//! HTTP is spoken with registries on this machine, and with others only where the user says so. What overload or a
//! bad network breaks off is tried again a few times, each time after a longer while.

mod auth;
mod credentials;
mod http;
mod patience;
mod pull;
mod push;
mod request;
#[cfg(test)]
mod tests;
mod upload;

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use camino::Utf8PathBuf;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::{Client, Reference};

use self::credentials::Credentials;
use self::http::Http;
use crate::events::Events;

#[cfg(test)]
pub use self::push::Pushed;

/// How long a registry may keep silent.
const SILENCE: Duration = Duration::from_secs(60);
/// How long it may take to reach it.
const CONNECT: Duration = Duration::from_secs(20);
/// How this program calls itself.
const USER_AGENT: &str = concat!("iac-runner/", env!("CARGO_PKG_VERSION"));

/// A repository of a registry.
pub struct Registry<'a> {
    http: Http,
    /// Pulls; it never sees a password, only what [`Http`] agreed on with the registry.
    client: Client,
    reference: &'a Reference,
    kept: Utf8PathBuf,
    events: &'a dyn Events,
}

/// Bytes of content that went over the wire, repeats included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// To the registry.
    pub sent_bytes: u64,
    /// From it.
    pub received_bytes: u64,
}

impl<'a> Registry<'a> {
    /// The repository of `reference`; blobs that are pulled are kept in the folder `kept`.
    pub fn open(
        reference: &'a Reference,
        insecure: bool,
        kept: Utf8PathBuf,
        events: &'a dyn Events,
    ) -> Result<Self> {
        let credentials = credentials::credentials(reference.registry())?;
        Self::open_as(credentials, reference, insecure, kept, events)
    }

    fn open_as(
        credentials: Option<Credentials>,
        reference: &'a Reference,
        insecure: bool,
        kept: Utf8PathBuf,
        events: &'a dyn Events,
    ) -> Result<Self> {
        set_up_tls()?;
        let host = reference.resolve_registry();
        let plain = insecure || is_this_machine(host);
        let config = ClientConfig {
            protocol: if plain {
                ClientProtocol::HttpsExcept(vec![host.to_owned()])
            } else {
                ClientProtocol::Https
            },
            read_timeout: Some(SILENCE),
            connect_timeout: Some(CONNECT),
            user_agent: USER_AGENT,
            ..ClientConfig::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to start what speaks to registries")?;
        Ok(Self {
            http: Http::new(reference, plain, credentials, runtime)?,
            client: Client::try_from(config).context("failed to set up TLS")?,
            reference,
            kept,
            events,
        })
    }

    /// What went over the wire so far.
    pub fn moved(&self) -> Moved {
        let meter = &self.http.meter;
        Moved {
            sent_bytes: meter.sent.load(Ordering::Relaxed),
            received_bytes: meter.received.load(Ordering::Relaxed),
        }
    }
}

fn set_up_tls() -> Result<()> {
    if rustls::crypto::CryptoProvider::get_default().is_none()
        && rustls::crypto::ring::default_provider()
            .install_default()
            .is_err()
        && rustls::crypto::CryptoProvider::get_default().is_none()
    {
        return Err(anyhow!("failed to set up TLS"));
    }
    Ok(())
}

/// Whether `registry`, a host with or without a port, is on this machine.
fn is_this_machine(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry.split(':').next().unwrap_or_default(),
    };
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
