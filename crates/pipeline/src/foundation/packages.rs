//! How far the go command is with packages of several builds: which there are, and which it names (`-v`) when it
//! compiles them.
//!
//! A package is counted by its import path and the version of its Go module. Builds with a cache in common compile what
//! they share once, so it counts once, and all are counted when the last build is done.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;

/// What `go list -deps -f` has to print for [`Packages::add`]: packages outside of the standard library, whose build
/// cache each build starts with.
pub const FORMAT: &str = "{{with .Module}}{{$.ImportPath}} {{$.ImportPath}}@{{.Version}}{{end}}";

/// Packages of builds side by side.
#[derive(Debug, Default)]
pub struct Packages(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    all: BTreeSet<String>,
    done: BTreeSet<String>,
}

/// Those of one build.
#[derive(Debug)]
pub struct OfBuild {
    versions: BTreeMap<String, String>,
    all: Arc<Mutex<Counted>>,
}

impl Packages {
    /// Adds those of a build, as the go command `listed` them.
    pub fn add(&self, listed: &str) -> OfBuild {
        let lines = listed.lines().filter_map(|line| line.split_once(' '));
        let versions: BTreeMap<String, String> = lines
            .map(|(path, version)| (path.to_owned(), version.to_owned()))
            .collect();
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.all.extend(versions.values().cloned());
        OfBuild {
            versions,
            all: Arc::clone(&self.0),
        }
    }
}

impl OfBuild {
    /// Reads what the go command says, and tells of each package how many are begun, of how many. What is no package
    /// is returned.
    pub fn follow(
        &self,
        said: &mut dyn BufRead,
        mut tell: impl FnMut(usize, usize, &str),
    ) -> Result<String> {
        let mut rest = String::new();
        let mut line = Vec::new();
        while said.read_until(b'\n', &mut line)? > 0 {
            let text = String::from_utf8_lossy(&line);
            match self.versions.get(text.trim_end()) {
                Some(version) => {
                    let (begun, all) = self.begin(version);
                    tell(begun, all, text.trim_end());
                }
                None => rest.push_str(&text),
            }
            line.clear();
        }
        Ok(rest)
    }

    fn begin(&self, version: &str) -> (usize, usize) {
        let mut counted = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        counted.done.insert(version.to_owned());
        (counted.done.len(), counted.all.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_builds_share_counts_once_and_what_is_no_package_is_kept() {
        let packages = Packages::default();
        let one = packages.add("a a@v1\nb b@v1\n\n");
        let two = packages.add("a a@v1\nb b@v2\n");
        let mut told = Vec::new();
        let mut follow = |build: &OfBuild, said: &str| {
            let tell = |done, all, package: &str| told.push(format!("{done}/{all} {package}"));
            build.follow(&mut said.as_bytes(), tell).unwrap()
        };
        assert_eq!(
            follow(&one, "a\nb\n# b\nb.go:1:1: no\n"),
            "# b\nb.go:1:1: no\n"
        );
        assert_eq!(follow(&two, "a\nb"), "");
        assert_eq!(told, ["1/3 a", "2/3 b", "2/3 a", "3/3 b"]);
    }
}
