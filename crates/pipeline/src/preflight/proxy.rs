//! Whether Go modules that were not fetched yet can be: the module proxies that the go command would ask are asked for
//! a sign of life, in its order.
//!
//! An answer that is none of success still tells that the proxy is there. What no proxy is asked for (GONOPROXY,
//! `direct`) comes from anywhere, and is left for the fetch to try.

use anyhow::Result;
use engine::host;
use failure::failed;
use modules::{ModFile, Module};
use oci::http::{self, Reached};
use xshell::{Shell, cmd};

use crate::image_toml::ImageToml;
use crate::preflight::plan::Plan;
use crate::resolve::fetch;
use crate::resolve::go_mod::{self, GoMod, VENDORED, by_go_mod};
use crate::resolve::host_go::shown_proxy;
use crate::resolve::unchecked;
use camino::Utf8Path;

/// What the go command takes where nothing is set.
const DEFAULT: &str = "https://proxy.golang.org,direct";

/// Answers of what stands before a proxy that is not there.
const GATEWAY: [&str; 4] = ["407", "502", "503", "504"];

pub(super) fn check(plan: &Plan<'_>) -> Result<()> {
    let settings = plan.settings;
    if settings.offline {
        return Ok(());
    }
    let unchecked = unchecked::allowed(settings.allow_unchecked, |name| std::env::var(name).ok())?;
    let image = ImageToml::read(&settings.image)?;
    let [proxies, private] = settings_of_go();
    for go_mod in missing(&settings.source, plan.modules, &private)? {
        let key = fetch::key(&go_mod, &settings.source, &image.go.version, &unchecked)?;
        if plan.kept.join(fetch::KIND).join(key.to_string()).is_dir() {
            continue;
        }
        return reachable(&proxies, why_not_there).map_err(|reason| {
            failed(
                format!(
                    "the Go modules that {} requires are not fetched yet, and {reason}",
                    go_mod.path
                ),
                "check the network, GOPROXY and the proxy variables, or use --offline where all was fetched before",
            )
        });
    }
    Ok(())
}

/// GOPROXY and GONOPROXY, as the go command of this machine has them.
fn settings_of_go() -> [String; 2] {
    let printed = || {
        let sh = Shell::new().ok()?;
        let printed = host::read(cmd!(sh, "go env GOPROXY GONOPROXY")).ok()?;
        let mut lines = printed.lines().map(str::to_owned);
        Some([lines.next()?, lines.next().unwrap_or_default()])
    };
    let of_env = |name: &str| std::env::var(name).unwrap_or_default();
    let [proxies, private] = printed().unwrap_or_else(|| [of_env("GOPROXY"), of_env("GONOPROXY")]);
    let proxies = if proxies.is_empty() {
        DEFAULT.to_owned()
    } else {
        proxies
    };
    [proxies, private]
}

/// The go.mods that require something of a proxy.
fn missing(source: &Utf8Path, modules: &[Module], private: &str) -> Result<Vec<GoMod>> {
    let mut missing = Vec::new();
    for go_mod in by_go_mod(source, modules) {
        let is_vendored = source.join(go_mod.folder()).join(VENDORED).is_file();
        let files = go_mod.module_files(source)?;
        let mut is_needed = false;
        for file in files.iter().filter(|it| it.file_name() == Some("go.mod")) {
            let required = ModFile::parse(&go_mod::read(source, file)?).require;
            is_needed |= required.iter().any(|it| !matches(private, &it.module.path));
        }
        if is_needed && !is_vendored {
            missing.push(go_mod);
        }
    }
    Ok(missing)
}

/// Whether one of the patterns, with commas between them, is that of a Go module or of what it is in.
fn matches(patterns: &str, module: &str) -> bool {
    let fits = |pattern: &str| {
        let mut names = module.split('/');
        let mut globs = pattern.trim_end_matches('/').split('/');
        globs.all(|glob| names.next().is_some_and(|name| is_like(glob, name)))
    };
    let mut patterns = patterns.split(',').map(str::trim);
    patterns.any(|pattern| !pattern.is_empty() && fits(pattern))
}

/// Whether a name is like a pattern, in which `*` is any text and `?` any letter. A set of letters is any letter: what
/// might not be asked of a proxy is not missed there.
fn is_like(pattern: &str, name: &str) -> bool {
    let mut letters = pattern.chars();
    match letters.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = letters.as_str();
            let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.any(|at| is_like(rest, &name[at..]))
        }
        Some(letter) => {
            let rest = match letter {
                '[' => pattern.find(']').map_or("", |end| &pattern[end + 1..]),
                _ => letters.as_str(),
            };
            let mut own = name.chars();
            let first = own.next();
            let fits = matches!(letter, '?' | '[') || first == Some(letter);
            first.is_some() && fits && is_like(rest, own.as_str())
        }
    }
}

/// Whether the go command gets as far as an answer with this GOPROXY; if not, why. After `|` it asks the next one
/// whatever happens, after `,` only if the one before has answered.
fn reachable(proxies: &str, why_not: impl Fn(&str) -> Option<String>) -> Result<(), String> {
    let mut reasons = Vec::new();
    for part in proxies.split_inclusive([',', '|']) {
        let proxy = part.trim_end_matches([',', '|']).trim();
        let reason = match proxy {
            "" => continue,
            "direct" => return Ok(()),
            "off" => Some("GOPROXY has `off`".to_owned()),
            proxy => why_not(proxy),
        };
        let Some(reason) = reason else { return Ok(()) };
        reasons.push(reason);
        if !part.ends_with('|') {
            break;
        }
    }
    Err(reasons.join("; "))
}

/// Why no proxy is at `address`; none if there is one, or something that answers.
fn why_not_there(address: &str) -> Option<String> {
    let shown = shown_proxy(address);
    if let Some(folder) = address.strip_prefix("file://") {
        let is_there = Utf8Path::new(folder).is_dir();
        return (!is_there).then(|| format!("the module proxy {shown} is no folder"));
    }
    match http::reach(address) {
        Ok(Reached::No(reason)) if is_absence(&reason) => Some(format!(
            "the module proxy {shown} cannot be reached: {reason}"
        )),
        _ => None,
    }
}

/// Whether what was said means that nobody is there, and not that somebody has an error of his own.
fn is_absence(reason: &str) -> bool {
    let is_answer = reason.starts_with('5');
    !is_answer || GATEWAY.iter().any(|code| reason.starts_with(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    #[test]
    fn proxies_are_asked_in_the_order_of_the_go_command() {
        let asked = |proxies: &str| {
            reachable(proxies, |proxy| {
                proxy
                    .contains("gone")
                    .then(|| format!("{proxy} is not there"))
            })
        };
        for there in [
            "https://one",
            "https://one,https://gone",
            "https://gone|https://one",
            "https://gone|direct",
            "direct",
            " https://one , off",
        ] {
            assert_eq!(asked(there), Ok(()), "{there}");
        }
        for (gone, reason) in [
            ("https://gone", "https://gone is not there"),
            ("https://gone,direct", "https://gone is not there"),
            ("off", "GOPROXY has `off`"),
            (
                "https://gone|https://gone2,https://one",
                "https://gone is not there; https://gone2 is not there",
            ),
        ] {
            assert_eq!(asked(gone), Err(reason.to_owned()), "{gone}");
        }
    }

    #[test]
    fn whoever_answers_is_there() {
        for (status, is_there) in [
            ("200 OK", true),
            ("404 Not Found", true),
            ("410 Gone", true),
            ("401 Unauthorized", true),
            ("500 Internal Server Error", true),
            ("502 Bad Gateway", false),
            ("503 Service Unavailable", false),
        ] {
            let server = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = format!("http://u:secret@{}", server.local_addr().unwrap());
            let answer = std::thread::spawn(move || {
                let (mut stream, _) = server.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]).unwrap();
                write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").unwrap();
            });
            let why_not = why_not_there(&address);
            answer.join().unwrap();
            assert_eq!(why_not.is_none(), is_there, "{status}: {why_not:?}");
            assert!(!why_not.unwrap_or_default().contains("secret"));
        }
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", closed.local_addr().unwrap());
        drop(closed);
        assert!(
            why_not_there(&address)
                .unwrap()
                .contains("cannot be reached")
        );
        let folder = tempfile::tempdir().unwrap();
        let address = format!("file://{}", folder.path().display());
        assert_eq!(why_not_there(&address), None);
        assert!(why_not_there(&format!("{address}/absent")).is_some());
    }

    #[test]
    fn what_no_proxy_is_asked_for_is_not_missed_there() {
        for (patterns, module, is_private) in [
            ("", "example.com/a", false),
            ("example.com", "example.com/a/b", true),
            ("*.corp.com,example.com/a", "git.corp.com/x", true),
            ("*.corp.com", "corp.com/x", false),
            ("example.com/a", "example.com/ab", false),
            ("example.com/?[bc]*/", "example.com/abcd/v2", true),
            ("*", "example.com/a", true),
            ("none", "example.com/a", false),
        ] {
            assert_eq!(matches(patterns, module), is_private, "{patterns} {module}");
        }
    }

    #[test]
    fn a_source_needs_a_proxy_for_what_it_requires() {
        let folder = tempfile::tempdir().unwrap();
        let source = Utf8Path::from_path(folder.path()).unwrap();
        let module = Module {
            provider: "aws".into(),
            component: "one".into(),
            path: "apis/one".into(),
            import_path: "m/apis/one".into(),
            go_mod: "go.mod".into(),
            main: None,
        };
        let needed = |go_mod: &str, private: &str| {
            fs_err::write(source.join("go.mod"), go_mod).unwrap();
            missing(source, std::slice::from_ref(&module), private)
                .unwrap()
                .len()
        };
        assert_eq!(needed("module m\n", ""), 0);
        let requires = "module m\n\nrequire example.com/a v1.0.0\n";
        assert_eq!(needed(requires, ""), 1);
        assert_eq!(needed(requires, "example.com"), 0);
        fs_err::create_dir(source.join("vendor")).unwrap();
        fs_err::write(source.join(VENDORED), "").unwrap();
        assert_eq!(needed(requires, ""), 0);
    }
}
