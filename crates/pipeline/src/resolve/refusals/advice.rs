//! What to do where the go command fails: its own words, with the way out where it is known. Pure functions.

use camino::{Utf8Path, Utf8PathBuf};

use crate::foundation::tree::SOURCE;
use crate::resolve::go_mod::GoMod;
use crate::resolve::refusals::{linked, workspace};
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
    /// The source on this machine.
    pub source: &'a Utf8Path,
    /// The source's own Go modules: path, and folder relative to the source.
    pub own: Vec<(String, Utf8PathBuf)>,
}

/// Where the go command is told who asks for a private Go module.
const PRIVATE: &str =
    "GOPRIVATE, GOAUTH and ~/.netrc (NETRC), git's insteadOf and credential helper, SSH_AUTH_SOCK";

/// What the go command and git say of a fetch that failed, and what to do about it.
const FETCH: [(&[&str], &str); 6] = [
    (
        &["publickey", "Host key verification failed"],
        "let ssh in: look at SSH_AUTH_SOCK, ~/.ssh/config and ~/.ssh/known_hosts",
    ),
    (
        &[
            "could not read Username",
            "could not read Password",
            "terminal prompts disabled",
            "Authentication failed",
            "Access denied",
            "401 Unauthorized",
            "403 Forbidden",
        ],
        "give credentials",
    ),
    (
        &["sum.golang.org/lookup", "sum.golang.org/tile"],
        "if the Go module is private, name its domain in GOPRIVATE or GONOSUMDB",
    ),
    (
        &["x509:", "certificate"],
        "name the trust store in SSL_CERT_FILE, and for git in http.sslCAInfo",
    ),
    (
        &["executable file not found"],
        "install the program that the message names; private Go modules are fetched with it",
    ),
    (&["GOVCS disallows"], "allow it by GOVCS"),
];

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
        let message = as_here(&message, self.source);
        if self.offline && is_network(&message) {
            return failed(
                message,
                "the Go modules could not be fetched; run once without --offline",
            );
        }
        let is_sign = |signs: &[&str]| signs.iter().any(|sign| message.contains(sign));
        if let Some((_, hint)) = FETCH.iter().find(|(signs, _)| is_sign(signs)) {
            return usage(
                message,
                format!("{hint}; what a fetch goes by is {PRIVATE}"),
            );
        }
        if is_network(&message) {
            return failed(
                message,
                format!(
                    "the Go modules could not be fetched; check the network, GOPROXY and the proxy variables, and for \
                     a private one {PRIVATE}"
                ),
            );
        }
        let hint = self.hint(&message);
        let hint = hint.unwrap_or_else(|| {
            // Whatever a proxy or a repository says of what it does not have, or does not show to everybody.
            if arguments.get(1) == Some(&"mod") || arguments.get(2) == Some(&"-m") {
                format!("check the version and GOPROXY, and for a private Go module {PRIVATE}")
            } else {
                format!(
                    "make `go build ./...` work beside {} first",
                    self.go_mod.path
                )
            }
        });
        usage(message, hint)
    }

    /// What mends what the go command says in `message`, where that is known.
    pub fn hint(&self, message: &str) -> Option<String> {
        const UNTIDY: [&str; 5] = [
            "missing go.sum entry",
            "updates to go.mod needed",
            "go mod tidy",
            "no required module provides package",
            "cannot find module providing",
        ];
        if let Some(hint) = linked::explain(message, self.source, &self.own) {
            return Some(hint);
        }
        let folder = match self.go_mod.folder().as_str() {
            "" => ".",
            folder => folder,
        };
        let go = self.go_version;
        if message.contains("requires go >=") || message.contains("requires go1.") {
            return Some(format!(
                "the image has Go {go}; raise [go] version in image.toml"
            ));
        }
        if message.contains("checksum mismatch") || message.contains("SECURITY ERROR") {
            return Some(format!(
                "go.sum, or the checksum database, and the download differ; find out which of them is right before \
                 changing go.sum in {folder}: a tag was moved, or somebody else's files were sent"
            ));
        }
        if message.contains(r"character '\ufeff'") {
            return Some(
                "the file begins with a byte order mark, which Go refuses; save it without"
                    .to_owned(),
            );
        }
        if let Some(hint) = self.own_package(message) {
            return Some(hint);
        }
        if message.contains("inconsistent vendoring")
            || message.contains("import lookup disabled by -mod=vendor")
        {
            let command = if self.go_mod.go_work.is_some() {
                "go work vendor"
            } else {
                "go mod vendor"
            };
            return Some(format!("run `{command}` in {folder} and commit vendor"));
        }
        if self.go_mod.go_work.is_none()
            && [
                "no required module provides package",
                "cannot find module providing",
            ]
            .iter()
            .any(|sign| message.contains(sign))
            && let Some(go_work) = workspace::above(self.source)
        {
            return Some(format!(
                "{go_work}, which the go command goes by on this machine, is not in the source; include it with \
                 --source {}, or require and replace in {} what it uses",
                go_work.parent().unwrap_or(self.source),
                self.go_mod.path
            ));
        }
        if let Some((_, pattern)) = message.split_once("pattern ")
            && pattern.contains("no matching files found")
        {
            return Some(
                "what a package embeds must be there: if it is generated, generate it before"
                    .to_owned(),
            );
        }
        if message.contains("is not in std") {
            return Some(
                "correct the import: it is neither Go's own nor the path of a Go module".to_owned(),
            );
        }
        let is_untidy = UNTIDY.iter().any(|sign| message.contains(sign));
        is_untidy.then(|| format!("run `go mod tidy` in {folder} and commit go.mod and go.sum"))
    }

    /// Of a package that is not there and belongs to the source itself, which no fetch could bring.
    fn own_package(&self, message: &str) -> Option<String> {
        const SIGNS: [&str; 4] = [
            "provides package ",
            "does not contain package ",
            "providing package ",
            "package ",
        ];
        let absent = [
            "no required module provides",
            "does not contain package",
            "cannot find module providing",
            "is not in std",
            "no Go files in",
        ];
        if !absent.iter().any(|sign| message.contains(sign)) {
            return None;
        }
        let (_, after) = SIGNS.iter().find_map(|sign| message.split_once(sign))?;
        let is_end = |it: char| it.is_whitespace() || ";:,".contains(it);
        let package = after.split(is_end).next()?;
        let (folder, below) = self
            .own
            .iter()
            .filter_map(|(path, folder)| Some((folder, package.strip_prefix(path.as_str())?)))
            .filter(|(_, below)| below.is_empty() || below.starts_with('/'))
            .min_by_key(|(_, below)| below.len())?;
        let folder = self.source.join(folder).join(below.trim_start_matches('/'));
        let has = if folder.is_dir() {
            "has no Go files"
        } else {
            "is not there"
        };
        Some(format!(
            "{package} is the source's own, and {folder} {has}; if it is generated, generate it before the build"
        ))
    }
}

/// The text with the source called as it is on this machine.
pub fn as_here(text: &str, source: &Utf8Path) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(SOURCE) {
        let (before, found) = rest.split_at(at);
        let after = &found[SOURCE.len()..];
        let is_begin = !before.ends_with(|it: char| it.is_alphanumeric() || "/._-".contains(it));
        let is_end = !after.starts_with(|it: char| it.is_alphanumeric() || "._-".contains(it));
        shown += before;
        shown += if is_begin && is_end {
            source.as_str()
        } else {
            SOURCE
        };
        rest = after;
    }
    shown + rest
}

fn is_network(message: &str) -> bool {
    const SIGNS: [&str; 8] = [
        "dial tcp",
        "Could not resolve host",
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
    fn the_source_is_called_as_it_is_here() {
        let here = |text: &str| as_here(text, "/home/me/repo".into());
        for (text, shown) in [
            ("in /source/a/b.go:1", "in /home/me/repo/a/b.go:1"),
            ("/source", "/home/me/repo"),
            ("(/source)", "(/home/me/repo)"),
            (
                "git.x/source/a /sources /source-x",
                "git.x/source/a /sources /source-x",
            ),
        ] {
            assert_eq!(here(text), shown);
        }
    }

    #[test]
    fn a_workspace_above_the_source_is_named() {
        let temporary = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(temporary.path()).unwrap();
        fs_err::write(root.join("go.work"), "use (\n\t./source\n\t./lib\n)\n").unwrap();
        let mut go_mod = GoMod {
            path: "go.mod".into(),
            go_work: None,
            modules: Vec::new(),
        };
        let hint = |go_mod: &GoMod, said: &str| {
            let advice = Advice {
                go_mod,
                go_version: "9.8.7",
                offline: false,
                source: &root.join("source"),
                own: Vec::new(),
            };
            advice.hint(said)
        };
        let said = "no required module provides package example.com/lib; to add it:";
        let found = hint(&go_mod, said).unwrap();
        for part in [root.join("go.work"), format!("--source {root},").into()] {
            assert!(found.contains(part.as_str()), "{found}");
        }
        let other = hint(&go_mod, "missing go.sum entry for x").unwrap();
        assert!(other.contains("go mod tidy"), "{other}");
        go_mod.go_work = Some("go.work".into());
        let own = hint(&go_mod, said).unwrap();
        assert!(own.contains("go mod tidy"), "{own}");
    }

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
            source: "/home/user/repository".into(),
            own: vec![("example.com/own".to_owned(), "apis/aws".into())],
        };
        let done = |stderr: &str| Done {
            status: std::process::ExitStatus::default(),
            stdout: String::new(),
            stderr: stderr.to_owned(),
        };
        let ran = |command: &str, offline, stderr: &str| {
            let arguments = ["go", command, "-e"];
            failure::text(&advice(offline).error(&arguments, &done(stderr)))
        };
        let said = |offline, stderr: &str| ran("list", offline, stderr);
        let texts = [
            said(
                false,
                "go: downloading x v1\ngo: dial tcp: lookup proxy: no such host",
            ),
            said(true, "module lookup disabled by GOPROXY=off"),
            said(false, "go: go.mod requires go >= 10.0"),
            said(false, "missing go.sum entry for x"),
            said(
                false,
                "no required module provides package x.y/z; to add it:",
            ),
            said(
                false,
                "no required module provides package example.com/own/pb; to add it:\n\tgo get x",
            ),
            said(
                false,
                "module example.com/own@latest found (v0.0.0, replaced by ../x), but does not contain package \
                 example.com/own/a",
            ),
            said(false, "package a/b is not in std (/usr/local/go/src/a/b)"),
            said(false, "pattern x.json: no matching files found"),
            said(false, "go: inconsistent vendoring in /source/apis/aws:"),
            said(
                false,
                "cannot find module providing package x.y/z: import lookup disabled by -mod=vendor",
            ),
            said(
                false,
                "go: errors parsing go.work:\ngo.work:1: unexpected input character '\\ufeff'",
            ),
            ran(
                "mod",
                false,
                "verifying x@v1: checksum mismatch\n\tdownloaded: h1:a\n\tgo.sum: h1:b\n\nSECURITY ERROR\nThis",
            ),
            said(
                false,
                "fatal: could not read Username for 'https://x': terminal prompts disabled",
            ),
            said(false, "git@x: Permission denied (publickey)."),
            said(
                false,
                "verifying module: x@v1: reading https://sum.golang.org/lookup/x@v1: 404 Not Found",
            ),
            ran(
                "mod",
                false,
                "x@v1: reading https://proxy/x/@v/v1.mod: 404 Not Found",
            ),
            said(false, "x509: certificate signed by unknown authority"),
            said(false, "exec: \"git\": executable file not found in $PATH"),
            said(false, "something else"),
        ];
        insta::assert_snapshot!(texts.join("\n---\n"));
    }
}
