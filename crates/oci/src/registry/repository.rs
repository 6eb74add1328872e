//! What all requests to one repository have in common.

use std::sync::atomic::Ordering;

use anyhow::Result;
use camino::Utf8PathBuf;
use oci_spec::distribution::Reference;

use super::client::Client;
use super::credentials::{Credentials, credentials};
use super::token_service::TokenServices;
use crate::events::Events;
use crate::http::is_this_machine;

/// The header in which a registry says what it stored or sends.
pub(super) const DIGEST_HEADER: &str = "docker-content-digest";

/// A repository of a registry.
pub struct Registry<'a> {
    pub(super) client: Client,
    pub(super) reference: &'a Reference,
    /// The folder in which pulled blobs are kept.
    pub(super) kept: Utf8PathBuf,
    pub(super) events: &'a dyn Events,
}

/// Bytes of content that went over the wire, repeats included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferredBytes {
    /// To the registry.
    pub sent_bytes: u64,
    /// From it.
    pub received_bytes: u64,
}

impl<'a> Registry<'a> {
    /// The repository of `reference`; blobs that are pulled are kept in the folder `kept`. With `insecure` the registry
    /// is spoken to in plain HTTP, wherever it is.
    pub fn open(
        reference: &'a Reference,
        insecure: bool,
        kept: Utf8PathBuf,
        events: &'a dyn Events,
    ) -> Result<Self> {
        let credentials = credentials(reference.registry())?;
        let services = TokenServices::from_env()?;
        Self::open_as(credentials, services, reference, insecure, kept, events)
    }

    pub(super) fn open_as(
        credentials: Option<Credentials>,
        services: TokenServices,
        reference: &'a Reference,
        insecure: bool,
        kept: Utf8PathBuf,
        events: &'a dyn Events,
    ) -> Result<Self> {
        let plain = insecure || is_this_machine(reference.resolve_registry());
        Ok(Self {
            client: Client::new(reference, plain, credentials, services)?,
            reference,
            kept,
            events,
        })
    }

    /// What went over the wire so far.
    pub fn transferred(&self) -> TransferredBytes {
        let counters = &self.client.byte_counters;
        TransferredBytes {
            sent_bytes: counters.sent.load(Ordering::Relaxed),
            received_bytes: counters.received.load(Ordering::Relaxed),
        }
    }
}
