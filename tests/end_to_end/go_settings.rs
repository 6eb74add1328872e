//! The settings of the image's Go: each that its source knows is one that decides on action IDs, and then part of the
//! identity, or known not to. A newer Go that knows another one fails here, until somebody has looked what it does.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use gocache::Identity;
use walkdir::WalkDir;
use xshell::cmd;

use crate::support::run::{shell, succeed, workspace};

/// Settings of cgo, and of the C compiler that it starts: action IDs of packages with C sources alone have them, and
/// with `CGO_ENABLED=0`, which is part of the identity, no package has any.
const OF_CGO: [&str; 20] = [
    "AR",
    "CC",
    "CGO_CFLAGS",
    "CGO_CFLAGS_ALLOW",
    "CGO_CFLAGS_DISALLOW",
    "CGO_CPPFLAGS",
    "CGO_CPPFLAGS_ALLOW",
    "CGO_CPPFLAGS_DISALLOW",
    "CGO_CXXFLAGS",
    "CGO_CXXFLAGS_ALLOW",
    "CGO_CXXFLAGS_DISALLOW",
    "CGO_FFLAGS",
    "CGO_FFLAGS_ALLOW",
    "CGO_FFLAGS_DISALLOW",
    "CGO_LDFLAGS",
    "CGO_LDFLAGS_ALLOW",
    "CGO_LDFLAGS_DISALLOW",
    "CXX",
    "FC",
    "PKG_CONFIG",
];

/// Where things are fetched from and put, what follows from other settings, and another compiler, which GOFLAGS names.
const OTHERS: [&str; 24] = [
    "GCCGO",
    "GO111MODULE",
    "GOAUTH",
    "GOBIN",
    "GOCACHEPROG",
    "GOENV",
    "GOEXE",
    "GOGCCFLAGS",
    "GOHOSTARCH",
    "GOHOSTOS",
    "GOINSECURE",
    "GONOPROXY",
    "GONOSUMDB",
    "GOPATH",
    "GOPRIVATE",
    "GOPROXY",
    "GOSUMDB",
    "GOTMPDIR",
    "GOTOOLCHAIN",
    "GOTOOLDIR",
    "GOVCS",
    "GOWORK",
    // What `go env` prints and no file of settings has.
    "GOPACKAGESDRIVER",
    "GOTELEMETRY",
];

/// Settings in GODEBUG that the go command asks for: none is part of an action ID. `gocacheverify` makes every look-up
/// miss, and `verifier explain` says so; `embedfollowsymlinks` changes which files are hashed, and these are named.
const GODEBUG: [&str; 14] = [
    "allowmultiplevcs",
    "cmdgonetlimit",
    "embedfollowsymlinks",
    "gocachehash",
    "gocachetest",
    "gocacheverify",
    "gofsystrace",
    "gofsystracelog",
    "gofsystracestack",
    "goindex",
    "gotestjsonbuildtext",
    "gotoolchainexec",
    "installgoroot",
    "toolchaintrace",
];

/// The image's Go, as the go command of this machine fetches it.
fn goroot() -> Utf8PathBuf {
    let image = fs_err::read_to_string(workspace().join("base-images/iac-runner/image.toml"));
    let image = image.unwrap();
    let version = between(between(&image, "[go]\n", "\n\n"), "version = \"", "\"");
    let sh = shell();
    let _go = sh.push_env("GOTOOLCHAIN", format!("go{version}"));
    let goroot = Utf8PathBuf::from(succeed(cmd!(sh, "go env GOROOT")).trim());
    let found = fs_err::read_to_string(goroot.join("VERSION")).unwrap();
    assert!(found.starts_with(&format!("go{version}\n")), "{found}");
    goroot
}

/// What stands between `start` and the next `end`.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("there is no {start:?} any more"));
    rest.split_once(end).unwrap().0
}

/// The strings in double quotes of `code`.
fn quoted(code: &str) -> Vec<&str> {
    code.split('"').skip(1).step_by(2).collect()
}

#[test]
fn every_setting_that_the_go_command_knows_is_in_the_identity_or_decides_nothing() {
    let goroot = goroot();
    let source = |path: &str| fs_err::read_to_string(goroot.join("src").join(path)).unwrap();
    let known = source("internal/cfg/cfg.go");
    let known: BTreeSet<&str> = between(&known, "const KnownEnv = `", "`")
        .split_whitespace()
        .collect();
    let printed = source("cmd/go/internal/envcmd/env.go");
    let printed = between(&printed, "func MkEnv()", "\n}\n");
    let printed = printed
        .split("{Name: \"")
        .skip(1)
        .map(|rest| rest.split_once('"').unwrap().0);
    let all: BTreeSet<&str> = known.iter().copied().chain(printed).collect();
    assert!(all.len() > 50, "{all:?}");

    let expected = Identity::GO_ENV_NAMES.iter().chain(&OF_CGO).chain(&OTHERS);
    let expected: BTreeSet<&str> = expected
        .copied()
        .chain(["GODEBUG", "GOTELEMETRYDIR"])
        .collect();
    let unknown: Vec<_> = all.difference(&expected).collect();
    assert_eq!(
        unknown, [&""; 0],
        "read in cmd/go/internal/work what they do"
    );
    let gone: Vec<_> = expected.difference(&all).collect();
    assert_eq!(gone, [&""; 0], "this Go does not know them any more");
}

#[test]
fn every_level_of_an_architecture_is_in_the_identity() {
    let cfg = fs_err::read_to_string(goroot().join("src/cmd/go/internal/cfg/cfg.go")).unwrap();
    let cases = between(&cfg, "func GetArchEnv()", "return \"\", \"\", false");
    let mut seen = 0;
    for case in cases.split("case ").skip(1) {
        let (architectures, rest) = case.split_once(":\n").unwrap();
        let variable = quoted(rest)[0];
        for architecture in quoted(architectures) {
            let names = Identity::GO_ENV_NAMES.iter();
            let mut env: BTreeMap<String, String> =
                names.map(|name| ((*name).into(), "x".into())).collect();
            env.insert("GOARCH".into(), architecture.into());
            let level = Identity::from_go_env(&env).unwrap().goarch_level;
            assert_eq!(level, format!("{variable}=x"), "{architecture}");
            seen += 1;
        }
    }
    assert!(seen >= 12, "{seen}");
}

#[test]
fn what_action_ids_have_of_the_environment_alone_is_known() {
    let goroot = goroot();
    let exec = fs_err::read_to_string(goroot.join("src/cmd/go/internal/work/exec.go")).unwrap();
    assert_eq!(
        quoted(between(&exec, "magic := []string{", "}")),
        Identity::OF_THE_COMPILER
    );
    // Others that are hashed are asked for by these two functions alone.
    let hashed = exec
        .split("fmt.Fprintf(h, ")
        .skip(1)
        .map(|rest| rest.split('\n').next().unwrap());
    let asked: Vec<&str> = hashed.filter(|line| line.contains("etenv(")).collect();
    assert_eq!(
        asked,
        [r#""GO_EXTLINK_ENABLED=%s\n", cfg.Getenv("GO_EXTLINK_ENABLED"))"#]
    );
    let mut debug = BTreeSet::new();
    for file in WalkDir::new(goroot.join("src/cmd/go")) {
        let file = Utf8PathBuf::from_path_buf(file.unwrap().into_path()).unwrap();
        if file.extension() != Some("go") || file.as_str().ends_with("_test.go") {
            continue;
        }
        let text = fs_err::read_to_string(&file).unwrap();
        let settings = text
            .split("godebug.New(\"")
            .skip(1)
            .map(|rest| rest.split_once('"').unwrap().0);
        debug.extend(settings.map(|name| name.trim_start_matches('#').to_owned()));
    }
    assert_eq!(debug, GODEBUG.map(str::to_owned).into());
}
