//! A real registry for the tests.

use camino::{Utf8Path, Utf8PathBuf};
use daemon::registry::{self, Access};
use xshell::{Shell, cmd};

use super::run::{folder, succeed};

/// Debian's registry on a free port of this machine, and the folder that goes with it.
pub struct Registry {
    server: registry::Registry,
    /// `127.0.0.1:PORT`.
    pub host: String,
    _folder: tempfile::TempDir,
}

impl Registry {
    /// Starts it.
    pub fn start(access: Access) -> Self {
        let (guard, folder) = folder();
        let server = registry::Registry::start(&folder, access).unwrap();
        Self {
            host: server.host().to_owned(),
            server,
            _folder: guard,
        }
    }

    /// Pushes the image `tag` of `layout` by a tool that is not ours, and returns its reference.
    pub fn push(&self, sh: &Shell, layout: &Utf8Path, tag: &str, flags: &[&str]) -> String {
        let reference = format!("{}/iac/runner:{tag}", self.host);
        let skopeo = cmd!(sh, "skopeo copy --quiet --dest-tls-verify=false {flags...}");
        succeed(skopeo.args([
            format!("oci:{layout}:{tag}"),
            format!("docker://{reference}"),
        ]));
        reference
    }

    /// What it wrote of its requests.
    pub fn log(&self) -> String {
        fs_err::read_to_string(self.server.log()).unwrap()
    }

    /// How many blobs it has sent.
    pub fn blobs_sent(&self) -> usize {
        self.log().matches("\"GET /v2/iac/runner/blobs/").count()
    }

    /// Where it keeps a blob.
    pub fn blob(&self, digest: &str) -> Utf8PathBuf {
        self.server.blob(digest)
    }
}
