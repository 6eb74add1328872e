//! The GOCACHEPROG protocol of Go 1.24 and later, as `cmd/go/internal/cacheprog` documents it.
//!
//! Requests are JSON objects, each followed by a newline; the body of a put follows as a JSON string of base64 on a
//! line of its own. Bodies are decoded as they come: the archive of a large package has a hundred megabytes.
//! Answers are JSON objects on a line each, in any order.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use base64::read::DecoderReader;
use camino::Utf8Path;
use gocache::ActionEntry;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// To be repeated in the answer.
    pub id: i64,
    pub command: Command,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Command {
    Get {
        action: Sha256Hash,
    },
    /// The body follows, see [`Reader::body`].
    Put {
        action: Sha256Hash,
        output: Sha256Hash,
        size_bytes: u64,
    },
    Close,
    /// Something that was not offered; the text says what is wrong.
    Unknown(String),
}

#[derive(Deserialize)]
struct JsonRequest {
    #[serde(rename = "ID")]
    id: i64,
    #[serde(rename = "Command")]
    command: String,
    #[serde(rename = "ActionID", default)]
    action_id: String,
    #[serde(rename = "OutputID", default)]
    output_id: String,
    #[serde(rename = "BodySize", default)]
    body_size: u64,
}

pub struct Reader<R> {
    input: BufReader<R>,
    line: Vec<u8>,
}

impl<R: Read> Reader<R> {
    pub fn new(input: BufReader<R>) -> Self {
        Self {
            input,
            line: Vec::new(),
        }
    }

    /// The next request; none at the end of input. After a put its body must be read.
    pub fn next(&mut self) -> anyhow::Result<Option<Request>> {
        loop {
            self.line.clear();
            if self
                .input
                .read_until(b'\n', &mut self.line)
                .context("failed to read a request")?
                == 0
            {
                return Ok(None);
            }
            let line = self.line.trim_ascii();
            if !line.is_empty() {
                return parse(line).map(Some);
            }
        }
    }

    /// Whether another request has already arrived, at least in part.
    pub fn has_more(&self) -> bool {
        !self.input.buffer().trim_ascii_start().is_empty()
    }

    /// The body of the put that was read last.
    pub fn body(&mut self, size_bytes: u64) -> anyhow::Result<Body<'_, BufReader<R>>> {
        if size_bytes > 0 {
            let mut first = b'\n';
            while first.is_ascii_whitespace() {
                self.input
                    .read_exact(std::slice::from_mut(&mut first))
                    .context("failed to read a body")?;
            }
            ensure!(
                first == b'"',
                "a body starts with {:?} instead of a quote",
                char::from(first)
            );
        }
        let text = Quoted {
            input: &mut self.input,
            ended: size_bytes == 0,
        };
        Ok(Body {
            decoder: DecoderReader::new(text, &STANDARD),
            size_bytes,
        })
    }
}

fn parse(line: &[u8]) -> anyhow::Result<Request> {
    let request: JsonRequest = serde_json::from_slice(line).with_context(|| {
        format!(
            "failed to read the request {}",
            String::from_utf8_lossy(line)
        )
    })?;
    let command = match request.command.as_str() {
        "get" => hash(&request.action_id).map(|action| Command::Get { action }),
        // Without its IDs the body could not be skipped safely either.
        "put" => Ok(Command::Put {
            action: hash(&request.action_id)?,
            output: hash(&request.output_id)?,
            size_bytes: request.body_size,
        }),
        "close" => Ok(Command::Close),
        other => Ok(Command::Unknown(format!("unknown command {other:?}"))),
    };
    Ok(Request {
        id: request.id,
        command: command.unwrap_or_else(|error| Command::Unknown(error.to_string())),
    })
}

fn hash(base64: &str) -> anyhow::Result<Sha256Hash> {
    let bytes = STANDARD
        .decode(base64)
        .ok()
        .and_then(|bytes| bytes.try_into().ok());
    let bytes = bytes.with_context(|| format!("the ID {base64:?} is not 32 bytes"))?;
    Ok(Sha256Hash::from_bytes(bytes))
}

/// The decoded body of a put.
pub struct Body<'a, R: BufRead> {
    decoder: DecoderReader<'static, GeneralPurpose, Quoted<'a, R>>,
    size_bytes: u64,
}

impl<R: BufRead> Body<'_, R> {
    /// All of it; of one that is longer than was said, no more is read than tells that.
    pub fn read_to_memory(self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.size_bytes).unwrap_or_default());
        let size_bytes = self.size_bytes;
        self.take(size_bytes.saturating_add(1))
            .read_to_end(&mut bytes)
            .context("failed to read a body")?;
        if bytes.len() as u64 != size_bytes {
            let more = bytes.len() as u64 > size_bytes;
            let found = if more {
                "more".to_owned()
            } else {
                bytes.len().to_string()
            };
            bail!("a body has {found} bytes instead of {size_bytes}");
        }
        Ok(bytes)
    }

    /// Reads on to the end, so that the next request can be read.
    pub fn skip_rest(self) -> io::Result<()> {
        let mut text = self.decoder.into_inner();
        io::copy(&mut text, &mut io::sink()).map(drop)
    }
}

impl<R: BufRead> Read for Body<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The decoder names a symbol and its place, and both depend on how much of the text it had at a time.
        self.decoder
            .read(buffer)
            .map_err(|error| match error.kind() {
                ErrorKind::InvalidData => io::Error::new(ErrorKind::InvalidData, "it is no base64"),
                _ => error,
            })
    }
}

/// The text up to the closing quote. Base64 has nothing that JSON would escape.
struct Quoted<'a, R> {
    input: &'a mut R,
    ended: bool,
}

impl<R: BufRead> Read for Quoted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let available = self.input.fill_buf()?;
        if available.is_empty() {
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                "input ended within a body",
            ));
        }
        let window = &available[..available.len().min(buffer.len())];
        let quote = window.iter().position(|&byte| byte == b'"');
        let text = &window[..quote.unwrap_or(window.len())];
        buffer[..text.len()].copy_from_slice(text);
        let count = text.len();
        self.ended = quote.is_some();
        self.input.consume(count + usize::from(self.ended));
        Ok(count)
    }
}

#[derive(Debug, Default, Serialize)]
pub struct Response {
    #[serde(rename = "ID")]
    id: i64,
    #[serde(rename = "Err", skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(rename = "KnownCommands", skip_serializing_if = "<[_]>::is_empty")]
    known_commands: &'static [&'static str],
    #[serde(rename = "Miss", skip_serializing_if = "std::ops::Not::not")]
    miss: bool,
    #[serde(rename = "OutputID", skip_serializing_if = "Option::is_none")]
    output_id: Option<String>,
    #[serde(rename = "Size", skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(rename = "Time", skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(rename = "DiskPath", skip_serializing_if = "Option::is_none")]
    disk_path: Option<String>,
}

impl Response {
    /// The first message: what this program can do.
    pub fn hello(can_keep: bool) -> Self {
        Self {
            known_commands: if can_keep {
                &["get", "put", "close"]
            } else {
                &["get", "close"]
            },
            ..Self::default()
        }
    }

    pub fn miss(id: i64) -> Self {
        Self {
            id,
            miss: true,
            ..Self::default()
        }
    }

    pub fn hit(id: i64, entry: &ActionEntry, path: &Utf8Path) -> Self {
        Self {
            id,
            output_id: Some(STANDARD.encode(entry.output.as_bytes())),
            size: Some(entry.size_bytes),
            time: Some(rfc3339(entry.time_unix_ns)),
            disk_path: Some(path.to_string()),
            ..Self::default()
        }
    }

    pub fn stored(id: i64, path: &Utf8Path) -> Self {
        Self {
            id,
            disk_path: Some(path.to_string()),
            ..Self::default()
        }
    }

    pub fn failed(id: i64, reason: &str) -> Self {
        Self {
            id,
            error: Some(reason.to_owned()),
            ..Self::default()
        }
    }

    pub fn done(id: i64) -> Self {
        Self {
            id,
            ..Self::default()
        }
    }

    pub fn to_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("strings and numbers have a JSON form");
        line.push(b'\n');
        line
    }
}

/// A time as Go's JSON has it, in UTC. The days are those of the proleptic Gregorian calendar.
fn rfc3339(unix_ns: i64) -> String {
    let (seconds, ns) = (
        unix_ns.div_euclid(1_000_000_000),
        unix_ns.rem_euclid(1_000_000_000),
    );
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Counted from 0000-03-01, so that the leap day is the last of its year.
    let day = day + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = 400 * era + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}.{ns:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    fn request(json: &str) -> Request {
        Reader::new(BufReader::new(json.as_bytes()))
            .next()
            .unwrap()
            .unwrap()
    }

    #[test]
    fn a_session_reads_as_go_writes_it() {
        let (action, output) = (id(1), id(2));
        let body = vec![9; 5000];
        let input = format!(
            "{{\"ID\":1,\"Command\":\"get\",\"ActionID\":\"{action}\"}}\n\n\
             {{\"ID\":2,\"Command\":\"put\",\"ActionID\":\"{action}\",\"OutputID\":\"{output}\",\
             \"BodySize\":5000}}\n\n\"{}\"\n\
             {{\"ID\":3,\"Command\":\"put\",\"ActionID\":\"{action}\",\"OutputID\":\"{output}\"}}\n\n\
             {{\"ID\":4,\"Command\":\"close\"}}\n\n",
            STANDARD.encode(&body)
        );
        // A small buffer, so that bodies span many of them.
        let mut requests = Reader::new(BufReader::with_capacity(7, input.as_bytes()));
        let (action, output) = (
            Sha256Hash::from_bytes([1; 32]),
            Sha256Hash::from_bytes([2; 32]),
        );
        assert_eq!(
            requests.next().unwrap(),
            Some(Request {
                id: 1,
                command: Command::Get { action }
            })
        );
        let put = |id, size_bytes| {
            Some(Request {
                id,
                command: Command::Put {
                    action,
                    output,
                    size_bytes,
                },
            })
        };
        assert_eq!(requests.next().unwrap(), put(2, 5000));
        assert_eq!(requests.body(5000).unwrap().read_to_memory().unwrap(), body);
        assert_eq!(requests.next().unwrap(), put(3, 0));
        assert_eq!(requests.body(0).unwrap().read_to_memory().unwrap(), b"");
        assert_eq!(
            requests.next().unwrap(),
            Some(Request {
                id: 4,
                command: Command::Close
            })
        );
        assert_eq!(requests.next().unwrap(), None);
    }

    #[test]
    fn a_body_that_is_longer_than_was_said_is_not_held() {
        let id = STANDARD.encode([1; 32]);
        let line = format!(
            "{{\"ID\":1,\"Command\":\"put\",\"ActionID\":\"{id}\",\"OutputID\":\"{id}\",\"BodySize\":3}}\n"
        );
        let endless = line
            .as_bytes()
            .chain(&b"\""[..])
            .chain(std::io::repeat(b'A'));
        let mut reader = Reader::new(BufReader::new(endless));
        reader.next().unwrap().unwrap();
        let error = reader.body(3).unwrap().read_to_memory().unwrap_err();
        assert!(
            error.to_string().contains("more bytes instead of 3"),
            "{error}"
        );
    }

    #[test]
    fn requests_that_come_together_are_noticed() {
        let one = "{\"ID\":1,\"Command\":\"close\"}\n\n";
        for (input, has_more) in [
            (one.to_owned(), false),
            (one.repeat(2), true),
            (format!("{one}{{"), true),
        ] {
            let mut requests = Reader::new(BufReader::new(input.as_bytes()));
            requests.next().unwrap();
            assert_eq!(requests.has_more(), has_more, "{input}");
        }
    }

    #[test]
    fn a_body_can_be_given_up() {
        let input = format!(
            "\"{}\"\n{{\"ID\":7,\"Command\":\"close\"}}\n",
            STANDARD.encode([1; 10_000])
        );
        let mut requests = Reader::new(BufReader::with_capacity(64, input.as_bytes()));
        let mut body = requests.body(10_000).unwrap();
        body.read_exact(&mut [0; 100]).unwrap();
        body.skip_rest().unwrap();
        assert_eq!(requests.next().unwrap().unwrap().id, 7);
    }

    #[test]
    fn broken_input_is_an_error_and_never_a_loop() {
        for input in [
            "{",
            "[]\n",
            "{\"ID\":1}\n",
            "{\"ID\":1,\"Command\":\"put\",\"ActionID\":\"AAAA\"}\n",
        ] {
            assert!(
                Reader::new(BufReader::new(input.as_bytes()))
                    .next()
                    .is_err(),
                "{input}"
            );
        }
        for (input, size) in [
            ("\"AAAA", 3),
            ("\"AAAA\"", 4),
            ("\"A*AA\"", 3),
            ("AAAA", 3),
            ("", 3),
        ] {
            let mut requests = Reader::new(BufReader::new(input.as_bytes()));
            let body = requests.body(size).and_then(Body::read_to_memory);
            assert!(body.is_err(), "{input}");
        }
    }

    #[test]
    fn what_cannot_be_answered_keeps_its_id() {
        for json in [
            r#"{"ID":5,"Command":"get2"}"#,
            r#"{"ID":5,"Command":"get","ActionID":"AAAA"}"#,
        ] {
            let request = request(json);
            assert_eq!(request.id, 5);
            assert!(matches!(request.command, Command::Unknown(_)), "{json}");
        }
    }

    #[test]
    fn answers_hold_only_what_go_expects() {
        let line = |response: Response| String::from_utf8(response.to_line()).unwrap();
        assert_eq!(
            line(Response::hello(true)),
            "{\"ID\":0,\"KnownCommands\":[\"get\",\"put\",\"close\"]}\n"
        );
        assert_eq!(
            line(Response::hello(false)),
            "{\"ID\":0,\"KnownCommands\":[\"get\",\"close\"]}\n"
        );
        assert_eq!(line(Response::miss(3)), "{\"ID\":3,\"Miss\":true}\n");
        assert_eq!(line(Response::done(4)), "{\"ID\":4}\n");
        assert_eq!(
            line(Response::failed(5, "a \"b\"")),
            "{\"ID\":5,\"Err\":\"a \\\"b\\\"\"}\n"
        );
        let hash = Sha256Hash::from_bytes([0; 32]);
        let entry = ActionEntry {
            action: hash,
            output: hash,
            size_bytes: 0,
            time_unix_ns: 0,
        };
        let expected = format!(
            "{{\"ID\":6,\"OutputID\":\"{}\",\"Size\":0,\
             \"Time\":\"1970-01-01T00:00:00.000000000Z\",\"DiskPath\":\"/d\"}}\n",
            id(0)
        );
        assert_eq!(
            line(Response::hit(6, &entry, Utf8Path::new("/d"))),
            expected
        );
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (unix_s, text) in [
            (0, "1970-01-01T00:00:00"),
            (951_782_399, "2000-02-28T23:59:59"),
            (951_782_400, "2000-02-29T00:00:00"),
            (951_868_800, "2000-03-01T00:00:00"),
            (1_704_067_199, "2023-12-31T23:59:59"),
            (2_145_916_800, "2038-01-01T00:00:00"),
            (4_107_542_400, "2100-03-01T00:00:00"),
        ] {
            assert_eq!(
                rfc3339(unix_s * 1_000_000_000 + 7),
                format!("{text}.000000007Z")
            );
        }
    }
}
