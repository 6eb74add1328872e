//! `go mod verify`: what the source's own go.sum says of the module cache.
//!
//! The list of an image tells whether its files are those that were shipped; go.sum, whether those are the ones that
//! the source wants. The go command runs offline, with folders of its own for all that it might write.

use std::collections::BTreeSet;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};

use super::finding::{Finding, Problem};
use crate::process::{self, Environment};

/// Lines of a failure that are shown.
const MESSAGE_LINES: usize = 6;

/// What the go command says of a Go module that is not what it was.
const DAMAGE: [&str; 3] = ["has been modified", "checksum mismatch", "missing ziphash"];

/// The go command to ask, and the module cache to ask about.
pub struct GoModVerify {
    pub go: Utf8PathBuf,
    pub gomodcache: Utf8PathBuf,
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
                let problems = problems_in(&String::from_utf8_lossy(&finished.stderr));
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

/// What a failed `go mod verify` said.
fn problems_in(stderr: &str) -> Vec<Problem> {
    let is_damage = |line: &&str| DAMAGE.iter().any(|words| line.contains(words));
    let damage: Vec<Problem> = stderr
        .lines()
        .filter(is_damage)
        .map(|line| Problem::corrupt(format!("go mod verify: {}", line.trim())))
        .collect();
    if !damage.is_empty() {
        return damage;
    }
    let lines: Vec<&str> = stderr.lines().take(MESSAGE_LINES).collect();
    vec![Problem::not_as_shipped(format!(
        "go mod verify failed: {}",
        lines.join("\n")
    ))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_told_from_other_failures() {
        let damaged = "example.com/a v1.0.0: dir has been modified (/m/example.com/a@v1.0.0)\n\
            verifying example.com/b@v1.0.0/go.mod: checksum mismatch\n\tdownloaded: h1:x\n";
        let problems = problems_in(damaged);
        assert_eq!(problems.len(), 2);
        let first =
            "go mod verify: example.com/a v1.0.0: dir has been modified (/m/example.com/a@v1.0.0)";
        assert_eq!(problems[0], Problem::corrupt(first));
        let offline = "go: example.com/c@v1.0.0: module lookup disabled by GOPROXY=off\n";
        let expected = format!("go mod verify failed: {}", offline.trim_end());
        assert_eq!(problems_in(offline), [Problem::not_as_shipped(expected)]);
    }
}
