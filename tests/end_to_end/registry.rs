//! A real registry for the tests.

use std::net::{TcpListener, TcpStream};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use crate::run::{Daemon, command, folder, succeed, write};

/// Debian's registry on a free port of this machine.
pub struct Registry {
    _daemon: Daemon,
    folder: Utf8PathBuf,
    /// `127.0.0.1:PORT`.
    pub host: String,
    _guard: tempfile::TempDir,
}

/// Of the user `runner` with the password `pulumi`, as `htpasswd -B` writes it.
const PASSWORDS: &str = "runner:$2b$04$2S/s1ZJMxftBlejU7IW5Nuxh6j3WTqF/.cEdlcyR4CbgOp3VL/Nl.\n";

impl Registry {
    /// Starts it, open to all or to whoever knows the password.
    pub fn start(with_password: bool) -> Self {
        let (guard, folder) = folder();
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let host = format!("127.0.0.1:{port}");
        let mut config = json!({
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": folder.join("data")}},
            "http": {"addr": host},
        });
        if with_password {
            write(&folder, "passwords", PASSWORDS);
            config["auth"] = json!({
                "htpasswd": {"realm": "test", "path": folder.join("passwords")},
            });
        }
        // JSON is YAML.
        write(&folder, "config.yml", &config.to_string());
        let log = fs_err::File::create(folder.join("log"))
            .unwrap()
            .into_parts()
            .0;
        let mut registry = command("docker-registry");
        registry
            .args(["serve", folder.join("config.yml").as_str()])
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let daemon = Daemon::start(&mut registry, || TcpStream::connect(&host).is_ok());
        Self {
            _daemon: daemon,
            folder,
            host,
            _guard: guard,
        }
    }

    /// Pushes the image `tag` of `layout` by a tool that is not ours, and returns its reference.
    pub fn push(&self, layout: &Utf8Path, tag: &str, flags: &[&str]) -> String {
        let reference = format!("{}/iac/runner:{tag}", self.host);
        succeed(
            command("skopeo")
                .args(["copy", "--quiet", "--dest-tls-verify=false"])
                .args(flags)
                .args([
                    format!("oci:{layout}:{tag}"),
                    format!("docker://{reference}"),
                ]),
        );
        reference
    }

    /// What it wrote of its requests.
    pub fn log(&self) -> Utf8PathBuf {
        self.folder.join("log")
    }

    /// How many blobs it has sent.
    pub fn blobs_sent(&self) -> usize {
        let log = fs_err::read_to_string(self.log()).unwrap();
        log.matches("\"GET /v2/iac/runner/blobs/").count()
    }

    /// Where it keeps a blob.
    pub fn blob(&self, digest: &str) -> Utf8PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = "data/docker/registry/v2/blobs/sha256";
        self.folder
            .join(format!("{blobs}/{}/{hex}/data", &hex[..2]))
    }
}
