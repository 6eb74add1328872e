//! The identity: everything outside the source that decides Go's action IDs.
//!
//! Two caches fit together only where these are equal. Paths are part of it although `-trimpath` keeps them out
//! of compile actions: the package index is keyed by the absolute folder of each package.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha256::Sha256Hash;

use crate::Error;

/// The settings of the go command that a cache was made with, as `go env` prints them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// GOVERSION, for example `go1.25.0`.
    pub go_version: String,
    /// GOOS.
    pub goos: String,
    /// GOARCH.
    pub goarch: String,
    /// The architecture's own variable and its value, for example `GOAMD64=v1`; empty where it has none.
    pub goarch_level: String,
    /// `CGO_ENABLED`: `0` or `1`.
    pub cgo_enabled: String,
    /// GOFLAGS.
    pub goflags: String,
    /// GOEXPERIMENT.
    pub goexperiment: String,
    /// GOFIPS140: `off`, or the version of the cryptography that is compiled instead.
    #[serde(default = "no_fips140", skip_serializing_if = "is_no_fips140")]
    pub gofips140: String,
    /// `GO_EXTLINK_ENABLED`, which every link has in its action ID.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub go_extlink_enabled: String,
    /// GOROOT.
    pub goroot: String,
    /// GOMODCACHE.
    pub gomodcache: String,
    /// GOCACHE.
    pub gocache: String,
}

/// What `go env` says where nothing is set. Caches that say nothing of it were made so, and are called the same.
fn no_fips140() -> String {
    "off".to_owned()
}

fn is_no_fips140(value: &str) -> bool {
    value == no_fips140()
}

/// A field in which two identities differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The setting's name in `go env`.
    pub field: &'static str,
    /// The value in the identity that was asked.
    pub ours: String,
    /// The value in the one it was compared with.
    pub theirs: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is {:?}, not {:?}",
            self.field, self.ours, self.theirs
        )
    }
}

impl Identity {
    /// The names to ask `go env -json` for. Asked for everything, the go command tries out the C compiler, if there
    /// is one, and keeps what it finds in GOCACHE.
    pub const GO_ENV_NAMES: [&str; 20] = [
        "GOVERSION",
        "GOOS",
        "GOARCH",
        "GO386",
        "GOAMD64",
        "GOARM",
        "GOARM64",
        "GOMIPS",
        "GOMIPS64",
        "GOPPC64",
        "GORISCV64",
        "GOWASM",
        "CGO_ENABLED",
        "GOFLAGS",
        "GOEXPERIMENT",
        "GOFIPS140",
        "GO_EXTLINK_ENABLED",
        "GOROOT",
        "GOMODCACHE",
        "GOCACHE",
    ];

    /// Variables of the environment that make the compiler do something else, and so are part of the action IDs of
    /// compiled packages while they are set; `go env` knows none of them.
    pub const OF_THE_COMPILER: [&str; 4] = [
        "GOCLOBBERDEADHASH",
        "GOSSAFUNC",
        "GOSSADIR",
        "GOCOMPILEDEBUG",
    ];

    /// From the output of `go env -json`, of all variables or of [`Self::GO_ENV_NAMES`].
    pub fn from_go_env(env: &BTreeMap<String, String>) -> Result<Self, Error> {
        let get = |name: &str| {
            let value = env.get(name).cloned();
            value.ok_or_else(|| {
                Error::malformed("output of `go env -json`", format!("{name} is missing"))
            })
        };
        let goarch = get("GOARCH")?;
        let goarch_level = match level_variable(&goarch) {
            Some(name) => format!("{name}={}", get(name)?),
            None => String::new(),
        };
        Ok(Self {
            go_version: get("GOVERSION")?,
            goos: get("GOOS")?,
            goarch,
            goarch_level,
            cgo_enabled: get("CGO_ENABLED")?,
            goflags: get("GOFLAGS")?,
            goexperiment: get("GOEXPERIMENT")?,
            // A Go that does not know it prints nothing.
            gofips140: match env.get("GOFIPS140").map(String::as_str) {
                None | Some("") => no_fips140(),
                Some(value) => value.to_owned(),
            },
            go_extlink_enabled: env.get("GO_EXTLINK_ENABLED").cloned().unwrap_or_default(),
            goroot: get("GOROOT")?,
            gomodcache: get("GOMODCACHE")?,
            gocache: get("GOCACHE")?,
        })
    }

    /// A hash of all fields, to name things that belong to one identity.
    pub fn digest(&self) -> Sha256Hash {
        // Quoted, so that no value can pose as another field.
        let lines = self
            .fields()
            .map(|(name, value)| format!("{name}={value:?}\n"));
        Sha256Hash::of(lines.concat().as_bytes())
    }

    /// The fields in which `other` has another value.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let pairs = self.fields().into_iter().zip(other.fields());
        let differing = pairs.filter(|((field, ours), (_, theirs))| {
            // Another architecture's level has another name.
            let follows = *field == LEVEL && self.goarch != other.goarch;
            ours != theirs && !follows
        });
        differing
            .map(|((field, ours), (_, theirs))| Difference {
                field,
                ours: ours.to_owned(),
                theirs: theirs.to_owned(),
            })
            .collect()
    }

    /// Those fields in words; none if all are equal, and only then do entries of one hit with the other.
    pub fn differences_text(&self, other: &Self) -> Option<String> {
        let differences = self.differences(other);
        let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
        (!differences.is_empty()).then(|| differences.join("; "))
    }

    /// Every field under its name in `go env`, in a fixed order.
    pub fn fields(&self) -> [(&'static str, &str); 12] {
        [
            ("GOVERSION", &self.go_version),
            ("GOOS", &self.goos),
            ("GOARCH", &self.goarch),
            (LEVEL, &self.goarch_level),
            ("CGO_ENABLED", &self.cgo_enabled),
            ("GOFLAGS", &self.goflags),
            ("GOEXPERIMENT", &self.goexperiment),
            ("GOFIPS140", &self.gofips140),
            ("GO_EXTLINK_ENABLED", &self.go_extlink_enabled),
            ("GOROOT", &self.goroot),
            ("GOMODCACHE", &self.gomodcache),
            ("GOCACHE", &self.gocache),
        ]
    }
}

const LEVEL: &str = "architecture level";

/// The variable that selects an architecture's level, as `cfg.GetArchEnv` of cmd/go knows them.
pub(crate) fn level_variable(goarch: &str) -> Option<&'static str> {
    Some(match goarch {
        "386" => "GO386",
        "amd64" => "GOAMD64",
        "arm" => "GOARM",
        "arm64" => "GOARM64",
        "mips" | "mipsle" => "GOMIPS",
        "mips64" | "mips64le" => "GOMIPS64",
        "ppc64" | "ppc64le" => "GOPPC64",
        "riscv64" => "GORISCV64",
        "wasm" => "GOWASM",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> BTreeMap<String, String> {
        serde_json::from_str(include_str!("../tests/fixtures/go-env.json")).unwrap()
    }

    #[test]
    fn reads_go_env() {
        let identity = Identity::from_go_env(&env()).unwrap();
        assert_eq!(identity.go_version, "go1.26.8");
        assert_eq!(identity.goarch_level, "GOAMD64=v1");
        assert_eq!(identity.cgo_enabled, "0");
        assert_eq!(identity.gocache, "/var/cache/go-build");
    }

    #[test]
    fn says_what_is_missing() {
        for name in ["GOVERSION", "GOAMD64", "GOCACHE"] {
            let mut env = env();
            env.remove(name);
            let error = Identity::from_go_env(&env).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn an_architecture_without_levels_has_none() {
        let mut env = env();
        env.insert("GOARCH".into(), "s390x".into());
        assert_eq!(Identity::from_go_env(&env).unwrap().goarch_level, "");
    }

    #[test]
    fn every_field_counts() {
        let ours = Identity::from_go_env(&env()).unwrap();
        assert_eq!(ours.differences(&ours), []);
        assert_eq!(ours.differences_text(&ours), None);
        for name in [
            "GOVERSION",
            "GOOS",
            "GOAMD64",
            "CGO_ENABLED",
            "GOFLAGS",
            "GOEXPERIMENT",
            "GOFIPS140",
            "GO_EXTLINK_ENABLED",
            "GOROOT",
            "GOMODCACHE",
            "GOCACHE",
        ] {
            let mut env = env();
            env.insert(name.into(), "other".into());
            let theirs = Identity::from_go_env(&env).unwrap();
            let differences = ours.differences(&theirs);
            assert_eq!(differences.len(), 1, "{name}");
            assert!(differences[0].theirs.ends_with("other"));
            assert_ne!(ours.digest(), theirs.digest(), "{name}");
        }
    }

    #[test]
    fn what_says_nothing_of_fips140_was_made_without() {
        let ours = Identity::from_go_env(&env()).unwrap();
        assert_eq!(ours.gofips140, "off");
        let json = serde_json::to_string(&ours).unwrap();
        assert!(!json.contains("fips"), "{json}");
        let mut env = env();
        env.insert("GOFIPS140".into(), "v1.0.0".into());
        let theirs = Identity::from_go_env(&env).unwrap();
        let json = serde_json::to_string(&theirs).unwrap();
        assert_eq!(serde_json::from_str::<Identity>(&json).unwrap(), theirs);
        assert_eq!(
            ours.differences_text(&theirs).unwrap(),
            r#"GOFIPS140 is "off", not "v1.0.0""#
        );
    }

    #[test]
    fn all_that_differs_is_told() {
        let ours = Identity::from_go_env(&env()).unwrap();
        let mut theirs = ours.clone();
        theirs.goos = "plan9".into();
        theirs.goflags = "-race".into();
        assert_eq!(
            ours.differences_text(&theirs).unwrap(),
            r#"GOOS is "linux", not "plan9"; GOFLAGS is "-trimpath -buildvcs=false", not "-race""#
        );
    }

    #[test]
    fn the_digest_is_stable() {
        let identity = Identity::from_go_env(&env()).unwrap();
        let json = serde_json::to_string(&identity).unwrap();
        let back: Identity = serde_json::from_str(&json).unwrap();
        assert_eq!(back, identity);
        assert_eq!(
            back.digest().to_string(),
            "34bf68629b090895dc23d84cc3316c24fb1febc2e2eeeedca1318877531432c1"
        );
    }
}
