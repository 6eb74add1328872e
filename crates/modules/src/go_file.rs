//! The two things needed of a Go file: its package, and whether it is set aside with `//go:build ignore`.
//!
//! Both stand before any code, so only comments have to be understood. Other build constraints are not evaluated:
//! they depend on the platform, and a main package that exists on some platform is a module.

/// The head of a Go file.
#[derive(Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The name after `package`; none if there is no package clause.
    pub package: Option<&'a str>,
    /// Whether it carries the constraint `ignore`, by which files are kept out of every build.
    pub ignored: bool,
}

/// Reads the head of a Go file.
pub fn head(text: &str) -> Head<'_> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut ignored = false;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', ';']);
        if let Some(comment) = rest.strip_prefix("//") {
            let (line, after) = comment.split_once('\n').unwrap_or((comment, ""));
            ignored |= is_ignore(line);
            rest = after;
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else {
            return Head {
                package: package(rest),
                ignored,
            };
        }
    }
}

/// What keeps a Go file out of some builds.
#[derive(Debug, PartialEq, Eq)]
pub enum Constraint<'a> {
    /// The expression of its `//go:build` line.
    Build(&'a str),
    /// The words of each of its older `// +build` lines, which count where it has no other.
    Plus(Vec<&'a str>),
}

/// The constraint of a Go file.
pub fn constraint(text: &str) -> Option<Constraint<'_>> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Those after which there was no empty line might be of the package's documentation, and do not count.
    let (mut plus, mut unsure) = (Vec::new(), Vec::new());
    loop {
        let trimmed = rest.trim_start();
        let space = &rest[..rest.len() - trimmed.len()];
        if space.contains('\n') {
            plus.append(&mut unsure);
        }
        rest = trimmed;
        if let Some(comment) = rest.strip_prefix("//") {
            let (line, after) = comment.split_once('\n').unwrap_or((comment, ""));
            let is_alone = |it: &&str| it.is_empty() || it.starts_with([' ', '\t', '\r']);
            let expression = line.strip_prefix("go:build");
            if let Some(expression) = expression.filter(|it| it.starts_with([' ', '\t'])) {
                return Some(Constraint::Build(expression));
            }
            let words = line.trim_start().strip_prefix("+build");
            unsure.extend(words.filter(is_alone).map(str::trim));
            rest = after;
        } else if let Some(comment) = rest.strip_prefix("/*")
            && let Some((_, after)) = comment.split_once("*/")
        {
            rest = after;
        } else {
            return (!plus.is_empty()).then_some(Constraint::Plus(plus));
        }
    }
}

/// Whether a line comment, its `//` taken off, is `go:build ignore` or the older ` +build ignore`.
fn is_ignore(comment: &str) -> bool {
    let expression = comment
        .strip_prefix("go:build")
        .or_else(|| comment.trim_start().strip_prefix("+build"));
    expression.is_some_and(|expression| {
        expression.trim() == "ignore" && expression.starts_with([' ', '\t'])
    })
}

/// The name in a package clause; comments may stand between its two words.
fn package(text: &str) -> Option<&str> {
    let mut rest = text.strip_prefix("package")?;
    if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        return None;
    }
    while let Some(comment) = rest.trim_start().strip_prefix("/*") {
        rest = comment.split_once("*/")?.1;
    }
    let rest = rest.trim_start();
    let end = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(rest.len());
    (end > 0).then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_the_package() {
        for text in [
            "package main",
            "package main;import \"fmt\"",
            "\u{feff}// Copyright\r\n\r\npackage main\r\n",
            "/* package x\n*/ package main // y",
            "// package x\n/**/ /* // */\n\tpackage\tmain\n",
            "//go:build linux && !ignore\n\npackage main\n",
            "package /* x */ main",
            "// go:build ignore\npackage main",
            "//go:build ignored\npackage main",
        ] {
            assert_eq!(
                head(text),
                Head {
                    package: Some("main"),
                    ignored: false
                },
                "{text:?}"
            );
        }
        assert_eq!(head("package größe\n").package, Some("größe"));
    }

    #[test]
    fn finds_ignore() {
        for text in [
            "//go:build ignore\n\npackage main\n",
            "// Copyright\n\n//go:build ignore\n// +build ignore\n\npackage main\n",
            "// +build ignore\n\npackage main",
            "//go:build \tignore\r\n\r\npackage main",
        ] {
            assert_eq!(
                head(text),
                Head {
                    package: Some("main"),
                    ignored: true
                },
                "{text:?}"
            );
        }
        assert!(!head("package main\n//go:build ignore\n").ignored);
    }

    #[test]
    fn no_package_is_none() {
        for text in [
            "",
            "// package main",
            "/* package main",
            "packagemain",
            "package",
            "package \"x\"",
            "func main() {}",
        ] {
            assert_eq!(head(text).package, None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_head(text in "([/*]|//|\n|package|main| |ignore|go:build|é){0,20}") {
            head(&text);
        }
    }
}
