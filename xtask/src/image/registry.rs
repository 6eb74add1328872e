//! Images of a registry. What was pulled is kept, named by its digest, and not pulled again; what a cut connection
//! left is continued.
//!
//! Credentials come from Docker's own configuration, for the one registry that is asked. Plain HTTP is spoken with
//! registries on this machine, and with others only where the user says so.

use std::io::Write as _;
use std::net::IpAddr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow, bail};
use camino::{Utf8Path, Utf8PathBuf};
use docker_credential::{CredentialRetrievalError, DockerCredential};
use futures_util::StreamExt as _;
use gocache::Sha256Hash;
use oci_client::client::{BlobResponse, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use oci_spec::image::{Descriptor, MediaType, Sha256Digest};
use tokio::runtime::Runtime;

use super::{Blobs, sha256};
use crate::failure::{corrupt, usage};
use crate::progress::{Step, human_bytes};
use crate::work::check_file;

const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// How long a registry may keep silent.
const SILENCE: Duration = Duration::from_secs(60);
/// How long it may take to reach it.
const CONNECT: Duration = Duration::from_secs(20);
/// How often a connection may be cut in a row without a byte coming through.
const CUTS: u32 = 4;

/// What Docker's configuration calls Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// A repository of a registry.
pub struct Registry<'a> {
    runtime: Runtime,
    client: Client,
    reference: &'a Reference,
    auth: RegistryAuth,
    kept: Utf8PathBuf,
    step: &'a Step,
}

impl<'a> Registry<'a> {
    /// The registry of `reference`; blobs are kept in the folder `kept`.
    pub fn open(
        reference: &'a Reference,
        insecure: bool,
        kept: Utf8PathBuf,
        step: &'a Step,
    ) -> Result<Self> {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            rustls::crypto::ring::default_provider()
                .install_default()
                .map_err(|_| anyhow!("TLS was set up twice"))?;
        }
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
            user_agent: concat!("iac-runner/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to start what speaks to registries")?;
        Ok(Self {
            runtime,
            client: Client::try_from(config).context("failed to set up TLS")?,
            reference,
            auth: credentials(reference.registry())?,
            kept,
            step,
        })
    }

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
        let pulled = self.runtime.block_on(
            self.client
                .pull_manifest_raw(reference, &self.auth, &MANIFESTS),
        );
        let (manifest, _) = pulled.map_err(|error| {
            if is_missing(&error) {
                self.no_manifest(reference)
            } else {
                self.explained(error)
            }
        })?;
        let digest = Sha256Hash::of(&manifest);
        let partial = self.partial(&digest);
        fs_err::write(&partial, &manifest)?;
        fs_err::rename(partial, self.place(&digest))?;
        Ok((digest, manifest.len() as u64))
    }

    fn place(&self, digest: &Sha256Hash) -> Utf8PathBuf {
        self.kept.join(digest.to_string())
    }

    fn partial(&self, digest: &Sha256Hash) -> Utf8PathBuf {
        self.kept.join(format!("{digest}.partial"))
    }

    /// Pulls a blob to `partial`, going on from what is there, however often the connection is cut.
    fn pull(&self, blob: &Descriptor, partial: &Utf8Path) -> Result<()> {
        let mut cuts = 0;
        let mut come = 0;
        while let Some(cut) = self.pull_rest(blob, partial)? {
            let now = fs_err::metadata(partial)?.len();
            cuts = if now > come { 1 } else { cuts + 1 };
            come = now;
            if cuts > CUTS {
                return Err(cut.context(format!(
                    "{} was cut off after {come} of {} bytes; run the same command again to go on from there",
                    blob.digest(),
                    blob.size()
                )));
            }
            sleep(Duration::from_millis(250) * 2u32.pow(cuts));
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
        let response = self.runtime.block_on(async {
            let client = &self.client;
            let registry = self.reference.resolve_registry();
            client.store_auth_if_needed(registry, &self.auth).await;
            let rest = client.pull_blob_stream_partial(self.reference, digest.as_str(), come, None);
            rest.await
        });
        let mut stream = match response {
            Ok(BlobResponse::Partial(stream)) => stream,
            Ok(BlobResponse::Full(stream)) => {
                file.set_len(0)?;
                come = 0;
                stream
            }
            Err(error) if is_cut(&error) => return Ok(Some(error.into())),
            Err(error) if is_missing(&error) => {
                return Err(corrupt(format!(
                    "the registry lacks {digest}, a part of {}; push the image again",
                    self.reference
                )));
            }
            Err(error) => return Err(self.explained(error)),
        };
        // What comes after the last byte is not asked for: the digest is checked when all is in the file.
        while come < blob.size() {
            match self.runtime.block_on(stream.next()) {
                Some(Ok(bytes)) => {
                    file.write_all(&bytes)?;
                    come += bytes.len() as u64;
                    self.step.detail(format!(
                        "{:.19} {} of {}",
                        digest,
                        human_bytes(come),
                        human_bytes(blob.size())
                    ));
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
                corrupt(format!("{reference} is damaged in the registry: {error}"))
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
        let tags = self
            .runtime
            .block_on(self.client.list_tags(reference, &self.auth, None, None));
        let repository = reference.repository();
        usage(match tags {
            Ok(found) if !found.tags.is_empty() => format!(
                "there is no {reference}; the tags of {repository} are {}",
                found.tags.join(", ")
            ),
            _ => format!("there is no {reference}, and no other tag of {repository}"),
        })
    }
}

impl Blobs for Registry<'_> {
    fn fetch(&self, blob: &Descriptor) -> Result<Utf8PathBuf> {
        let digest = sha256(blob)?;
        let place = self.place(&digest);
        if place.is_file() {
            match check_file(&place, blob.size(), &digest) {
                Ok(()) => return Ok(place),
                Err(reason) => eprintln!("warning: {reason}; it is pulled again"),
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
                return Err(corrupt(format!(
                    "what the registry {} sent for {} is damaged; push the image again",
                    self.reference.registry(),
                    blob.digest()
                )));
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

/// Whether `registry`, a host with or without a port, is on this machine.
fn is_this_machine(registry: &str) -> bool {
    let host = registry
        .rsplit_once(':')
        .map_or(registry, |(host, _port)| host);
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The credentials for `registry` in Docker's configuration; none is no error.
fn credentials(registry: &str) -> Result<RegistryAuth> {
    let folder = std::env::var("DOCKER_CONFIG")
        .map(Utf8PathBuf::from)
        .or_else(|_| std::env::var("HOME").map(|home| Utf8Path::new(&home).join(".docker")));
    let Ok(file) = folder.map(|folder| folder.join("config.json")) else {
        return Ok(RegistryAuth::Anonymous);
    };
    if !file.is_file() {
        return Ok(RegistryAuth::Anonymous);
    }
    let server = if registry == "docker.io" {
        DOCKER_HUB
    } else {
        registry
    };
    let config = fs_err::File::open(&file)?;
    match docker_credential::get_credential_from_reader(config, server) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            Ok(RegistryAuth::Basic(user, password))
        }
        Ok(DockerCredential::IdentityToken(_)) => bail!(
            "{file} holds an identity token for {registry}, which cannot be used here; log in with a user name and a \
             password or access token: `docker logout {registry}`, then `docker login {registry}`"
        ),
        Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(RegistryAuth::Anonymous),
        // How every credential helper says that it has none.
        Err(CredentialRetrievalError::HelperFailure { stdout, .. })
            if stdout.contains("credentials not found") =>
        {
            Ok(RegistryAuth::Anonymous)
        }
        Err(error) => Err(error)
            .with_context(|| format!("failed to take credentials for {registry} from {file}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine() {
        for here in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.1.2.3"] {
            assert!(is_this_machine(here), "{here}");
        }
        for elsewhere in ["registry.example", "10.0.0.1:5000", "localhost.example:80"] {
            assert!(!is_this_machine(elsewhere), "{elsewhere}");
        }
    }
}
