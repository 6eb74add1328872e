//! Debian's registry on a free port of this machine, with everything it writes below one folder.

use camino::{Utf8Path, Utf8PathBuf};
use duct::cmd;
use serde_json::json;

use crate::{Daemon, Error, START_TIMEOUT};

/// Loopback, at a port that the system picks when the daemon listens: nobody else can be there before it.
const ANY_PORT: &str = "127.0.0.1:0";
/// What its log says before the address that it listens at.
const LISTENING: &str = "listening on ";

/// The program, and its Debian package.
pub const PROGRAM: &str = "docker-registry";

/// Who is let in where [`Access::Password`] is asked for.
pub const USER: &str = "runner";
/// The password of [`USER`].
pub const PASSWORD: &str = "pulumi";
/// The two as `htpasswd -B` writes them.
const HTPASSWD: &str = "runner:$2b$04$2S/s1ZJMxftBlejU7IW5Nuxh6j3WTqF/.cEdlcyR4CbgOp3VL/Nl.\n";

/// Who may pull and push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody.
    Open,
    /// [`USER`] with [`PASSWORD`].
    Password,
}

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    daemon: Daemon,
    folder: Utf8PathBuf,
    host: String,
}

impl Registry {
    /// Starts one that keeps its configuration, its blobs and its log in `folder`, which outlives it.
    ///
    /// # Errors
    /// Those of [`Daemon::start`]; [`Error::is_missing`] tells where there is no such program.
    pub fn start(folder: &Utf8Path, access: Access) -> Result<Self, Error> {
        let write = |name: &str, content: &str| {
            let file = folder.join(name);
            let written = fs_err::write(&file, content);
            written.map(|()| file).map_err(|source| Error::Prepare {
                what: name.to_owned(),
                source,
            })
        };
        let mut config = json!({
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": folder.join("data")}},
            "http": {"addr": ANY_PORT},
        });
        if access == Access::Password {
            let passwords = write("passwords", HTPASSWD)?;
            config["auth"] = json!({"htpasswd": {"realm": "registry", "path": passwords}});
        }
        // JSON is YAML.
        let config = write("config.yml", &config.to_string())?;
        let log = folder.join("log");
        let serve = cmd!(PROGRAM, "serve", &config)
            .stderr_to_stdout()
            .stdout_path(&log);
        let mut host = None;
        let answers = || {
            // No log yet, no address yet.
            host = fs_err::read_to_string(&log)
                .ok()
                .as_deref()
                .and_then(address);
            host.is_some()
        };
        let daemon = Daemon::start(PROGRAM, &serve, START_TIMEOUT, answers);
        let daemon = daemon.map_err(|error| match error {
            Error::Ended { .. } | Error::Silent { .. } => Error::Logged {
                log,
                source: Box::new(error),
            },
            other => other,
        })?;
        Ok(Self {
            daemon,
            folder: folder.to_owned(),
            host: host.expect("it answered"),
        })
    }

    /// What kills it from elsewhere; see [`Daemon::killer`].
    pub fn killer(&self) -> impl FnOnce() -> std::io::Result<()> + Send + 'static {
        self.daemon.killer()
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The file in which it writes of every request.
    pub fn log(&self) -> Utf8PathBuf {
        self.folder.join("log")
    }

    /// The file in which it keeps the blob `sha256:…`, once it has it.
    pub fn blob(&self, digest: &str) -> Utf8PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
        let two = hex.get(..2).unwrap_or(hex);
        self.folder.join(format!(
            "data/docker/registry/v2/blobs/sha256/{two}/{hex}/data"
        ))
    }
}

/// The `127.0.0.1:PORT` at which a registry with this log listens, once it does.
fn address(log: &str) -> Option<String> {
    let (_, rest) = log.split_once(LISTENING)?;
    let (address, _) = rest.split_once('"')?;
    Some(address.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpStream;

    use super::*;

    /// The status line of an unauthenticated request.
    fn status(host: &str) -> String {
        let mut stream = TcpStream::connect(host).unwrap();
        let request = format!("GET /v2/ HTTP/1.0\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line
    }

    #[test]
    fn the_address_is_read_from_a_line_that_is_whole() {
        let whole = "level=info msg=\"listening on 127.0.0.1:42015\" go.version=go1.19.8\n";
        assert_eq!(address(whole).as_deref(), Some("127.0.0.1:42015"));
        assert_eq!(address("level=info msg=\"listening on 127.0.0.1:42"), None);
        assert_eq!(address(""), None);
    }

    #[test]
    fn it_asks_for_a_password_where_it_should_and_ends_with_its_guard() {
        for (access, code) in [(Access::Open, " 200 "), (Access::Password, " 401 ")] {
            let folder = tempfile::tempdir().unwrap();
            let folder = Utf8Path::from_path(folder.path()).unwrap();
            let registry = match Registry::start(folder, access) {
                // `cargo xtask test` installs it; the tests of a crate alone may run without.
                Err(error) if error.may_be_skipped() => {
                    let mut stderr = std::io::stderr();
                    writeln!(stderr, "SKIPPED {access:?}: {error}").unwrap();
                    return;
                }
                registry => registry.unwrap(),
            };
            let host = registry.host().to_owned();
            let status = status(&host);
            assert!(status.contains(code), "{access:?}: {status}");
            let log = fs_err::read_to_string(registry.log()).unwrap();
            assert!(log.contains("GET /v2/"), "{log}");
            drop(registry);
            assert!(TcpStream::connect(&host).is_err());
        }
    }
}
