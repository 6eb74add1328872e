//! Debian's registry on loopback.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;
use serde_json::json;

use super::folder;

/// Of the user `runner` with the password `pulumi`, as `htpasswd -B` writes it.
const PASSWORDS: &str = "runner:$2b$04$2S/s1ZJMxftBlejU7IW5Nuxh6j3WTqF/.cEdlcyR4CbgOp3VL/Nl.\n";

pub struct Server {
    pub host: String,
    process: Child,
    folder: Utf8PathBuf,
    _guard: tempfile::TempDir,
}

impl Server {
    /// The registry; none, and a word about it, where the program is missing.
    pub fn start(test: &str, with_password: bool) -> Option<Self> {
        let (guard, folder) = folder();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        drop(listener);
        let mut config = json!({
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": folder.join("data")}},
            "http": {"addr": host},
        });
        if with_password {
            fs_err::write(folder.join("passwords"), PASSWORDS).unwrap();
            config["auth"] =
                json!({"htpasswd": {"realm": "test", "path": folder.join("passwords")}});
        }
        // JSON is YAML.
        fs_err::write(folder.join("config.yml"), config.to_string()).unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "a test runs no command of the image"
        )]
        let process = std::process::Command::new("docker-registry")
            .args(["serve", folder.join("config.yml").as_str()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn();
        let process = match process {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                // Past the test harness, which would swallow it.
                writeln!(
                    std::io::stderr(),
                    "SKIPPED {test}: there is no docker-registry; `apt-get install docker-registry`"
                )
                .unwrap();
                return None;
            }
            process => process.unwrap(),
        };
        let started = Instant::now();
        while TcpStream::connect(&host).is_err() {
            assert!(started.elapsed() < Duration::from_secs(60), "no registry");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(Self {
            host,
            process,
            folder,
            _guard: guard,
        })
    }

    /// What is stored as the blob `digest`.
    pub fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = "data/docker/registry/v2/blobs/sha256";
        let file = format!("{blobs}/{}/{hex}/data", &hex[..2]);
        fs_err::read(self.folder.join(file)).ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
