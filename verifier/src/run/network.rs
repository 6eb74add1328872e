//! A proxy that every command is told to use and that refuses, so that each request to the network is counted, whoever
//! makes it: the go command's own proxy is here, too.
//!
//! The counter listens on the loopback device, which a container without network has as well.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Context as _;

use crate::process::Environment;

/// Below it are the go command's own requests.
const GO: &str = "/go";

/// The counter; it listens until the process ends.
#[derive(Debug)]
pub struct Network {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Network {
    pub fn listen() -> anyhow::Result<Self> {
        let context =
            "failed to listen on the loopback device, where requests to the network are counted";
        let listener = TcpListener::bind(("127.0.0.1", 0)).context(context)?;
        let address = format!("http://{}", listener.local_addr().context(context)?);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let counted = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let request = refuse(stream);
                counted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(request);
            }
        });
        Ok(Self { address, requests })
    }

    /// Variables that send every request here.
    pub fn environment(&self) -> Environment {
        let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]
            .map(|name| (name, self.address.clone()));
        let direct = ["NO_PROXY", "no_proxy"].map(|name| (name, String::new()));
        let go = ("GOPROXY", format!("{}{GO}", self.address));
        proxies.into_iter().chain(direct).chain([go]).collect()
    }

    /// The requests since the last call: method and target of each.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads a request up to its first line and refuses it; what cannot be read was a request all the same.
fn refuse(stream: TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    let read = reader.read_line(&mut request).and_then(|_| {
        let mut header = String::new();
        while reader.read_line(&mut header)? > 2 {
            header.clear();
        }
        reader
            .into_inner()
            .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    });
    let what: Vec<&str> = request.split_whitespace().take(2).collect();
    match read {
        Ok(()) if !what.is_empty() => what.join(" "),
        _ => "a connection without a request".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn requests_are_refused_and_counted() {
        let network = Network::listen().unwrap();
        let address = network.address.strip_prefix("http://").unwrap();
        for request in [
            "CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /go/x/@v/list HTTP/1.1\r\n\r\n",
        ] {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        }
        let mut seen = network.take();
        while seen.len() < 2 {
            seen.extend(network.take());
        }
        assert_eq!(seen, ["CONNECT example.com:443", "GET /go/x/@v/list"]);
        assert_eq!(network.take(), [""; 0]);
        let go = network
            .environment()
            .into_iter()
            .find(|(name, _)| *name == "GOPROXY");
        assert_eq!(go.unwrap().1, format!("http://{address}/go"));
    }
}
