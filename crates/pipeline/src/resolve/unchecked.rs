//! Settings of the build machine by which the go command takes Go modules that nobody vouches for.
//!
//! What a go.sum names is compared with it, always. What it does not name, and Go itself, the checksum database vouches
//! for; where these settings turn that off, the image would hold whatever a proxy or a network sends. So they are
//! refused unless they are allowed, and packs made with them say so and are never taken for others.
//!
//! Private Go modules are another matter: no public database could vouch for them, and the go.sum of the source does.
//! So patterns of GOPRIVATE and GONOSUMDB are in order as long as each names a domain.

use anyhow::Result;

use crate::resolve::host_go::without_credentials;
use failure::usage;

/// Go's own checksum database, and its mirror.
const DATABASES: [&str; 2] = ["sum.golang.org", "sum.golang.google.cn"];

/// Those of the settings in force, as `NAME=value`, sorted; `variable` knows the environment.
pub fn settings(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let value = |name: &str| {
        let value = variable(name).unwrap_or_default().trim().to_owned();
        (!value.is_empty()).then_some(value)
    };
    // A pattern that no Go module has.
    let patterns = |name: &str| value(name).filter(|patterns| patterns != "none");
    // An address may follow the name.
    let is_known = |database: &str| {
        let name = database.split_whitespace().next();
        name.is_some_and(|name| DATABASES.contains(&name))
    };
    let private = value("GONOSUMDB").is_none();
    let broad =
        |name: &str| patterns(name).filter(|patterns| !patterns.split(',').all(names_a_domain));
    let found = [
        ("GOINSECURE", patterns("GOINSECURE")),
        ("GONOSUMCHECK", patterns("GONOSUMCHECK")),
        ("GONOSUMDB", broad("GONOSUMDB")),
        ("GOPRIVATE", broad("GOPRIVATE").filter(|_| private)),
        ("GOSUMDB", value("GOSUMDB").filter(|it| !is_known(it))),
    ];
    let text = |(name, value): (&str, Option<String>)| {
        Some(format!("{name}={}", without_credentials(&value?)))
    };
    found.into_iter().filter_map(text).collect()
}

/// Whether `pattern` is for the Go modules of one domain, such as `git.example.com/team` or `*.example.com`.
fn names_a_domain(pattern: &str) -> bool {
    let host = pattern.trim().split('/').next().unwrap_or_default();
    let literal = |label: &&str| !label.is_empty() && !label.contains(['*', '?', '[']);
    pattern.trim().is_empty() || host.rsplit('.').take_while(literal).count() >= 2
}

/// The [`settings`] in force, which must be allowed.
pub fn allowed(allow: bool, variable: impl Fn(&str) -> Option<String>) -> Result<Vec<String>> {
    let found = settings(variable);
    if found.is_empty() || allow {
        return Ok(found);
    }
    Err(usage(
        format!(
            "Go modules would be taken that no checksum database vouches for: {}",
            found.join(", ")
        ),
        "unset it, or allow it by --allow-unchecked-modules; the packs then say so",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(environment: &[(&str, &str)]) -> Vec<String> {
        settings(|name| {
            let found = environment.iter().find(|(of, _)| *of == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn every_setting_that_turns_the_check_off_is_named() {
        for (name, value) in [
            ("GOSUMDB", "off"),
            ("GOSUMDB", "sum.example.com+1234+key"),
            ("GOSUMDB", "off https://sum.golang.org"),
            ("GONOSUMDB", "*"),
            ("GONOSUMDB", "example.com,*.com"),
            ("GONOSUMCHECK", "1"),
            ("GOINSECURE", "example.com"),
            ("GOPRIVATE", "*/private"),
        ] {
            assert_eq!(of(&[(name, value)]), [format!("{name}={value}")]);
        }
        let both = of(&[("GOSUMDB", "off"), ("GOINSECURE", "*")]);
        assert_eq!(both, ["GOINSECURE=*", "GOSUMDB=off"]);
    }

    #[test]
    fn settings_under_which_all_is_checked_are_none() {
        assert!(of(&[]).is_empty());
        for environment in [
            &[("GOSUMDB", "sum.golang.org")][..],
            &[("GOSUMDB", "sum.golang.org https://proxy.example/sumdb")],
            &[
                ("GOSUMDB", "sum.golang.google.cn"),
                ("GOPROXY", "https://proxy.example"),
            ],
            &[("GOSUMDB", ""), ("GONOSUMDB", " "), ("GOINSECURE", "none")],
            &[("GOPRIVATE", "*"), ("GONOSUMDB", "none")],
            &[("GOPRIVATE", "git.example.com/team,*.example.com")],
            &[("GONOSUMDB", "example.com/private")],
        ] {
            assert!(of(environment).is_empty(), "{environment:?}");
        }
    }

    #[test]
    fn what_is_not_checked_is_refused_unless_it_is_allowed() {
        let off = |name: &str| (name == "GOSUMDB").then(|| "off".to_owned());
        let error = allowed(false, off).unwrap_err();
        assert_eq!(failure::kind(&error, &[]), failure::Kind::Usage);
        assert!(failure::text(&error).contains("--allow-unchecked-modules"));
        assert_eq!(allowed(true, off).unwrap(), ["GOSUMDB=off"]);
        assert!(allowed(false, |_| None).unwrap().is_empty());
    }
}
