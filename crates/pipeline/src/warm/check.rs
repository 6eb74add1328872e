//! The check of what will be packed: everything that was built again must have come from the sealed caches.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use camino::Utf8PathBuf;
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
            eprintln!(
                "warning: {}: the link cannot be taken from the cache with this Go version",
                build.name
            );
            used.links_that_ran.push(build.folder);
        }
        used.asked.extend(build.asked);
        let packages = build.graph.packages();
        let owned = packages.map(|(action, path)| (action.to_owned(), path.to_owned()));
        used.packages.extend(owned);
    }
    Ok(used)
}
