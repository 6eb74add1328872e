//! A server on loopback that does as a rule says: passes requests on, answers them itself, damages or cuts them. It
//! takes one request per connection and remembers each.

use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request that came.
#[derive(Debug, Clone)]
pub struct Request {
    /// The request line and the headers.
    pub head: String,
    /// As much of the content as was read.
    pub body: Vec<u8>,
}

impl Request {
    pub fn is(&self, method: &str, path: &str) -> bool {
        let mut words = self.head.split(' ');
        words.next() == Some(method) && words.next().is_some_and(|found| found.contains(path))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// What is done with a request.
pub enum Act {
    /// It goes to the registry, and the answer back.
    Pass,
    /// The same, with one bit of its content flipped.
    DamageRequest,
    /// The same, with one bit of the answer's content flipped.
    DamageAnswer,
    /// The same, but neither side passes on more bytes than these.
    CutAfter(usize),
    /// It goes to the registry, and the answer gets lost.
    LoseAnswer,
    /// This is the answer: status line and headers, content.
    Answer(String, Vec<u8>),
    /// There is none; the connection closes.
    Hang,
}

pub fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Act {
    let length = body.len();
    let mut head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.push_str("\r\n");
    Act::Answer(head, body.to_vec())
}

/// What to do with a request; how many came before it.
type Rule = dyn Fn(&Request, usize) -> Act + Send + Sync;

pub struct Proxy {
    pub host: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Proxy {
    /// A server before the registry at `upstream`.
    pub fn before(
        upstream: &str,
        rule: impl Fn(&Request, usize) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let seen = Arc::default();
        let rule: Arc<Rule> = Arc::new(rule);
        let (upstream, all) = (upstream.to_owned(), Arc::clone(&seen));
        // It lives as long as the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (upstream, all, rule) = (upstream.clone(), Arc::clone(&all), Arc::clone(&rule));
                // A connection that breaks is what these tests are about.
                std::thread::spawn(move || serve(client?, &upstream, &all, &*rule));
            }
        });
        Self { host, seen }
    }

    /// A server that answers everything by itself.
    pub fn alone(rule: impl Fn(&Request, usize) -> Act + Send + Sync + 'static) -> Self {
        Self::before("", rule)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }

    pub fn count(&self, method: &str, path: &str) -> usize {
        let seen = self.seen();
        let matching = seen.iter().filter(|request| request.is(method, path));
        matching.count()
    }
}

fn serve(
    mut client: TcpStream,
    upstream: &str,
    all: &Mutex<Vec<Request>>,
    rule: &Rule,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read(&mut byte)? == 0 {
            return Ok(());
        }
        head.push(byte[0]);
    }
    let mut request = Request {
        head: String::from_utf8(head).unwrap(),
        body: Vec::new(),
    };
    let length = request.header("content-length").map(str::parse);
    let length: usize = length.transpose().unwrap().unwrap_or(0);
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    request.body = body;
    let before = {
        let mut all = all.lock().unwrap();
        all.push(request.clone());
        all.len() - 1
    };
    let mut limit = usize::MAX;
    let (mut damage, mut lose) = (false, false);
    match rule(&request, before) {
        Act::Pass => {}
        Act::DamageRequest => request.body[length / 2] ^= 1,
        Act::DamageAnswer => damage = true,
        Act::CutAfter(bytes) => limit = bytes,
        Act::LoseAnswer => lose = true,
        Act::Hang => return Ok(()),
        Act::Answer(head, body) => {
            client.write_all(head.as_bytes())?;
            client.write_all(&body)?;
            return finish(&mut client);
        }
    }
    let mut server = TcpStream::connect(upstream)?;
    let head = request
        .head
        .replacen("\r\n", "\r\nConnection: close\r\n", 1);
    server.write_all(head.as_bytes())?;
    server.write_all(&request.body[..length.min(limit)])?;
    if length > limit {
        return Ok(());
    }
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    if lose {
        return Ok(());
    }
    if damage {
        let last = answer.len() - 1;
        // Inside of a string of JSON as well as of anything else.
        answer[last - 8] ^= 1;
    }
    client.write_all(&answer[..answer.len().min(limit)])?;
    finish(&mut client)
}

/// Closes without a reset, which could overtake the answer.
fn finish(client: &mut TcpStream) -> std::io::Result<()> {
    client.shutdown(Shutdown::Write)?;
    client.read_to_end(&mut Vec::new())?;
    Ok(())
}
