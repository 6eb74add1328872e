//! A real registry on loopback, if there is one on this machine.

use std::io::Write as _;

use daemon::registry::{Access, Registry};

use super::folder;

pub struct Server {
    pub host: String,
    registry: Registry,
    _guard: tempfile::TempDir,
}

impl Server {
    /// The registry; none, and a word about it, where the program is missing and nothing demands it.
    pub fn start(test: &str, with_password: bool) -> Option<Self> {
        let (guard, folder) = folder();
        let access = if with_password {
            Access::Password
        } else {
            Access::Open
        };
        let registry = match Registry::start(&folder, access) {
            Err(error) if error.may_be_skipped() => {
                // Past the test harness, which would swallow it.
                writeln!(std::io::stderr(), "SKIPPED {test}: {error}").unwrap();
                return None;
            }
            registry => registry.unwrap(),
        };
        Some(Self {
            host: registry.host().to_owned(),
            registry,
            _guard: guard,
        })
    }

    /// What is stored as the blob `digest`.
    pub fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        fs_err::read(self.registry.blob(digest)).ok()
    }
}
