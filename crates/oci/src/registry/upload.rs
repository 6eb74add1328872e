//! The upload of one blob: begun, sent in chunks, and finished under its digest.
//!
//! After a cut the registry is asked how much it has, and the upload goes on from there. Registries that keep no
//! part of a chunk (Docker's own among them) have lost the upload then; it starts over with smaller chunks, each on a
//! connection of its own, so that whatever cuts long requests gets shorter ones. A chunk is hashed when it is read from
//! the file and sent from memory, so what is sent is what was hashed.

use std::io::{self, Read, Seek, SeekFrom, Write as _};

use anyhow::{Error, Result, anyhow};
use bytes::{Buf as _, Bytes};
use oci_spec::image::Descriptor;
use reqwest::header::{CONNECTION, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use reqwest::{Method, StatusCode, Url};
use sha256::HashingWriter;

use super::auth::Scope;
use super::pace::WORTH_A_REQUEST;
use super::repository::Registry;
use super::request::{Request, RequestError, Response};
use super::retry::RetryPolicy;
use crate::blob::sha256;
use failure::corrupt;

/// The size of a chunk in bytes: the most that GitHub's registry takes.
const CHUNK_BYTES: usize = 4 << 20;
/// The smallest chunk that is tried when larger ones are cut.
const MIN_CHUNK_BYTES: usize = 256 << 10;
/// The largest that a registry may ask for; a chunk is held in memory.
const MAX_CHUNK_BYTES: usize = 128 << 20;
/// How often an upload may start over.
const MAX_ATTEMPTS: u32 = 8;
/// The header in which a registry says how little it takes.
const MIN_CHUNK_HEADER: &str = "oci-chunk-min-length";

/// What can be read again.
pub trait Content: Read + Seek {}

impl<T: Read + Seek> Content for T {}

/// What is uploaded.
pub struct Source<'c> {
    /// Its name in messages.
    pub name: String,
    pub content: Box<dyn Content + 'c>,
}

/// An upload that the registry knows.
struct Session {
    /// Where the next request goes.
    location: Url,
    /// The smallest chunk that the registry takes.
    min_chunk_bytes: usize,
}

/// How far the attempts to upload a blob came, and how the next one is made.
struct Progress {
    retry: RetryPolicy,
    chunk_bytes: usize,
    /// Whether every chunk has a connection of its own.
    own_connections: bool,
    /// Most bytes that the registry had at once.
    furthest: u64,
}

impl Progress {
    /// The registry has `received_bytes`.
    fn reached(&mut self, received_bytes: u64) {
        let more = received_bytes.saturating_sub(self.furthest);
        self.furthest += more;
        self.retry.progressed(more);
    }
}

/// How an attempt ended.
enum Outcome {
    Stored,
    /// The registry has lost it.
    Lost(Error),
}

impl Registry<'_> {
    /// Uploads `source` as `blob`; `begun` is the response that began the upload, if one did.
    pub(super) fn upload(
        &self,
        blob: &Descriptor,
        mut source: Source<'_>,
        mut begun: Option<Response>,
    ) -> Result<()> {
        let mut progress = Progress {
            retry: RetryPolicy::default(),
            chunk_bytes: CHUNK_BYTES,
            own_connections: false,
            furthest: 0,
        };
        let mut attempts = 0;
        loop {
            let session = match begun.take() {
                Some(response) => self.session(blob, &response)?,
                None => self.begin(blob)?,
            };
            match self.attempt(blob, &mut source, session, &mut progress)? {
                Outcome::Stored => return Ok(()),
                Outcome::Lost(why) => {
                    attempts += 1;
                    if attempts == MAX_ATTEMPTS {
                        return Err(why.context(format!(
                            "the upload of {} was cut {MAX_ATTEMPTS} times, at best after {} of {} bytes; push again \
                             over a better connection",
                            blob.digest(),
                            progress.furthest,
                            blob.size()
                        )));
                    }
                    progress.chunk_bytes = (progress.chunk_bytes / 2).max(MIN_CHUNK_BYTES);
                    progress.own_connections = true;
                }
            }
        }
    }

    fn begin(&self, blob: &Descriptor) -> Result<Session> {
        let url = self.client.url("blobs/uploads/")?;
        let response = self
            .client
            .send(&Request::new(Method::POST, url, Scope::Push))?;
        if response.status != StatusCode::ACCEPTED {
            return Err(self.refused(blob, &response));
        }
        self.session(blob, &response)
    }

    fn session(&self, blob: &Descriptor, response: &Response) -> Result<Session> {
        let wanted = response.header(MIN_CHUNK_HEADER);
        let wanted = wanted.and_then(|bytes| bytes.parse().ok());
        let min_chunk_bytes = wanted.unwrap_or(0);
        if min_chunk_bytes > MAX_CHUNK_BYTES {
            return Err(anyhow!(
                "the registry {} takes {} only in chunks of at least {min_chunk_bytes} bytes, and more than \
                 {MAX_CHUNK_BYTES} are not held in memory; name another registry",
                self.reference.registry(),
                blob.digest()
            ));
        }
        Ok(Session {
            location: self.client.location(response)?,
            min_chunk_bytes,
        })
    }

    fn attempt(
        &self,
        blob: &Descriptor,
        source: &mut Source<'_>,
        mut session: Session,
        progress: &mut Progress,
    ) -> Result<Outcome> {
        if source.content.seek(SeekFrom::End(0))? != blob.size() {
            return Err(changed(source, blob));
        }
        source.content.rewind()?;
        let mut hasher = HashingWriter::new(io::sink());
        let mut offset = 0;
        while offset < blob.size() {
            let chunk = progress.chunk_bytes.max(session.min_chunk_bytes);
            let chunk = read_chunk(source, blob, offset, chunk)?;
            hasher.write_all(&chunk)?;
            let end = offset + chunk.len() as u64;
            if let Some(why) = self.send_chunk(blob, chunk, offset, &mut session, progress)? {
                return Ok(Outcome::Lost(why));
            }
            offset = end;
        }
        // Nothing is stored under a digest before it is finished, so a changed file leaves nothing.
        if hasher.finish().1 != sha256(blob)? {
            return Err(changed(source, blob));
        }
        self.finish(blob, session.location, progress)
    }

    /// Sends `rest`, which begins at `offset`; why the registry has lost the upload, if it has.
    fn send_chunk(
        &self,
        blob: &Descriptor,
        mut rest: Bytes,
        mut offset: u64,
        session: &mut Session,
        progress: &mut Progress,
    ) -> Result<Option<Error>> {
        while !rest.is_empty() {
            let end = offset + rest.len() as u64;
            let mut request = Request::new(Method::PATCH, session.location.clone(), Scope::Push)
                .header(CONTENT_TYPE, "application/octet-stream")?
                .header(CONTENT_RANGE, format!("{offset}-{}", end - 1))?
                .body(rest.clone());
            if progress.own_connections {
                request = request.header(CONNECTION, "close")?;
            }
            let received_end = match self.client.send_once(&request) {
                Ok(response) if response.status.is_success() => {
                    session.location = self.client.location(&response)?;
                    // It may have taken less. What lies before is stale, some registries repeat the first response.
                    received(&response)
                        .filter(|received| (offset + 1..end).contains(received))
                        .unwrap_or(end)
                }
                Ok(response) if is_lost(response.status) => {
                    return Ok(Some(self.refused(blob, &response)));
                }
                Ok(response) => return Err(self.refused(blob, &response)),
                Err(RequestError::Fatal(error)) => return Err(error),
                Err(RequestError::Transient(transient)) => {
                    let why = format!("{:#}", transient.error);
                    progress.own_connections = true;
                    progress.retry.wait(transient)?;
                    match self.received_bytes(session)? {
                        Some(received) if (offset..=end).contains(&received) => received,
                        _ => return Ok(Some(anyhow!(why))),
                    }
                }
            };
            let taken = received_end - offset;
            if received_end < end && taken < WORTH_A_REQUEST {
                let error = anyhow!(
                    "{} took {taken} bytes of a chunk",
                    self.reference.registry()
                );
                progress.retry.wait(error.into())?;
            }
            rest.advance(usize::try_from(taken)?);
            offset = received_end;
            progress.reached(offset);
            self.events
                .transferred(blob.digest().as_ref(), offset, blob.size());
        }
        Ok(None)
    }

    /// How many bytes of the upload the registry has, if it still knows it.
    fn received_bytes(&self, session: &mut Session) -> Result<Option<u64>> {
        let url = session.location.clone();
        let response = self
            .client
            .send(&Request::new(Method::GET, url, Scope::Push))?;
        if !response.status.is_success() {
            return Ok(None);
        }
        if response.header("location").is_some() {
            session.location = self.client.location(&response)?;
        }
        Ok(received(&response))
    }

    /// Has the registry store what it was sent.
    fn finish(&self, blob: &Descriptor, location: Url, progress: &mut Progress) -> Result<Outcome> {
        let mut url = location;
        url.query_pairs_mut()
            .append_pair("digest", blob.digest().as_ref());
        let request = Request::new(Method::PUT, url, Scope::Push)
            .header(CONTENT_TYPE, "application/octet-stream")?;
        let mut tried = false;
        loop {
            match self.client.send_once(&request) {
                Ok(response) if response.status == StatusCode::CREATED => {
                    self.check_stored(blob, &response)?;
                    return Ok(Outcome::Stored);
                }
                // Only the response to an earlier try was lost.
                Ok(_) if tried && self.has_blob(blob)? => return Ok(Outcome::Stored),
                Ok(response) if is_lost(response.status) => {
                    return Ok(Outcome::Lost(self.refused(blob, &response)));
                }
                Ok(response) if is_other_content(&response) => {
                    return Err(corrupt(
                        format!(
                            "{} reached the registry {} damaged, and was not stored",
                            blob.digest(),
                            self.reference.registry()
                        ),
                        "push again",
                    ));
                }
                Ok(response) => return Err(self.refused(blob, &response)),
                Err(RequestError::Fatal(error)) => return Err(error),
                Err(RequestError::Transient(transient)) => progress.retry.wait(transient)?,
            }
            tried = true;
        }
    }

    fn refused(&self, blob: &Descriptor, response: &Response) -> Error {
        let repository = self.reference.repository();
        let what = format!("take {} for {repository}", blob.digest());
        self.client.refused(response, &what)
    }
}

/// Whether the registry has other ideas about the upload: it is gone, or stands elsewhere.
fn is_lost(status: StatusCode) -> bool {
    [StatusCode::NOT_FOUND, StatusCode::RANGE_NOT_SATISFIABLE].contains(&status)
}

/// Whether the registry says that what it has is not what its digest says.
fn is_other_content(response: &Response) -> bool {
    let body = String::from_utf8_lossy(&response.body);
    response.status.is_client_error()
        && (body.contains("DIGEST_INVALID") || body.contains("SIZE_INVALID"))
}

/// How many bytes the registry says it has.
fn received(response: &Response) -> Option<u64> {
    count_of(response.header(RANGE.as_str())?)
}

/// The number of bytes in a `Range` of an upload, which names the last one. `0-0` is what registries say that have
/// none; one that has a single byte answers that it cannot take it again.
fn count_of(range: &str) -> Option<u64> {
    let range = range.trim().trim_start_matches("bytes=");
    match range.split_once('-')? {
        ("0", "0") => Some(0),
        ("0", last) => last.parse::<u64>().ok()?.checked_add(1),
        _ => None,
    }
}

/// The next chunk of `source`, at `offset`.
fn read_chunk(
    source: &mut Source<'_>,
    blob: &Descriptor,
    offset: u64,
    most: usize,
) -> Result<Bytes> {
    let left = blob.size() - offset;
    let wanted = usize::try_from(left).map_or(most, |left| left.min(most));
    let mut chunk = Vec::with_capacity(wanted);
    let source_part = &mut source.content;
    source_part.take(wanted as u64).read_to_end(&mut chunk)?;
    if chunk.len() < wanted {
        return Err(changed(source, blob));
    }
    Ok(chunk.into())
}

fn changed(source: &Source<'_>, blob: &Descriptor) -> Error {
    corrupt(
        format!(
            "{} is not {} of {} bytes any more, and was not pushed",
            source.name,
            blob.digest(),
            blob.size()
        ),
        "make it anew",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_how_much_the_registry_has() {
        for (range, count) in [
            ("0-0", Some(0)),
            ("0-4194303", Some(4_194_304)),
            ("bytes=0-9", Some(10)),
            (" 0-9 ", Some(10)),
            ("5-9", None),
            ("0-18446744073709551615", None),
            ("0-", None),
            ("-5", None),
            ("9", None),
            ("", None),
        ] {
            assert_eq!(count_of(range), count, "{range}");
        }
    }
}
