//! `go mod verify`: what the source's own go.sum says of the module cache.
//!
//! The list of an image tells whether its files are those that were shipped; go.sum, whether those are the ones that
//! the source wants. The go command runs offline, with folders of its own for all that it might write. It takes a Go
//! module of which files were left out for a changed one; that is no finding, for the check of the module cache knows
//! the digests of those files.

use std::collections::BTreeSet;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use gocache::GoModule;

use super::finding::{Finding, Problem};
use crate::process::{self, Environment};

/// Lines of a failure that are shown.
const MESSAGE_LINES: usize = 6;

/// What the go command says of a Go module whose folder does not have the hash of its download.
const CHANGED_FOLDER: &str = ": dir has been modified (";

/// What the go command says of a Go module that is not what it was.
const DAMAGE: [&str; 3] = ["has been modified", "checksum mismatch", "missing ziphash"];

/// The go command to ask, and the module cache to ask about.
pub struct GoModVerify {
    pub go: Utf8PathBuf,
    pub gomodcache: Utf8PathBuf,
    /// Go modules that the image does not have all files of.
    pub incomplete: BTreeSet<GoModule>,
}

impl GoModVerify {
    /// Verifies the Go modules of each of these go.mods of `source`.
    pub fn run(
        &self,
        source: &Utf8Path,
        go_mods: &BTreeSet<Utf8PathBuf>,
    ) -> anyhow::Result<Vec<Finding>> {
        let scratch = tempfile::Builder::new()
            .prefix("verifier-")
            .tempdir()
            .context(
                "failed to make a temporary folder; set TMPDIR to a folder that can be written",
            )?;
        let mut environment: Environment = ["HOME", "TMPDIR", "XDG_CACHE_HOME", "GOCACHE"]
            .map(|name| (name, scratch.path().to_string_lossy().into_owned()))
            .into();
        environment.extend([
            ("GOMODCACHE", self.gomodcache.to_string()),
            ("GOENV", "off".to_owned()),
            ("GOFLAGS", "-mod=readonly".to_owned()),
            ("GOPROXY", "off".to_owned()),
            ("GOSUMDB", "off".to_owned()),
            ("GOTOOLCHAIN", "local".to_owned()),
        ]);
        let mut findings = Vec::new();
        for go_mod in go_mods {
            let go_mod = source.join(go_mod);
            let folder = go_mod.parent().unwrap_or(source);
            let finished =
                process::run(self.go.as_str(), &["mod", "verify"], folder, &environment)?;
            if !finished.status.success() {
                let problems =
                    problems_in(&String::from_utf8_lossy(&finished.stderr), &self.incomplete);
                findings.extend(
                    problems
                        .into_iter()
                        .map(|problem| problem.at(go_mod.clone())),
                );
            }
        }
        Ok(findings)
    }
}

/// What a failed `go mod verify` said, but for Go modules that are `incomplete`.
fn problems_in(stderr: &str, incomplete: &BTreeSet<GoModule>) -> Vec<Problem> {
    let is_expected = |line: &str| {
        let complaint = line.split_once(CHANGED_FOLDER).and_then(|(module, _)| {
            let (path, version) = module.split_once(' ')?;
            Some(GoModule {
                path: path.to_owned(),
                version: version.to_owned(),
            })
        });
        complaint.is_some_and(|module| incomplete.contains(&module))
    };
    let lines: Vec<&str> = stderr.lines().filter(|line| !is_expected(line)).collect();
    if lines.is_empty() && !stderr.is_empty() {
        return Vec::new();
    }
    let is_damage = |line: &&&str| DAMAGE.iter().any(|words| line.contains(words));
    let damage: Vec<Problem> = lines
        .iter()
        .filter(is_damage)
        .map(|line| Problem::corrupt(format!("go mod verify: {}", line.trim())))
        .collect();
    if !damage.is_empty() {
        return damage;
    }
    let shown = &lines[..lines.len().min(MESSAGE_LINES)];
    vec![Problem::not_as_shipped(format!(
        "go mod verify failed: {}",
        shown.join("\n")
    ))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_from_other_failures() {
        let damaged = "example.com/a v1.0.0: dir has been modified (/m/example.com/a@v1.0.0)\n\
            verifying example.com/b@v1.0.0/go.mod: checksum mismatch\n\tdownloaded: h1:x\n";
        let problems = problems_in(damaged, &BTreeSet::new());
        assert_eq!(problems.len(), 2);
        let first =
            "go mod verify: example.com/a v1.0.0: dir has been modified (/m/example.com/a@v1.0.0)";
        assert_eq!(problems[0], Problem::corrupt(first));
        let offline = "go: example.com/c@v1.0.0: module lookup disabled by GOPROXY=off\n";
        let expected = format!("go mod verify failed: {}", offline.trim_end());
        let found = problems_in(offline, &BTreeSet::new());
        assert_eq!(found, [Problem::not_as_shipped(expected)]);
    }

    #[test]
    fn a_go_module_without_some_files_is_no_damage() {
        let incomplete = GoModule {
            path: "example.com/a".into(),
            version: "v1.0.0".into(),
        };
        let incomplete = BTreeSet::from([incomplete]);
        let expected =
            "example.com/a v1.0.0: dir has been modified (/m/example.com/a@v1.0.0)\n".to_owned();
        assert_eq!(problems_in(&expected, &incomplete), []);
        let zip = "example.com/a v1.0.0: zip has been modified (/m/cache/download/a.zip)\n";
        assert_eq!(problems_in(&(expected.clone() + zip), &incomplete).len(), 1);
        let other = expected.replace("v1.0.0", "v1.0.1");
        assert_eq!(problems_in(&other, &incomplete).len(), 1);
        assert_eq!(problems_in("", &incomplete).len(), 1, "it failed silently");
    }
}
