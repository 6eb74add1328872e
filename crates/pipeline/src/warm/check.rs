//! The check of what will be packed: everything that was built again must have come from the sealed caches.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use camino::Utf8PathBuf;
use engine::progress;
use gocache::ActionGraph;
use sha256::Sha256Hash;

/// One build from the sealed caches.
pub struct Rebuilt {
    /// For messages.
    pub name: String,
    /// Where it ran, relative to the source.
    pub folder: Utf8PathBuf,
    /// What the go command did.
    pub graph: ActionGraph,
    /// Actions that it asked the cache for and got.
    pub asked: BTreeSet<Sha256Hash>,
}

/// What builds use of the sealed caches.
#[derive(Debug, Default)]
pub struct CacheUse {
    /// Actions that the builds asked the cache for and got.
    pub asked: BTreeSet<Sha256Hash>,
    /// Import paths of the packages, by the names that build IDs give to their actions.
    pub packages: BTreeMap<String, String>,
    /// Modules whose link was not taken from the cache.
    pub links_that_ran: Vec<Utf8PathBuf>,
}

/// Fails if a build compiled anything; otherwise what the builds use of the caches.
pub fn check(builds: Vec<Rebuilt>) -> Result<CacheUse> {
    let mut used = CacheUse::default();
    for build in builds {
        let hits = build.graph.hits();
        if let Some(package) = hits.compiled.first() {
            bail!(
                "{}: {} of {} packages were compiled again from the sealed caches, {package} first",
                build.name,
                hits.compiled.len(),
                hits.packages.total
            );
        }
        if !hits.linked.is_empty() {
            progress::warning(format_args!(
                "{}: the link cannot be taken from the cache with this Go version",
                build.name
            ));
            used.links_that_ran.push(build.folder);
        }
        used.asked.extend(build.asked);
        let packages = build.graph.packages();
        let owned = packages.map(|(action, path)| (action.to_owned(), path.to_owned()));
        used.packages.extend(owned);
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the go command writes it: an action that ran has its command line.
    fn build(name: &str, actions: &[(&str, &str, bool)]) -> Rebuilt {
        let actions: Vec<_> = actions
            .iter()
            .map(|(mode, package, ran)| {
                let commands: &[&str] = if *ran { &["run"] } else { &[] };
                serde_json::json!({
                    "Mode": mode, "Package": package, "ActionID": format!("id of {package}"), "Cmd": commands,
                })
            })
            .collect();
        let json = serde_json::to_vec(&actions).unwrap();
        Rebuilt {
            name: name.to_owned(),
            folder: format!("apis/{name}").into(),
            graph: ActionGraph::parse(json.as_slice()).unwrap(),
            asked: BTreeSet::from([Sha256Hash::of(name.as_bytes())]),
        }
    }

    #[test]
    fn a_package_that_the_sealed_caches_lack_is_named() {
        let sound = build("sound", &[("build", "a", false), ("link", "main", false)]);
        let lacking = build("lacking", &[("build", "a", false), ("build", "b", true)]);
        let error = check(vec![sound, lacking]).unwrap_err().to_string();
        let expected =
            "lacking: 1 of 2 packages were compiled again from the sealed caches, b first";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_link_that_ran_is_counted_and_all_uses_are_gathered() {
        let linked = build("linked", &[("build", "a", false), ("link", "main", true)]);
        let cached = build("cached", &[("build", "b", false), ("link", "main", false)]);
        let used = check(vec![linked, cached]).unwrap();
        assert_eq!(used.links_that_ran, ["apis/linked"]);
        let asked = ["linked", "cached"].map(|name| Sha256Hash::of(name.as_bytes()));
        assert_eq!(used.asked, BTreeSet::from(asked));
        let packages: Vec<_> = used.packages.iter().collect();
        let named = |id: &str, path: &str| (id.to_owned(), path.to_owned());
        let expected = [named("id of a", "a"), named("id of b", "b")];
        assert_eq!(used.packages, BTreeMap::from(expected), "{packages:?}");
    }
}
