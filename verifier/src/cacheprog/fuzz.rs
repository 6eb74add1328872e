//! Sessions that are almost what the go command writes: each is read to its end or refused, never a crash and never for
//! ever, and no body is held that is longer than was said.

use std::io::{BufReader, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::collection::vec;
use proptest::prelude::*;

use super::protocol::{Command, Reader, Request};
use mutation::mutated;

/// As much as is read to memory here.
const HELD_BYTES: u64 = 4096;

/// A request, and the body that follows it.
fn request() -> impl Strategy<Value = String> {
    let ids = (any::<i64>(), any::<[u8; 32]>(), any::<[u8; 32]>());
    let body = prop_oneof![Just(Vec::new()), vec(any::<u8>(), 1..200)];
    (ids, 0..4, body).prop_map(|((id, action, output), kind, body)| {
        let (action, output) = (STANDARD.encode(action), STANDARD.encode(output));
        match kind {
            0 => format!("{{\"ID\":{id},\"Command\":\"get\",\"ActionID\":\"{action}\"}}\n"),
            1 => format!("{{\"ID\":{id},\"Command\":\"close\"}}\n"),
            _ => {
                let size = body.len();
                let line = format!(
                    "{{\"ID\":{id},\"Command\":\"put\",\"ActionID\":\"{action}\",\
                     \"OutputID\":\"{output}\",\"BodySize\":{size}}}\n\n"
                );
                let text = STANDARD.encode(&body);
                if body.is_empty() {
                    line
                } else {
                    format!("{line}\"{text}\"\n")
                }
            }
        }
    })
}

fn session() -> impl Strategy<Value = Vec<u8>> {
    vec(request(), 0..6).prop_map(|requests| requests.concat().into_bytes())
}

/// Everything that is read of a session, with the bodies that were held; an error where it ends with one.
fn read(session: &[u8], block: usize) -> (Vec<(Request, Vec<u8>)>, Option<String>) {
    let mut reader = Reader::new(BufReader::with_capacity(block, session));
    let mut read = Vec::new();
    loop {
        let request = match reader.next() {
            Ok(Some(request)) => request,
            Ok(None) => return (read, None),
            Err(error) => return (read, Some(format!("{error:#}"))),
        };
        let body = match &request.command {
            Command::Put { size_bytes, .. } if *size_bytes <= HELD_BYTES => reader
                .body(*size_bytes)
                .and_then(super::protocol::Body::read_to_memory),
            // As large ones are: block by block, and then to the end.
            Command::Put { size_bytes, .. } => reader.body(*size_bytes).and_then(|mut body| {
                let mut start = vec![0; 512];
                let count = body.read(&mut start)?;
                body.skip_rest()?;
                start.truncate(count);
                Ok(start)
            }),
            _ => Ok(Vec::new()),
        };
        match body {
            Ok(body) => read.push((request, body)),
            Err(error) => return (read, Some(format!("{error:#}"))),
        }
    }
}

#[test]
fn what_is_no_base64_is_refused_alike_however_it_arrives() {
    let id = STANDARD.encode([0; 32]);
    let text = STANDARD.encode([7; 126]).replacen("BwcH", "Bw=H", 5);
    let session = format!(
        "{{\"ID\":1,\"Command\":\"put\",\"ActionID\":\"{id}\",\"OutputID\":\"{id}\",\"BodySize\":126}}\n\n\"{text}\"\n"
    );
    for block in 1..session.len() {
        let (requests, error) = read(session.as_bytes(), block);
        assert!(requests.is_empty());
        assert_eq!(
            error.unwrap(),
            "failed to read a body: it is no base64",
            "{block}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_session_is_read_to_its_end_or_refused(session in mutated(session()), block in 1..64_usize) {
        let (requests, error) = read(&session, block);
        for (request, body) in &requests {
            if let Command::Put { size_bytes, .. } = request.command
                && size_bytes <= HELD_BYTES
            {
                prop_assert_eq!(body.len() as u64, size_bytes);
            }
        }
        // How it arrives decides nothing.
        prop_assert_eq!(read(&session, session.len().max(1)), (requests, error));
    }

    #[test]
    fn a_sound_session_is_read_as_it_was_meant(session in session(), block in 1..64_usize) {
        let (requests, error) = read(&session, block);
        prop_assert_eq!(error, None);
        let lines = session.split(|it| *it == b'\n').filter(|line| line.starts_with(b"{"));
        prop_assert_eq!(requests.len(), lines.count());
    }
}
