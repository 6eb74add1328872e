//! What to do where the go command fails: its own words, with the way out where it is known. Pure functions.

use crate::resolve::go_mod::GoMod;
use engine::sandbox::Done;
use failure::{failed, usage};

/// What an advice depends on beside the go command's words.
pub struct Advice<'a> {
    /// For which the go command failed.
    pub go_mod: &'a GoMod,
    /// The image's version of Go.
    pub go_version: &'a str,
    /// Whether the network was out of bounds.
    pub offline: bool,
}

impl Advice<'_> {
    /// What the go command said, with the way out where it is known.
    pub fn error(&self, arguments: &[&str], done: &Done) -> anyhow::Error {
        let mut said = done.stderr.trim().to_owned();
        if said.is_empty() {
            // `go mod download -json` puts its errors into the JSON.
            said = done
                .stdout
                .lines()
                .filter(|line| line.contains("\"Error\""))
                .take(3)
                .collect::<Vec<_>>()
                .join("\n");
        }
        let said: Vec<&str> = said
            .lines()
            .filter(|line| !line.starts_with("go: downloading "))
            .take(8)
            .collect();
        let message = format!(
            "{}: `{}` failed: {}",
            self.go_mod.path,
            arguments[..arguments.len().min(3)].join(" "),
            said.join("\n")
        );
        if is_network(&message) {
            let way_out = if self.offline {
                "run once without --offline"
            } else {
                "check the network, GOPROXY and the proxy variables"
            };
            return failed(
                message,
                format!("the Go modules could not be fetched; {way_out}"),
            );
        }
        let hint = self.hint(&message);
        let hint = hint.unwrap_or_else(|| {
            format!(
                "make `go build ./...` work beside {} first",
                self.go_mod.path
            )
        });
        usage(message, hint)
    }

    /// What mends what the go command says in `message`, where that is known.
    pub fn hint(&self, message: &str) -> Option<String> {
        const UNTIDY: [&str; 6] = [
            "missing go.sum entry",
            "updates to go.mod needed",
            "go mod tidy",
            "no required module provides package",
            "is not in std",
            "cannot find module providing",
        ];
        let folder = match self.go_mod.folder().as_str() {
            "" => ".",
            folder => folder,
        };
        let go = self.go_version;
        if message.contains("requires go >=") || message.contains("requires go1.") {
            Some(format!(
                "the image has Go {go}; raise [go] version in image.toml"
            ))
        } else if UNTIDY.iter().any(|sign| message.contains(sign)) {
            Some(format!(
                "run `go mod tidy` in {folder} and commit go.mod and go.sum"
            ))
        } else {
            None
        }
    }
}

fn is_network(message: &str) -> bool {
    const SIGNS: [&str; 7] = [
        "dial tcp",
        "no such host",
        "proxyconnect",
        "connection refused",
        "i/o timeout",
        "network is unreachable",
        "module lookup disabled",
    ];
    SIGNS.iter().any(|sign| message.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_known_failure_has_a_way_out() {
        let go_mod = GoMod {
            path: "apis/aws/go.mod".into(),
            go_work: None,
            modules: Vec::new(),
        };
        let advice = |offline| Advice {
            go_mod: &go_mod,
            go_version: "9.8.7",
            offline,
        };
        let done = |stderr: &str| Done {
            status: std::process::ExitStatus::default(),
            stdout: String::new(),
            stderr: stderr.to_owned(),
        };
        let said = |offline, stderr: &str| {
            let arguments = ["go", "list", "-e", "-deps"];
            failure::text(&advice(offline).error(&arguments, &done(stderr)))
        };
        let texts = [
            said(
                false,
                "go: downloading x v1\ngo: dial tcp: lookup proxy: no such host",
            ),
            said(true, "module lookup disabled by GOPROXY=off"),
            said(false, "go: go.mod requires go >= 10.0"),
            said(false, "missing go.sum entry for x"),
            said(false, "something else"),
        ];
        insta::assert_snapshot!(texts.join("\n---\n"));
    }
}
