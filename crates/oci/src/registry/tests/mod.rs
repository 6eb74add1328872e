//! Pushing to a real registry over a network that does everything a network should not, and to servers that a registry
//! should not send anybody to.

mod endless;
mod proxy;
mod referrers;
mod refused;
mod server;
mod survived;

use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::image::{Descriptor, MediaType, Sha256Digest};
use sha256::Sha256Hash;

use super::credentials::Credentials;
use super::repository::Registry;
use super::token_service::TokenServices;
use crate::events::Silent;

const REPOSITORY: &str = "team/runner";

fn folder() -> (tempfile::TempDir, Utf8PathBuf) {
    let guard = tempfile::tempdir().unwrap();
    let folder = Utf8PathBuf::from_path_buf(guard.path().to_owned()).unwrap();
    (guard, folder)
}

/// The user of the registry with a password.
fn runner() -> Credentials {
    Credentials {
        user: "runner".to_owned(),
        password: "pulumi".to_owned(),
    }
}

/// Does `work` with the repository of `host`.
fn with<T>(
    host: &str,
    credentials: Option<Credentials>,
    work: impl FnOnce(&Registry, &Utf8Path) -> T,
) -> T {
    with_repository(host, REPOSITORY, credentials, work)
}

fn with_repository<T>(
    host: &str,
    repository: &str,
    credentials: Option<Credentials>,
    work: impl FnOnce(&Registry, &Utf8Path) -> T,
) -> T {
    let services = TokenServices::default();
    with_services(host, repository, credentials, services, work)
}

fn with_services<T>(
    host: &str,
    repository: &str,
    credentials: Option<Credentials>,
    services: TokenServices,
    work: impl FnOnce(&Registry, &Utf8Path) -> T,
) -> T {
    let (_guard, folder) = folder();
    let reference = format!("{host}/{repository}:1").parse().unwrap();
    let kept = folder.join("kept");
    fs_err::create_dir(&kept).unwrap();
    let registry = Registry::open_as(credentials, services, &reference, false, kept, &Silent);
    let registry = registry.unwrap();
    work(&registry, &folder)
}

/// `megabytes` of content that is nowhere the same.
fn content(megabytes: usize) -> Vec<u8> {
    let words =
        (0..megabytes as u64 * (1 << 20) / 8).map(|word| word.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    words.flat_map(u64::to_le_bytes).collect()
}

fn describe(content: &[u8]) -> Descriptor {
    let digest: Sha256Digest = Sha256Hash::of(content).to_string().parse().unwrap();
    Descriptor::new(
        MediaType::Other("application/octet-stream".to_owned()),
        content.len() as u64,
        digest,
    )
}

/// A file with the content, and its descriptor.
fn blob(folder: &Utf8Path, content: &[u8]) -> (Utf8PathBuf, Descriptor) {
    let file = folder.join("blob");
    fs_err::write(&file, content).unwrap();
    (file, describe(content))
}

/// A manifest of one layer.
fn manifest(config: &Descriptor, layer: &Descriptor) -> Vec<u8> {
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": [layer],
    })
    .to_string()
    .into_bytes()
}
