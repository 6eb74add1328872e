//! What Go writes into every executable: the modules of which it was compiled.
//!
//! Sources: `debug/buildinfo` (the header), `runtime/debug` (`ParseBuildInfo`). Go before 1.18 wrote pointers instead
//! of text; an executable of it is refused, for what is in it would be missing from the list.

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

/// A module of which an executable was compiled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GoDependency {
    /// Module path.
    pub path: String,
    /// Its version; none for a folder that stands in for it.
    pub version: Option<String>,
    /// The hash that go.sum gives it.
    pub h1: Option<String>,
}

/// What an executable says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    /// Go's version, without `go`.
    pub go: String,
    /// The module of its main package, where that is one at a version.
    pub main: Option<GoDependency>,
    /// The other modules, each as it was compiled, where another one stands in for it.
    pub dependencies: Vec<GoDependency>,
}

const SECTION: &str = ".go.buildinfo";
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Where the text begins.
const HEADER_BYTES: usize = 32;
/// Bit of the header's flags: the text follows, and no pointers to it.
const HAS_TEXT: u8 = 2;
/// What Go puts around the list of modules.
const SENTINEL_BYTES: usize = 16;
/// What Go calls the version of a folder.
const NO_VERSION: &str = "(devel)";

impl BuildInfo {
    /// What `executable` says; none where it is none of Go's.
    pub fn of(executable: &[u8]) -> Result<Option<Self>> {
        match super::section(executable, SECTION) {
            Some(section) => Self::read(section).map(Some),
            None => Ok(None),
        }
    }

    fn read(section: &[u8]) -> Result<Self> {
        let damaged = "what Go wrote into it is damaged";
        let header = section.get(..HEADER_BYTES).context(damaged)?;
        if !header.starts_with(MAGIC) {
            bail!(damaged);
        }
        if header[MAGIC.len() + 1] & HAS_TEXT == 0 {
            bail!("it was compiled by a Go before 1.18, which wrote nothing that is read here");
        }
        let (version, rest) = text(&section[HEADER_BYTES..]).context(damaged)?;
        let (modules, _) = text(rest).context(damaged)?;
        let version = std::str::from_utf8(version).context(damaged)?;
        let modules = match modules.len().checked_sub(SENTINEL_BYTES) {
            Some(end) => modules.get(SENTINEL_BYTES..end).context(damaged)?,
            // No module mode.
            None => &[],
        };
        Self::parse(version, std::str::from_utf8(modules).context(damaged)?)
    }

    fn parse(version: &str, modules: &str) -> Result<Self> {
        // `go1.27.4 X:experiment`.
        let version = version.split(' ').next().unwrap_or_default();
        let mut info = Self {
            go: version.strip_prefix("go").unwrap_or(version).to_owned(),
            main: None,
            dependencies: Vec::new(),
        };
        for line in modules.lines() {
            let mut words = line.split('\t');
            let kind = words.next().unwrap_or_default();
            let mut word = || {
                words
                    .next()
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned)
            };
            if !["mod", "dep", "=>"].contains(&kind) {
                continue;
            }
            let dependency = GoDependency {
                path: word().with_context(|| format!("{line:?} names no module"))?,
                version: word().filter(|version| version != NO_VERSION),
                h1: word(),
            };
            match kind {
                // What is built of a folder is the executable itself.
                "mod" => info.main = Some(dependency).filter(|main| main.version.is_some()),
                "dep" => info.dependencies.push(dependency),
                _ => {
                    let replaced = info.dependencies.last_mut();
                    let replaced =
                        replaced.with_context(|| format!("{line:?} replaces nothing"))?;
                    if dependency.version.is_some() {
                        *replaced = dependency;
                    } else {
                        (replaced.version, replaced.h1) = (None, None);
                    }
                }
            }
        }
        Ok(info)
    }

    /// All modules of which it was compiled.
    pub fn modules(&self) -> impl Iterator<Item = &GoDependency> {
        self.main.iter().chain(&self.dependencies)
    }
}

/// A text with its length before it, and what follows.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut length, mut shift, mut rest) = (0_usize, 0_u32, bytes);
    loop {
        let (byte, after) = rest.split_first()?;
        let bits = usize::from(byte & 0x7f);
        length |= bits.checked_shl(shift).filter(|it| it >> shift == bits)?;
        (rest, shift) = (after, shift + 7);
        if byte & 0x80 == 0 {
            return rest.split_at_checked(length);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const MODULES: &str = "path\tx.test/tool/cmd\nmod\tx.test/tool\tv1.2.3\th1:a=\ndep\tx.test/one\tv1.0.0\th1:b=\n\
                           dep\tx.test/two\tv2.0.0\n=>\tx.test/fork\tv2.0.1\th1:c=\n\
                           dep\tx.test/three\tv3.0.0\n=>\t./three\t(devel)\t\nbuild\tCGO_ENABLED=0\n";

    /// The section of an executable that says this.
    pub fn written(version: &str, modules: &str) -> Vec<u8> {
        let mut section = MAGIC.to_vec();
        section.extend([8, HAS_TEXT]);
        section.resize(HEADER_BYTES, 0);
        let sentinel = "0123456789abcdef";
        for text in [version, &format!("{sentinel}{modules}{sentinel}")] {
            let mut length = text.len();
            while length > 0x7f {
                section.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
                length >>= 7;
            }
            section.push(u8::try_from(length).unwrap());
            section.extend(text.as_bytes());
        }
        section
    }

    #[test]
    fn modules_are_those_that_were_compiled() {
        let info = BuildInfo::read(&written("go1.27.4 X:x", MODULES)).unwrap();
        let module = |path: &str, version: Option<&str>, h1: Option<&str>| GoDependency {
            path: path.into(),
            version: version.map(str::to_owned),
            h1: h1.map(str::to_owned),
        };
        let found: Vec<_> = info.modules().cloned().collect();
        assert_eq!(info.go, "1.27.4");
        assert_eq!(
            found,
            [
                module("x.test/tool", Some("v1.2.3"), Some("h1:a=")),
                module("x.test/one", Some("v1.0.0"), Some("h1:b=")),
                module("x.test/fork", Some("v2.0.1"), Some("h1:c=")),
                module("x.test/three", None, None),
            ]
        );
    }

    #[test]
    fn what_was_built_of_a_folder_is_no_module_of_its_own() {
        let info = BuildInfo::parse("go1.27.4", "path\tx\nmod\tx\t(devel)\t\n").unwrap();
        assert_eq!(info.modules().count(), 0);
    }

    #[test]
    fn what_is_damaged_is_refused_and_never_half_read() {
        let whole = written("go1.27.4", MODULES);
        for end in 0..whole.len() {
            assert!(BuildInfo::read(&whole[..end]).is_err(), "{end}");
        }
        let mut old = whole.clone();
        old[MAGIC.len() + 1] = 0;
        assert!(
            BuildInfo::read(&old)
                .unwrap_err()
                .to_string()
                .contains("1.18")
        );
        let mut long = whole;
        long[HEADER_BYTES..HEADER_BYTES + 10].fill(0xff);
        assert!(BuildInfo::read(&long).is_err());
    }
}
