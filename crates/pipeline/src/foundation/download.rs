//! What is fetched from a project's own server, and believed by its digest alone.

use anyhow::Result;
use camino::Utf8Path;
use failure::corrupt;
use oci::http;
use sha256::Sha256Hash;

/// What is known of a file before it is fetched.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Where it is.
    pub url: &'a str,
    /// Its digest.
    pub sha256: Sha256Hash,
    /// Which file says so, for messages.
    pub named_in: &'a str,
    /// More bytes than it may have: whatever answers instead does not fill the disk.
    pub max_bytes: u64,
}

/// Fetches a file to `to`, which is removed where its digest is another one.
pub fn fetch(wanted: &Wanted<'_>, to: &Utf8Path) -> Result<()> {
    http::download(wanted.url, wanted.max_bytes, &mut fs_err::File::create(to)?)?;
    let (found, _) = sha256::hash_file(to)?;
    if found == wanted.sha256 {
        return Ok(());
    }
    fs_err::remove_file(to)?;
    Err(corrupt(
        format!(
            "{} has the SHA-256 {found}, but {} names {}",
            wanted.url, wanted.named_in, wanted.sha256
        ),
        "find out which of the two is wrong before you change anything",
    ))
}
