//! Packages that a program imports, and whose Go modules the image has no packages of.
//!
//! Where one go.mod serves several providers, an image of one of them has but a stub of what others load. The go
//! command takes it for the Go module: it says that nothing provides the package, or, where the index of packages knows
//! better, that a file is missing. So what decides is not its words but which Go modules the packages would be of.

use std::collections::BTreeSet;

use camino::Utf8Path;
use gocache::GoModule;
use serde::Serialize;

use crate::process::{self, Environment};

/// What is asked of each package: its import path and, where one was found, its Go module.
const FORMAT: &str = "{{.ImportPath}}{{with .Module}} {{with .Replace}}{{.Path}} {{.Version}}{{else}}\
                      {{.Path}} {{.Version}}{{end}}{{end}}";

/// A package that a program loads.
#[derive(Debug, PartialEq, Eq)]
pub struct Loaded {
    import_path: String,
    module: Option<GoModule>,
}

/// A package that the image does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Absent {
    pub package: String,
    /// The Go module that has it.
    pub module: GoModule,
}

/// The packages that the program in `folder` loads, those that are not to be found included; none where the go command
/// cannot tell.
pub fn loaded(folder: &Utf8Path, environment: &Environment) -> anyhow::Result<Vec<Loaded>> {
    let arguments = ["list", "-e", "-deps", "-f", FORMAT, "."];
    let finished = process::run("go", &arguments, folder, environment)?;
    Ok(parse(&String::from_utf8_lossy(&finished.stdout)))
}

fn parse(printed: &str) -> Vec<Loaded> {
    let package = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        let import_path = words.next()?;
        let module = words.next().zip(words.next());
        let module = module.map(|(path, version)| GoModule { path, version });
        Some(Loaded {
            import_path,
            module,
        })
    };
    printed.lines().filter_map(package).collect()
}

/// Those of `loaded` that are packages of Go modules that are `without` packages.
pub fn absent(loaded: &[Loaded], without: &BTreeSet<&GoModule>) -> Vec<Absent> {
    let found = loaded.iter().filter_map(|package| {
        let import_path = package.import_path.as_str();
        let has_it = |module: &&&GoModule| match &package.module {
            Some(known) => *known == ***module,
            None => import_path
                .strip_prefix(module.path.as_str())
                .is_some_and(|below| below.is_empty() || below.starts_with('/')),
        };
        // The innermost, as the go command looks for it.
        let module = without.iter().filter(has_it);
        let module = module.max_by_key(|module| module.path.len())?;
        Some(Absent {
            package: import_path.to_owned(),
            module: (*module).clone(),
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_absent_by_its_go_module_or_by_where_it_would_be() {
        let module = |path: &str| GoModule {
            path: path.to_owned(),
            version: "v1.0.0".to_owned(),
        };
        let (outer, inner, other) = (module("a.b/sdk"), module("a.b/sdk/go"), module("a.b/c"));
        let printed = "fmt\nexample.com/m example.com/m \na.b/sdk/x\na.b/sdk/go/y\na.b/sdkother\n\
                       a.b/c/d a.b/c v1.0.0\na.b/c/e a.b/c v1.1.0\n";
        let found = absent(&parse(printed), &BTreeSet::from([&outer, &inner, &other]));
        let found: Vec<_> = found
            .iter()
            .map(|absent| (absent.package.as_str(), &absent.module))
            .collect();
        let expected = [
            ("a.b/sdk/x", &outer),
            ("a.b/sdk/go/y", &inner),
            ("a.b/c/d", &other),
        ];
        assert_eq!(found, expected);
    }
}
