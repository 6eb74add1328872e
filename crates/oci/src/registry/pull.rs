//! Images of a registry. What was pulled is kept, named by its digest, and not pulled again; what a cut connection
//! left is continued.

use std::io::Write as _;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Error, Result, anyhow};
use camino::{Utf8Path, Utf8PathBuf};
use futures_util::StreamExt as _;
use oci_client::client::BlobResponse;
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use oci_spec::image::{Descriptor, MediaType, Sha256Digest};
use sha256::Sha256Hash;

use super::Registry;
use super::auth::Access;
use super::patience::{Cut, Patience};
use crate::blob::{Blobs, sha256};
use failure::{corrupt, usage};
use sha256::check_file;

pub(super) const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

impl Registry<'_> {
    /// The manifest or index that the reference names.
    pub fn find(&self) -> Result<Descriptor> {
        let (digest, size_bytes) = self.pull_manifest(self.reference)?;
        let digest: Sha256Digest = digest
            .to_string()
            .parse()
            .context("a digest is 64 hex digits")?;
        Ok(Descriptor::new(
            MediaType::ImageManifest,
            size_bytes,
            digest,
        ))
    }

    fn pull_manifest(&self, reference: &Reference) -> Result<(Sha256Hash, u64)> {
        let mut patience = Patience::default();
        let manifest = loop {
            self.agree()?;
            let pulled = self.http.runtime.block_on(self.client.pull_manifest_raw(
                reference,
                &RegistryAuth::Anonymous,
                &MANIFESTS,
            ));
            match pulled {
                Ok((manifest, _)) => break manifest,
                Err(error) if is_missing(&error) => return Err(self.no_manifest(reference)),
                Err(error) if is_cut(&error) => patience.wait(Cut::new(self.explained(error)))?,
                Err(error) => return Err(self.explained(error)),
            }
        };
        self.count(manifest.len());
        let digest = Sha256Hash::of(&manifest);
        let partial = self.partial(&digest);
        fs_err::write(&partial, &manifest)?;
        fs_err::rename(partial, self.place(&digest))?;
        Ok((digest, manifest.len() as u64))
    }

    /// Hands to the library that pulls what was agreed on with the registry. It would send credentials to whatever token
    /// service it is told, so it gets none.
    fn agree(&self) -> Result<()> {
        let proof = self.http.proof(&Access::Pull)?.for_pull();
        self.http.runtime.block_on(async {
            let registry = self.reference.resolve_registry();
            self.client
                .store_auth_if_needed(registry, &RegistryAuth::Anonymous)
                .await;
            if let Some(proof) = proof {
                let tokens = &self.client.tokens;
                tokens
                    .insert(self.reference, RegistryOperation::Pull, proof)
                    .await;
            }
        });
        Ok(())
    }

    fn count(&self, received_bytes: usize) {
        let received = &self.http.meter.received;
        received.fetch_add(received_bytes as u64, Ordering::Relaxed);
    }

    fn place(&self, digest: &Sha256Hash) -> Utf8PathBuf {
        self.kept.join(digest.to_string())
    }

    fn partial(&self, digest: &Sha256Hash) -> Utf8PathBuf {
        self.kept.join(format!("{digest}.partial"))
    }

    /// Pulls a blob to `partial`, going on from what is there, however often the connection is cut.
    fn pull(&self, blob: &Descriptor, partial: &Utf8Path) -> Result<()> {
        let mut patience = Patience::default();
        let mut come = 0;
        while let Some(cut) = self.pull_rest(blob, partial)? {
            let now = fs_err::metadata(partial)?.len();
            if now > come {
                patience.renew();
            }
            come = now;
            patience.wait(Cut::new(cut.context(format!(
                "{} was cut off after {come} of {} bytes",
                blob.digest(),
                blob.size()
            ))))?;
        }
        Ok(())
    }

    /// Pulls what `partial` lacks; why the connection was cut, if it was.
    fn pull_rest(&self, blob: &Descriptor, partial: &Utf8Path) -> Result<Option<Error>> {
        let mut file = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(partial)?;
        let mut come = file.metadata()?.len();
        if come >= blob.size() {
            return Ok(None);
        }
        let digest = blob.digest().to_string();
        self.agree()?;
        let rest =
            self.client
                .pull_blob_stream_partial(self.reference, digest.as_str(), come, None);
        let response = self.http.runtime.block_on(rest);
        let mut stream = match response {
            Ok(BlobResponse::Partial(stream)) => stream,
            Ok(BlobResponse::Full(stream)) => {
                file.set_len(0)?;
                come = 0;
                stream
            }
            Err(error) if is_cut(&error) => return Ok(Some(error.into())),
            Err(error) if is_missing(&error) => {
                return Err(corrupt(
                    format!("the registry lacks {digest}, a part of {}", self.reference),
                    "push the image again",
                ));
            }
            Err(error) => return Err(self.explained(error)),
        };
        // What comes after the last byte is not asked for: the digest is checked when all is in the file.
        while come < blob.size() {
            match self.http.runtime.block_on(stream.next()) {
                Some(Ok(bytes)) => {
                    file.write_all(&bytes)?;
                    come += bytes.len() as u64;
                    self.count(bytes.len());
                    self.events.transferred(&digest, come, blob.size());
                }
                Some(Err(error)) => return Ok(Some(error.into())),
                None => return Ok(Some(anyhow!("the registry sent no more"))),
            }
        }
        file.sync_all()?;
        Ok(None)
    }

    /// What went wrong, and what to do about it.
    fn explained(&self, error: OciDistributionError) -> Error {
        let reference = self.reference;
        let host = reference.registry();
        match error {
            OciDistributionError::DigestError(error) => {
                corrupt(format!("{reference} is damaged in the registry: {error}"), "push the image again")
            }
            OciDistributionError::RequestError(_) => Error::from(error).context(format!(
                "failed to reach the registry {host}; check its name, the network, and that it runs (one that speaks \
                 plain HTTP takes --insecure)"
            )),
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_) => Error::from(error).context(format!(
                "the registry {host} refuses to hand out {reference}; log in with `docker login {host}`"
            )),
            error => Error::from(error).context(format!("failed to pull {reference}")),
        }
    }

    fn no_manifest(&self, reference: &Reference) -> Error {
        let tags = self.tags();
        let repository = reference.repository();
        match tags {
            Ok(tags) if !tags.is_empty() => usage(
                format!("there is no {reference}"),
                format!("the tags of {repository} are {}", tags.join(", ")),
            ),
            _ => usage(
                format!("there is no {reference}, and no other tag of {repository}"),
                "push an image there first, or check the name",
            ),
        }
    }
}

impl Blobs for Registry<'_> {
    fn fetch(&self, blob: &Descriptor) -> Result<Utf8PathBuf> {
        let digest = sha256(blob)?;
        let place = self.place(&digest);
        if place.is_file() {
            match check_file(&place, blob.size(), &digest) {
                Ok(()) => return Ok(place),
                Err(reason) => self
                    .events
                    .warning(&format!("{reason}; it is pulled again")),
            }
            fs_err::remove_file(&place)?;
        }
        if MANIFESTS.contains(&blob.media_type().as_ref()) {
            self.pull_manifest(&self.reference.clone_with_digest(blob.digest().to_string()))?;
        } else {
            let partial = self.partial(&digest);
            self.pull(blob, &partial)?;
            if check_file(&partial, blob.size(), &digest).is_err() {
                fs_err::remove_file(&partial)?;
                return Err(corrupt(
                    format!(
                        "what the registry {} sent for {} is damaged",
                        self.reference.registry(),
                        blob.digest()
                    ),
                    "push the image again",
                ));
            }
            fs_err::rename(partial, &place)?;
        }
        Ok(place)
    }
}

/// Whether another try may help.
fn is_cut(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::RequestError(_) | OciDistributionError::IoError(_) => true,
        OciDistributionError::ServerError { code, .. } => *code >= 500 || *code == 429,
        OciDistributionError::RegistryError { envelope, .. } => envelope
            .errors
            .iter()
            .any(|error| error.code == OciErrorCode::Toomanyrequests),
        _ => false,
    }
}

/// Whether the registry does not have what it was asked for.
fn is_missing(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.iter().any(|error| {
                matches!(
                    error.code,
                    OciErrorCode::ManifestUnknown
                        | OciErrorCode::NameUnknown
                        | OciErrorCode::BlobUnknown
                )
            })
        }
        OciDistributionError::ImageManifestNotFoundError(_)
        | OciDistributionError::ServerError { code: 404, .. } => true,
        _ => false,
    }
}
