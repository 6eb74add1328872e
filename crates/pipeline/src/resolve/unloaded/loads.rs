//! Which Go modules each provider of one go.mod loads: asked of the go command, offline.
//!
//! A Go module is loaded by a provider if a package of it is among those that the provider's programs import, or their
//! tests. Where packages are vendored their Go modules count all the same: a build without `vendor` needs them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use gocache::GoModule;
use modules::Module;

use crate::resolve::go_list::{ListedModule, ListedPackage, stream};
use crate::resolve::go_mod::GoMod;
use crate::resolve::resolver::Resolver;

/// Go modules by the providers that load them.
pub type Loads = BTreeMap<String, BTreeSet<GoModule>>;

/// A package, or its test, as far as it tells what is loaded.
struct Node {
    module: Option<GoModule>,
    imports: Vec<String>,
}

impl Resolver<'_> {
    /// Which Go modules the programs of each provider of `go_mod` load, and their tests.
    pub(super) fn loads(&self, go_mod: &GoMod) -> Result<Loads> {
        let scratch = self.work.scratch("list")?;
        let sandbox = self.listing(scratch.path(), go_mod)?;
        let patterns: Vec<String> = go_mod.patterns(go_mod.modules.iter()).collect();
        // What cannot be loaded is told elsewhere.
        let fields = "-json=ImportPath,Imports,Module";
        let mut arguments = vec!["go", "list", "-e", "-deps", "-test", fields, "--"];
        arguments.extend(patterns.iter().map(String::as_str));
        let listed: Vec<ListedPackage> = stream(&self.go(&sandbox, go_mod, &arguments)?)?;
        let nodes = listed.into_iter().map(|package| {
            let module = package.module.as_ref().and_then(ListedModule::in_cache);
            let imports = package.imports;
            (package.import_path, Node { module, imports })
        });
        Ok(by_provider(&go_mod.modules, &nodes.collect()))
    }
}

/// The Go modules that are reached from each provider's programs and from their tests, which the go command calls
/// `<import path>.test`.
fn by_provider(modules: &[Module], nodes: &BTreeMap<String, Node>) -> Loads {
    let mut loads = Loads::new();
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for module in modules {
        let provider = module.provider.as_str();
        let loaded = loads.entry(provider.to_owned()).or_default();
        let mut open = vec![
            module.import_path.clone(),
            format!("{}.test", module.import_path),
        ];
        while let Some(path) = open.pop() {
            let Some((path, node)) = nodes.get_key_value(&path) else {
                continue;
            };
            if seen.insert((provider, path)) {
                loaded.extend(node.module.clone());
                open.extend(node.imports.iter().cloned());
            }
        }
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn go_module(name: &str) -> GoModule {
        GoModule {
            path: name.to_owned(),
            version: "v1.0.0".to_owned(),
        }
    }

    #[test]
    fn what_a_program_or_its_test_imports_is_loaded_by_its_provider_alone() {
        let node = |path: &str, module: Option<&str>, imports: &[&str]| {
            let imports = imports.iter().map(|&path| path.to_owned()).collect();
            let module = module.map(go_module);
            (path.to_owned(), Node { module, imports })
        };
        let nodes = BTreeMap::from([
            node("m/aws", None, &["sdk/a"]),
            node("m/civo", None, &["sdk/a"]),
            node("m/civo.test", None, &["m/civo [m/civo.test]"]),
            node("m/civo [m/civo.test]", None, &["sdk/a", "assert/yaml"]),
            node("sdk/a", Some("sdk"), &["deep/b"]),
            node("deep/b", Some("deep"), &["sdk/a"]),
            node("assert/yaml", Some("assert"), &[]),
            node("nobody/c", Some("nobody"), &["sdk/a"]),
        ]);
        let module = |provider: &str| Module {
            provider: provider.to_owned(),
            component: "c".to_owned(),
            path: format!("apis/{provider}").into(),
            import_path: format!("m/{provider}"),
            go_mod: "go.mod".into(),
            main: None,
        };
        let loads = by_provider(&[module("aws"), module("civo"), module("gone")], &nodes);
        let expected = [
            ("aws", vec!["deep", "sdk"]),
            ("civo", vec!["assert", "deep", "sdk"]),
            ("gone", vec![]),
        ];
        let expected = expected.map(|(provider, modules)| {
            let modules = modules.into_iter().map(go_module).collect();
            (provider.to_owned(), modules)
        });
        assert_eq!(loads, Loads::from(expected));
    }
}
