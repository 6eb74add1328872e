//! Images of a registry. What was pulled is kept, named by its digest, and not pulled again; what a cut connection
//! left is continued.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::SystemTime;

use anyhow::{Context as _, Error, Result, anyhow};
use camino::{Utf8Path, Utf8PathBuf};
use oci_spec::image::{Descriptor, MediaType};
use reqwest::header::RANGE;
use reqwest::{Method, StatusCode};
use sha256::{Sha256Hash, check_file};

use super::auth::Scope;
use super::manifests::{MANIFEST_TYPES, Manifest};
use super::repository::Registry;
use super::request::{Opened, Request, RequestError};
use super::retry::{RetryPolicy, Transient};
use crate::blob::{Blobs, descriptor, sha256};
use crate::reference::LATEST;
use crate::unpack::limits::free_bytes;
use failure::{corrupt, failed, usage};

/// As many tags are named to whoever asked for one that is not there.
const SHOWN_TAGS: usize = 30;

impl Registry<'_> {
    /// The manifest or index that the reference names.
    pub fn find(&self) -> Result<Descriptor> {
        let reference = self.reference;
        let name = reference.digest().or_else(|| reference.tag());
        let manifest = self.pull_manifest(name.unwrap_or(LATEST))?;
        let size_bytes = manifest.content.len() as u64;
        descriptor(MediaType::ImageManifest, manifest.digest, size_bytes)
    }

    fn pull_manifest(&self, name: &str) -> Result<Manifest> {
        let Some(manifest) = self.get_manifest(name)? else {
            return Err(self.no_manifest(name));
        };
        let place = self.place(&manifest.digest);
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.kept)?;
            file.write_all(&manifest.content)?;
            file.persist(&place)?;
            Ok(())
        };
        write().with_context(|| format!("failed to write {place}"))?;
        Ok(manifest)
    }

    fn place(&self, digest: &Sha256Hash) -> Utf8PathBuf {
        self.kept.join(digest.to_string())
    }

    fn partial(&self, digest: &Sha256Hash) -> Utf8PathBuf {
        self.kept.join(format!("{digest}.partial"))
    }

    /// Whether the blob is there, whole; what is damaged is removed. Its time then tells when it was last used.
    fn is_kept(&self, blob: &Descriptor, digest: &Sha256Hash) -> Result<bool> {
        let place = self.place(digest);
        if !place.is_file() {
            return Ok(false);
        }
        match check_file(&place, blob.size(), digest) {
            Ok(()) => {
                let file = fs_err::OpenOptions::new().append(true).open(&place)?;
                file.file()
                    .set_modified(SystemTime::now())
                    .with_context(|| format!("failed to touch {place}"))?;
                Ok(true)
            }
            Err(reason) => {
                self.events
                    .warning(&format!("{reason}; it is pulled again"));
                fs_err::remove_file(&place)?;
                Ok(false)
            }
        }
    }

    /// Pulls a blob to `partial`, going on from what is there, however often the connection is cut.
    fn pull(&self, blob: &Descriptor, partial: &Utf8Path) -> Result<()> {
        let mut retry = RetryPolicy::default();
        let mut furthest = fs_err::metadata(partial)?.len();
        check_space(partial, blob.size().saturating_sub(furthest))?;
        loop {
            let Transient { error, retry_after } = match self.pull_rest(blob, partial) {
                Ok(()) => return Ok(()),
                Err(RequestError::Fatal(error)) => return Err(error),
                Err(RequestError::Transient(transient)) => transient,
            };
            let received_bytes = fs_err::metadata(partial)?.len();
            retry.progressed(received_bytes.saturating_sub(furthest));
            furthest = furthest.max(received_bytes);
            let error = error.context(format!(
                "{} was cut off after {received_bytes} of {} bytes",
                blob.digest(),
                blob.size()
            ));
            retry.wait(Transient { error, retry_after })?;
        }
    }

    /// Pulls what `partial` lacks.
    fn pull_rest(&self, blob: &Descriptor, partial: &Utf8Path) -> Result<(), RequestError> {
        let mut file = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(partial)?;
        let mut received_bytes = file.metadata()?.len();
        if received_bytes >= blob.size() {
            return Ok(());
        }
        let digest = blob.digest().to_string();
        let url = self.client.url(&format!("blobs/{digest}"))?;
        let mut request = Request::new(Method::GET, url, Scope::Pull);
        if received_bytes > 0 {
            request = request.header(RANGE, format!("bytes={received_bytes}-"))?;
        }
        let mut content = match self.client.open(&request)? {
            Opened::Content(content) => content,
            Opened::Refused(response) if response.status == StatusCode::NOT_FOUND => {
                let error = corrupt(
                    format!("the registry lacks {digest}, a part of {}", self.reference),
                    "push the image again",
                );
                return Err(error.into());
            }
            Opened::Refused(response) => {
                let what = format!("hand out {digest} of {}", self.reference);
                return Err(self.client.refused(&response, &what).into());
            }
        };
        if content.response.status() != StatusCode::PARTIAL_CONTENT {
            file.set_len(0)?;
            received_bytes = 0;
        }
        // What comes after the last byte is not asked for: the digest is checked when all is in the file.
        while received_bytes < blob.size() {
            let Some(piece) = self.client.next_piece(&mut content)? else {
                let error = anyhow!("the registry sent no more");
                return Err(RequestError::Transient(error.into()));
            };
            file.write_all(&piece)?;
            received_bytes += piece.len() as u64;
            self.events
                .transferred(&digest, received_bytes, blob.size());
        }
        Ok(file.sync_all()?)
    }

    fn no_manifest(&self, name: &str) -> Error {
        let (registry, repository) = (self.reference.registry(), self.reference.repository());
        let separator = if name.contains(':') { '@' } else { ':' };
        let wanted = format!("{registry}/{repository}{separator}{name}");
        match self.tags() {
            Ok(tags) if !tags.is_empty() => usage(
                format!("there is no {wanted}"),
                match tags.len().saturating_sub(SHOWN_TAGS) {
                    0 => format!("the tags of {repository} are {}", tags.join(", ")),
                    more => format!(
                        "the tags of {repository} are {}, and {more} more",
                        tags[..SHOWN_TAGS].join(", ")
                    ),
                },
            ),
            _ => usage(
                format!("there is no {wanted}, and no other tag of {repository}"),
                "push an image there first, or check the name",
            ),
        }
    }
}

impl Blobs for Registry<'_> {
    fn fetch(&self, blob: &Descriptor) -> Result<Utf8PathBuf> {
        let digest = sha256(blob)?;
        let place = self.place(&digest);
        if self.is_kept(blob, &digest)? {
            return Ok(place);
        }
        if MANIFEST_TYPES.contains(&blob.media_type().as_ref()) {
            self.pull_manifest(blob.digest().as_ref())?;
        } else {
            let partial = self.partial(&digest);
            let _alone = lock(&partial)?;
            // Whoever had the lock before may have pulled it.
            if self.is_kept(blob, &digest)? {
                fs_err::remove_file(&partial)?;
                return Ok(place);
            }
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

/// Fails unless the disk of `partial` has room for `bytes` more.
fn check_space(partial: &Utf8Path, bytes: u64) -> Result<()> {
    let free_bytes = free_bytes(partial)?;
    if bytes > free_bytes {
        return Err(failed(
            format!(
                "{bytes} bytes are to be pulled, and {partial} is on a disk with {free_bytes} free"
            ),
            "make room there, or keep less with `cargo xtask clean`",
        ));
    }
    Ok(())
}

/// Keeps every other process from writing to `partial`, which is there afterwards, for as long as the result is held.
fn lock(partial: &Utf8Path) -> Result<File> {
    loop {
        let file = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(partial)?
            .into_parts()
            .0;
        file.lock()
            .with_context(|| format!("failed to lock {partial}"))?;
        // Whoever had it before has put it in its place, or has removed it.
        let is_there = partial.metadata().is_ok_and(|there| {
            file.metadata()
                .is_ok_and(|ours| (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
        });
        if is_there {
            return Ok(file);
        }
    }
}
