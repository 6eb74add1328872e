//! What a build took from the cache, read from the JSON that `go build -debug-actiongraph=FILE` writes.
//!
//! An action that ran has its command line in `Cmd`; one that was answered from the cache, or was not needed
//! because the output was already there, has none. `NeedBuild` says nothing of the kind: it is true for packages
//! that came from the cache too. Modes other than `build` and `link` (`link-install`, `build check cache`, `nop`)
//! are bookkeeping and not counted; neither is `unsafe`, which has no code.

use std::io::{BufReader, Read};
use std::ops::{Add, AddAssign};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use crate::Error;

/// The name that build IDs and `go build -debug-actiongraph` give to the action of this ID: its first 15 bytes in
/// base64
/// (source: `cmd/internal/buildid`, `HashToString`).
pub fn in_build_id(action: &Sha256Hash) -> String {
    URL_SAFE_NO_PAD.encode(&action.as_bytes()[..15])
}

/// The actions of one build.
#[derive(Debug, Clone)]
pub struct ActionGraph {
    actions: Vec<Action>,
}

#[derive(Debug, Clone)]
struct Action {
    mode: String,
    package: String,
    /// Named as in build IDs; empty where the go command did not work it out.
    id: String,
    ran: bool,
}

/// An element of the JSON array; fields not needed are not read.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct JsonAction {
    mode: String,
    #[serde(default)]
    package: String,
    #[serde(default, rename = "ActionID")]
    action_id: String,
    #[serde(default)]
    cmd: Option<Vec<IgnoredAny>>,
}

impl ActionGraph {
    /// Reads the file that `-debug-actiongraph` named.
    pub fn parse(reader: impl Read) -> Result<Self, Error> {
        let actions: Vec<JsonAction> = serde_json::from_reader(BufReader::new(reader))
            .map_err(|error| Error::malformed("action graph", error.to_string()))?;
        let actions = actions.into_iter().map(|action| Action {
            mode: action.mode,
            package: action.package,
            id: action.action_id,
            ran: action.cmd.is_some_and(|commands| !commands.is_empty()),
        });
        Ok(Self {
            actions: actions.collect(),
        })
    }

    /// Import paths of the packages that were compiled or taken from the cache, each after the name that build IDs give
    /// to its action ([`in_build_id`]).
    pub fn packages(&self) -> impl Iterator<Item = (&str, &str)> {
        let packages = self.actions.iter().filter(|action| action.is_package());
        packages.map(|action| (action.id.as_str(), action.package.as_str()))
    }

    /// How many packages and links came from the cache, and the names of those that did not.
    pub fn hits(&self) -> Hits {
        let (packages, compiled) = self.count(Action::is_package);
        let (links, linked) = self.count(|action| action.mode == "link");
        Hits {
            packages,
            links,
            compiled,
            linked,
        }
    }

    fn count(&self, counted: impl Fn(&Action) -> bool) -> (Ratio, Vec<String>) {
        let mut ratio = Ratio::default();
        let mut ran = Vec::new();
        for action in self.actions.iter().filter(|action| counted(action)) {
            ratio.total += 1;
            if action.ran {
                ran.push(action.package.clone());
            } else {
                ratio.hits += 1;
            }
        }
        ran.sort();
        (ratio, ran)
    }
}

impl Action {
    fn is_package(&self) -> bool {
        self.mode == "build" && self.package != "unsafe"
    }
}

/// What a build took from the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hits {
    /// Packages.
    pub packages: Ratio,
    /// Executables.
    pub links: Ratio,
    /// Import paths of the packages that were compiled, sorted.
    pub compiled: Vec<String>,
    /// Import paths of the main packages that were linked, sorted.
    pub linked: Vec<String>,
}

/// So many out of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ratio {
    /// Those that came from the cache.
    pub hits: u64,
    /// All.
    pub total: u64,
}

impl Ratio {
    /// Between 0 and 1; 1 where there was nothing to hit.
    pub fn rate(self) -> f64 {
        if self.total == 0 {
            1.0
        } else {
            self.hits as f64 / self.total as f64
        }
    }

    /// Whether nothing missed.
    pub fn is_full(self) -> bool {
        self.hits == self.total
    }
}

impl Add for Ratio {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            total: self.total + other.total,
        }
    }
}

impl AddAssign for Ratio {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(json: &str) -> Hits {
        ActionGraph::parse(json.as_bytes()).unwrap().hits()
    }

    #[test]
    fn a_cold_build_runs_everything() {
        let hits = hits(include_str!("../tests/fixtures/action-graph-cold.json"));
        assert_eq!(hits.packages, Ratio { hits: 0, total: 5 });
        assert_eq!(hits.links, Ratio { hits: 0, total: 1 });
        let expected = [
            "example.com/tiny",
            "example.com/tiny/greet",
            "internal/abi",
            "internal/goarch",
            "runtime",
        ];
        assert_eq!(hits.compiled, expected);
        assert_eq!(hits.linked, ["example.com/tiny"]);
    }

    #[test]
    fn a_warm_build_only_links() {
        let hits = hits(include_str!("../tests/fixtures/action-graph-relinked.json"));
        assert_eq!(hits.packages, Ratio { hits: 5, total: 5 });
        assert_eq!(hits.links, Ratio { hits: 0, total: 1 });
        assert!(hits.compiled.is_empty());
        assert_eq!(hits.linked, ["example.com/tiny"]);
    }

    #[test]
    fn an_executable_in_the_cache_is_not_linked() {
        for json in [
            include_str!("../tests/fixtures/action-graph-link-from-cache.json"),
            include_str!("../tests/fixtures/action-graph-up-to-date.json"),
        ] {
            let hits = hits(json);
            assert!(hits.packages.is_full() && hits.links.is_full());
            assert_eq!((hits.packages.total, hits.links.total), (5, 1));
            assert!(hits.compiled.is_empty() && hits.linked.is_empty());
        }
    }

    #[test]
    fn packages_are_named_with_their_actions() {
        let json = include_str!("../tests/fixtures/action-graph-link-from-cache.json");
        let graph = ActionGraph::parse(json.as_bytes()).unwrap();
        let packages: Vec<_> = graph.packages().collect();
        assert_eq!(packages.len(), 5);
        assert_eq!(packages[0], ("AEyKdusynZvMpoinzJyh", "example.com/tiny"));
    }

    #[test]
    fn one_changed_package_is_named() {
        let json = r#"[{"Mode":"build","Package":"b","Cmd":["compile"]},{"Mode":"build","Package":"a","Cmd":[]},
            {"Mode":"build","Package":"unsafe"},{"Mode":"nop"}]"#;
        let hits = hits(json);
        assert_eq!(hits.packages, Ratio { hits: 1, total: 2 });
        assert_eq!(hits.compiled, ["b"]);
    }

    #[test]
    fn refuses_what_is_no_graph() {
        for json in ["", "{}", "[{}]", "[{\"Mode\":\"build\""] {
            let error = ActionGraph::parse(json.as_bytes()).unwrap_err();
            assert!(
                error.to_string().starts_with("malformed action graph"),
                "{error}"
            );
        }
    }

    #[test]
    fn ratios_add_up() {
        let mut sum = Ratio { hits: 1, total: 2 } + Ratio { hits: 3, total: 3 };
        sum += Ratio { hits: 0, total: 3 };
        assert_eq!(sum, Ratio { hits: 4, total: 8 });
        assert!((sum.rate() - 0.5).abs() < f64::EPSILON);
        assert!((Ratio::default().rate() - 1.0).abs() < f64::EPSILON);
        assert!(Ratio::default().is_full() && !sum.is_full());
    }
}
