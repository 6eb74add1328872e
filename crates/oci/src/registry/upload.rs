//! The upload of one blob: begun, sent in chunks, and finished under its digest.
//!
//! After a cut the registry is asked how much it has, and the upload goes on from there. Registries that keep no
//! part of a chunk (Docker's own among them) have lost the upload then; it starts over with smaller chunks, each on a
//! connection of its own, so that whatever cuts long requests gets shorter ones. A chunk is hashed when it is read from
//! the file and sent from memory, so what is sent is what was hashed.

use std::io::{Read, Seek, SeekFrom};

use anyhow::{Error, Result, anyhow};
use bytes::{Buf as _, Bytes};
use oci_spec::image::Descriptor;
use reqwest::header::{CONNECTION, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use reqwest::{Method, StatusCode, Url};
use sha2::{Digest as _, Sha256};

use super::Registry;
use super::auth::Access;
use super::patience::Patience;
use super::request::{Answer, Ask, Unanswered};
use crate::blob::sha256;
use failure::corrupt;

/// The size of a chunk in bytes: the most that GitHub's registry takes.
const CHUNK: usize = 4 << 20;
/// The smallest chunk that is tried when larger ones are cut.
const SMALLEST: usize = 256 << 10;
/// The largest that a registry may ask for; a chunk is held in memory.
const LARGEST: usize = 128 << 20;
/// How often an upload may start over.
const STARTS: u32 = 8;
/// How a registry says how little it takes.
const LEAST: &str = "oci-chunk-min-length";

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
    least: usize,
}

/// How far the uploads of a blob came, and how they are made.
struct Course {
    patience: Patience,
    chunk: usize,
    /// Whether every chunk has a connection of its own.
    alone: bool,
    /// Most bytes that the registry had at once.
    furthest: u64,
}

impl Course {
    /// The registry has `come` bytes.
    fn reached(&mut self, come: u64) {
        if come > self.furthest {
            self.furthest = come;
            self.patience.renew();
        }
    }
}

/// How an attempt ended.
enum End {
    Stored,
    /// The registry has lost it.
    Lost(Error),
}

impl Registry<'_> {
    /// Uploads `source` as `blob`; `begun` is the answer that began the upload, if one did.
    pub(super) fn upload(
        &self,
        blob: &Descriptor,
        mut source: Source<'_>,
        mut begun: Option<Answer>,
    ) -> Result<()> {
        let mut course = Course {
            patience: Patience::default(),
            chunk: CHUNK,
            alone: false,
            furthest: 0,
        };
        let mut starts = 0;
        loop {
            let session = match begun.take() {
                Some(answer) => self.session(blob, &answer)?,
                None => self.begin(blob)?,
            };
            match self.attempt(blob, &mut source, session, &mut course)? {
                End::Stored => return Ok(()),
                End::Lost(why) => {
                    starts += 1;
                    if starts == STARTS {
                        return Err(why.context(format!(
                            "the upload of {} was cut {STARTS} times, at best after {} of {} bytes; push again over a \
                             better connection",
                            blob.digest(),
                            course.furthest,
                            blob.size()
                        )));
                    }
                    course.chunk = (course.chunk / 2).max(SMALLEST);
                    course.alone = true;
                }
            }
        }
    }

    fn begin(&self, blob: &Descriptor) -> Result<Session> {
        let url = self.http.url("blobs/uploads/")?;
        let answer = self.http.send(&Ask::new(Method::POST, url, Access::Push))?;
        if answer.status != StatusCode::ACCEPTED {
            return Err(self.refused(blob, &answer));
        }
        self.session(blob, &answer)
    }

    fn session(&self, blob: &Descriptor, answer: &Answer) -> Result<Session> {
        let least = answer.header(LEAST).and_then(|least| least.parse().ok());
        let least = least.unwrap_or(0);
        if least > LARGEST {
            return Err(anyhow!(
                "the registry {} takes {} only in chunks of at least {least} bytes, and more than {LARGEST} are not held in \
                 memory; name another registry",
                self.reference.registry(),
                blob.digest()
            ));
        }
        Ok(Session {
            location: self.http.location(answer)?,
            least,
        })
    }

    fn attempt(
        &self,
        blob: &Descriptor,
        source: &mut Source<'_>,
        mut session: Session,
        course: &mut Course,
    ) -> Result<End> {
        if source.content.seek(SeekFrom::End(0))? != blob.size() {
            return Err(changed(source, blob));
        }
        source.content.rewind()?;
        let mut hasher = Sha256::new();
        let mut offset = 0;
        while offset < blob.size() {
            let chunk = course.chunk.max(session.least);
            let chunk = read_chunk(source, blob, offset, chunk)?;
            hasher.update(&chunk);
            let end = offset + chunk.len() as u64;
            if let Some(why) = self.send_chunk(blob, chunk, offset, &mut session, course)? {
                return Ok(End::Lost(why));
            }
            offset = end;
        }
        // Nothing is stored under a digest before it is finished, so a changed file leaves nothing.
        if hex::encode(hasher.finalize()) != sha256(blob)?.to_string() {
            return Err(changed(source, blob));
        }
        self.finish(blob, session.location, course)
    }

    /// Sends `rest`, which begins at `offset`; why the registry has lost the upload, if it has.
    fn send_chunk(
        &self,
        blob: &Descriptor,
        mut rest: Bytes,
        mut offset: u64,
        session: &mut Session,
        course: &mut Course,
    ) -> Result<Option<Error>> {
        while !rest.is_empty() {
            let end = offset + rest.len() as u64;
            let mut ask = Ask::new(Method::PATCH, session.location.clone(), Access::Push)
                .header(CONTENT_TYPE, "application/octet-stream")?
                .header(CONTENT_RANGE, format!("{offset}-{}", end - 1))?
                .body(rest.clone());
            if course.alone {
                ask = ask.header(CONNECTION, "close")?;
            }
            let come = match self.http.once(&ask) {
                Ok(answer) if answer.status.is_success() => {
                    session.location = self.http.location(&answer)?;
                    // It may have taken less. What lies before is stale, some registries repeat the first answer.
                    received(&answer)
                        .filter(|come| (offset + 1..end).contains(come))
                        .unwrap_or(end)
                }
                Ok(answer) if is_lost(answer.status) => {
                    return Ok(Some(self.refused(blob, &answer)));
                }
                Ok(answer) => return Err(self.refused(blob, &answer)),
                Err(Unanswered::Failed(error)) => return Err(error),
                Err(Unanswered::Cut(cut)) => {
                    let why = format!("{:#}", cut.why);
                    course.alone = true;
                    course.patience.wait(cut)?;
                    match self.ask_how_far(session)? {
                        Some(come) if (offset..=end).contains(&come) => come,
                        _ => return Ok(Some(anyhow!(why))),
                    }
                }
            };
            rest.advance(usize::try_from(come - offset)?);
            offset = come;
            course.reached(offset);
            self.events
                .transferred(blob.digest().as_ref(), offset, blob.size());
        }
        Ok(None)
    }

    /// How many bytes of the upload the registry has, if it still knows it.
    fn ask_how_far(&self, session: &mut Session) -> Result<Option<u64>> {
        let url = session.location.clone();
        let answer = self.http.send(&Ask::new(Method::GET, url, Access::Push))?;
        if !answer.status.is_success() {
            return Ok(None);
        }
        if answer.header("location").is_some() {
            session.location = self.http.location(&answer)?;
        }
        Ok(received(&answer))
    }

    /// Has the registry store what it was sent.
    fn finish(&self, blob: &Descriptor, location: Url, course: &mut Course) -> Result<End> {
        let mut url = location;
        url.query_pairs_mut()
            .append_pair("digest", blob.digest().as_ref());
        let ask = Ask::new(Method::PUT, url, Access::Push)
            .header(CONTENT_TYPE, "application/octet-stream")?;
        let mut tried = false;
        loop {
            match self.http.once(&ask) {
                Ok(answer) if answer.status == StatusCode::CREATED => {
                    self.check_stored(blob, &answer)?;
                    return Ok(End::Stored);
                }
                // Only the answer to an earlier try was cut.
                Ok(_) if tried && self.has_blob(blob)? => return Ok(End::Stored),
                Ok(answer) if is_lost(answer.status) => {
                    return Ok(End::Lost(self.refused(blob, &answer)));
                }
                Ok(answer) if is_other_content(&answer) => {
                    return Err(corrupt(
                        format!(
                            "{} reached the registry {} damaged, and was not stored",
                            blob.digest(),
                            self.reference.registry()
                        ),
                        "push again",
                    ));
                }
                Ok(answer) => return Err(self.refused(blob, &answer)),
                Err(Unanswered::Failed(error)) => return Err(error),
                Err(Unanswered::Cut(cut)) => course.patience.wait(cut)?,
            }
            tried = true;
        }
    }

    fn refused(&self, blob: &Descriptor, answer: &Answer) -> Error {
        let repository = self.reference.repository();
        let what = format!("take {} for {repository}", blob.digest());
        self.http.refused(answer, &what)
    }
}

/// Whether the registry has other ideas about the upload: it is gone, or stands elsewhere.
fn is_lost(status: StatusCode) -> bool {
    [StatusCode::NOT_FOUND, StatusCode::RANGE_NOT_SATISFIABLE].contains(&status)
}

/// Whether the registry says that what it has is not what its digest says.
fn is_other_content(answer: &Answer) -> bool {
    let body = String::from_utf8_lossy(&answer.body);
    answer.status.is_client_error()
        && (body.contains("DIGEST_INVALID") || body.contains("SIZE_INVALID"))
}

/// How many bytes the registry says it has.
fn received(answer: &Answer) -> Option<u64> {
    count_of(answer.header(RANGE.as_str())?)
}

/// The number of bytes in a `Range` of an upload, which names the last one. `0-0` is what registries say that have none;
/// one that has a single byte answers that it cannot take it again.
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
