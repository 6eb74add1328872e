//! What a volume of caches has beside them: an image whose root is mounted where its caches were made, into the root
//! file system of another image with the same Go.
//!
//! Kubernetes mounts such volumes so that nobody writes to them and no program runs from them. So the verifier in it is
//! started by a script, which shells read, and which starts a copy where the verifier itself may not be started.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

/// The folder of all that is no cache, in the volume.
pub const FOLDER: &str = "iac-runner";

/// The volume's description, an [`ImageInfo`](super::ImageInfo), in its [`FOLDER`].
pub const INFO: &str = "image.json";

/// The verifier there.
pub const VERIFIER: &str = "verifier";

/// The script there that starts the verifier.
pub const SCRIPT: &str = "verifier.sh";

/// What a volume says of itself beside what every image does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Where it is mounted: the folder in which its caches were made.
    pub place: Utf8PathBuf,
    /// The environment by which the go command finds the caches.
    pub env: BTreeMap<String, String>,
}
