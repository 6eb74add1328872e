//! Why the go command leaves a Go file out of a build: by its name, by its `//go:build` line or the older
//! `// +build` lines, or because of cgo.
//!
//! The rules are those of `go/build`. They are applied only to say what the go command, which knows better, does not.

use std::collections::BTreeSet;
use std::fmt;

use crate::go_file::{Constraint, constraint};

/// What a build is for.
#[derive(Debug, Clone, Default)]
pub struct Build {
    /// `linux`.
    pub goos: String,
    /// `amd64`.
    pub goarch: String,
    /// The values of `-tags`.
    pub tags: BTreeSet<String>,
    /// The second number of Go's version; without it, all of them are taken for old enough.
    pub go_minor: Option<u32>,
}

/// Why a file is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Excluded {
    /// It imports "C", and cgo is off.
    Cgo,
    /// Its name ends with another platform.
    Name(String),
    /// Its `//go:build` line, or one of its `// +build` lines, does not hold.
    Constraint {
        /// The line, or the lines.
        line: String,
        /// Tags that are not set and would be needed.
        unset: BTreeSet<String>,
        /// Tags that are set and must not be.
        set: BTreeSet<String>,
    },
}

const SYSTEMS: [&str; 18] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "zos",
];

const ARCHITECTURES: [&str; 13] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64le",
    "riscv64", "s390x", "wasm",
];

/// Longer than any line that means well.
const MAX_EXPRESSION_BYTES: usize = 1000;

impl Build {
    /// Why the file `name` with this text is left out; none if it is not.
    pub fn excludes(&self, name: &str, text: &str) -> Option<Excluded> {
        self.by_name(name)
            .or_else(|| self.by_constraint(text))
            .or_else(|| imports_c(text).then_some(Excluded::Cgo))
    }

    fn by_name(&self, name: &str) -> Option<Excluded> {
        let stem = name.strip_suffix(".go").unwrap_or(name);
        let stem = stem.strip_suffix("_test").unwrap_or(stem);
        let words: Vec<&str> = stem.split('_').skip(1).collect();
        let is_system = |word: &str| SYSTEMS.contains(&word);
        let fits = match words.as_slice() {
            [.., system, arch] if is_system(system) && ARCHITECTURES.contains(arch) => {
                *system == self.goos && *arch == self.goarch
            }
            [.., system] if is_system(system) => *system == self.goos,
            [.., arch] if ARCHITECTURES.contains(arch) => *arch == self.goarch,
            _ => true,
        };
        (!fits).then(|| Excluded::Name(name.to_owned()))
    }

    fn by_constraint(&self, text: &str) -> Option<Excluded> {
        let (line, expression) = match constraint(text)? {
            Constraint::Build(expression) => {
                let expression = expression.trim();
                (format!("//go:build {expression}"), expression.to_owned())
            }
            Constraint::Plus(lines) => {
                let shown = lines.iter().map(|words| format!("// +build {words}"));
                let each = lines.iter().map(|words| as_expression(words));
                (
                    shown.collect::<Vec<_>>().join("; "),
                    each.collect::<Vec<_>>().join(" && "),
                )
            }
        };
        if expression.len() > MAX_EXPRESSION_BYTES {
            return None;
        }
        let mut parser = Parser {
            build: self,
            rest: &expression,
            unset: BTreeSet::new(),
            set: BTreeSet::new(),
        };
        let holds = parser.any(true);
        (!holds && parser.rest.is_empty()).then_some(Excluded::Constraint {
            line,
            unset: parser.unset,
            set: parser.set,
        })
    }

    fn has(&self, tag: &str) -> bool {
        tag == self.goos
            || tag == self.goarch
            || tag == "gc"
            || (tag == "unix" && self.goos == "linux")
            || self.is_release(tag)
            || self.tags.contains(tag)
    }

    /// Whether it is a release of Go that is there, as each has the tags of all before it.
    fn is_release(&self, tag: &str) -> bool {
        let minor = tag.strip_prefix("go1.").and_then(|it| it.parse().ok());
        minor.is_some_and(|minor: u32| self.go_minor.is_none_or(|has| minor <= has))
    }

    /// Whether only another platform could set this tag.
    fn is_platform(tag: &str) -> bool {
        tag == "unix" || SYSTEMS.contains(&tag) || ARCHITECTURES.contains(&tag)
    }
}

impl Excluded {
    /// Tags that a setting could set.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let unset = match self {
            Self::Constraint { unset, .. } => Some(unset),
            _ => None,
        };
        let is_free = |tag: &&str| {
            !Build::is_platform(tag) && !["cgo", "ignore"].contains(tag) && !is_release(tag)
        };
        unset
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(is_free)
    }

    /// Whether cgo would let it in.
    pub fn is_cgo(&self) -> bool {
        match self {
            Self::Cgo => true,
            Self::Name(_) => false,
            Self::Constraint { unset, .. } => unset.contains("cgo"),
        }
    }

    /// Whether a newer Go would let it in.
    pub fn is_release(&self) -> bool {
        match self {
            Self::Cgo | Self::Name(_) => false,
            Self::Constraint { unset, .. } => unset.iter().any(|tag| is_release(tag)),
        }
    }

    /// Whether it is for another platform.
    pub fn is_platform(&self) -> bool {
        match self {
            Self::Cgo => false,
            Self::Name(_) => true,
            Self::Constraint { unset, set, .. } => {
                unset.iter().chain(set).any(|tag| Build::is_platform(tag))
            }
        }
    }
}

impl fmt::Display for Excluded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cgo => f.write_str("it imports \"C\", and CGO_ENABLED=0"),
            Self::Name(_) => f.write_str("its name ends with another platform"),
            Self::Constraint { line, unset, set } => {
                write!(f, "`{line}`")?;
                for tag in unset {
                    match tag.as_str() {
                        "cgo" => f.write_str(", and CGO_ENABLED=0")?,
                        tag => write!(f, ", and `{tag}` is not set")?,
                    }
                }
                set.iter()
                    .try_for_each(|tag| write!(f, ", and `{tag}` is set"))
            }
        }
    }
}

/// The words of a `// +build` line as those of a `//go:build` line: one of them has to hold, with all of its parts.
fn as_expression(words: &str) -> String {
    let words = words.split_whitespace();
    let words: Vec<String> = words.map(|word| word.replace(',', " && ")).collect();
    if words.is_empty() {
        // A line without words holds for nothing.
        return "ignore".to_owned();
    }
    format!("({})", words.join(" || "))
}

fn is_release(tag: &str) -> bool {
    tag.strip_prefix("go1.")
        .is_some_and(|minor| minor.parse::<u32>().is_ok())
}

/// Evaluates an expression, and notes the tags that stand in its way.
struct Parser<'a> {
    build: &'a Build,
    rest: &'a str,
    unset: BTreeSet<String>,
    set: BTreeSet<String>,
}

impl Parser<'_> {
    fn any(&mut self, wanted: bool) -> bool {
        let noted = (self.unset.clone(), self.set.clone());
        let mut holds = self.all(wanted);
        while self.takes("||") {
            holds |= self.all(wanted);
        }
        // What does not decide stands in no way.
        if holds == wanted {
            (self.unset, self.set) = noted;
        }
        holds
    }

    fn all(&mut self, wanted: bool) -> bool {
        let noted = (self.unset.clone(), self.set.clone());
        let mut holds = self.one(wanted);
        while self.takes("&&") {
            holds &= self.one(wanted);
        }
        if holds == wanted {
            (self.unset, self.set) = noted;
        }
        holds
    }

    fn one(&mut self, wanted: bool) -> bool {
        if self.takes("!") {
            return !self.one(!wanted);
        }
        if self.takes("(") {
            let holds = self.any(wanted);
            self.takes(")");
            return holds;
        }
        self.rest = self.rest.trim_start();
        let end = self
            .rest
            .find(|it: char| !(it.is_alphanumeric() || "_.".contains(it)))
            .unwrap_or(self.rest.len());
        let (tag, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        let has = self.build.has(tag);
        if has != wanted {
            let noted = if wanted {
                &mut self.unset
            } else {
                &mut self.set
            };
            noted.insert(tag.to_owned());
        }
        has
    }

    fn takes(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest).trim_start();
        rest.is_some()
    }
}

/// Whether a file imports "C", by its lines.
fn imports_c(text: &str) -> bool {
    text.lines().any(|line| {
        let line = line.split("//").next().unwrap_or_default().trim();
        let line = line.strip_prefix("import").unwrap_or(line).trim();
        line == "\"C\""
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn said(name: &str, text: &str) -> Option<String> {
        let build = Build {
            goos: "linux".into(),
            goarch: "amd64".into(),
            tags: ["dev".to_owned()].into(),
            go_minor: Some(25),
        };
        build.excludes(name, text).map(|it| it.to_string())
    }

    #[test]
    fn what_is_built_is_not_excluded() {
        for (name, text) in [
            ("main.go", "package main"),
            ("main_linux.go", "package main"),
            ("main_linux_amd64.go", "package main"),
            ("linux.go", "package main"),
            ("windows.go", "package main"),
            ("a_unix.go", "package main"),
            ("main.go", "//go:build linux && !cgo\n\npackage main"),
            (
                "main.go",
                "//go:build (dev || prod) && unix\n\npackage main",
            ),
            ("main.go", "//go:build !windows && go1.20\n\npackage main"),
            ("main.go", "package main\n\n//go:build prod\n"),
            ("main.go", "//go:build go1.25\n\npackage main"),
            ("main.go", "// +build windows dev,linux\n\npackage main"),
            ("main.go", "// +build windows\npackage main"),
            (
                "main.go",
                "//+build !windows\n// +build dev\n\npackage main",
            ),
            (
                "main.go",
                "// +build windows\n//go:build linux\n\npackage main",
            ),
            ("main.go", "// +builds windows\n\npackage main"),
            (
                "main.go",
                "package main\n\n// import \"C\"\nimport \"fmt\"\n",
            ),
        ] {
            assert_eq!(said(name, text), None, "{name} {text}");
        }
    }

    #[test]
    fn what_stands_in_the_way_is_named() {
        for (name, text, expected) in [
            (
                "main.go",
                "package main\n\n// #include <x.h>\nimport \"C\" // x\n",
                "it imports \"C\", and CGO_ENABLED=0",
            ),
            (
                "main.go",
                "package main\n\nimport (\n\t\"C\"\n\t\"fmt\"\n)\n",
                "it imports \"C\", and CGO_ENABLED=0",
            ),
            (
                "main.go",
                "//go:build cgo\npackage main",
                "`//go:build cgo`, and CGO_ENABLED=0",
            ),
            (
                "main.go",
                "// x\n\n//go:build prod && (linux || darwin)\n\npackage main",
                "`//go:build prod && (linux || darwin)`, and `prod` is not set",
            ),
            (
                "main.go",
                "//go:build !dev && !(windows || linux)\n\npackage main",
                "`//go:build !dev && !(windows || linux)`, and `dev` is set, and `linux` is set",
            ),
            (
                "main.go",
                "//go:build go1.99\n\npackage main",
                "`//go:build go1.99`, and `go1.99` is not set",
            ),
            (
                "main.go",
                "// A licence.\n\n// +build windows darwin,!dev\n\n// Package main.\npackage main",
                "`// +build windows darwin,!dev`, and `darwin` is not set, and `windows` is not set, and `dev` is set",
            ),
            (
                "main.go",
                "//+build dev\n//+build prod\n\npackage main",
                "`// +build dev; // +build prod`, and `prod` is not set",
            ),
            (
                "main_windows.go",
                "package main",
                "its name ends with another platform",
            ),
            (
                "main_linux_arm64.go",
                "package main",
                "its name ends with another platform",
            ),
        ] {
            assert_eq!(said(name, text).as_deref(), Some(expected), "{name} {text}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_evaluated(line in r"([a-z.]{1,3}|&&|\|\||[!()& |é]){0,30}") {
            said("main.go", &format!("//go:build {line}\n\npackage main"));
        }
    }
}
