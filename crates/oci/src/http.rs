//! What all HTTP of this crate has in common: the TLS stack, which trusts what the machine trusts, proxies from the
//! environment, and how long a server may keep silent.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, StatusCode, Url};
use tokio::runtime::Runtime;

/// How this program names itself to servers.
pub const USER_AGENT: &str = concat!("iac-runner/", env!("CARGO_PKG_VERSION"));

/// How long a server may keep silent.
pub const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// How long it may take to reach it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// A client to be; it keeps no longer silent than `read_timeout`.
pub(crate) fn client(read_timeout: Duration) -> Result<ClientBuilder> {
    set_up_tls()?;
    Ok(Client::builder()
        .user_agent(USER_AGENT)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(read_timeout))
}

/// What requests run on; each waits for its response.
pub(crate) fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime of HTTP requests")
}

/// Whether a server can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// It answers.
    Yes,
    /// It does not, or something between says that it does not.
    No(String),
}

/// Asks the server of `url` for it without fetching it.
///
/// # Errors
/// The server answers that it is not to be had.
pub fn reach(url: &str) -> Result<Reached> {
    let client = client(CONNECT_TIMEOUT)?
        .build()
        .context("failed to set up TLS")?;
    let response = match runtime()?.block_on(async { client.head(url).send().await }) {
        Ok(response) => response,
        Err(error) => {
            let cause = anyhow::Error::from(error);
            return Ok(Reached::No(cause.root_cause().to_string()));
        }
    };
    let status = response.status();
    match status {
        // Not every server knows the method.
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => Ok(Reached::Yes),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Ok(Reached::No(status.to_string())),
        _ if status.is_success() => Ok(Reached::Yes),
        _ if status.is_server_error() => Ok(Reached::No(status.to_string())),
        _ => bail!("{url} is not to be had: {status}"),
    }
}

/// More than any server sends a download on.
const MAX_REDIRECTS: usize = 5;

/// Whether something may be downloaded from `url`: by HTTPS, or from this machine; without a password, which logs
/// would have.
///
/// # Errors
/// The reason why not.
pub fn check_download(url: &str) -> Result<(), String> {
    if url.contains(|it: char| it.is_whitespace() || it.is_control()) {
        return Err("it has blanks".to_owned());
    }
    let parsed = Url::parse(url).map_err(|error| error.to_string())?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("it has the name or password of a user".to_owned());
    }
    if is_safe(&parsed) {
        Ok(())
    } else {
        Err("only HTTPS is spoken, and plain HTTP with this machine".to_owned())
    }
}

fn is_safe(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match url.scheme() {
        "https" => !host.is_empty(),
        "http" => is_this_machine(host),
        _ => false,
    }
}

/// Writes what is at `url` to `file`; more than `max_bytes` are an error, and so is whatever [`check_download`]
/// refuses, there or wherever a server sends on to.
pub fn download(url: &str, max_bytes: u64, file: &mut impl Write) -> Result<()> {
    check_download(url).map_err(|reason| anyhow!("{url} is not fetched: {reason}"))?;
    let redirects = Policy::custom(|attempt| {
        if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("there are too many redirects")
        } else if is_safe(attempt.url()) {
            attempt.follow()
        } else {
            let refused = format!("a redirect to {} is refused", attempt.url());
            attempt.error(refused)
        }
    });
    let client = client(READ_TIMEOUT)?
        .redirect(redirects)
        .build()
        .context("failed to set up TLS")?;
    let fetched = runtime()?.block_on(async {
        let mut response = client.get(url).send().await?.error_for_status()?;
        let mut received_bytes = 0;
        while let Some(piece) = response.chunk().await? {
            received_bytes += piece.len() as u64;
            if received_bytes > max_bytes {
                bail!("there are more than {max_bytes} bytes");
            }
            file.write_all(&piece)?;
        }
        Ok(())
    });
    fetched.with_context(|| format!("failed to fetch {url}"))
}

fn set_up_tls() -> Result<()> {
    if rustls::crypto::CryptoProvider::get_default().is_none()
        && rustls::crypto::ring::default_provider()
            .install_default()
            .is_err()
        && rustls::crypto::CryptoProvider::get_default().is_none()
    {
        return Err(anyhow!("failed to set up TLS"));
    }
    Ok(())
}

/// Whether `server`, a host with or without a port, is on this machine.
pub(crate) fn is_this_machine(server: &str) -> bool {
    let host = match server.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => server.split(':').next().unwrap_or_default(),
    };
    let address = host.parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    /// The address of a server that sends `response` once.
    fn serve(response: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _read = stream.read(&mut [0; 4096]).unwrap();
            stream.write_all(response.as_bytes()).unwrap();
        });
        url
    }

    /// What becomes of a download of at most six bytes from a server that sends `response` once.
    fn download_from(response: &'static str) -> Result<Vec<u8>> {
        let url = serve(response);
        let mut file = Vec::new();
        download(&url, 6, &mut file).map(|()| file)
    }

    #[test]
    fn a_download_is_whole_bounded_and_a_success() {
        let whole = download_from("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nwhole\n");
        assert_eq!(whole.unwrap(), b"whole\n");
        for (response, reason) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ntoo big",
                "more than 6 bytes",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncut",
                "failed to fetch http://127.0.0.1",
            ),
            (
                "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nabsent",
                "404",
            ),
        ] {
            let error = format!("{:#}", download_from(response).unwrap_err());
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn plain_http_is_spoken_with_this_machine_alone_whoever_sends_there() {
        for (url, is_fine) in [
            ("https://get.pulumi.com/a", true),
            ("http://127.0.0.1:1/a", true),
            ("http://[::1]:1/a", true),
            ("http://get.pulumi.com/a", false),
            ("https://user:secret@get.pulumi.com/a", false),
            ("file:///etc/passwd", false),
            ("https://get.pulumi.com/a\tb", false),
            ("no-url", false),
        ] {
            assert_eq!(check_download(url).is_ok(), is_fine, "{url}");
        }
        let refused = download_from(
            "HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/a\r\nContent-Length: 0\r\n\r\n",
        );
        let said = format!("{:#}", refused.unwrap_err());
        assert!(
            said.contains("redirect to http://elsewhere.test/a is refused"),
            "{said}"
        );
        let whole = serve("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nwhole\n");
        let on = format!("HTTP/1.1 302 Found\r\nLocation: {whole}\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(download_from(on.leak()).unwrap(), b"whole\n");
    }

    #[test]
    fn a_server_that_answers_is_reached_and_one_that_refuses_is_not_taken_for_absent() {
        let reach_at = |response| reach(&serve(response));
        for reached in ["200 OK", "405 Method Not Allowed"] {
            let response = format!("HTTP/1.1 {reached}\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(reach_at(response.leak()).unwrap(), Reached::Yes);
        }
        let unavailable = reach_at("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
        assert!(matches!(unavailable.unwrap(), Reached::No(_)));
        let closed = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let closed = reach(&format!("http://{closed}/file"));
        assert!(matches!(closed.unwrap(), Reached::No(_)));
        for refused in ["404 Not Found", "403 Forbidden"] {
            let response = format!("HTTP/1.1 {refused}\r\nContent-Length: 0\r\n\r\n");
            let error = reach_at(response.leak()).unwrap_err().to_string();
            assert!(error.contains(refused), "{error}");
        }
    }

    #[test]
    fn this_machine_has_loopback_addresses_and_one_name() {
        for here in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:5000",
            "127.1.2.3",
            "[::1]:5000",
            "[::1]",
        ] {
            assert!(is_this_machine(here), "{here}");
        }
        for elsewhere in [
            "registry.example",
            "10.0.0.1:5000",
            "localhost.example:80",
            "[::2]:80",
            "",
        ] {
            assert!(!is_this_machine(elsewhere), "{elsewhere}");
        }
    }
}
