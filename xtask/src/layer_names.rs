//! What the layers of an image hold, as its history names them: for people, and for commands that take an image apart.

use std::fmt::{self, Display, Formatter};

use camino::{Utf8Path, Utf8PathBuf};

use crate::warm::COMMON;

/// What a layer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holds {
    /// The base system.
    Base,
    /// Go, the tools and the verifier.
    Tools,
    /// Module cache and build cache of a pack.
    Caches(String),
    /// Executables of a pack.
    Executables(String),
}

const BASE: &str = "base system";
const TOOLS: &str = "Go, Pulumi, OpenTofu, verifier";
const SHARED: &str = "caches that all providers share";
const CACHES: &str = ": caches";
const EXECUTABLES: &str = ": executables";

impl Holds {
    /// Reads what [`Display`] writes; `None` for layers that are not ours.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            BASE => Self::Base,
            TOOLS => Self::Tools,
            SHARED => Self::Caches(COMMON.to_owned()),
            _ => match (name.strip_suffix(CACHES), name.strip_suffix(EXECUTABLES)) {
                (Some(pack), _) if is_a_name(pack) => Self::Caches(pack.to_owned()),
                (_, Some(pack)) if is_a_name(pack) => Self::Executables(pack.to_owned()),
                _ => return None,
            },
        })
    }

    /// Where the layer's archive is in the context of `Dockerfile.merged`.
    pub fn archive(&self) -> Utf8PathBuf {
        let of_pack = |pack: &String, part: &str| Utf8Path::new("packs").join(pack).join(part);
        match self {
            Self::Base => "base.tar".into(),
            Self::Tools => "tools.tar".into(),
            Self::Caches(pack) => of_pack(pack, "caches.tar"),
            Self::Executables(pack) => of_pack(pack, "executables.tar"),
        }
    }
}

/// Whether `pack` is the name of one folder, and one word of a Dockerfile.
fn is_a_name(pack: &str) -> bool {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    !pack.is_empty() && !pack.starts_with('.') && pack.chars().all(allowed)
}

impl Display for Holds {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => f.write_str(BASE),
            Self::Tools => f.write_str(TOOLS),
            Self::Caches(pack) if pack == COMMON => f.write_str(SHARED),
            Self::Caches(pack) => write!(f, "{pack}{CACHES}"),
            Self::Executables(pack) => write!(f, "{pack}{EXECUTABLES}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_what_it_was_written_for() {
        let all = [
            (Holds::Base, "base.tar"),
            (Holds::Tools, "tools.tar"),
            (Holds::Caches(COMMON.into()), "packs/common/caches.tar"),
            (Holds::Caches("aws".into()), "packs/aws/caches.tar"),
            (
                Holds::Executables("aws".into()),
                "packs/aws/executables.tar",
            ),
        ];
        for (holds, archive) in all {
            assert_eq!(Holds::parse(&holds.to_string()), Some(holds.clone()));
            assert_eq!(holds.archive(), archive);
        }
    }

    #[test]
    fn what_is_no_name_of_ours_is_refused() {
        for name in ["", "RUN make", ": caches", "../aws: caches", "a b: caches"] {
            assert_eq!(Holds::parse(name), None, "{name}");
        }
    }
}
